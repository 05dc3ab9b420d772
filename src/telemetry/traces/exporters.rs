//! Exporters of OTLP, with the certificates that the standard variables name. What else those say (endpoint, headers,
//! timeout, compression) the library reads itself.

use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};
use opentelemetry_otlp::{
    Protocol as Wire, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};

use super::config::{Config, Protocol};

/// The exporter that `config` asks for.
///
/// # Errors
/// One line, where a certificate can't be read or the library refuses what the variables say.
pub(super) fn make(config: &Config) -> Result<SpanExporter, String> {
    let exporter = match config.protocol {
        Protocol::Grpc => match config.tls {
            true => SpanExporter::builder().with_tonic().with_tls_config(grpc_tls(config)?).build(),
            false => SpanExporter::builder().with_tonic().build(),
        },
        Protocol::Http => {
            SpanExporter::builder().with_http().with_protocol(Wire::HttpBinary).with_http_client(http(config)?).build()
        }
    };
    exporter.map_err(|error| format!("traces can't be exported: {error}"))
}

fn grpc_tls(config: &Config) -> Result<ClientTlsConfig, String> {
    let tls = match &config.certificate {
        Some(file) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("CERTIFICATE", file)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match &config.client {
        Some((certificate, key)) => {
            Ok(tls.identity(Identity::from_pem(read("CLIENT_CERTIFICATE", certificate)?, read("CLIENT_KEY", key)?)))
        }
        None => Ok(tls),
    }
}

fn http(config: &Config) -> Result<reqwest::Client, String> {
    // Another part of the process may have chosen one already; it is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    if let Some(file) = &config.certificate {
        let trusted = reqwest::Certificate::from_pem_bundle(&read("CERTIFICATE", file)?);
        client = client.tls_certs_only(trusted.map_err(|error| named("CERTIFICATE", file, &error))?);
    }
    if let Some((certificate, key)) = &config.client {
        let mut pem = read("CLIENT_KEY", key)?;
        pem.push(b'\n');
        pem.extend(read("CLIENT_CERTIFICATE", certificate)?);
        let identity = reqwest::Identity::from_pem(&pem);
        client = client.identity(identity.map_err(|error| named("CLIENT_CERTIFICATE", certificate, &error))?);
    }
    client.build().map_err(|error| format!("traces can't be exported: {error}"))
}

fn read(what: &str, file: &str) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| named(what, file, &error))
}

fn named(what: &str, file: &str, error: &dyn std::fmt::Display) -> String {
    format!("OTEL_EXPORTER_OTLP_{what}={file:?}: {error}")
}

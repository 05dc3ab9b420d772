//! What a call to AWS was on the wire: which host, which status, which request id. The SDK's typed answers do not
//! tell, so its HTTP client notes it, and the one who calls looks.

use std::{cell::RefCell, future::Future};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::HttpRequest,
        runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use http::Uri;

tokio::task_local! {
    static EXCHANGE: RefCell<Exchange>;
}

/// The headers in which AWS's services give their request ids.
const REQUEST_ID: [&str; 2] = ["x-amzn-requestid", "x-amz-request-id"];

/// The last request of a call, and its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The host that was asked.
    pub server: String,
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// How the server names the request in its own logs.
    pub request_id: Option<String>,
    /// How often the host was asked before: 0, since the queue retries and not the clients.
    pub resent: u32,
}

/// Makes a call, and tells what it was on the wire; nothing where no request was sent.
pub async fn watched<T>(call: impl Future<Output = T>) -> (T, Exchange) {
    let with_exchange = async {
        let answer = call.await;
        (answer, EXCHANGE.with(RefCell::take))
    };
    EXCHANGE.scope(RefCell::default(), with_exchange).await
}

/// A request to `server` is sent.
fn sent(server: &str) {
    note(|exchange| {
        let resent = if exchange.server == server { exchange.resent + 1 } else { 0 };
        *exchange = Exchange { server: server.to_owned(), resent, ..Exchange::default() };
    });
}

/// It was answered.
fn answered(status: u16, request_id: Option<String>) {
    note(|exchange| (exchange.status, exchange.request_id) = (Some(status), request_id));
}

/// Outside of a watched call, nobody wants to know.
fn note(change: impl FnOnce(&mut Exchange)) {
    let _ = EXCHANGE.try_with(|exchange| change(&mut exchange.borrow_mut()));
}

/// An HTTP client whose requests [`watched`] sees.
#[derive(Debug)]
pub struct Watched(pub SharedHttpClient);

impl HttpClient for Watched {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(WatchedConnector(self.0.http_connector(settings, components)))
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_base_client_config(components, config)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, config: &ConfigBag) -> Result<(), BoxError> {
        self.0.validate_final_config(components, config)
    }
}

#[derive(Debug)]
struct WatchedConnector(SharedHttpConnector);

impl HttpConnector for WatchedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let server = request.uri().parse::<Uri>().ok().and_then(|uri| Some(uri.host()?.to_owned()));
        sent(&server.unwrap_or_default());
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            let ids = REQUEST_ID.iter().filter_map(|header| answer.headers().get(*header));
            answered(answer.status().as_u16(), ids.map(str::to_owned).next());
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_sees_its_own_last_request() {
        sent("nobody looks");
        let (inner, outer) = watched(async {
            sent("a");
            answered(500, Some("1".into()));
            let ((), inner) = watched(async { sent("credentials") }).await;
            sent("a");
            answered(200, None);
            inner
        })
        .await;
        assert_eq!(inner, Exchange { server: "credentials".into(), ..Exchange::default() });
        assert_eq!(outer, Exchange { server: "a".into(), status: Some(200), request_id: None, resent: 1 });
    }
}

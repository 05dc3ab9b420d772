//! The few HTTP requests the harness makes itself: readiness probes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one probe may take.
const PROBE: Duration = Duration::from_secs(2);

/// GETs `path` from a loopback port; answers the status code and the body.
pub(crate) async fn get(port: u16, path: &str) -> Result<(u16, String)> {
    timeout(PROBE, exchange(port, path)).await.with_context(|| format!("GET {path} did not end in {PROBE:?}"))?
}

async fn exchange(port: u16, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    // 1.0: no chunks to put together, and the end is the end of the connection.
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).context("no HTTP status")?.parse()?;
    Ok((status, body.to_owned()))
}

//! The few HTTP requests the harness makes itself: readiness probes and queries.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one probe may take.
const PROBE: Duration = Duration::from_secs(2);

/// GETs `path` from a loopback port; answers the status code and the body.
pub(crate) async fn get(port: u16, path: &str) -> Result<(u16, String)> {
    get_within(port, path, PROBE).await
}

/// The same with another deadline.
pub(crate) async fn get_within(port: u16, path: &str, deadline: Duration) -> Result<(u16, String)> {
    send(port, "GET", path, "", deadline).await
}

/// POSTs JSON to a loopback port; answers the status code and the body.
pub(crate) async fn post(port: u16, path: &str, json: &str) -> Result<(u16, String)> {
    send(port, "POST", path, json, PROBE).await
}

async fn send(port: u16, method: &str, path: &str, json: &str, deadline: Duration) -> Result<(u16, String)> {
    let exchange = timeout(deadline, exchange(port, method, path, json));
    exchange.await.with_context(|| format!("{method} {path} did not end in {deadline:?}"))?
}

async fn exchange(port: u16, method: &str, path: &str, json: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let body = match json {
        "" => String::new(),
        json => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", json.len()),
    };
    // 1.0: no chunks to put together, and the end is the end of the connection.
    let request = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n{body}\r\n{json}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).context("no HTTP status")?.parse()?;
    Ok((status, body.to_owned()))
}

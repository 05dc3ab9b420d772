//! The TCP proxy does what each of its faults says.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fairlead_harness::cluster::Cluster;
use fairlead_harness::tcp_proxy::{Direction, TcpProxy};
use fairlead_harness::wait::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);
/// Long enough for bytes that are not held back.
const MOMENT: Duration = Duration::from_millis(200);

/// A server that sends back what it gets, and tells what that was.
async fn echo() -> Result<(SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let (told, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let mut bytes = vec![0; 1024];
                while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                    let _ = told.send(bytes[..length].to_vec());
                    if stream.write_all(&bytes[..length]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok((addr, heard))
}

async fn say(stream: &mut TcpStream, word: &[u8]) -> Result<()> {
    Ok(stream.write_all(word).await?)
}

async fn hear(stream: &mut TcpStream, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    timeout(SOON, stream.read_exact(&mut bytes)).await??;
    Ok(bytes)
}

async fn silent(stream: &mut TcpStream) -> bool {
    timeout(MOMENT, stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn bytes_pass_both_ways_and_so_does_the_end() -> Result<()> {
    let (addr, _heard) = echo().await?;
    let proxy = TcpProxy::start(addr)?;
    let mut stream = TcpStream::connect(proxy.addr()).await?;
    say(&mut stream, b"hello").await?;
    ensure!(hear(&mut stream, 5).await? == b"hello");
    stream.shutdown().await?;
    ensure!(timeout(SOON, stream.read(&mut [0; 8])).await?? == 0);
    eventually("the connection to end", SOON, async || match proxy.open() {
        0 => Ok(()),
        open => Err(format!("{open} are open")),
    })
    .await
}

#[tokio::test]
async fn refused_means_reset_for_new_connections_alone() -> Result<()> {
    let (addr, _heard) = echo().await?;
    let proxy = TcpProxy::start(addr)?;
    let mut old = TcpStream::connect(proxy.addr()).await?;
    say(&mut old, b"a").await?;
    hear(&mut old, 1).await?;
    proxy.refuse();
    let mut new = TcpStream::connect(proxy.addr()).await?;
    let error = timeout(SOON, new.read(&mut [0; 8])).await?.err().map(|error| error.kind());
    ensure!(error == Some(std::io::ErrorKind::ConnectionReset), "{error:?}");
    say(&mut old, b"b").await?;
    ensure!(hear(&mut old, 1).await? == b"b");
    proxy.cut();
    ensure!(timeout(SOON, old.read(&mut [0; 8])).await?? == 0, "a cut connection is closed");
    Ok(())
}

#[tokio::test]
async fn what_a_black_hole_has_taken_goes_on_when_it_is_over() -> Result<()> {
    let (addr, mut heard) = echo().await?;
    let proxy = TcpProxy::start(addr)?;
    let mut old = TcpStream::connect(proxy.addr()).await?;
    say(&mut old, b"a").await?;
    hear(&mut old, 1).await?;
    proxy.black_hole();
    let mut new = TcpStream::connect(proxy.addr()).await?;
    say(&mut old, b"b").await?;
    say(&mut new, b"c").await?;
    ensure!(silent(&mut old).await && silent(&mut new).await);
    heard.recv().await;
    ensure!(heard.try_recv().is_err(), "something has come through");
    proxy.pass();
    ensure!(hear(&mut old, 1).await? == b"b" && hear(&mut new, 1).await? == b"c");
    Ok(())
}

#[tokio::test]
async fn only_the_connections_of_now_are_frozen() -> Result<()> {
    let (addr, _heard) = echo().await?;
    let proxy = TcpProxy::start(addr)?;
    let mut old = TcpStream::connect(proxy.addr()).await?;
    say(&mut old, b"a").await?;
    hear(&mut old, 1).await?;
    proxy.freeze_existing();
    say(&mut old, b"b").await?;
    let mut new = TcpStream::connect(proxy.addr()).await?;
    say(&mut new, b"c").await?;
    ensure!(hear(&mut new, 1).await? == b"c");
    ensure!(silent(&mut old).await);
    proxy.pass();
    ensure!(hear(&mut old, 1).await? == b"b");
    Ok(())
}

#[tokio::test]
async fn delayed_bytes_keep_their_order_and_arrive_without_their_sender() -> Result<()> {
    let delay = Duration::from_millis(400);
    let (addr, mut heard) = echo().await?;
    let proxy = TcpProxy::start(addr)?;
    proxy.delay(Direction::Up, delay);
    let mut stream = TcpStream::connect(proxy.addr()).await?;
    let sent = Instant::now();
    say(&mut stream, b"a").await?;
    eventually("the proxy to have it", SOON, async || match proxy.open() {
        1 => Ok(()),
        open => Err(format!("{open} are open")),
    })
    .await?;
    tokio::time::sleep(MOMENT).await;
    proxy.delay(Direction::Up, Duration::ZERO);
    say(&mut stream, b"b").await?;
    drop(stream);
    let mut all = Vec::new();
    while all.len() < 2 {
        all.extend(timeout(SOON, heard.recv()).await?.unwrap_or_default());
    }
    ensure!(all == b"ab" && sent.elapsed() >= delay, "{all:?} after {:?}", sent.elapsed());
    Ok(())
}

#[tokio::test]
async fn the_api_server_is_trusted_through_it() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let proxy = TcpProxy::start(cluster.address()?)?;
    cluster.kubectl(&["create", "serviceaccount", "behind", "-n", "default"]).await?;
    let kubeconfig = cluster.service_account_kubeconfig_at("default", "behind", proxy.addr()).await?;
    let client = fairlead_harness::cluster::client(&kubeconfig).await?;
    client.apiserver_version().await?;
    ensure!(proxy.open() == 1, "{} connections", proxy.open());
    Ok(())
}

//! A TCP proxy on loopback that can refuse, swallow, freeze, delay and cut.
//!
//! Bytes pass untouched, TLS included. It runs on a thread of its own, so that a test that blocks does not
//! stop it. What was sent before a fault is not lost by it: frozen bytes go on when the fault is over, and
//! delayed ones arrive even where the sender has gone meanwhile, as packets do.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// A running proxy; dropped means that every connection is closed.
#[derive(Debug)]
pub struct TcpProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Which bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

#[derive(Debug)]
struct Shared {
    rules: watch::Sender<Rules>,
    /// The number of the next connection.
    next: AtomicU64,
    open: AtomicUsize,
    /// How many chunks were read and not written yet.
    held: AtomicUsize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rules {
    mode: Mode,
    /// Connections with lower numbers forward nothing.
    frozen_below: u64,
    /// Connections with lower numbers are to end.
    cut_below: u64,
    up: Duration,
    down: Duration,
    stopped: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Pass,
    Refuse,
    BlackHole,
}

/// What was read, and when it is to be written; no bytes stand for the end.
struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
    _held: Held,
}

/// Counts a chunk for as long as it lives.
struct Held(Arc<Shared>);

impl Held {
    fn new(shared: &Arc<Shared>) -> Held {
        shared.held.fetch_add(1, Ordering::SeqCst);
        Held(Arc::clone(shared))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Of one connection, as it sees the rules.
#[derive(Clone)]
struct Connection {
    number: u64,
    shared: Arc<Shared>,
    rules: watch::Receiver<Rules>,
}

/// How many chunks may be on their way in one direction.
const IN_FLIGHT: usize = 1_024;
const CHUNK: usize = 16 * 1_024;

impl TcpProxy {
    /// Starts a proxy before `upstream`, on a loopback port of its own.
    pub fn start(upstream: SocketAddr) -> Result<TcpProxy> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let rules = watch::Sender::new(Rules::default());
        let shared =
            Arc::new(Shared { rules, next: AtomicU64::new(0), open: AtomicUsize::new(0), held: AtomicUsize::new(0) });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("tcp-proxy".to_owned())
            .spawn(move || runtime.block_on(serve(listener, upstream, serving)))
            .context("cannot start the proxy")?;
        Ok(TcpProxy { addr, shared, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Forwards everything again, delayed as before. What was frozen goes on.
    pub fn pass(&self) {
        self.change(|rules| (rules.mode, rules.frozen_below) = (Mode::Pass, 0));
    }

    /// Resets new connections at once; those that exist go on.
    pub fn refuse(&self) {
        self.change(|rules| rules.mode = Mode::Refuse);
    }

    /// Takes new connections and keeps the old ones, and forwards nothing.
    pub fn black_hole(&self) {
        self.change(|rules| rules.mode = Mode::BlackHole);
    }

    /// Freezes the connections that exist now; new ones pass.
    pub fn freeze_existing(&self) {
        let next = self.shared.next.load(Ordering::SeqCst);
        self.change(|rules| rules.frozen_below = next);
    }

    /// Closes the connections that exist now, and loses what is on its way in them.
    pub fn cut(&self) {
        let next = self.shared.next.load(Ordering::SeqCst);
        self.change(|rules| rules.cut_below = next);
    }

    /// Delays what is read from now on.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.change(|rules| match direction {
            Direction::Up => rules.up = delay,
            Direction::Down => rules.down = delay,
        });
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// How many pieces are on their way: held by a delay, or frozen.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) {
        self.shared.rules.send_modify(change);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.change(|rules| rules.stopped = true);
        if let Some(thread) = self.thread.take() {
            // A panic of the proxy has shown itself to its callers already.
            let _ = thread.join();
        }
    }
}

/// Serves until the owner says stop; all connections end with the runtime.
async fn serve(listener: std::net::TcpListener, upstream: SocketAddr, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut stopped = shared.rules.subscribe();
    let accepting = async {
        loop {
            // Out of descriptors, for example: those in use come back.
            let Ok((client, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            if shared.rules.borrow().mode == Mode::Refuse {
                // Closing it then sends a reset.
                let _ = client.set_zero_linger();
                continue;
            }
            let number = shared.next.fetch_add(1, Ordering::SeqCst);
            let connection = Connection { number, shared: Arc::clone(&shared), rules: shared.rules.subscribe() };
            shared.open.fetch_add(1, Ordering::SeqCst);
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                // An error is a connection that has ended: its ends know.
                let _ = connection.run(client, upstream).await;
                shared.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = stopped.wait_for(|rules| rules.stopped) => {}
    }
}

impl Rules {
    fn frozen(&self, number: u64) -> bool {
        self.mode == Mode::BlackHole || number < self.frozen_below
    }

    fn delay(&self, direction: Direction) -> Duration {
        match direction {
            Direction::Up => self.up,
            Direction::Down => self.down,
        }
    }
}

impl Connection {
    async fn run(self, client: TcpStream, upstream: SocketAddr) -> io::Result<()> {
        let number = self.number;
        let mut rules = self.rules.clone();
        let cut = async { rules.wait_for(|rules| number < rules.cut_below).await.map(drop) };
        tokio::select! {
            outcome = self.forward(client, upstream) => outcome,
            _ = cut => Ok(()),
        }
    }

    async fn forward(self, client: TcpStream, upstream: SocketAddr) -> io::Result<()> {
        self.thawed().await;
        let server = TcpStream::connect(upstream).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        // Each way by itself: what is on its way arrives also where the other way has ended.
        let (up, down) = tokio::join!(
            self.pipe(from_client, to_server, Direction::Up),
            self.pipe(from_server, to_client, Direction::Down),
        );
        up.and(down)
    }

    async fn pipe(&self, from: OwnedReadHalf, to: OwnedWriteHalf, direction: Direction) -> io::Result<()> {
        let (chunks, received) = mpsc::channel(IN_FLIGHT);
        let (read, written) = tokio::join!(self.read(from, chunks, direction), self.write(received, to));
        read.and(written)
    }

    async fn read(&self, mut from: OwnedReadHalf, chunks: mpsc::Sender<Chunk>, direction: Direction) -> io::Result<()> {
        loop {
            self.thawed().await;
            let mut bytes = vec![0; CHUNK];
            // A reset is an end too, and comes after what was sent before it.
            let length = from.read(&mut bytes).await.unwrap_or(0);
            bytes.truncate(length);
            let due = Instant::now() + self.rules.borrow().delay(direction);
            let gone = chunks.send(Chunk { due, bytes, _held: Held::new(&self.shared) }).await.is_err();
            if gone || length == 0 {
                return Ok(());
            }
        }
    }

    async fn write(&self, mut chunks: mpsc::Receiver<Chunk>, mut to: OwnedWriteHalf) -> io::Result<()> {
        while let Some(Chunk { due, bytes, _held }) = chunks.recv().await {
            sleep_until(due).await;
            self.thawed().await;
            if bytes.is_empty() {
                return to.shutdown().await;
            }
            to.write_all(&bytes).await?;
        }
        Ok(())
    }

    async fn thawed(&self) {
        // The sender outlives every connection.
        let _ = self.rules.clone().wait_for(|rules| !rules.frozen(self.number)).await;
    }
}

//! Many queues on the fake AWS: what a slow, throttled, silent region or account does to the others, and
//! that nothing is lost. How fast all of it is, `benches/` measures.

mod flows;
mod load;

use std::{path::Path, time::Duration};

use anyhow::Result;
use fairlead_harness::site::Site;
use tokio::sync::{Mutex, MutexGuard};

/// How long anything may take, on a slow machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// A site whose operator runs the built binary.
async fn site() -> Result<Site> {
    Site::new(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy")), Path::new(env!("CARGO_BIN_EXE_fairlead")))
        .await
}

/// Names of queues: `prefix-0` and so on.
fn names(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("{prefix}-{number}"))
}

/// Those that load the machine take turns.
async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

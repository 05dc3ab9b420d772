//! The process and its runtime, as the Prometheus client libraries show them.

use procfs::{ProcResult, process::LimitValue, process::Process};
use tokio::runtime::Handle;

use super::{reading::Reading, table};

/// The process; nothing where `/proc` can't be read.
pub fn readings() -> Vec<Reading> {
    read().unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn read() -> ProcResult<Vec<Reading>> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let ticks = procfs::ticks_per_second() as f64;
    let seconds = |in_ticks: u64| in_ticks as f64 / ticks;
    let mut readings = vec![
        Reading::new(&table::CPU, [], seconds(stat.utime + stat.stime)),
        Reading::new(&table::RESIDENT, [], (stat.rss * procfs::page_size()) as f64),
        Reading::new(&table::VIRTUAL, [], stat.vsize as f64),
        Reading::new(&table::THREADS, [], stat.num_threads as f64),
        Reading::new(&table::STARTED, [], procfs::boot_time_secs()? as f64 + seconds(stat.starttime)),
        Reading::count(&table::OPEN_FDS, [], process.fd_count()?),
    ];
    if let LimitValue::Value(most) = process.limits()?.max_open_files.soft_limit {
        readings.push(Reading::new(&table::MAX_FDS, [], most as f64));
    }
    Ok(readings)
}

/// The runtime that runs the process's tasks.
pub fn runtime(handle: &Handle) -> Vec<Reading> {
    let metrics = handle.metrics();
    let workers = metrics.num_workers();
    let busy: f64 = (0..workers).map(|worker| metrics.worker_total_busy_duration(worker).as_secs_f64()).sum();
    vec![
        Reading::count(&table::WORKERS, [], workers),
        Reading::count(&table::TASKS, [], metrics.num_alive_tasks()),
        Reading::count(&table::GLOBAL_QUEUE, [], metrics.global_queue_depth()),
        Reading::new(&table::BUSY, [], busy),
    ]
}

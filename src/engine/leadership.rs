//! What follows from leading a shard, or no longer leading it: which objects are reconciled, and what
//! is seen of it from outside.

use std::time::Duration;

use jiff::Timestamp;

use super::controller::{Controllers, Task};
use crate::{
    accounts::registry::Accounts,
    queue::dispatcher::Queue,
    shard::{Permits, Shard, leases::name_of, membership::Replica, permit::Glimpse},
    telemetry::{
        health::Component,
        metrics::{Metrics, Reading, Value, table},
        object_status::ObjectStatusz,
        pulse::Pulse,
        statusz::{QueueStatusz, ShardStatusz, Statusz},
    },
};

/// How long the Leases may not be read until the replica is not ready.
const UNREAD: Duration = Duration::from_secs(10);

/// Begins and ends to reconcile the objects of shards, for ever.
pub async fn follow(permits: Permits, controllers: Controllers, accounts: Accounts) {
    let mut turns = permits.turns();
    let mut before: Vec<Option<u64>> = vec![None; permits.shards().into()];
    loop {
        let now: Vec<_> = Shard::all(permits.shards()).map(|shard| permits.leads(shard)).collect();
        if now != before {
            for ((shard, before), now) in Shard::all(permits.shards()).zip(&before).zip(&now) {
                if before != now {
                    turn(&controllers, shard, before.is_some(), now.is_some());
                }
            }
            // The part that this replica has of every flow's rate is another one.
            controllers.iter().for_each(|(_, controller)| controller.settle());
            accounts.wake_all();
            before = now;
        }
        if turns.changed().await.is_err() {
            return;
        }
    }
}

fn turn(controllers: &Controllers, shard: Shard, ends: bool, begins: bool) {
    for (_, controller) in controllers.iter() {
        if ends {
            controller.leave(shard);
        }
        if begins {
            controller.lead(shard);
        }
    }
}

/// Says in readiness whether the Leases can be read, for ever.
pub async fn watch_reads(reading: Pulse, health: Component) {
    // Until the first read it is "starting".
    let mut read = false;
    loop {
        let silent = reading.silent_for();
        read |= reading.was_seen();
        match () {
            () if !read => {}
            () if silent < UNREAD => health.up(),
            () => drop(health.down(format!("the Leases could not be read for {} s", silent.as_secs()))),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What tells of this replica at one moment.
pub fn teller(
    replica: &Replica,
    permits: &Permits,
    controllers: Controllers,
    queue: Queue<Task>,
) -> impl Fn() -> Statusz + Clone + Send + Sync + 'static {
    let (identity, permits) = (replica.identity.to_string(), permits.clone());
    let started_at = Timestamp::from_microsecond(replica.started).unwrap_or_default();
    move || {
        let shard = |shard: Shard| {
            let Glimpse { led, draining, holder, holder_age, epoch, outstanding, valid_for } = permits.glimpse(shard);
            ShardStatusz {
                shard: u16::try_from(shard.index()).unwrap_or(u16::MAX),
                led,
                draining,
                holder: holder.map(|holder| holder.to_string()),
                holder_age_seconds: rounded(holder_age.unwrap_or_default()),
                epoch: epoch.map(|epoch| epoch.to_string()),
                valid_for_seconds: rounded(valid_for),
                objects: controllers.iter().map(|(_, controller)| controller.count(shard)).sum(),
                outstanding_permits: outstanding,
            }
        };
        let (depth, running) = queue.load();
        Statusz {
            identity: identity.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_at,
            shards: Shard::all(permits.shards()).map(shard).collect(),
            queue: QueueStatusz { depth, running },
        }
    }
}

/// What tells of one object.
pub fn object_teller(
    replica: &Replica,
    controllers: Controllers,
) -> impl Fn(&str, &str, &str) -> ObjectStatusz + Clone + Send + Sync + 'static {
    let replica = replica.identity.to_string();
    move |kind, namespace, name| {
        let controller = controllers.iter().find(|(known, _)| *known == kind);
        controller.map_or_else(
            || ObjectStatusz { replica: replica.clone(), ..ObjectStatusz::default() },
            |(_, controller)| controller.tell(&replica, namespace, name),
        )
    }
}

/// Seconds, to a tenth.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

/// Shows in the metrics what is led.
pub fn show(permits: &Permits, metrics: &Metrics) {
    let permits = permits.clone();
    metrics.read(move || readings(&permits));
}

/// What is led, as Prometheus sees it.
pub(crate) fn readings(permits: &Permits) -> Vec<Reading> {
    let (mut led, mut outstanding, mut readings) = (0, 0, Vec::new());
    for shard in Shard::all(permits.shards()) {
        let glimpse = permits.glimpse(shard);
        led += usize::from(glimpse.led);
        outstanding += glimpse.outstanding;
        let name: Value = name_of(shard).into();
        readings.push(Reading::count(&table::LEADER, [name.clone()], usize::from(glimpse.led)));
        if let Some(age) = glimpse.holder_age {
            readings.push(Reading::new(&table::LEASE_AGE, [name], age.as_secs_f64()));
        }
    }
    readings.push(Reading::count(&table::SHARDS, [], permits.shards().into()));
    readings.push(Reading::count(&table::SHARDS_LED, [], led));
    readings.push(Reading::count(&table::PERMITS_OUT, [], outstanding));
    readings
}

//! The report as text.

use super::{
    super::columns::{age, aligned, printable},
    report::{Replica, Report, Role, Shard, State, shards_word},
};

const NONE: &str = "-";

/// The report as `fairlead status` prints it.
pub(super) fn text(report: &Report) -> String {
    let Report { namespace, read_at: _, shard_count, shards, replicas, notes } = report;
    let count = match shard_count {
        Some(count) => format!("{count} {}", shards_word(*count)),
        None => "shards of an unknown number".to_owned(),
    };
    let replica = if replicas.len() == 1 { "replica" } else { "replicas" };
    let mut text = format!("{count}, {} {replica}, in the namespace {namespace}\n\n", replicas.len());
    let head = ["SHARD", "HOLDER", "RENEWED", "LED-FOR", "OBJECTS", "PERMITS"].map(str::to_owned);
    text += &aligned(&[head].into_iter().chain(shards.iter().map(shard_row)).collect::<Vec<_>>());
    text += "\n";
    let head = ["REPLICA", "ROLE", "SHARDS", "QUEUE", "RUNNING", "VERSION", "/STATUSZ"].map(str::to_owned);
    text += &aligned(&[head].into_iter().chain(replicas.iter().map(replica_row)).collect::<Vec<_>>());
    if !notes.is_empty() {
        text += "\n";
        notes.iter().for_each(|note| text += &format!("note: {}\n", printable(note)));
    }
    text
}

fn shard_row(shard: &Shard) -> [String; 6] {
    let Shard {
        shard: number,
        state,
        holder,
        draining,
        renewed_seconds_ago,
        led_for_seconds,
        objects,
        outstanding_permits,
    } = shard;
    let holder = holder.as_deref().unwrap_or(NONE);
    let holder = match state {
        State::Led if *draining => format!("{holder} (draining)"),
        State::Led => holder.to_owned(),
        State::Expired => format!("expired ({holder})"),
        State::Released => "free (released)".to_owned(),
        State::Emptied => "nobody (not released)".to_owned(),
        State::Missing => "no Lease".to_owned(),
    };
    [
        number.to_string(),
        holder,
        renewed_seconds_ago.map_or(NONE.to_owned(), |ago| format!("{} ago", age(ago))),
        led_for_seconds.map_or(NONE.to_owned(), age),
        number_or_none(*objects),
        number_or_none(*outstanding_permits),
    ]
}

fn replica_row(replica: &Replica) -> [String; 7] {
    let Replica { name, identity: _, role, leads, queue_depth, running, version, problem } = replica;
    let role = match role {
        Some(Role::Leader) => "leader",
        Some(Role::Draining) => "draining",
        Some(Role::Standby) => "standby",
        None => NONE,
    };
    [
        name.clone(),
        role.to_owned(),
        ranges(leads),
        number_or_none(*queue_depth),
        number_or_none(*running),
        version.clone().unwrap_or(NONE.to_owned()),
        problem.clone().unwrap_or("ok".to_owned()),
    ]
}

fn number_or_none(number: Option<usize>) -> String {
    number.map_or(NONE.to_owned(), |number| number.to_string())
}

/// `0-3,7`, of what is in order.
fn ranges(numbers: &[u16]) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let run = |(first, last): &(u16, u16)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    if runs.is_empty() { NONE.to_owned() } else { runs.iter().map(run).collect::<Vec<_>>().join(",") }
}

//! Readiness: each part of the process holds a [`Component`] and says whether it works; the process is
//! ready when all of them do. Liveness: whether what runs for ever goes on.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::pulse::Pulse;
use crate::engine::api_server::Watches;

type States = BTreeMap<String, Result<(), String>>;

/// The health of the process.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<States>>);

/// One part of the process, and its say in readiness.
#[derive(Clone, Debug)]
pub struct Component {
    name: String,
    health: Health,
}

impl Health {
    /// A new component, which is not ready before it says so.
    pub fn component(&self, name: impl Into<String>) -> Component {
        let component = Component { name: name.into(), health: self.clone() };
        component.down("starting".into());
        component
    }

    /// What is not ready, a line each.
    pub fn problems(&self) -> Vec<String> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.iter().filter_map(|(name, state)| Some(format!("{name}: {}", state.as_ref().err()?))).collect()
    }
}

impl Component {
    /// This part works.
    pub fn up(&self) {
        self.set(Ok(()));
    }

    /// This part does not work, because of `why`. Whether that is news.
    pub fn down(&self, why: String) -> bool {
        self.set(Err(why))
    }

    fn set(&self, state: Result<(), String>) -> bool {
        let mut states = self.health.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.insert(self.name.clone(), state.clone()).as_ref() != Some(&state)
    }
}

/// What shows that the process goes on. An outage of the API server is no reason to be killed: it would be
/// started into the same outage.
#[derive(Clone, Debug)]
pub struct Liveness {
    /// The loop that keeps the Leases.
    pub leases: Pulse,
    /// Reads of the Leases.
    pub reading: Pulse,
    /// The loop that starts reconciles.
    pub queue: Pulse,
    /// The watches.
    pub watches: Watches,
}

/// A loop that has not turned for so long is stuck.
const STUCK: Duration = Duration::from_secs(30);
/// A watch is begun anew every 45 s, and is given up 5 s later at most.
const SILENT: Duration = Duration::from_secs(65);
/// A read of the Leases so long ago says nothing of the API server.
const READ_LATELY: Duration = Duration::from_secs(5);

impl Liveness {
    /// What does not go on, a line each.
    pub fn problems(&self) -> Vec<String> {
        let stuck = |what: &str, pulse: &Pulse| {
            let silent = Some(pulse.silent_for()).filter(|silent| pulse.was_seen() && *silent > STUCK)?;
            Some(format!("{what} has been stuck for {} s", silent.as_secs()))
        };
        let dead_watch = || {
            let (path, silent) = self.watches.most_silent().filter(|(_, silent)| *silent > SILENT)?;
            let answers = self.reading.was_seen() && self.reading.silent_for() < READ_LATELY;
            answers.then(|| {
                format!("the watch of {path} has been silent for {} s, while the API server answers", silent.as_secs())
            })
        };
        let loops = [stuck("the loop of the Leases", &self.leases), stuck("the loop of the queue", &self.queue)];
        loops.into_iter().flatten().chain(dead_watch()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of which each part was last seen to go on so many seconds ago; nothing where it never was.
    fn liveness(leases: Option<u64>, reading: Option<u64>, queue: Option<u64>, watch: Option<u64>) -> Liveness {
        let pulse = |ago: Option<u64>| ago.map_or_else(Pulse::default, |ago| Pulse::seen(Duration::from_secs(ago)));
        let watches = Watches::of(watch.map(|_| ("/apis/x/v1/a".to_owned(), pulse(watch))));
        Liveness { leases: pulse(leases), reading: pulse(reading), queue: pulse(queue), watches }
    }

    #[test]
    fn alive_while_all_that_runs_for_ever_goes_on() {
        let watch = "the watch of /apis/x/v1/a has been silent for 66 s, while the API server answers";
        for (what, liveness, problems) in [
            ("a start, with nothing begun", liveness(None, None, None, None), vec![]),
            ("all goes on", liveness(Some(0), Some(1), Some(0), Some(44)), vec![]),
            ("a loop is late", liveness(Some(29), Some(1), Some(29), Some(1)), vec![]),
            (
                "a loop is stuck",
                liveness(Some(31), Some(1), Some(0), Some(1)),
                vec!["the loop of the Leases has been stuck for 31 s"],
            ),
            (
                "the other is",
                liveness(Some(0), Some(1), Some(40), Some(1)),
                vec!["the loop of the queue has been stuck for 40 s"],
            ),
            ("a watch is late", liveness(Some(0), Some(1), Some(0), Some(64)), vec![]),
            ("a watch is dead", liveness(Some(0), Some(1), Some(0), Some(66)), vec![watch]),
            ("the API server is away", liveness(Some(0), Some(66), Some(0), Some(66)), vec![]),
            ("it never answered", liveness(Some(0), None, Some(0), Some(66)), vec![]),
        ] {
            assert_eq!(liveness.problems(), problems, "{what}");
        }
    }

    #[test]
    fn ready_when_every_component_is_up() {
        let health = Health::default();
        let (watch, aws) = (health.component("watch"), health.component("aws"));
        watch.up();
        assert_eq!(health.problems(), ["aws: starting"]);
        aws.up();
        assert!(health.problems().is_empty());
        assert!(watch.down("gone".into()));
        assert!(!watch.down("gone".into()), "the same again is no news");
        assert_eq!(health.problems(), ["watch: gone"]);
    }
}

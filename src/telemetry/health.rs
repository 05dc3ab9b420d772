//! Readiness: each part of the process holds a [`Component`] and says whether it works; the process is
//! ready when all of them do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

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

#[cfg(test)]
mod tests {
    use super::*;

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

//! The queues of one account and region, and how reads lag behind them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::time::Duration;

use super::attributes::{self, Attributes};
use super::messages::Messages;
use crate::fake_aws::propagation::{Lag, Pending};
use crate::fake_aws::refusal::Refusal;

pub(super) type Tags = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub(super) struct Region {
    queues: BTreeMap<String, Queue>,
    deleted: HashMap<String, Deleted>,
}

#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) attributes: Attributes,
    pub(super) tags: Tags,
    pub(super) messages: Messages,
    /// By the fake's clock.
    pub(super) created: Duration,
    pub(super) modified: Duration,
    /// Reads do not find it yet.
    appearing: Option<Pending>,
    /// Reads show these yet.
    old: Option<(Pending, Attributes)>,
}

#[derive(Debug)]
struct Deleted {
    at: Duration,
    /// What reads find yet.
    ghost: Option<(Pending, Queue)>,
}

/// For how long a deleted queue's name is taken.
const NAME_BLOCKED: Duration = Duration::from_secs(60);

impl Region {
    /// Makes a queue, or finds the same one.
    pub(super) fn create(&mut self, name: &str, mut queue: Queue, lag: Option<Lag>) -> Result<(), Refusal> {
        let now = queue.created;
        if self.deleted.get(name).is_some_and(|deleted| now < deleted.at + NAME_BLOCKED) {
            let message = "You must wait 60 seconds after deleting a queue before you can create another with the \
                same name.";
            return Err(Refusal::bad("AWS.SimpleQueueService.QueueDeletedRecently", message));
        }
        self.deleted.remove(name);
        queue.appearing = lag.map(|lag| Pending::new(lag, now));
        self.queues.insert(name.to_owned(), queue);
        Ok(())
    }

    /// A queue as it is, whatever reads see of it.
    pub(super) fn get(&self, name: &str) -> Option<&Queue> {
        self.queues.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Queue> {
        self.queues.get_mut(name)
    }

    /// A queue as a read finds it; the read is counted.
    pub(super) fn read(&mut self, name: &str, now: Duration) -> Option<&mut Queue> {
        if let Some(queue) = self.queues.get_mut(name) {
            let early = queue.appearing.as_mut().is_some_and(|pending| pending.read(now));
            return (!early).then_some(queue);
        }
        let (pending, ghost) = self.deleted.get_mut(name)?.ghost.as_mut()?;
        pending.read(now).then_some(ghost)
    }

    /// Deletes a queue; false where there is none.
    pub(super) fn delete(&mut self, name: &str, now: Duration, lag: Option<Lag>) -> bool {
        let Some(queue) = self.queues.remove(name) else {
            return false;
        };
        let ghost = lag.map(|lag| (Pending::new(lag, now), queue));
        self.deleted.insert(name.to_owned(), Deleted { at: now, ghost });
        true
    }

    /// The names that begin with a prefix, from behind another name on. A listing is no read of its queues.
    pub(super) fn names<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        now: Duration,
    ) -> impl Iterator<Item = &'a str> + 'a {
        let start = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let start = if prefix.is_empty() && after.is_empty() { Bound::Unbounded } else { start };
        let range = self.queues.range::<str, _>((start, Bound::Unbounded));
        let range = range.take_while(move |(name, _)| name.starts_with(prefix));
        let seen = range.filter(move |(_, queue)| !queue.appearing.is_some_and(|pending| pending.is_pending(now)));
        seen.map(|(name, _)| name.as_str())
    }
}

impl Queue {
    pub(super) fn new(attributes: Attributes, tags: Tags, now: Duration) -> Queue {
        let messages = Messages::default();
        Queue { attributes, tags, messages, created: now, modified: now, appearing: None, old: None }
    }

    /// Changes attributes; what reads show lags.
    pub(super) fn change(&mut self, change: Attributes, now: Duration, lag: Option<Lag>) -> Result<(), Refusal> {
        let changed = attributes::changed(&self.attributes, change)?;
        let before = std::mem::replace(&mut self.attributes, changed);
        self.modified = now;
        let shown = self.old.take().filter(|(pending, _)| pending.is_pending(now)).map_or(before, |(_, old)| old);
        self.old = lag.map(|lag| (Pending::new(lag, now), shown));
        Ok(())
    }

    /// The attributes as a read shows them; the read is counted.
    pub(super) fn shown(&mut self, now: Duration) -> &Attributes {
        if let Some((pending, _)) = &mut self.old
            && !pending.read(now)
        {
            self.old = None;
        }
        self.old.as_ref().map_or(&self.attributes, |(_, old)| old)
    }

    /// A number among the attributes.
    pub(super) fn seconds(&self, name: &str) -> Duration {
        let value = self.attributes.get(name).and_then(|value| value.parse().ok());
        Duration::from_secs(value.unwrap_or_default())
    }
}

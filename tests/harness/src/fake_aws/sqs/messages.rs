//! The messages of a queue, as far as their counts need.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Sets by what a message waits for, so that counting needs no walk.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    next: u64,
    bodies: HashMap<u64, String>,
    visible: BTreeSet<u64>,
    /// By the time at which they become visible.
    delayed: BTreeSet<(Duration, u64)>,
    in_flight: BTreeSet<(Duration, u64)>,
}

/// A message that was received.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) number: u64,
    pub(super) body: String,
}

/// How many messages there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// To be received.
    pub visible: usize,
    /// Received, not deleted.
    pub in_flight: usize,
    /// Not to be received yet.
    pub delayed: usize,
}

impl Messages {
    /// Takes a message in; answers its number.
    pub(super) fn send(&mut self, body: String, delay: Duration, now: Duration) -> u64 {
        let number = self.next;
        self.next += 1;
        self.bodies.insert(number, body);
        if delay.is_zero() {
            self.visible.insert(number);
        } else {
            self.delayed.insert((now + delay, number));
        }
        number
    }

    /// Hands out at most `count` messages, which are then in flight.
    pub(super) fn receive(&mut self, count: usize, timeout: Duration, now: Duration) -> Vec<Received> {
        self.settle(now);
        let numbers: Vec<_> = self.visible.iter().copied().take(count).collect();
        let received = numbers.into_iter().map(|number| {
            if !timeout.is_zero() {
                self.visible.remove(&number);
                self.in_flight.insert((now + timeout, number));
            }
            Received { number, body: self.bodies.get(&number).cloned().unwrap_or_default() }
        });
        received.collect()
    }

    /// Deletes a message; one that is gone already is no error.
    pub(super) fn delete(&mut self, number: u64) {
        self.bodies.remove(&number);
        self.visible.remove(&number);
        self.delayed.retain(|(_, other)| *other != number);
        self.in_flight.retain(|(_, other)| *other != number);
    }

    pub(super) fn purge(&mut self) {
        *self = Messages { next: self.next, ..Messages::default() };
    }

    pub(super) fn counts(&mut self, now: Duration) -> MessageCounts {
        self.settle(now);
        MessageCounts { visible: self.visible.len(), in_flight: self.in_flight.len(), delayed: self.delayed.len() }
    }

    /// Makes visible what is due.
    fn settle(&mut self, now: Duration) {
        for waiting in [&mut self.delayed, &mut self.in_flight] {
            while let Some(&(due, number)) = waiting.first()
                && due <= now
            {
                waiting.pop_first();
                self.visible.insert(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn messages_move_with_time() {
        let mut messages = Messages::default();
        messages.send("a".to_owned(), Duration::ZERO, SECOND);
        messages.send("b".to_owned(), SECOND, SECOND);
        assert_eq!(messages.counts(SECOND), MessageCounts { visible: 1, in_flight: 0, delayed: 1 });
        let received = messages.receive(10, SECOND * 5, SECOND);
        assert_eq!(received, [Received { number: 0, body: "a".to_owned() }]);
        assert_eq!(messages.counts(SECOND * 2), MessageCounts { visible: 1, in_flight: 1, delayed: 0 });
        assert_eq!(messages.counts(SECOND * 6), MessageCounts { visible: 2, in_flight: 0, delayed: 0 });
        messages.delete(0);
        assert_eq!(messages.counts(SECOND * 6).visible, 1);
        messages.purge();
        assert_eq!(messages.counts(SECOND * 6), MessageCounts::default());
    }
}

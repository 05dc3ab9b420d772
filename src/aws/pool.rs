//! Values that are made on their first use, kept while they are used, and bounded in number. Pure:
//! the caller says what time it is.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// A bounded map that forgets what was not used for a while.
#[derive(Debug)]
pub struct Pool<K, V> {
    entries: HashMap<K, (V, Instant)>,
    capacity: usize,
    idle: Duration,
    swept: Option<Instant>,
}

impl<K: Clone + Eq + Hash, V: Clone> Pool<K, V> {
    /// A pool of at most `capacity` values, each kept until it was not used for `idle`.
    pub fn new(capacity: usize, idle: Duration) -> Self {
        Self { entries: HashMap::new(), capacity, idle, swept: None }
    }

    /// The value of `key`, made by `make` where there is none, or none that `keep` accepts.
    pub fn get(&mut self, key: &K, now: Instant, keep: impl Fn(&V) -> bool, make: impl FnOnce() -> V) -> V {
        self.sweep(now);
        if let Some((value, used)) = self.entries.get_mut(key).filter(|(value, _)| keep(value)) {
            *used = now;
            return value.clone();
        }
        let value = make();
        if !self.entries.contains_key(key) && self.entries.len() >= self.capacity {
            let oldest = self.entries.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            oldest.map(|oldest| self.entries.remove(&oldest));
        }
        self.entries.insert(key.clone(), (value.clone(), now));
        value
    }

    /// Forgets what is idle; looked for no more often than that can change.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now.duration_since(swept) < self.idle / 15) {
            return;
        }
        self.swept = Some(now);
        self.entries.retain(|_, (_, used)| now.duration_since(*used) < self.idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_idle_or_too_much_goes() {
        let start = Instant::now();
        let idle = Duration::from_secs(15);
        let mut pool = Pool::new(2, idle);
        let mut made = 0;
        // (second, key, whether it is made anew)
        for (second, key, anew) in [
            (0, "a", true),
            (1, "a", false),
            (2, "b", true),
            (3, "a", false),
            // Full: b was used longest ago.
            (4, "c", true),
            (5, "a", false),
            (6, "b", true),
            // c went for b, and a stayed.
            (7, "a", false),
            (21, "a", false),
            (22, "b", true),
            (36, "b", false),
            (37, "a", true),
            (60, "a", true),
        ] {
            let before = made;
            pool.get(&key, start + Duration::from_secs(second), |_| true, || made += 1);
            assert_eq!(made > before, anew, "{second} s: {key}");
            assert!(pool.entries.len() <= 2);
        }
    }

    #[test]
    fn what_is_no_longer_good_is_made_anew() {
        let now = Instant::now();
        let mut pool = Pool::new(1, Duration::from_secs(15));
        assert_eq!(pool.get(&"a", now, |_| true, || 1), 1);
        assert_eq!(pool.get(&"a", now, |value| *value != 1, || 2), 2);
        assert_eq!(pool.get(&"a", now, |value| *value != 1, || 3), 2);
    }
}

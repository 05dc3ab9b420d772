//! What an account and region does to its callers: latency, budgets, troubles. No clock in here.

use std::collections::HashMap;
use std::time::Duration;

/// Where a setting holds. Of several, the narrowest wins: account and region, account, region, all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Of the caller; `None` is every one.
    pub account: Option<String>,
    /// That was called; `None` is every one.
    pub region: Option<String>,
}

/// How long an answer takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// At least.
    pub fixed: Duration,
    /// At most this much more.
    pub jitter: Duration,
    /// The same seed draws the same jitter for the n-th call of an account and region.
    pub seed: u64,
}

/// How many calls are answered, for each account, region and service of the scope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Calls a second.
    pub rate: f64,
    /// Calls at once.
    pub burst: f64,
    /// Told to those who are refused.
    pub retry_after: Option<Duration>,
}

/// What befalls every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Answered 503.
    Unavailable,
    /// Accepted and never answered, not even after the trouble ends.
    BlackHole,
    /// Its connection closes at once.
    Closed,
    /// The caller's credentials are called expired.
    ExpiredCredentials,
}

/// Settings and the state that they need.
#[derive(Debug, Default)]
pub(super) struct Limits {
    rules: Rules,
    /// By account and region.
    flows: HashMap<String, HashMap<String, Flow>>,
}

/// What awaits a call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Admission {
    pub(super) trouble: Option<Trouble>,
    pub(super) latency: Duration,
    /// The budget that is used up.
    pub(super) over: Option<Budget>,
}

#[derive(Debug, Default)]
struct Rules {
    latency: Scoped<Latency>,
    budget: Scoped<Budget>,
    trouble: Scoped<Trouble>,
}

/// A setting by scope.
#[derive(Debug)]
struct Scoped<T>(Vec<(Scope, T)>);

/// The rules as they are for one account and region, so that no call has to search them.
#[derive(Debug, Default)]
struct Flow {
    latency: Latency,
    budget: Option<Budget>,
    trouble: Option<Trouble>,
    /// How often jitter was drawn.
    drawn: u64,
    /// By service.
    buckets: HashMap<String, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    level: f64,
    at: Duration,
}

impl Scope {
    /// Everywhere.
    pub fn all() -> Scope {
        Scope::default()
    }

    /// An account, in every region.
    pub fn account(account: impl Into<String>) -> Scope {
        Scope { account: Some(account.into()), region: None }
    }

    /// A region, for every account.
    pub fn region(region: impl Into<String>) -> Scope {
        Scope { account: None, region: Some(region.into()) }
    }

    /// A region of an account.
    pub fn of(account: impl Into<String>, region: impl Into<String>) -> Scope {
        Scope { account: Some(account.into()), region: Some(region.into()) }
    }

    /// How narrow the scope is, if it covers the place.
    fn rank(&self, account: &str, region: &str) -> Option<u8> {
        let covers = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        let covered = covers(&self.account, account) && covers(&self.region, region);
        covered.then(|| u8::from(self.account.is_some()) * 2 + u8::from(self.region.is_some()))
    }
}

impl Latency {
    /// Always the same.
    pub fn fixed(fixed: Duration) -> Latency {
        Latency { fixed, ..Latency::default() }
    }

    /// The latency of the n-th call.
    fn draw(self, n: u64) -> Duration {
        // SplitMix64's output function; its upper half as a fraction.
        let mut bits = self.seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let fraction = f64::from(u32::try_from((bits ^ (bits >> 31)) >> 32).unwrap_or_default()) / f64::from(u32::MAX);
        self.fixed + self.jitter.mul_f64(fraction)
    }
}

impl Budget {
    /// A rate, and that many at once.
    pub fn new(rate: f64, burst: f64) -> Budget {
        Budget { rate, burst, retry_after: None }
    }

    /// Tells those who are refused when to come back.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Budget {
        self.retry_after = Some(time);
        self
    }
}

impl Limits {
    pub(super) fn latency(&mut self, scope: Scope, latency: Option<Latency>) {
        self.rules.latency.set(scope, latency);
        self.settle();
    }

    /// Buckets begin full.
    pub(super) fn budget(&mut self, scope: Scope, budget: Option<Budget>) {
        self.rules.budget.set(scope, budget);
        self.settle();
    }

    pub(super) fn trouble(&mut self, scope: Scope, trouble: Option<Trouble>) {
        self.rules.trouble.set(scope, trouble);
        self.settle();
    }

    /// What awaits a call that arrives now. Those in trouble use no budget.
    pub(super) fn admit(&mut self, account: &str, region: &str, service: &str, now: Duration) -> Admission {
        if self.rules.are_none() {
            return Admission::default();
        }
        if let Some(flow) = self.flows.get_mut(account).and_then(|regions| regions.get_mut(region)) {
            return flow.admit(service, now);
        }
        let mut flow = Flow::default();
        flow.resolve(&self.rules, account, region);
        let admission = flow.admit(service, now);
        self.flows.entry(account.to_owned()).or_default().insert(region.to_owned(), flow);
        admission
    }

    /// Brings the rules into effect; a bucket lives as long as its budget.
    fn settle(&mut self) {
        for (account, regions) in &mut self.flows {
            for (region, flow) in regions {
                let before = flow.budget;
                flow.resolve(&self.rules, account, region);
                if flow.budget != before {
                    flow.buckets.clear();
                }
            }
        }
    }
}

impl Rules {
    fn are_none(&self) -> bool {
        let Rules { latency, budget, trouble } = self;
        latency.0.is_empty() && budget.0.is_empty() && trouble.0.is_empty()
    }
}

impl<T> Default for Scoped<T> {
    fn default() -> Scoped<T> {
        Scoped(Vec::new())
    }
}

impl<T: Copy> Scoped<T> {
    fn set(&mut self, scope: Scope, value: Option<T>) {
        self.0.retain(|(other, _)| *other != scope);
        self.0.extend(value.map(|value| (scope, value)));
    }

    fn resolve(&self, account: &str, region: &str) -> Option<T> {
        let covering = self.0.iter().filter_map(|(scope, value)| Some((scope.rank(account, region)?, *value)));
        covering.max_by_key(|(rank, _)| *rank).map(|(_, value)| value)
    }
}

impl Flow {
    fn resolve(&mut self, rules: &Rules, account: &str, region: &str) {
        self.latency = rules.latency.resolve(account, region).unwrap_or_default();
        self.budget = rules.budget.resolve(account, region);
        self.trouble = rules.trouble.resolve(account, region);
    }

    fn admit(&mut self, service: &str, now: Duration) -> Admission {
        let latency = self.latency.draw(self.drawn);
        self.drawn += 1;
        let over = if self.trouble.is_some() { None } else { self.over(service, now) };
        Admission { trouble: self.trouble, latency, over }
    }

    fn over(&mut self, service: &str, now: Duration) -> Option<Budget> {
        let budget = self.budget?;
        if let Some(bucket) = self.buckets.get_mut(service) {
            return (!bucket.take(budget, now)).then_some(budget);
        }
        let mut bucket = Bucket { level: budget.burst, at: now };
        let taken = bucket.take(budget, now);
        self.buckets.insert(service.to_owned(), bucket);
        (!taken).then_some(budget)
    }
}

impl Bucket {
    fn take(&mut self, budget: Budget, now: Duration) -> bool {
        // Calls on several threads may arrive a little out of order.
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.level = (self.level + passed * budget.rate).min(budget.burst);
        self.at = self.at.max(now);
        let taken = self.level >= 1.0;
        if taken {
            self.level -= 1.0;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_narrowest_scope_wins() {
        let mut limits = Limits::default();
        let scopes = [Scope::all(), Scope::region("r"), Scope::account("a"), Scope::of("a", "r")];
        for (scope, n) in scopes.iter().zip(1..) {
            limits.latency(scope.clone(), Some(Latency::fixed(MS * n)));
        }
        let of = |limits: &mut Limits, account, region| limits.admit(account, region, "sqs", MS).latency;
        let places = [("b", "s"), ("b", "r"), ("a", "s"), ("a", "r")];
        let seen: Vec<_> = places.iter().map(|(account, region)| of(&mut limits, account, region)).collect();
        assert_eq!(seen, [MS, MS * 2, MS * 3, MS * 4]);
        limits.latency(Scope::of("a", "r"), None);
        assert_eq!(of(&mut limits, "a", "r"), MS * 3);
    }

    #[test]
    fn a_budget_is_of_one_account_region_and_service() {
        let mut limits = Limits::default();
        limits.budget(Scope::all(), Some(Budget::new(10.0, 2.0)));
        let mut admitted = |account, service, at: u32| limits.admit(account, "r", service, MS * at).over.is_none();
        let calls = [
            ("a", "sqs", 0, true),
            ("a", "sqs", 0, true),
            ("a", "sqs", 99, false),
            ("a", "sts", 99, true),
            ("b", "sqs", 99, true),
            ("a", "sqs", 100, true),
            ("a", "sqs", 101, false),
        ];
        for (account, service, at, expected) in calls {
            assert_eq!(admitted(account, service, at), expected, "{account} {service} {at}");
        }
    }

    #[test]
    fn other_settings_leave_buckets_alone() {
        let mut limits = Limits::default();
        limits.budget(Scope::all(), Some(Budget::new(0.0, 1.0)));
        assert!(limits.admit("a", "r", "sqs", MS).over.is_none());
        limits.trouble(Scope::account("a"), Some(Trouble::Closed));
        assert_eq!(limits.admit("a", "r", "sqs", MS).trouble, Some(Trouble::Closed));
        limits.trouble(Scope::account("a"), None);
        assert!(limits.admit("a", "r", "sqs", MS).over.is_some());
        limits.budget(Scope::account("a"), Some(Budget::new(0.0, 2.0)));
        assert!(limits.admit("a", "r", "sqs", MS).over.is_none());
    }

    #[test]
    fn jitter_is_bounded_and_repeatable() {
        let latency = Latency { fixed: MS * 5, jitter: MS * 10, seed: 7 };
        let drawn: Vec<_> = (0..100).map(|n| latency.draw(n)).collect();
        assert!(drawn.iter().all(|one| (MS * 5..=MS * 15).contains(one)));
        assert!(drawn.iter().any(|one| *one < MS * 8) && drawn.iter().any(|one| *one > MS * 12));
        assert_eq!(drawn, (0..100).map(|n| latency.draw(n)).collect::<Vec<_>>());
    }
}

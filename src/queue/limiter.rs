//! How fast a flow may call AWS: a token bucket whose rate AWS's own throttles teach. Pure.
//!
//! AWS publishes no rates for most APIs, and shares an account's rate with everybody else who calls.
//! So the rate starts at a quarter of the ceiling, grows while it is used and no call is throttled, and
//! falls when one is. Whoever wants to call asks before, so that nobody waits while holding a slot;
//! calls beyond what was reserved put the bucket into debt.

use std::time::{Duration, Instant};

/// The lowest rate, in calls a second.
pub const FLOOR: f64 = 0.2;
/// The first rate, as a part of the ceiling.
const START: f64 = 0.25;
/// What a throttle leaves of the rate.
const DECREASE: f64 = 0.7;
/// The growth of the rate in a second, as a part of the ceiling.
const INCREASE: f64 = 0.05;
/// The most that it grows in a second once AWS has throttled, as a part of itself: far below the ceiling, a part of
/// that would be too much at once, and a run of several calls would seldom come through.
const INCREASE_TAUGHT: f64 = 0.1;
/// Throttles so close to each other are one; nor does the rate grow so soon after one.
const ONE_THROTTLE: Duration = Duration::from_secs(1);
/// How much time's calls the bucket holds.
const BURST_SECONDS: f64 = 0.5;
/// The least that the bucket holds, in calls: the most that one run reserves.
const BURST_LEAST: f64 = 4.0;
/// The longest pause that AWS may ask for.
const PAUSE_LIMIT: Duration = Duration::from_secs(60);

/// A token bucket with a rate that adapts.
#[derive(Clone, Debug)]
pub struct Limiter {
    ceiling: f64,
    rate: f64,
    tokens: f64,
    at: Instant,
    throttled: Option<Instant>,
    paused_until: Option<Instant>,
}

impl Limiter {
    /// A limiter that never exceeds `ceiling` calls a second, 0.2 at least.
    pub fn new(ceiling: f64, now: Instant) -> Self {
        let ceiling = ceiling.max(FLOOR);
        let rate = (ceiling * START).max(FLOOR);
        Self { ceiling, rate, tokens: burst(rate), at: now, throttled: None, paused_until: None }
    }

    /// Another ceiling. The rate keeps what it has learned.
    pub fn set_ceiling(&mut self, ceiling: f64, now: Instant) {
        self.refill(now);
        let ceiling = ceiling.max(FLOOR);
        let untaught = self.throttled.is_none();
        self.rate = if untaught { self.rate.max(ceiling * START) } else { self.rate }.clamp(FLOOR, ceiling);
        self.ceiling = ceiling;
    }

    /// The present rate, in calls a second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The ceiling, in calls a second.
    pub fn ceiling(&self) -> f64 {
        self.ceiling
    }

    /// When AWS last throttled a call, until the rate is at its ceiling again.
    pub fn throttled_at(&self) -> Option<Instant> {
        self.throttled
    }

    /// Until when it keeps a pause that AWS has asked for.
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// What can be relied on, in calls a second: the ceiling, until AWS has said that it is less.
    pub fn sustainable(&self) -> f64 {
        if self.throttled.is_some() { self.rate } else { self.ceiling }
    }

    /// Takes `calls` from the bucket; of more than four, the rest as a debt.
    ///
    /// # Errors
    /// Where it does not hold so many, when it will.
    pub fn take(&mut self, calls: u32, now: Instant) -> Result<(), Instant> {
        self.refill(now);
        let paused = self.paused_until.filter(|until| *until > now);
        let missing = f64::from(calls).min(BURST_LEAST) - self.tokens;
        // A billionth of a call is an error of rounding.
        let filled =
            (missing > 1e-9).then(|| now + Duration::from_secs_f64((missing / self.rate).clamp(0.000_1, 3_600.0)));
        if let Some(due) = paused.max(filled) {
            return Err(due);
        }
        self.tokens -= f64::from(calls);
        Ok(())
    }

    /// Charges a call that nobody had reserved.
    pub fn charge(&mut self) {
        self.tokens = (self.tokens - 1.0).max(-burst(self.rate));
    }

    /// Gives back what was reserved and not used. Just after a throttle that only pays debts: what the
    /// bucket held was too much.
    pub fn give_back(&mut self, calls: u32, now: Instant) {
        let throttled = self.throttled.is_some_and(|at| now.saturating_duration_since(at) < ONE_THROTTLE);
        let most = if throttled { self.tokens.max(0.0) } else { burst(self.rate) };
        self.tokens = (self.tokens + f64::from(calls)).min(most);
    }

    /// AWS has throttled a call, and asks perhaps for a pause.
    pub fn throttled(&mut self, pause: Option<Duration>, now: Instant) {
        self.refill(now);
        let until = pause.map(|pause| now + pause.min(PAUSE_LIMIT));
        self.paused_until = self.paused_until.max(until);
        if self.throttled.is_some_and(|at| now.saturating_duration_since(at) < ONE_THROTTLE) {
            return;
        }
        self.throttled = Some(now);
        self.rate = (self.rate * DECREASE).max(FLOOR);
        // What the bucket held was too much.
        self.tokens = self.tokens.min(0.0);
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        // A bucket that is full is not used: a rate that is not used teaches nothing.
        let used = ((burst(self.rate) - self.tokens) / self.rate).clamp(0.0, passed);
        let clean = self
            .throttled
            .map_or(passed, |at| now.saturating_duration_since(at).saturating_sub(ONE_THROTTLE).as_secs_f64());
        self.tokens = (self.tokens + self.rate * passed).min(burst(self.rate));
        let taught = if self.throttled.is_some() { INCREASE_TAUGHT * self.rate } else { f64::INFINITY };
        let increase = (INCREASE * self.ceiling).min(taught);
        self.rate = (self.rate + increase * used.min(clean)).min(self.ceiling);
        if self.rate >= self.ceiling && clean > 0.0 {
            self.throttled = None;
        }
    }
}

fn burst(rate: f64) -> f64 {
    (rate * BURST_SECONDS).max(BURST_LEAST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    /// Takes single calls as fast as allowed for `seconds`, where AWS allows `allowed` a second with a
    /// burst of as many: how many succeeded, and how many were throttled.
    fn drive(ceiling: f64, allowed: f64, seconds: u32) -> (u32, u32) {
        let start = Instant::now();
        let mut limiter = Limiter::new(ceiling, start);
        let (mut budget, mut passed, mut refused) = (allowed, 0, 0);
        for tick in 0..seconds * 1_000 {
            let now = start + MS * tick;
            budget = (budget + allowed / 1_000.0).min(allowed);
            while limiter.take(1, now).is_ok() {
                if budget >= 1.0 {
                    budget -= 1.0;
                    passed += 1;
                } else {
                    refused += 1;
                    limiter.throttled(None, now);
                }
            }
        }
        (passed, refused)
    }

    #[test]
    fn it_finds_what_aws_allows_with_few_throttles() {
        // The growth is a part of the ceiling: the farther that is from the truth, the more it overshoots.
        for (ceiling, allowed, share) in [(100.0, 50.0, 0.03), (100.0, 10.0, 0.1), (2_000.0, 1_900.0, 0.03)] {
            let (passed, refused) = drive(ceiling, allowed, 60);
            let best = allowed * 60.0;
            assert!(f64::from(passed) > best * 0.75, "{allowed} a second: {passed} of {best}");
            assert!(
                f64::from(refused) < f64::from(passed) * share,
                "{allowed} a second: {refused} of {passed} throttled"
            );
        }
    }

    #[test]
    fn it_starts_at_a_quarter_and_grows_by_a_twentieth_a_second_while_used() {
        let start = Instant::now();
        let mut limiter = Limiter::new(100.0, start);
        assert_eq!(limiter.rate(), 25.0);
        assert!(limiter.take(0, start + SECOND * 60).is_ok());
        assert_eq!(limiter.rate(), 25.0, "unused");
        for tick in 0..2_000 {
            while limiter.take(1, start + SECOND * 60 + MS * tick).is_ok() {}
        }
        assert!((34.0..=35.5).contains(&limiter.rate()), "{}", limiter.rate());
    }

    #[test]
    fn a_burst_of_throttles_is_one_and_a_pause_is_kept() {
        let start = Instant::now();
        let mut limiter = Limiter::new(100.0, start);
        for tick in 0..10 {
            limiter.throttled(None, start + MS * tick);
        }
        assert_eq!(limiter.rate(), 25.0 * 0.7);
        limiter.throttled(Some(SECOND * 7), start + MS * 20);
        limiter.throttled(Some(SECOND), start + MS * 30);
        assert_eq!(limiter.take(1, start + SECOND), Err(start + MS * 20 + SECOND * 7));
        limiter.throttled(Some(SECOND * 86_400), start + SECOND * 2);
        assert_eq!(limiter.take(1, start + SECOND * 3), Err(start + SECOND * 62), "no pause is for ever");
    }

    #[test]
    fn what_is_given_back_after_a_throttle_brings_no_new_burst() {
        let start = Instant::now();
        let mut limiter = Limiter::new(100.0, start);
        while limiter.take(2, start).is_ok() {}
        limiter.throttled(None, start);
        (0..16).for_each(|_| limiter.give_back(1, start));
        assert!(limiter.take(1, start).is_err());
        limiter.give_back(1, start + SECOND);
        assert!(limiter.take(1, start + SECOND).is_ok());
    }

    #[test]
    fn the_floor_is_one_call_in_five_seconds() {
        let start = Instant::now();
        let mut limiter = Limiter::new(100.0, start);
        for second in 0..200 {
            limiter.throttled(None, start + SECOND * second);
        }
        assert_eq!(limiter.rate(), FLOOR);
        let now = start + SECOND * 199;
        let Err(due) = limiter.take(1, now) else { panic!("nothing is left") };
        assert_eq!(due.duration_since(now).as_secs(), 5);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_nothing() {
        let start = Instant::now() + SECOND * 100;
        let mut limiter = Limiter::new(40.0, start);
        while limiter.take(1, start).is_ok() {}
        assert!(limiter.take(1, start - SECOND * 50).is_err());
        assert!(limiter.take(1, start).is_err());
        // One that leaps ahead gives a full bucket, and no more.
        let later = start + SECOND * 1_000_000;
        assert!((1..100).find(|_| limiter.take(1, later).is_err()).is_some_and(|calls| calls <= 22));
    }

    proptest! {
        #[test]
        fn never_more_than_the_ceiling_and_the_burst(
            ceiling in 0.1_f64..500.0,
            steps in proptest::collection::vec((0_u64..2_000, 0_u32..6, 0_u8..12), 1..200)
        ) {
            let start = Instant::now();
            let (mut limiter, mut now, mut taken) = (Limiter::new(ceiling, start), start, 0.0);
            for (pause, calls, event) in steps {
                now += MS * u32::try_from(pause).unwrap();
                match event {
                    0 => limiter.throttled(None, now),
                    1 => limiter.throttled(Some(SECOND * calls), now),
                    2 => {
                        limiter.charge();
                        taken += 1.0;
                    }
                    _ => {
                        if let Err(due) = limiter.take(calls, now) {
                            prop_assert!(due > now);
                            now = due + MS;
                            prop_assert!(limiter.take(calls, now).is_ok(), "it is true to its word");
                        }
                        taken += f64::from(calls);
                    }
                }
                prop_assert!(limiter.rate() >= FLOOR && limiter.rate() <= limiter.ceiling());
            }
            let passed = now.duration_since(start).as_secs_f64() + 0.001;
            let most = limiter.ceiling() * passed + 2.0 * burst(limiter.ceiling()) + 8.0;
            prop_assert!(taken <= most, "{taken} calls, and at most {most} were allowed");
        }
    }
}

//! Permits: proof, with a deadline, that this replica leads a shard.
//!
//! The keeper of the Leases says which shards are led and when each was last renewed; runs are granted
//! permits, and spend them on every call that changes something. A permit of a leadership that has run
//! out stays dead, even where the leadership is renewed later: somebody else may have acted in between.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::{
    Shard,
    clock::{Clock, Moment},
    lease::{How, Timing},
};
use crate::telemetry::metrics::Metrics;

/// How often the deadline of a call that is under way is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// For how long a call that was cut off may still take effect, as far as that is reckoned with.
const TAINT: Duration = Duration::from_secs(60);

/// Grants permits to this replica.
#[derive(Clone)]
pub struct Permits(Arc<Shared>);

struct Shared {
    clock: Clock,
    timing: Timing,
    gates: Vec<Mutex<Gate>>,
    /// Counts what happens to leaderships.
    turns: watch::Sender<u64>,
    idle: Notify,
    metrics: Metrics,
}

/// What is known of one shard.
#[derive(Debug, Default)]
struct Gate {
    held: Option<Held>,
    /// Whether nothing new may begin.
    closed: bool,
    /// Permits that are out.
    outstanding: usize,
    /// When a call to AWS was last cut off in this epoch: it may still take effect for a while.
    tainted: Option<Moment>,
    /// Who holds the Lease, and since when its record has stood as it is.
    holder: Option<Arc<str>>,
    record: u64,
    holder_since: Option<Moment>,
    /// Tells leaderships apart, and those that had run out before they were renewed.
    term: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    epoch: u64,
    how: How,
    /// When the request began by which it was last renewed.
    renewed: Moment,
}

/// Proof that this replica leads a shard. Every call that changes something takes one; only [`Permits`]
/// makes them.
#[derive(Debug)]
pub struct Permit {
    permits: Permits,
    shard: Shard,
    epoch: u64,
    how: How,
    term: u64,
}

/// Why nothing may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPermit {
    /// Another replica leads the shard, or none does.
    #[error("this replica does not lead the object's shard")]
    NotLed,
    /// The leadership was not renewed lately, or is being handed over.
    #[error("the leadership of the object's shard was not renewed in time")]
    RunsOut,
    /// The call was under way when the leadership ran out. What became of it is not known.
    #[error("the call was cut off when the leadership of the object's shard ran out")]
    CutOff,
}

/// A shard at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glimpse {
    /// Whether this replica leads it, and may act.
    pub led: bool,
    /// Whether nothing begins in it any more, since it is being handed over.
    pub draining: bool,
    /// Who holds its Lease.
    pub holder: Option<Arc<str>>,
    /// For how long the Lease has stood unchanged; nothing before it was seen.
    pub holder_age: Option<Duration>,
    /// The leadership.
    pub epoch: Option<u64>,
    /// Permits that are out.
    pub outstanding: usize,
    /// How long what runs may go on.
    pub valid_for: Duration,
}

/// How far a closed shard is from being handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    /// Something runs.
    Running,
    /// All that ran has come to its end.
    Clean,
    /// Nothing runs, but a call was cut off that may still take effect.
    Tainted,
}

impl std::fmt::Debug for Permits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Permits")
    }
}

impl Permits {
    /// No shard of so many is led yet.
    pub fn new(shards: u8, timing: Timing, clock: Clock, metrics: Metrics) -> Self {
        let gates = (0..shards).map(|_| Mutex::default()).collect();
        let (turns, _) = watch::channel(0);
        Self(Arc::new(Shared { clock, timing, gates, turns, idle: Notify::new(), metrics }))
    }

    /// How many shards there are.
    pub fn shards(&self) -> u8 {
        u8::try_from(self.0.gates.len()).unwrap_or(u8::MAX)
    }

    /// The shard of an object.
    pub fn shard_of(&self, uid: &str) -> Shard {
        Shard::of(uid, self.shards())
    }

    /// The epoch in which this replica leads the shard, even if that was not renewed lately.
    pub fn leads(&self, shard: Shard) -> Option<u64> {
        let gate = self.gate(shard)?;
        gate.held.filter(|_| !gate.closed).map(|held| held.epoch)
    }

    /// The part of all shards that this replica leads, above 0: by which it takes its part of what AWS allows
    /// an account.
    pub fn share(&self) -> f64 {
        let led = Shard::all(self.shards()).filter(|shard| self.leads(*shard).is_some()).count();
        f64::from(u32::try_from(led.max(1)).unwrap_or(1)) / f64::from(self.shards().max(1))
    }

    /// A permit for one reconcile of an object of the shard.
    ///
    /// # Errors
    /// Where the shard is not led, or not for long enough.
    pub fn grant(&self, shard: Shard) -> Result<Permit, NoPermit> {
        let now = (self.0.clock)();
        let mut gate = self.gate(shard).ok_or(NoPermit::NotLed)?;
        let held = gate.held.filter(|_| !gate.closed).ok_or(NoPermit::NotLed)?;
        if self.left(held, now) < self.0.timing.permit_least {
            self.0.metrics.permit_refused();
            return Err(NoPermit::RunsOut);
        }
        gate.outstanding += 1;
        self.0.metrics.permit_granted();
        Ok(Permit { permits: self.clone(), shard, epoch: held.epoch, how: held.how, term: gate.term })
    }

    /// Hears when a leadership begins or ends.
    pub fn turns(&self) -> watch::Receiver<u64> {
        self.0.turns.subscribe()
    }

    /// What is known of a shard at the moment.
    pub fn glimpse(&self, shard: Shard) -> Glimpse {
        let now = (self.0.clock)();
        let Some(gate) = self.gate(shard) else { return Glimpse::default() };
        Glimpse {
            led: gate.held.is_some_and(|held| !self.left(held, now).is_zero()),
            draining: gate.held.is_some() && gate.closed,
            holder: gate.holder.clone(),
            holder_age: gate.holder_since.map(|since| now.since(since).longest),
            epoch: gate.held.map(|held| held.epoch),
            outstanding: gate.outstanding,
            valid_for: gate.held.map_or(Duration::ZERO, |held| self.left(held, now)),
        }
    }

    fn gate(&self, shard: Shard) -> Option<MutexGuard<'_, Gate>> {
        self.0.gates.get(shard.index()).map(|gate| gate.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn left(&self, held: Held, now: Moment) -> Duration {
        self.0.timing.stop().saturating_sub(now.since(held.renewed).longest)
    }
}

/// For the keeper of the Leases alone.
impl Permits {
    /// The shard is led in `epoch`, last renewed by a request that began at `renewed`.
    pub(super) fn renewed(&self, shard: Shard, epoch: u64, how: How, renewed: Moment) {
        let now = (self.0.clock)();
        let Some(mut gate) = self.gate(shard) else { return };
        let before = gate.held.replace(Held { epoch, how, renewed });
        let same = before.filter(|before| before.epoch == epoch);
        if same.is_none_or(|before| self.left(before, now).is_zero()) {
            gate.term += 1;
        }
        if same.is_none() {
            gate.tainted = None;
            gate.closed = false;
            drop(gate);
            self.turn();
        }
    }

    /// Who holds the Lease, by the record of this version.
    pub(crate) fn saw(&self, shard: Shard, holder: Option<&Arc<str>>, record: u64) {
        let now = (self.0.clock)();
        let Some(mut gate) = self.gate(shard) else { return };
        if gate.record != record {
            (gate.record, gate.holder, gate.holder_since) = (record, holder.cloned(), Some(now));
        }
    }

    /// The shard is not led any more.
    pub(super) fn lost(&self, shard: Shard) {
        let Some(mut gate) = self.gate(shard) else { return };
        if gate.held.take().is_some() {
            gate.term += 1;
            drop(gate);
            self.turn();
        }
    }

    /// Nothing new begins in the shard. What runs may end.
    pub(super) fn close(&self, shard: Shard) {
        let Some(mut gate) = self.gate(shard) else { return };
        if !gate.closed {
            gate.closed = true;
            drop(gate);
            self.turn();
        }
    }

    /// How far a closed shard is from being handed over.
    pub(super) fn drain(&self, shard: Shard) -> Drain {
        let now = (self.0.clock)();
        let Some(gate) = self.gate(shard) else { return Drain::Clean };
        let tainted = gate.tainted.is_some_and(|at| now.since(at).shortest < TAINT);
        match (gate.outstanding, tainted) {
            (0, false) => Drain::Clean,
            (0, true) => Drain::Tainted,
            _ => Drain::Running,
        }
    }

    /// Completes when a permit was given back.
    pub(super) async fn given_back(&self) {
        self.0.idle.notified().await;
    }

    fn turn(&self) {
        self.0.turns.send_modify(|turn| *turn += 1);
    }
}

impl Permit {
    /// Tells the leaderships of a shard apart.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the leader before this one was not heard of any more, so that what it did last may take
    /// effect later.
    pub fn after_silence(&self) -> bool {
        self.how != How::Released
    }

    /// Makes a call to AWS that changes something, and cuts it off when the leadership runs out. A shard
    /// with a call that was cut off is not handed over: its Lease has to expire.
    ///
    /// # Errors
    /// Where the call was not begun, or cut off.
    pub async fn spend<T>(&self, call: impl Future<Output = T>) -> Result<T, NoPermit> {
        self.check()?;
        let unfinished = Unfinished(self);
        let outcome = self.bound(call).await;
        if outcome.is_ok() {
            std::mem::forget(unfinished);
        }
        outcome
    }

    /// Makes a write to the API server. It is decided on a version, so that it can't take effect after
    /// another leader's.
    ///
    /// # Errors
    /// Where the write was not begun, or cut off.
    pub async fn write<T>(&self, call: impl Future<Output = T>) -> Result<T, NoPermit> {
        self.check()?;
        self.bound(call).await
    }

    fn check(&self) -> Result<(), NoPermit> {
        let enough = match self.left() {
            Some(left) if left >= self.permits.0.timing.permit_least => return Ok(()),
            Some(_) => NoPermit::RunsOut,
            None => NoPermit::NotLed,
        };
        self.permits.0.metrics.permit_refused();
        Err(enough)
    }

    /// How long this permit is good for; nothing where it is dead.
    fn left(&self) -> Option<Duration> {
        let now = (self.permits.0.clock)();
        let gate = self.permits.gate(self.shard)?;
        let held = gate.held.filter(|_| gate.term == self.term)?;
        Some(self.permits.left(held, now)).filter(|left| !left.is_zero())
    }

    async fn bound<T>(&self, call: impl Future<Output = T>) -> Result<T, NoPermit> {
        let mut call = pin!(call);
        let mut look = pin!(tokio::time::sleep(LOOK));
        poll_fn(|context| {
            loop {
                // First whether it may go on: a process that was stopped finds its answer ready.
                let Some(left) = self.left() else {
                    self.permits.0.metrics.permit_cut_off();
                    return Poll::Ready(Err(NoPermit::CutOff));
                };
                if let Poll::Ready(answer) = call.as_mut().poll(context) {
                    return Poll::Ready(Ok(answer));
                }
                look.as_mut().reset(tokio::time::Instant::now() + LOOK.min(left));
                if look.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(mut gate) = self.permits.gate(self.shard) {
            gate.outstanding = gate.outstanding.saturating_sub(1);
        }
        self.permits.0.idle.notify_one();
    }
}

/// A call that was begun. Dropped, whoever waited for its answer has gone.
struct Unfinished<'a>(&'a Permit);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let now = (self.0.permits.0.clock)();
        if let Some(mut gate) = self.0.permits.gate(self.0.shard) {
            gate.tainted = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TIMING: Timing = Timing::SHIPPED;

    /// Permits by the virtual clock of the test, and that clock.
    fn permits() -> (Permits, Clock) {
        let begun = tokio::time::Instant::now();
        let clock: Clock = Arc::new(move || Moment::of(begun.elapsed() + SECOND * 100));
        (Permits::new(1, TIMING, clock.clone(), Metrics::default()), clock)
    }

    fn lead(permits: &Permits, clock: &Clock, epoch: u64) {
        permits.renewed(Shard::FIRST, epoch, How::Released, clock());
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_is_granted_while_enough_is_left() {
        let (permits, clock) = permits();
        assert_eq!(permits.grant(Shard::FIRST).err(), Some(NoPermit::NotLed));
        lead(&permits, &clock, 1);
        tokio::time::advance(SECOND * 5).await;
        assert!(permits.grant(Shard::FIRST).is_ok());
        tokio::time::advance(SECOND / 10).await;
        assert_eq!(permits.grant(Shard::FIRST).err(), Some(NoPermit::RunsOut));
        lead(&permits, &clock, 1);
        assert!(permits.grant(Shard::FIRST).is_ok(), "renewed");
        permits.close(Shard::FIRST);
        assert_eq!(permits.grant(Shard::FIRST).err(), Some(NoPermit::NotLed), "being handed over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_cut_off_at_the_deadline_which_moves_with_renewals() {
        let (permits, clock) = permits();
        lead(&permits, &clock, 1);
        let permit = permits.grant(Shard::FIRST).unwrap();
        let begun = tokio::time::Instant::now();
        let renewal = async {
            tokio::time::sleep(SECOND * 3).await;
            lead(&permits, &clock, 1);
        };
        let (cut, ()) = tokio::join!(permit.spend(tokio::time::sleep(SECOND * 60)), renewal);
        assert_eq!(cut, Err(NoPermit::CutOff));
        assert_eq!(begun.elapsed(), SECOND * 10, "7 s after the renewal at 3 s");
        drop(permit);
        assert_eq!(permits.drain(Shard::FIRST), Drain::Tainted, "the call may still take effect");
        lead(&permits, &clock, 2);
        assert_eq!(permits.drain(Shard::FIRST), Drain::Clean, "that was another epoch's");
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_that_ran_out_stays_dead() {
        let (permits, clock) = permits();
        lead(&permits, &clock, 1);
        let permit = permits.grant(Shard::FIRST).unwrap();
        tokio::time::advance(SECOND * 7).await;
        lead(&permits, &clock, 1);
        let refused = permit.write(async {}).await;
        assert_eq!(refused, Err(NoPermit::NotLed), "somebody may have acted in between");
        assert!(permits.grant(Shard::FIRST).is_ok(), "a new one is good");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_does_not_begin_near_the_end_and_ends_with_the_leadership() {
        let (permits, clock) = permits();
        lead(&permits, &clock, 1);
        let permit = permits.grant(Shard::FIRST).unwrap();
        assert_eq!(permit.spend(async { 5 }).await, Ok(5));
        assert_eq!(permits.drain(Shard::FIRST), Drain::Running);
        tokio::time::advance(SECOND * 6).await;
        assert_eq!(permit.spend(async { 5 }).await, Err(NoPermit::RunsOut));
        let lost = async {
            tokio::time::sleep(SECOND / 10).await;
            permits.lost(Shard::FIRST);
        };
        lead(&permits, &clock, 1);
        let begun = tokio::time::Instant::now();
        let (cut, ()) = tokio::join!(permit.write(tokio::time::sleep(SECOND * 60)), lost);
        assert_eq!(cut, Err(NoPermit::CutOff));
        assert!(begun.elapsed() <= LOOK, "noticed at the next look: {:?}", begun.elapsed());
        drop(permit);
        assert_eq!(permits.drain(Shard::FIRST), Drain::Clean, "a write to the API server is decided on a version");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_nobody_waits_for_any_more_may_take_effect() {
        let (permits, clock) = permits();
        lead(&permits, &clock, 1);
        let permit = permits.grant(Shard::FIRST).unwrap();
        let given_up = tokio::time::timeout(SECOND, permit.spend(tokio::time::sleep(SECOND * 60))).await;
        assert!(given_up.is_err());
        drop(permit);
        assert_eq!(permits.drain(Shard::FIRST), Drain::Tainted);
    }
}

//! Looking at many resources with one call.
//!
//! Objects of a kind that sweeps do not look by themselves. They say when they want to be seen; one entry of
//! the queue for each flow and session sees those that are due together, and wakes them. What it saw carries
//! its time, and is taken once. [`Roster`] decides, and is pure.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::Instrument as _;

use super::{
    controller::{Controller, Task},
    kind::Kind,
    memory::Memory,
    objects::{Object, ObjectKey},
};
use crate::{
    aws::{errors::AwsError, session::Session},
    queue::{
        backoff::backoff,
        flow::{Calls, Flow, Priority},
        scheduler::{Next, Terms},
        spread::Phase,
        token::FlowToken,
    },
    telemetry::traces::spans,
};

/// How long an object that wants to be seen at once waits for others that do.
const GATHER: Duration = Duration::from_millis(50);
/// The same for one that was found at the start, as all others were.
const GATHER_AT_START: Duration = Duration::from_secs(1);
/// The longest wait after failures, before jitter: a circuit's own probes come as often.
const LONGEST: Duration = Duration::from_secs(60);
/// An object is seen with any others by this part of its interval too early.
const EARLY: u32 = 4;
/// When what is being seen wants to be seen again, were the answer lost with the run that waits for it.
const LOST: Duration = Duration::from_secs(60);
/// What was seen longer ago is not believed: a call may take 15 s, and its objects wait for their turn.
const STALE: Duration = Duration::from_secs(45);

/// What is seen together: the resources of a kind in one flow, with one session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SweepKey {
    /// The kind.
    pub kind: &'static str,
    /// The flow.
    pub flow: Flow,
    /// With whose credentials.
    pub session: Session,
}

/// What a sweep has seen of one resource.
#[derive(Clone, Debug)]
pub struct Sighting<O> {
    /// When the call began.
    pub at: Instant,
    /// The resource, `None` where the answer lacks it, or why nothing was seen.
    pub seen: Result<Option<O>, AwsError>,
}

/// Who is to be seen by one sweep, and when.
#[derive(Debug)]
struct Roster<H> {
    members: HashMap<ObjectKey, Member<H>>,
    failures: u32,
    /// After a failure: nothing is seen before.
    not_before: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Member<H> {
    handle: H,
    wanted: Instant,
    /// How long after it was last seen that is.
    interval: Duration,
    priority: Priority,
}

/// A member that is seen now.
#[derive(Clone, Debug, PartialEq)]
pub struct Due<H> {
    /// The object.
    pub object: ObjectKey,
    /// How calls address its resource.
    pub handle: H,
    /// As what it is woken.
    pub priority: Priority,
}

/// When an object wants to be seen.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// The time.
    pub at: Instant,
    /// How long that is from the last time it was seen.
    pub interval: Duration,
    /// As what it is woken.
    pub priority: Priority,
}

impl Wish {
    /// As soon as others have had a moment to join.
    pub fn soon(now: Instant, priority: Priority) -> Self {
        let gather = if priority == Priority::Startup { GATHER_AT_START } else { GATHER };
        Self { at: now + gather, interval: Duration::ZERO, priority }
    }

    /// After a while.
    pub fn after(now: Instant, interval: Duration, priority: Priority) -> Self {
        Self { at: now + interval, interval, priority }
    }
}

impl<H: Clone> Roster<H> {
    fn new() -> Self {
        Self { members: HashMap::new(), failures: 0, not_before: None }
    }

    /// Takes a wish, in the place of an earlier one.
    fn want(&mut self, object: ObjectKey, handle: H, wish: Wish) {
        let Wish { at, interval, priority } = wish;
        self.members.insert(object, Member { handle, wanted: at, interval, priority });
    }

    /// When the next sweep is due. What has failed waits, but for those whose spec has changed.
    fn due(&self) -> Option<Instant> {
        let wanted = |member: &Member<H>| match self.not_before {
            Some(not_before) if member.priority != Priority::Change => member.wanted.max(not_before),
            _ => member.wanted,
        };
        self.members.values().map(wanted).min()
    }

    /// Who is seen now, at most `size`: the most urgent ones. Whoever would need a call of its own before those
    /// who are due want to be seen again comes along: so all who ask equally often are seen by as few calls as
    /// they have pages, however far apart they came.
    fn batch(&mut self, size: usize, now: Instant) -> Vec<Due<H>> {
        if self.due().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let those_due = self.members.values().filter(|member| member.wanted <= now);
        let again = those_due.map(|member| member.interval).max().unwrap_or_default();
        let may_be_seen = |member: &Member<H>| member.wanted <= now + again.max(member.interval / EARLY);
        let mut due: Vec<_> = self.members.iter().filter(|(_, member)| may_be_seen(member)).collect();
        due.sort_by(|(a, one), (b, other)| (one.priority, one.wanted, a).cmp(&(other.priority, other.wanted, b)));
        let due: Vec<_> = due
            .into_iter()
            .take(size)
            .map(|(object, member)| Due {
                object: object.clone(),
                handle: member.handle.clone(),
                priority: member.priority,
            })
            .collect();
        for Due { object, .. } in &due {
            if let Some(member) = self.members.get_mut(object) {
                member.wanted = now + LOST;
            }
        }
        due
    }

    /// A sweep has succeeded.
    fn succeeded(&mut self) {
        (self.failures, self.not_before) = (0, None);
    }

    /// A sweep has failed: nobody's impatience brings the next one forward. `jitter` is from 0 to 1.
    fn failed(&mut self, now: Instant, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + backoff(self.failures).min(LONGEST).mul_f64(jitter));
    }
}

/// All sweeps of a kind, and what they saw.
#[derive(Debug)]
pub struct Sweeps<H, O> {
    state: Mutex<State<H, O>>,
}

#[derive(Debug)]
struct State<H, O> {
    rosters: HashMap<SweepKey, Roster<H>>,
    /// In whose roster an object is.
    places: HashMap<ObjectKey, SweepKey>,
    sightings: HashMap<ObjectKey, Sighting<O>>,
}

impl<H, O> Default for Sweeps<H, O> {
    fn default() -> Self {
        let state = State { rosters: HashMap::new(), places: HashMap::new(), sightings: HashMap::new() };
        Self { state: Mutex::new(state) }
    }
}

impl<H: Clone, O> Sweeps<H, O> {
    /// Takes a wish. When the sweep is due by now.
    pub fn want(&self, sweep: &SweepKey, object: &ObjectKey, handle: H, wish: Wish) -> Option<Instant> {
        let mut state = self.state();
        let before = state.places.insert(object.clone(), sweep.clone());
        if let Some(before) = before.filter(|before| before != sweep) {
            state.leave(&before, object);
        }
        let roster = state.rosters.entry(sweep.clone()).or_insert_with(Roster::new);
        roster.want(object.clone(), handle, wish);
        roster.due()
    }

    /// Who is seen now.
    pub fn batch(&self, sweep: &SweepKey, size: usize, now: Instant) -> Vec<Due<H>> {
        self.state().rosters.get_mut(sweep).map(|roster| roster.batch(size, now)).unwrap_or_default()
    }

    /// Keeps what was seen of those who are still there, until they take it; `jitter` is from 0 to 1.
    pub fn saw(&self, sweep: &SweepKey, seen: Vec<(ObjectKey, Sighting<O>)>, failed: bool, now: Instant, jitter: f64) {
        let mut state = self.state();
        if let Some(roster) = state.rosters.get_mut(sweep) {
            if failed { roster.failed(now, jitter) } else { roster.succeeded() }
        }
        for (object, sighting) in seen {
            // One that is gone meanwhile is nobody's business any more.
            let Some(place) = state.places.remove(&object) else { continue };
            if let Some(roster) = state.rosters.get_mut(&place) {
                roster.members.remove(&object);
            }
            state.sightings.insert(object, sighting);
        }
        // What has failed is remembered until it succeeds.
        if state.rosters.get(sweep).is_some_and(|roster| roster.members.is_empty() && roster.failures == 0) {
            state.rosters.remove(sweep);
        }
    }

    /// What was last seen of an object's resource, if that was after `written` and not long ago. It is told once.
    pub fn take(&self, object: &ObjectKey, written: Option<Instant>, now: Instant) -> Option<Sighting<O>> {
        let sighting = self.state().sightings.remove(object)?;
        let believed = written.is_none_or(|written| sighting.at > written);
        (believed && now.saturating_duration_since(sighting.at) < STALE).then_some(sighting)
    }

    /// When a sweep is next due; `None` where nobody is left to be seen.
    pub fn due(&self, sweep: &SweepKey) -> Option<(Instant, Priority)> {
        let state = self.state();
        let roster = state.rosters.get(sweep)?;
        let at = roster.due()?;
        let due = roster.members.values().filter(|member| member.wanted <= at).map(|member| member.priority);
        // What is told where AWS does not answer is told by the objects, for whom a change waits.
        Some((at, due.min()?.max(Priority::Progress)))
    }

    /// With which others an object is seen next, and when it wants to be.
    pub fn wanted(&self, object: &ObjectKey) -> Option<(SweepKey, Instant)> {
        let state = self.state();
        let sweep = state.places.get(object)?;
        Some((sweep.clone(), state.rosters.get(sweep)?.members.get(object)?.wanted))
    }

    /// Forgets an object.
    pub fn forget(&self, object: &ObjectKey) {
        let mut state = self.state();
        state.sightings.remove(object);
        if let Some(place) = state.places.remove(object) {
            state.leave(&place, object);
        }
    }

    fn state(&self) -> MutexGuard<'_, State<H, O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H, O> State<H, O> {
    fn leave(&mut self, place: &SweepKey, object: &ObjectKey) {
        let Some(roster) = self.rosters.get_mut(place) else { return };
        roster.members.remove(object);
        if roster.members.is_empty() {
            self.rosters.remove(place);
        }
    }
}

impl<K: Kind> Controller<K> {
    /// Has an object's resource looked at, with others.
    pub(super) fn want(&self, sweep: &SweepKey, object: &Object, handle: K::Handle, wish: Wish) {
        let key = object.key::<K>();
        let Some(due) = self.sweeps.want(sweep, &key, handle, wish) else { return };
        let terms = Terms {
            flow: sweep.flow.clone(),
            calls: Calls { change: 1, poll: 1 },
            phase: Phase::of(""),
            ..self.terms(object)
        };
        // What is told where AWS does not answer is told by the objects, for whom a change waits.
        let priority = wish.priority.max(Priority::Progress);
        self.context.queue.add(Task::Sweep(Box::new(sweep.clone())), &terms, priority, due);
    }

    /// Where its resource is looked at with others, the object waits for them instead.
    pub(super) fn join_sweep(&self, object: &Object, next: Next, memory: &Memory<K::Handle>) -> Next {
        let (Some(sweep), Some(handle)) = (&memory.sweep, &memory.handle) else { return next };
        let now = Instant::now();
        let wish = match next {
            Next::Poll(interval) => Wish::after(now, interval, Priority::Poll),
            Next::After(interval, priority) => Wish::after(now, interval, priority),
            // The sweep has failed, and is tried again for all together.
            Next::Backoff | Next::Throttled if memory.missed => {
                self.want(sweep, object, handle.clone(), Wish::soon(now, Priority::Progress));
                return Next::Resume;
            }
            Next::Backoff | Next::Throttled | Next::Again(_) | Next::Wait | Next::Resume => return next,
        };
        self.want(sweep, object, handle.clone(), wish);
        Next::Wait
    }

    /// Looks at all resources that are due together, and wakes their objects.
    pub(super) async fn sweep(&self, sweep: &SweepKey, token: FlowToken) -> Next {
        let started = Instant::now();
        let due = self.sweeps.batch(sweep, K::SWEEP.unwrap_or(1), started);
        let mut failed = None;
        if !due.is_empty() {
            let Flow { region, .. } = &sweep.flow;
            let token = token.within(&sweep.flow);
            let clients = &self.context.clients;
            let aws = clients.regional(&sweep.session, K::SERVICE, region, K::client, K::classify, token);
            let handles: Vec<_> = due.iter().map(|due| due.handle.clone()).collect();
            let span = spans::sweep(K::KIND, &sweep.flow, handles.len());
            let answer = K::sweep(&aws, &handles).instrument(span.clone()).await; // reads AWS
            if let Err(error) = &answer {
                spans::fail(&span, error.class.name(), &error.to_string());
            }
            drop(span);
            let result = answer.as_ref().map_or_else(|error| error.class.name(), |_| "ok");
            self.context.metrics.swept(K::KIND, result, started.elapsed(), handles.len());
            let seen = answer.map(|all| all.into_iter().collect::<HashMap<_, _>>());
            let sighting = |handle: &K::Handle| match &seen {
                Ok(all) => Ok(all.get(handle).cloned()),
                Err(error) => Err(error.clone()),
            };
            let sightings = due
                .iter()
                .map(|due| (due.object.clone(), Sighting { at: started, seen: sighting(&due.handle) }))
                .collect();
            failed = seen.err();
            self.sweeps.saw(sweep, sightings, failed.is_some(), Instant::now(), fastrand::f64());
            for Due { object, priority, .. } in &due {
                self.context.queue.wake(&object.into(), *priority);
            }
        }
        if failed.is_some_and(|error| error.throttles_flow()) {
            return Next::Throttled;
        }
        match self.sweeps.due(sweep) {
            Some((at, priority)) => Next::After(at.saturating_duration_since(Instant::now()), priority),
            None => Next::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn object(number: usize) -> ObjectKey {
        ObjectKey { kind: "RDSInstance", namespace: "shop".into(), name: format!("{number:03}") }
    }

    fn polls(count: usize, now: Instant, spread: Duration) -> Roster<usize> {
        let mut roster = Roster::new();
        for number in 0..count {
            let offset = spread.mul_f64(number as f64 / count as f64);
            roster.want(object(number), number, Wish::after(now + offset, 30 * SECOND, Priority::Poll));
        }
        roster
    }

    /// Sweeps from the first due time on, for so long: how many were seen by each call.
    fn sweep(roster: &mut Roster<usize>, time: Duration) -> Vec<usize> {
        let end = roster.due().unwrap() + time;
        let next = |roster: &mut Roster<usize>| {
            let due = roster.due().filter(|due| *due < end)?;
            Some(roster.batch(100, due).len())
        };
        std::iter::from_fn(|| next(roster)).collect()
    }

    #[test]
    fn a_resync_takes_a_call_for_each_hundred() {
        let now = Instant::now();
        for (count, expected) in [(1, vec![1]), (100, vec![100]), (101, vec![100, 1]), (250, vec![100, 100, 50])] {
            // As far apart as a busy machine brings them.
            let mut roster = polls(count, now, 5 * SECOND);
            assert_eq!(roster.batch(100, now + 29 * SECOND), [], "not before the first is due");
            assert_eq!(sweep(&mut roster, 20 * SECOND), expected);
        }
    }

    #[test]
    fn however_far_apart_they_came_a_resync_takes_a_call_for_each_hundred() {
        const PERIODS: usize = 10;
        for (count, calls) in [(1, 1), (50, 1), (100, 1), (101, 2), (250, 3), (1_000, 10)] {
            let mut roster = polls(count, Instant::now(), 29 * SECOND);
            let end = roster.due().unwrap() + 30 * SECOND * u32::try_from(PERIODS).unwrap();
            let mut made = 0;
            while let Some(due) = roster.due().filter(|due| *due < end) {
                made += 1;
                for Due { object, handle, priority } in roster.batch(100, due) {
                    roster.want(object, handle, Wish::after(due, 30 * SECOND, priority));
                }
            }
            // None of them is late: each wish has been granted by its time, or the loop would not end.
            assert!(made <= calls * PERIODS, "{made} calls for {count} in {PERIODS} periods");
        }
    }

    #[test]
    fn what_is_wanted_soon_does_not_bring_others_far_forward() {
        let now = Instant::now();
        let mut roster = polls(10, now, SECOND);
        roster.want(object(500), 500, Wish::soon(now, Priority::Change));
        let seen = roster.batch(100, now + GATHER);
        assert_eq!(seen, [Due { object: object(500), handle: 500, priority: Priority::Change }]);
        // One that is looked at every 10 s has the others seen with it shortly before they are due.
        roster.want(object(500), 500, Wish::after(now + 15 * SECOND, 10 * SECOND, Priority::Progress));
        assert_eq!(roster.batch(100, now + 25 * SECOND).len(), 11);
    }

    #[test]
    fn nobody_s_impatience_brings_forward_what_has_failed() {
        let now = Instant::now();
        let mut roster = polls(250, now, SECOND);
        let at = now + 31 * SECOND;
        assert_eq!(roster.batch(100, at).len(), 100);
        roster.failed(at, 1.0);
        for number in 0..100 {
            roster.want(object(number), number, Wish::soon(at, Priority::Progress));
        }
        assert_eq!(roster.due(), Some(at + backoff(1)));
        assert_eq!(roster.batch(100, at + GATHER), []);
        assert_eq!(sweep(&mut roster, SECOND), [100, 100, 50], "a failed call is one call again");
        roster.failed(at + 2 * SECOND, 1.0);
        roster.want(object(7), 7, Wish::soon(at + 2 * SECOND, Priority::Change));
        assert_eq!(roster.due(), Some(at + 2 * SECOND + GATHER), "a change is tried at once");
        roster.succeeded();
        assert_eq!(roster.failures, 0);
    }

    #[test]
    fn what_was_seen_is_told_once_and_not_if_it_is_older_than_a_write_or_stale() {
        let (start, session) = (Instant::now(), Session::Own);
        let flow = Flow::new("111122223333", "eu-west-1", crate::aws::Service("rds"));
        let key = SweepKey { kind: "RDSInstance", flow, session };
        let sweeps: Sweeps<usize, u8> = Sweeps::default();
        let see = || {
            let sighting = Sighting { at: start + SECOND, seen: Ok(Some(7)) };
            sweeps.saw(&key, vec![(object(1), sighting)], false, start + SECOND, 0.0);
        };
        see();
        assert!(sweeps.take(&object(1), None, start).is_none(), "nobody wants to see it");
        let due = sweeps.want(&key, &object(1), 1, Wish::soon(start, Priority::Poll));
        assert_eq!(due, Some(start + GATHER));
        for (written, after, told) in
            [(None, 2, true), (Some(0), 2, true), (Some(1), 2, false), (Some(2), 2, false), (None, 46, false)]
        {
            sweeps.want(&key, &object(1), 1, Wish::soon(start, Priority::Poll));
            see();
            let (written, now) = (written.map(|at| start + SECOND * at), start + SECOND * after);
            assert_eq!(sweeps.take(&object(1), written, now).is_some(), told, "{written:?} {after}");
            assert!(sweeps.take(&object(1), None, now).is_none(), "once");
        }
        assert_eq!(sweeps.due(&key), None, "who was seen wants nothing more");
        sweeps.want(&key, &object(1), 1, Wish::soon(start, Priority::Poll));
        sweeps.forget(&object(1));
        assert!(sweeps.state().rosters.is_empty());
    }

    proptest! {
        /// Whoever wants to be seen is, in time, and no call sees more than it may.
        #[test]
        fn everybody_is_seen(wishes in proptest::collection::vec((0_u64..60, 1_u64..30), 1..300), size in 1_usize..100) {
            let now = Instant::now();
            let mut roster = Roster::new();
            for (number, (at, interval)) in wishes.iter().enumerate() {
                let wish = Wish { at: now + SECOND * u32::try_from(*at).unwrap(), interval: Duration::from_secs(*interval), priority: Priority::Poll };
                roster.want(object(number), number, wish);
            }
            let mut seen = vec![false; wishes.len()];
            while let Some(due) = roster.due().filter(|due| *due < now + LOST) {
                let batch = roster.batch(size, due);
                prop_assert!(!batch.is_empty() && batch.len() <= size);
                for Due { handle, object, .. } in batch {
                    let (at, interval) = wishes[handle];
                    let at = now + SECOND * u32::try_from(at).unwrap();
                    prop_assert!(due <= at + LOST && at <= due + Duration::from_secs(interval).max(30 * SECOND));
                    prop_assert!(!std::mem::replace(&mut seen[handle], true));
                    roster.members.remove(&object);
                }
            }
            prop_assert!(seen.into_iter().all(|seen| seen));
        }
    }
}

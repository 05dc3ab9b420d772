//! Which shards this replica claims and which it gives up, decided by each replica for itself, without
//! a coordinator. The Leases give safety, whatever is decided here; the aims are that nothing is
//! stranded, that little moves, and that the shards are spread evenly, although every replica has a
//! view of its own, late by a moment. Pure.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use self::target::{Candidate, score, target};

mod target;

#[cfg(test)]
mod figures;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

/// So long may a member leave a shard free that is meant for it. Then others take it, and it gets no
/// more: it may be alive and yet unable to claim.
pub const CLAIM_WITHIN: Duration = Duration::from_secs(3);
/// The pause between one replica's turn to take what nobody claims and the next one's.
pub const TURN: Duration = Duration::from_secs(1);
/// So long a member that left a shard free gets no more, unless it takes one before.
pub const LEFT_OUT: Duration = Duration::from_secs(600);
/// So long a member that has started once must have been seen before shards are given up for it. Each
/// further start doubles it.
pub const PROBATION: Duration = Duration::from_secs(10);
/// The longest probation.
pub const LONGEST_PROBATION: Duration = Duration::from_secs(600);
/// Nothing is given up so long after a member left.
pub const QUIET: Duration = Duration::from_secs(10);
/// Nothing is given up while revisions differ, at most for so long.
pub const LONGEST_ROLLOUT: Duration = Duration::from_secs(600);
/// The most time that one call adds: what went on since an earlier one, nobody has seen.
pub const LONGEST_STEP: Duration = Duration::from_secs(2);
/// The most members that are remembered as left out.
const MOST_LEFT_OUT: usize = 64;

/// A replica, as its membership Lease shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its lease identity.
    pub identity: Arc<str>,
    /// The hash of its pod template.
    pub revision: Arc<str>,
    /// When its process started, in µs since the Unix epoch, by its own clock. It orders revisions, and
    /// nothing else.
    pub started: i64,
    /// How often its pod has started it: 1 is the first time.
    pub starts: u32,
}

/// Whom a shard's Lease belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Nobody: it was released.
    Free,
    /// Nobody any more: this holder did not renew it in time.
    Expired(Arc<str>),
    /// This identity, which need not be a member: a replica that stops is none.
    Held(Arc<str>),
}

/// What to do about a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Take it as soon as it is free.
    Claim,
    /// Leave it to others.
    Leave,
    /// Hold on to it: it is this replica's.
    Keep,
    /// Finish what runs and release it. Once said, it stays until the shard is no longer held.
    Give,
}

/// Decides for one replica. It knows no time, only for how long it has seen something.
#[derive(Clone, Debug)]
pub struct Assigner {
    me: Arc<str>,
    shards: Vec<Seen>,
    members: BTreeMap<Arc<str>, Known>,
    left_out: BTreeMap<Arc<str>, LeftOut>,
    /// How long ago it started, a member that counted left, or a Lease expired.
    quiet: Duration,
    /// For how long revisions have differed.
    rollout: Duration,
    giving: Option<usize>,
}

/// What is remembered of a shard.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// For how long it has been free.
    free: Option<Duration>,
    /// For whom it has been meant while free, and for how long.
    meant: Option<(Arc<str>, Duration)>,
}

/// What is remembered of a member.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    age: Duration,
    /// Shards are given up for it.
    counts: bool,
}

/// A member that gets no more.
#[derive(Clone, Copy, Debug)]
struct LeftOut {
    remaining: Duration,
    /// How many it holds: with one more it is no longer left out.
    held: usize,
}

/// What a target is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Who takes what is free. A newcomer counts at once, so that in a rolling update a shard moves once.
    Claim,
    /// For whom to give up. A newcomer counts after its probation, so that a crash loop moves little.
    Give,
}

impl Holding {
    /// Who holds it, or did when it expired.
    pub fn holder(&self) -> Option<&Arc<str>> {
        match self {
            Self::Free => None,
            Self::Expired(holder) | Self::Held(holder) => Some(holder),
        }
    }

    fn is_held_by(&self, identity: &str) -> bool {
        matches!(self, Self::Held(holder) if &**holder == identity)
    }
}

impl Assigner {
    /// For the replica with this lease identity, which has seen nothing yet.
    pub fn new(me: Arc<str>) -> Self {
        let (quiet, rollout) = (Duration::ZERO, Duration::ZERO);
        let (shards, members, left_out) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { me, shards, members, left_out, quiet, rollout, giving: None }
    }

    /// What to do about each shard, in their order.
    ///
    /// `members` are the live ones, this replica among them; where it is missing, it claims only what
    /// nobody else does. `holdings` has an entry a shard; what this replica itself holds must be
    /// up to date in it. `elapsed` is the time since the last call (since the last one that saw fresh
    /// Leases, where reads fail); more than [`LONGEST_STEP`] counts as that.
    ///
    /// A single shard is wished for by everybody, always. A replica that stops asks no more.
    pub fn decide(&mut self, members: &[Member], holdings: &[Holding], elapsed: Duration) -> Vec<Wish> {
        if let [only] = holdings {
            return vec![if only.is_held_by(&self.me) { Wish::Keep } else { Wish::Claim }];
        }
        let view = View::new(members, holdings);
        self.watch(&view, elapsed.min(LONGEST_STEP));
        let meant = target(&self.candidates(&view, Purpose::Claim), holdings);
        self.remember_meant(&meant);
        self.give_up(&view);
        let wish = |(shard, meant): (usize, &Option<&str>)| match &holdings[shard] {
            Holding::Held(holder) if *holder == self.me && self.giving == Some(shard) => Wish::Give,
            Holding::Held(holder) if *holder == self.me => Wish::Keep,
            _ if *meant == Some(&*self.me) || self.my_turn(&view, shard) => Wish::Claim,
            _ => Wish::Leave,
        };
        meant.iter().enumerate().map(wish).collect()
    }

    /// Adds the time that has passed to what still is as it was, and forgets the rest.
    fn watch(&mut self, view: &View<'_>, elapsed: Duration) {
        let mut disturbed = self.members.is_empty() || view.suspects.iter().any(|suspect| *suspect != &*self.me);
        self.members.retain(|identity, known| {
            let stays = view.member(identity).is_some();
            disturbed |= !stays && known.counts;
            stays
        });
        for member in &view.members {
            let known = self.members.entry(Arc::clone(&member.identity));
            known.and_modify(|known| known.age += elapsed).or_default();
        }
        self.quiet = if disturbed { Duration::ZERO } else { self.quiet + elapsed };
        self.rollout = if view.newest.is_some() { self.rollout + elapsed } else { Duration::ZERO };
        self.shards.resize_with(view.holdings.len(), Seen::default);
        for (seen, holding) in self.shards.iter_mut().zip(view.holdings) {
            if matches!(holding, Holding::Held(_)) {
                *seen = Seen::default();
            } else {
                seen.free = Some(seen.free.map_or(Duration::ZERO, |free| free + elapsed));
                seen.meant.iter_mut().for_each(|(_, age)| *age += elapsed);
            }
        }
        self.leave_out(view, elapsed);
    }

    /// Leaves out who does not take what is meant for it, and readmits who takes one or has waited.
    fn leave_out(&mut self, view: &View<'_>, elapsed: Duration) {
        self.left_out.retain(|identity, left_out| {
            let held = view.held(identity);
            let took_one = held > left_out.held;
            left_out.held = held;
            left_out.remaining = left_out.remaining.saturating_sub(elapsed);
            !took_one && !left_out.remaining.is_zero()
        });
        for (identity, age) in self.shards.iter().filter_map(|seen| seen.meant.as_ref()) {
            if *age >= CLAIM_WITHIN && *identity != self.me && self.left_out.len() < MOST_LEFT_OUT {
                let entry = LeftOut { remaining: LEFT_OUT, held: view.held(identity) };
                self.left_out.entry(Arc::clone(identity)).or_insert(entry);
            }
        }
    }

    /// The members that count.
    fn candidates<'a>(&self, view: &View<'a>, purpose: Purpose) -> Vec<Candidate<'a>> {
        let alive = view.members.iter().filter(|member| !view.is_dead(&self.me, member));
        let present: Vec<(&Member, usize, bool)> = alive
            .map(|member| (*member, view.held(&member.identity), !self.left_out.contains_key(&member.identity)))
            .filter(|(_, held, takes)| *takes || *held > 0)
            .collect();
        let nobody_holds = present.iter().all(|(_, held, _)| *held == 0);
        let counts = |member: &Member, held: usize| {
            let age = self.members.get(&member.identity).map_or(Duration::ZERO, |known| known.age);
            let first_start = purpose == Purpose::Claim && member.starts <= 1;
            nobody_holds || held > 0 || first_start || age >= probation(member.starts)
        };
        let over = self.rollout >= LONGEST_ROLLOUT;
        let counting = present.into_iter().filter(|(member, held, _)| counts(member, *held));
        counting
            .map(|(member, _, takes)| Candidate {
                identity: &member.identity,
                newest: over || view.newest.is_none_or(|newest| newest == &*member.revision),
                takes,
            })
            .collect()
    }

    /// Notes for whom the free shards are meant.
    fn remember_meant(&mut self, meant: &[Option<&str>]) {
        for (seen, meant) in self.shards.iter_mut().zip(meant) {
            let before = seen.meant.as_ref().map(|(identity, _)| &**identity);
            if seen.free.is_some() && before != *meant {
                seen.meant = meant.map(|identity| (Arc::from(identity), Duration::ZERO));
            }
        }
    }

    /// Chooses the next shard to give up, if there is one and it is time.
    fn give_up(&mut self, view: &View<'_>) {
        let candidates = self.candidates(view, Purpose::Give);
        let counts = |identity: &str| candidates.iter().any(|candidate| candidate.identity == identity);
        self.members.iter_mut().for_each(|(identity, known)| known.counts = counts(identity));
        let mine = |shard: usize| view.holdings.get(shard).is_some_and(|holding| holding.is_held_by(&self.me));
        if self.giving.is_some_and(mine) {
            return;
        }
        let rollout = view.newest.is_some() && self.rollout < LONGEST_ROLLOUT;
        // Where this replica is missing among the members, its view is wrong or it stops.
        self.giving = match self.quiet < QUIET || rollout || !counts(&self.me) {
            true => None,
            false => {
                let target = target(&candidates, view.holdings);
                let another =
                    |meant: Option<&str>| meant.is_some_and(|meant| *meant != *self.me && !self.has_more(meant));
                (0..target.len()).find(|shard| mine(*shard) && another(target[*shard]))
            }
        };
    }

    /// Whether a free shard is meant for this member. The next one is given up for it when it has taken
    /// that, so that one that is late or cannot claim costs few moves.
    fn has_more(&self, identity: &str) -> bool {
        self.shards.iter().any(|seen| seen.meant.as_ref().is_some_and(|(meant, _)| **meant == *identity))
    }

    /// Whether a shard has been free for so long that this replica takes it whomever it is meant for:
    /// the members may be others than this replica sees. They take turns, by score.
    fn my_turn(&self, view: &View<'_>, shard: usize) -> bool {
        let Some(waited) = self.shards[shard].free.and_then(|free| free.checked_sub(CLAIM_WITHIN)) else {
            return false;
        };
        let mine = score(&self.me, shard);
        let ahead = view.members.iter().filter(|member| score(&member.identity, shard) > mine).count();
        waited >= TURN * u32::try_from(ahead).unwrap_or(u32::MAX)
    }
}

/// For how long a member must have been seen before shards are given up for it.
fn probation(starts: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(starts.saturating_sub(1));
    PROBATION.saturating_mul(doubled).min(LONGEST_PROBATION)
}

/// What a replica sees at one time.
struct View<'a> {
    /// By identity, each once.
    members: Vec<&'a Member>,
    holdings: &'a [Holding],
    /// The newest revision, where there is more than one: that whose first member started last.
    newest: Option<&'a str>,
    /// Whose Leases have expired.
    suspects: Vec<&'a str>,
}

impl<'a> View<'a> {
    fn new(members: &'a [Member], holdings: &'a [Holding]) -> Self {
        let mut members: Vec<&Member> = members.iter().collect();
        members.sort_by(|one, other| one.identity.cmp(&other.identity));
        members.dedup_by(|one, other| one.identity == other.identity);
        let mut revisions = BTreeMap::new();
        for member in &members {
            let first = revisions.entry(&*member.revision).or_insert(member.started);
            *first = member.started.min(*first);
        }
        let newest = revisions.iter().max_by_key(|(revision, first)| (**first, **revision));
        let newest = newest.filter(|_| revisions.len() > 1).map(|(revision, _)| *revision);
        let expired = |holding: &'a Holding| match holding {
            Holding::Expired(holder) => Some(&**holder),
            Holding::Free | Holding::Held(_) => None,
        };
        Self { members, holdings, newest, suspects: holdings.iter().filter_map(expired).collect() }
    }

    fn member(&self, identity: &str) -> Option<&'a Member> {
        let place = self.members.binary_search_by(|member| (*member.identity).cmp(identity));
        place.ok().map(|place| self.members[place])
    }

    fn held(&self, identity: &str) -> usize {
        self.holdings.iter().filter(|holding| holding.is_held_by(identity)).count()
    }

    /// Whether a member is taken for dead before its membership expires: one of its shards has. Where
    /// one of ours has too, the API server was away, and that says nothing of the others.
    fn is_dead(&self, me: &str, member: &Member) -> bool {
        self.suspects.contains(&&*member.identity) && !self.suspects.contains(&me)
    }
}

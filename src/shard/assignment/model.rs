//! Many replicas, each deciding for itself from a view of its own that is late, against Leases that
//! only one of them gets. Virtual time, and random numbers from a seed.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;

use super::{Assigner, Holding, Member, Wish};

/// A tick.
const TICK: Duration = Duration::from_millis(100);
/// After so long a crashed replica's Leases expire, in ticks.
const LEASE: u64 = 80;
/// The most that views are late, in ticks.
const LONGEST_LAG: usize = 60;

/// How replicas behave and see.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How late a view may be, in ticks. It differs between replicas and changes every few seconds, for
    /// members and shards apart.
    pub lag: usize,
    /// The longest drain, in ticks.
    pub drain: u64,
    /// How many ticks lie between a replica's decisions.
    pub pace: u32,
    pub seed: u64,
}

/// A shard's Lease.
#[derive(Clone, Debug)]
struct Lease {
    holding: Holding,
    /// When it is released, or expires.
    ends: Option<(u64, Holding)>,
    /// Since when nobody holds it.
    free: u64,
}

#[derive(Clone, Debug)]
struct Replica {
    assigner: Assigner,
    /// It claims in vain.
    unable: bool,
    /// Members it never sees.
    blind_to: Vec<Arc<str>>,
    /// How late it sees members, and shards.
    lags: (usize, usize),
    /// What it has seen last, never to see older.
    seen: (u64, u64),
    phase: u64,
}

/// The cluster, and what happened in it.
pub struct World {
    terms: Terms,
    rng: Rng,
    tick: u64,
    leases: Vec<Lease>,
    members: BTreeMap<Arc<str>, Member>,
    /// Membership Leases of dead replicas, and when they expire.
    ghosts: BTreeMap<Arc<str>, u64>,
    replicas: BTreeMap<Arc<str>, Replica>,
    history: VecDeque<(Vec<Member>, Vec<Holding>)>,
    pub claims: usize,
    pub gives: usize,
    longest_free: u64,
}

impl World {
    pub fn new(shards: usize, terms: Terms) -> Self {
        let lease = Lease { holding: Holding::Free, ends: None, free: 0 };
        Self {
            terms,
            rng: Rng::with_seed(terms.seed),
            tick: 0,
            leases: vec![lease; shards],
            members: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            replicas: BTreeMap::new(),
            history: VecDeque::new(),
            claims: 0,
            gives: 0,
            longest_free: 0,
        }
    }

    /// One with so many replicas that came together and have settled.
    pub fn settled(shards: usize, replicas: usize, terms: Terms) -> Self {
        let mut world = Self::new(shards, terms);
        for number in 0..replicas {
            world.join(&format!("r{number}"), "old", 1);
        }
        world.run(30.0);
        world.forget();
        world
    }

    /// Starts counting anew.
    pub fn forget(&mut self) {
        (self.claims, self.gives, self.longest_free) = (0, 0, 0);
    }

    pub fn join(&mut self, pod: &str, revision: &str, starts: u32) {
        let identity: Arc<str> = format!("{pod}_{:08x}", self.rng.u32(..)).into();
        let started = i64::try_from(self.tick).unwrap() * 100_000;
        self.members.retain(|other, _| !other.starts_with(&format!("{pod}_")));
        let member = Member { identity: Arc::clone(&identity), revision: revision.into(), started, starts };
        self.members.insert(Arc::clone(&identity), member);
        let assigner = Assigner::new(Arc::clone(&identity));
        let (phase, seen) = (self.rng.u64(0..u64::from(self.terms.pace)), (self.tick, self.tick));
        self.replicas
            .insert(identity, Replica { assigner, unable: false, blind_to: Vec::new(), lags: (0, 0), seen, phase });
    }

    /// From now on it claims in vain.
    pub fn disable(&mut self, pod: &str) {
        let identity = self.identity(pod);
        self.replicas.get_mut(&identity).unwrap().unable = true;
    }

    /// From now on it does not see that one's membership.
    pub fn blind(&mut self, pod: &str, to: &str) {
        let (identity, to) = (self.identity(pod), self.identity(to));
        self.replicas.get_mut(&identity).unwrap().blind_to.push(to);
    }

    /// Ends it in order: it is no member any more, drains and releases.
    pub fn stop(&mut self, pod: &str) {
        let identity = self.identity(pod);
        self.members.remove(&identity);
        self.replicas.remove(&identity);
        for lease in self.leases.iter_mut().filter(|lease| lease.holding.holder() == Some(&identity)) {
            lease.ends = Some((self.tick + self.rng.u64(0..=self.terms.drain), Holding::Free));
        }
    }

    /// Kills it: its Leases expire, each when it was last renewed.
    pub fn crash(&mut self, pod: &str) {
        let identity = self.identity(pod);
        self.replicas.remove(&identity);
        self.ghosts.insert(Arc::clone(&identity), self.tick + LEASE - self.rng.u64(0..20));
        for lease in self.leases.iter_mut().filter(|lease| lease.holding.holder() == Some(&identity)) {
            let expires = self.tick + LEASE - self.rng.u64(0..20);
            lease.ends = Some((expires, Holding::Expired(Arc::clone(&identity))));
        }
    }

    /// Hides its membership, or shows it again, while it lives.
    pub fn flap(&mut self, pod: &str) {
        let identity = self.identity(pod);
        if self.members.remove(&identity).is_none() {
            let member = Member { identity: Arc::clone(&identity), revision: "old".into(), started: 0, starts: 1 };
            self.members.insert(identity, member);
        }
    }

    /// Lets time pass, in seconds.
    pub fn run(&mut self, seconds: f64) {
        for _ in 0..Duration::from_secs_f64(seconds).as_millis() / TICK.as_millis() {
            self.step();
        }
    }

    /// Lets time pass until the members' counts differ by at most one: after how many seconds, if within
    /// so many.
    pub fn balanced_within(&mut self, seconds: u32) -> Option<f64> {
        let start = self.tick;
        while self.spread() > 1 || self.unheld() > 0 {
            self.step();
            if self.tick - start > u64::from(seconds) * 10 {
                return None;
            }
        }
        Some(Duration::from_millis((self.tick - start) * 100).as_secs_f64())
    }

    /// How many shards each member holds, the most first.
    pub fn counts(&self) -> Vec<usize> {
        let held = |member| self.leases.iter().filter(|lease| lease.holding.holder() == Some(member)).count();
        let mut counts: Vec<usize> = self.members.keys().map(held).collect();
        counts.sort_unstable_by(|one, other| other.cmp(one));
        counts
    }

    /// The most that two members' counts differ.
    pub fn spread(&self) -> usize {
        let counts = self.counts();
        counts.first().unwrap_or(&0) - counts.last().unwrap_or(&0)
    }

    /// How many shards nobody holds at the moment.
    pub fn unheld(&self) -> usize {
        self.leases.iter().filter(|lease| !matches!(lease.holding, Holding::Held(_))).count()
    }

    /// For how long a shard had no holder, at most.
    pub fn longest_free(&self) -> Duration {
        TICK * u32::try_from(self.longest_free).unwrap()
    }

    fn identity(&self, pod: &str) -> Arc<str> {
        let mut replicas = self.replicas.keys();
        Arc::clone(replicas.find(|identity| identity.starts_with(&format!("{pod}_"))).unwrap())
    }

    fn step(&mut self) {
        self.tick += 1;
        for lease in &mut self.leases {
            if let Some((_, holding)) = lease.ends.take_if(|(at, _)| *at <= self.tick) {
                (lease.holding, lease.free) = (holding, self.tick);
            }
        }
        let gone: Vec<_> = self.ghosts.extract_if(.., |_, at| *at <= self.tick).collect();
        gone.iter().for_each(|(identity, _)| drop(self.members.remove(identity)));
        let holdings = self.leases.iter().map(|lease| lease.holding.clone()).collect();
        self.history.push_front((self.members.values().cloned().collect(), holdings));
        self.history.truncate(LONGEST_LAG + 1);
        let mut order: Vec<_> = self.replicas.keys().cloned().collect();
        self.rng.shuffle(&mut order);
        order.iter().for_each(|identity| self.decide(identity));
        for lease in self.leases.iter().filter(|lease| !matches!(lease.holding, Holding::Held(_))) {
            self.longest_free = self.longest_free.max(self.tick - lease.free);
        }
    }

    fn decide(&mut self, identity: &Arc<str>) {
        let replica = self.replicas.get_mut(identity).unwrap();
        if self.tick % u64::from(self.terms.pace) != replica.phase {
            return;
        }
        if self.rng.u8(0..20) == 0 {
            replica.lags = (self.rng.usize(0..=self.terms.lag), self.rng.usize(0..=self.terms.lag));
        }
        replica.seen.0 = replica.seen.0.max(self.tick.saturating_sub(replica.lags.0 as u64));
        replica.seen.1 = replica.seen.1.max(self.tick.saturating_sub(replica.lags.1 as u64));
        let past = |at: u64| {
            let age = usize::try_from(self.tick - at).unwrap();
            &self.history[age.min(self.history.len() - 1)]
        };
        let (mut members, _) = past(replica.seen.0).clone();
        members.retain(|member| !replica.blind_to.contains(&member.identity));
        let (_, mut holdings) = past(replica.seen.1).clone();
        // It knows what it holds itself.
        for (seen, lease) in holdings.iter_mut().zip(&self.leases) {
            if lease.holding.is_held_by(identity) || seen.is_held_by(identity) {
                *seen = lease.holding.clone();
            }
        }
        let wishes = replica.assigner.decide(&members, &holdings, TICK * self.terms.pace);
        let mut giving = 0;
        for ((lease, seen), wish) in self.leases.iter_mut().zip(&holdings).zip(wishes) {
            let mine = lease.holding.is_held_by(identity);
            assert_eq!(mine, matches!(wish, Wish::Keep | Wish::Give));
            let free = |holding: &Holding| !matches!(holding, Holding::Held(_));
            if wish == Wish::Claim && free(seen) && !replica.unable {
                if free(&lease.holding) {
                    lease.holding = Holding::Held(Arc::clone(identity));
                    self.claims += 1;
                } else {
                    // A conflict makes it look again.
                    replica.seen.1 = self.tick;
                }
            }
            if wish == Wish::Give {
                giving += 1;
                if lease.ends.is_none() {
                    lease.ends = Some((self.tick + 1 + self.rng.u64(0..=self.terms.drain), Holding::Free));
                    self.gives += 1;
                }
            }
        }
        assert!(giving <= 1, "gives up {giving} at once");
    }
}

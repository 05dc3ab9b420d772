//! One shard, as the keeper sees it.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::coordination::v1::Lease as Object;
use tracing::{info, warn};

use super::Setup;
use crate::{
    shard::{
        Shard,
        assignment::Holding,
        clock::Moment,
        lease::{How, Leadership, Lease, Timing},
        leases::version_of,
    },
    telemetry::traces::spans,
};

/// One shard.
pub(super) struct Slot {
    pub(super) shard: Shard,
    pub(super) lease: Lease,
    /// The newest object that was seen, on which writes are founded.
    pub(super) object: Option<Object>,
    pub(super) stepped: Moment,
    /// The epoch that was told of.
    told: Option<u64>,
    lapsed: bool,
    /// Since when it is being handed over.
    pub(super) giving: Option<Moment>,
    /// Since when it could be claimed.
    claimable: Option<Moment>,
}

impl Slot {
    /// A shard whose Lease was not seen yet.
    pub(super) fn new(shard: Shard, me: Arc<str>, timing: Timing, now: Moment) -> Self {
        Self {
            shard,
            lease: Lease::new(me, timing),
            object: None,
            stepped: now,
            told: None,
            lapsed: false,
            giving: None,
            claimable: None,
        }
    }

    /// Tells of what has changed in who leads. Whether this replica does from now on.
    pub(super) fn tell(&mut self, acknowledged: bool, stopping: bool, now: Moment, setup: &Setup) -> bool {
        let record = self.lease.record().map_or(0, |record| record.version.number);
        setup.permits.saw(self.shard, self.lease.holder(), record);
        let leadership = self.lease.leadership();
        let new = leadership.is_some_and(|leads| self.told != Some(leads.epoch));
        match leadership {
            Some(leads) => {
                if acknowledged || new {
                    setup.permits.renewed(self.shard, leads.epoch, leads.how, now.before(leads.age));
                }
                if new {
                    self.acquired(leads, stopping, now, setup);
                }
                self.tell_lapse(leads, setup.timing.stop());
            }
            None => self.ended("lost", now, setup),
        }
        let claimable = leadership.is_none() && self.lease.claimable().is_some();
        self.claimable = if claimable { self.claimable.or(Some(now)) } else { None };
        new
    }

    fn acquired(&mut self, Leadership { epoch, how, .. }: Leadership, stopping: bool, now: Moment, setup: &Setup) {
        let waited = self.claimable.take().map(|since| now.since(since).longest);
        setup.metrics.shard_acquired(self.shard, how == How::Expired, waited);
        let how = match how {
            How::Released => "released",
            How::Expired => "expired",
            How::Again => "again",
        };
        spans::shard_turn("take over shard", self.shard.index(), epoch, how, waited.unwrap_or_default());
        info!(shard = %self.shard, epoch, how, "leads the shard");
        self.told = Some(epoch);
        // A claim that was under way when the process was told to stop.
        self.giving = stopping.then_some(now);
        if stopping {
            setup.permits.close(self.shard);
        }
    }

    fn tell_lapse(&mut self, Leadership { epoch, age, .. }: Leadership, stop: Duration) {
        let lapsed = age >= stop;
        match (std::mem::replace(&mut self.lapsed, lapsed), lapsed) {
            (false, true) => {
                warn!(shard = %self.shard, why = "lapsed", "no longer leads the shard: its Lease could not be renewed");
            }
            (true, false) => info!(shard = %self.shard, epoch, how = "again", "leads the shard"),
            _ => {}
        }
    }

    /// Tells that this replica no longer leads, where it did.
    pub(super) fn ended(&mut self, why: &'static str, now: Moment, setup: &Setup) {
        if let Some(epoch) = self.told.take() {
            setup.permits.lost(self.shard);
            let name = if why == "lost" { "lose shard" } else { "hand over shard" };
            let took = self.giving.map_or(Duration::ZERO, |since| now.since(since).longest);
            spans::shard_turn(name, self.shard.index(), epoch, why, took);
            setup.metrics.shard_ended(self.shard, why);
            info!(shard = %self.shard, why, "no longer leads the shard");
        }
        self.lapsed = false;
    }

    /// Begins anew, as if the process had just started.
    pub(super) fn forget(&mut self, now: Moment, setup: &Setup) {
        self.ended("lost", now, setup);
        *self = Self::new(self.shard, setup.replica.identity.clone(), setup.timing, now);
    }

    /// Keeps the newest object.
    pub(super) fn saw(&mut self, object: Option<&Object>) {
        let number = |object: &Object| version_of(object).map_or(0, |version| version.number);
        if let Some(object) = object.filter(|new| self.object.as_ref().is_none_or(|old| number(old) <= number(new))) {
            self.object = Some(object.clone());
        }
    }

    /// The shard as the assignment sees it.
    pub(super) fn holding(&self, me: &Arc<str>) -> Holding {
        let holder = || self.lease.holder().cloned().unwrap_or_else(|| "".into());
        match self.lease.claimable() {
            _ if self.lease.leadership().is_some() => Holding::Held(me.clone()),
            Some(How::Again) => Holding::Held(me.clone()),
            Some(How::Released) => Holding::Free,
            Some(How::Expired) => Holding::Expired(holder()),
            None => Holding::Held(holder()),
        }
    }
}

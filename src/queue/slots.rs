//! How many may run at once: overall, in a region, in a flow; and so that no flow, nor several together,
//! can take what others need. Pure.

use std::{collections::HashMap, sync::Arc};

use super::flow::Flow;

/// Slots that only a flow gets which holds none, and whose circuit is closed.
const KEPT: usize = 2;

/// The limits, each at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many run at once.
    pub overall: usize,
    /// … of one region.
    pub region: usize,
    /// … of one flow.
    pub flow: usize,
}

/// The slots, and who holds them.
#[derive(Clone, Debug)]
pub struct Slots {
    limits: Limits,
    held: usize,
    regions: HashMap<Arc<str>, usize>,
}

impl Slots {
    /// All slots free.
    pub fn new(limits: Limits) -> Self {
        let Limits { overall, region, flow } = limits;
        let limits = Limits { overall: overall.max(1), region: region.max(1), flow: flow.max(1) };
        Self { limits, held: 0, regions: HashMap::new() }
    }

    /// How many are held.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether all are held.
    pub fn are_full(&self) -> bool {
        self.held >= self.limits.overall
    }

    /// Whether `flow`, which holds `own`, may take another one; `healthy` says that its circuit is
    /// closed. A flow gets at most half of what is free, but always one.
    pub fn allow(&self, flow: &Flow, own: usize, healthy: bool) -> bool {
        let free = self.limits.overall.saturating_sub(self.held);
        let in_region = self.regions.get(&flow.region).copied().unwrap_or_default();
        if free == 0 || own >= self.limits.flow || in_region >= self.limits.region {
            return false;
        }
        // Too few slots to share: then whoever comes first.
        if self.limits.overall <= 2 * KEPT {
            return true;
        }
        match own {
            0 => healthy || free > KEPT,
            own => free > KEPT && own < free / 2,
        }
    }

    /// `flow` takes one.
    pub fn take(&mut self, flow: &Flow) {
        self.held += 1;
        *self.regions.entry(flow.region.clone()).or_default() += 1;
    }

    /// `flow` gives one back.
    pub fn give_back(&mut self, flow: &Flow) {
        self.held = self.held.saturating_sub(1);
        if let Some(held) = self.regions.get_mut(&flow.region) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.regions.remove(&flow.region);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Service;

    fn flow(region: usize, account: usize) -> Flow {
        Flow::new(&account.to_string(), &format!("region-{region}"), Service("sqs"))
    }

    /// How many each of `flows` gets, where each in turn takes all it can and gives none back.
    fn greedy(limits: Limits, flows: &[Flow]) -> (Vec<usize>, Slots) {
        let mut slots = Slots::new(limits);
        let held = flows.iter().map(|flow| {
            let mut own = 0;
            while slots.allow(flow, own, true) {
                slots.take(flow);
                own += 1;
            }
            own
        });
        (held.collect(), slots)
    }

    const SHIPPED: Limits = Limits { overall: 64, region: 32, flow: 16 };

    #[test]
    fn what_flows_that_never_end_take() {
        let regions: Vec<_> = (0..8).map(|region| flow(region, 1)).collect();
        let (held, slots) = greedy(SHIPPED, &regions);
        assert_eq!(held, [16, 16, 11, 7, 5, 3, 2, 1]);
        assert!(slots.allow(&flow(9, 1), 0, true), "eight do not take all");

        let (held, _) = greedy(Limits { overall: 64, region: 64, flow: 64 }, &regions[..1]);
        assert_eq!(held, [21], "alone: half of what it leaves");

        let accounts: Vec<_> = (0..4).map(|account| flow(0, account)).collect();
        let (held, _) = greedy(SHIPPED, &accounts);
        assert_eq!(held.iter().sum::<usize>(), 32, "of one region: {held:?}");
    }

    #[test]
    fn the_last_two_are_for_healthy_flows_that_hold_none() {
        let mut slots = Slots::new(SHIPPED);
        (0..31).for_each(|_| slots.take(&flow(0, 0)));
        (0..31).for_each(|_| slots.take(&flow(1, 0)));
        assert!(!slots.allow(&flow(2, 0), 1, true) && !slots.allow(&flow(2, 0), 0, false));
        assert!(slots.allow(&flow(2, 0), 0, true));
    }

    #[test]
    fn a_few_slots_are_simply_taken() {
        let (held, _) = greedy(Limits { overall: 1, region: 1, flow: 1 }, &[flow(0, 0)]);
        assert_eq!(held, [1]);
        let (held, _) = greedy(Limits { overall: 3, region: 3, flow: 3 }, &[flow(0, 0)]);
        assert_eq!(held, [3]);
    }
}

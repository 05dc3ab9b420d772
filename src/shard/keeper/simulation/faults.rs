//! What goes wrong, and when: decided by the seed.

use std::time::Duration;

use serde_json::json;

use super::{
    api::{Api, Link},
    replica::Replica,
};

/// What is to go wrong.
pub(super) struct Plan {
    rng: fastrand::Rng,
    shards: u8,
    /// Edits by hand that are left: the Leases bear a few, not a constant hand.
    edits: u8,
}

impl Plan {
    pub(super) fn new(seed: u64, shards: u8) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0xfa17);
        let edits = rng.u8(..3);
        Self { rng, shards, edits }
    }

    /// How long until the next strike.
    pub(super) fn pause(&mut self) -> Duration {
        Duration::from_millis(self.rng.u64(50..6_000))
    }

    pub(super) fn strike(&mut self, api: &Api, replicas: &mut [Replica]) {
        let whom = self.rng.usize(..replicas.len());
        let replica = &mut replicas[whom];
        match self.rng.u8(..12) {
            0 => replica.kill(),
            1 => replica.stop(),
            2 | 3 => replica.start(),
            4 => replica.freeze(true),
            5 => replica.freeze(false),
            6 => {
                let cut = self.rng.bool();
                replicas.iter().for_each(|replica| replica.link.lock().unwrap().cut = cut);
            }
            7 => self.edit(api),
            8..=11 => {
                let link = Link {
                    cut: self.rng.u8(..3) == 0,
                    slow: Duration::from_millis([0, 20, 300, 1_200][self.rng.usize(..4)]),
                    loss: [0, 0, 3, 15][self.rng.usize(..4)],
                    old: [0, 0, 20, 60][self.rng.usize(..4)],
                };
                api.note(format!("r{whom}: {link:?}"));
                *replica.link.lock().unwrap() = link;
            }
            _ => {}
        }
    }

    fn edit(&mut self, api: &Api) {
        if self.edits == 0 {
            return;
        }
        self.edits -= 1;
        let name = format!("fairlead-shard-{}", self.rng.u8(..self.shards));
        match self.rng.u8(..4) {
            0 => api.delete(&name),
            1 => api.edit(&name, |lease| lease["spec"]["holderIdentity"] = json!("")),
            2 => api.edit(&name, |lease| lease["spec"]["holderIdentity"] = json!("r1_1")),
            _ => {
                // Somebody applies a copy of some time ago.
                let before = api.earlier(&name);
                api.edit(&name, |lease| {
                    if let Some(before) = before {
                        lease["spec"] = before["spec"].clone();
                    }
                });
            }
        }
    }

    /// All is well from now on.
    pub(super) fn heal(&mut self, api: &Api, replicas: &mut [Replica]) {
        api.note("all is well".into());
        for replica in replicas {
            *replica.link.lock().unwrap() = Link::default();
            replica.freeze(false);
            replica.start();
        }
    }
}

//! The DB instances and DB snapshots of one account and region.

use std::collections::BTreeMap;
use std::time::Duration;

use super::RdsTiming;
use super::form::{instance_not_found, snapshot_not_found};
use super::instance::Instance;
use super::snapshot::Snapshot;
use crate::fake_aws::refusal::Refusal;

#[derive(Debug, Default)]
pub(super) struct Region {
    pub(super) instances: BTreeMap<String, Instance>,
    pub(super) snapshots: BTreeMap<String, Snapshot>,
}

impl Region {
    /// Lets happen what is due.
    pub(super) fn settle(&mut self, now: Duration, timing: &RdsTiming) {
        let mut renamed = Vec::new();
        self.instances.retain(|name, instance| {
            let there = instance.settle(now, timing);
            if there && name != instance.identifier() {
                renamed.push(name.clone());
            }
            there
        });
        for name in renamed {
            if let Some(instance) = self.instances.remove(&name) {
                self.instances.insert(instance.identifier().to_owned(), instance);
            }
        }
    }

    /// By its identifier, whatever its case.
    pub(super) fn instance(&mut self, identifier: &str) -> Result<&mut Instance, Refusal> {
        let found = self.instances.get_mut(&identifier.to_ascii_lowercase());
        found.ok_or_else(|| instance_not_found(identifier))
    }

    pub(super) fn snapshot(&mut self, identifier: &str) -> Result<&mut Snapshot, Refusal> {
        let found = self.snapshots.get_mut(&identifier.to_ascii_lowercase());
        found.ok_or_else(|| snapshot_not_found(identifier))
    }

    /// Refuses the name of an instance that there is, or that there is to be.
    pub(super) fn check_free(&self, identifier: &str) -> Result<(), Refusal> {
        let identifier = identifier.to_ascii_lowercase();
        let pending = |instance: &Instance| instance.pending.get("DBInstanceIdentifier") == Some(&identifier);
        if self.instances.contains_key(&identifier) || self.instances.values().any(pending) {
            return Err(Refusal::bad("DBInstanceAlreadyExists", "DB Instance already exists"));
        }
        Ok(())
    }

    pub(super) fn check_snapshot_free(&self, identifier: &str) -> Result<(), Refusal> {
        if self.snapshots.contains_key(identifier) {
            let message =
                format!("Cannot create the snapshot because one with the identifier {identifier} already exists.");
            return Err(Refusal::bad("DBSnapshotAlreadyExists", message));
        }
        Ok(())
    }
}

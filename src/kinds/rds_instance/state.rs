//! AWS's status words: what they mean for those who use the instance, and what can be changed meanwhile. Pure.

use super::fields::Field;
use crate::engine::kind::{Bearing, State};

/// What AWS lets be changed in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allows {
    /// Everything.
    All,
    /// Everything but storage: AWS is still working on the last change of it.
    AllButStorage,
    /// Nothing but more storage.
    Growth,
    /// Nothing.
    Nothing,
}

impl Allows {
    /// Whether a change of `field` is among it.
    pub fn change_of(self, field: Field) -> bool {
        match self {
            Self::All => true,
            Self::AllButStorage => !field.is_storage(),
            Self::Growth => matches!(field, Field::AllocatedStorage | Field::MaxAllocatedStorage),
            Self::Nothing => false,
        }
    }
}

/// What AWS lets be changed while the instance is in `status`.
pub fn allows(status: &str) -> Allows {
    match status {
        "available" => Allows::All,
        "storage-optimization" => Allows::AllButStorage,
        "storage-full" => Allows::Growth,
        _ => Allows::Nothing,
    }
}

/// Until when a change waits, after "waits until".
pub fn until(status: &str) -> String {
    match status {
        "stopped" => "the database instance is started".into(),
        "storage-full" => "the database instance has storage again".into(),
        status => format!("the database instance is no longer {status}"),
    }
}

/// Whether the instance is not there yet, or not for long: then there is nothing to change.
pub fn comes_or_goes(status: &str) -> bool {
    matches!(status, "creating" | "deleting" | "delete-precheck")
}

/// What `status` means. As AWS's user guide describes the words ("Viewing DB instance status").
pub fn state(status: &str) -> State {
    let (bearing, message) = meaning(status);
    State { bearing, reason: camel_case(status).into(), message }
}

fn meaning(status: &str) -> (Bearing, String) {
    if status == "available" {
        return (Bearing::Available, String::new());
    }
    if let Some(message) = trouble(status) {
        return (Bearing::Stuck, message);
    }
    let is = |what: &str| format!("the database instance {what}");
    let (bearing, message) = match status {
        "backing-up" => (Bearing::Busy, is("is being backed up")),
        "modifying" => (Bearing::Busy, is("is being modified")),
        "resetting-master-credentials" => (Bearing::Busy, is("gets its master password")),
        "storage-optimization" => (Bearing::Busy, is("works while AWS optimises its storage")),
        "storage-initialization" => (Bearing::Busy, is("works while AWS loads its storage from the snapshot")),
        "storage-config-upgrade" => (Bearing::Busy, is("works while AWS upgrades its storage's configuration")),
        status if status.starts_with("configuring-") => {
            (Bearing::Busy, is(&format!("works while AWS is {}", status.replace('-', " "))))
        }
        "creating" => (Bearing::Underway, is("is being created: that takes 5 to 30 minutes")),
        "deleting" | "delete-precheck" => (Bearing::Underway, is("is being deleted")),
        "rebooting" => (Bearing::Underway, is("restarts")),
        "starting" => (Bearing::Underway, is("is being started")),
        "stopping" => (Bearing::Underway, is("is being stopped")),
        "upgrading" => (Bearing::Underway, is("is being upgraded")),
        "maintenance" => (Bearing::Underway, is("is being maintained by AWS")),
        "stopped" => (Bearing::Resting, is("was stopped: start it in AWS to use it")),
        // The address changes in the course of these.
        "renaming" => (Bearing::Underway, is("is being renamed")),
        "moving-to-vpc" | "converting-to-vpc" => (Bearing::Underway, is("is being moved to another VPC")),
        "" => (Bearing::Underway, is("has no status yet")),
        // A word that is not known may mean anything, but AWS's words for troubles are few and old: the next look
        // tells more, and nobody is told meanwhile that the database can be used.
        unknown => (Bearing::Underway, is(&format!("is {unknown}"))),
    };
    (bearing, message)
}

/// What is wrong and the way out, where the instance can't be used until somebody does something.
fn trouble(status: &str) -> Option<String> {
    let text = match status {
        "storage-full" => {
            "its storage is full: raise spec.allocatedStorage, with spec.applyImmediately: true so that it does not \
             wait for the maintenance window"
        }
        "failed" => "it has failed, and AWS can't repair it: restore the latest snapshot into another object",
        "insufficient-capacity" => {
            "AWS has no capacity for it: set another spec.instanceClass, or delete the object and create it in other \
             availability zones"
        }
        "inaccessible-encryption-credentials" => {
            "AWS can't use its KMS key, and it can't be recovered: enable the key again, and restore the latest \
             backup into another object"
        }
        "inaccessible-encryption-credentials-recoverable" => {
            "AWS can't use its KMS key: enable the key again, or grant the use of it, and start the instance in AWS \
             within 7 days"
        }
        "restore-error" => "it could not be restored: check the snapshot, delete the object and create it again",
        "incompatible-create" => {
            "it could not be created as asked: delete the object and create it with other settings"
        }
        "incompatible-network" => {
            "its network does not fit: check that the subnets of its subnet group have free addresses and that the \
             VPC still is as it was, then see the RDS console"
        }
        "incompatible-option-group" => "its option group does not fit: change the option group's options in AWS",
        "incompatible-parameters" => {
            "it can't start with its parameter group: set the group's parameters back in AWS, then reboot the instance"
        }
        "incompatible-restore" => {
            "it can't be restored to that time or with these settings: delete the object and restore another snapshot"
        }
        status if status.starts_with("incompatible-") || status.starts_with("inaccessible-") => {
            return Some(format!("the database instance is {status}: see the RDS console for what does not fit"));
        }
        _ => return None,
    };
    Some(format!("the database instance can't be used: {text}"))
}

/// `storage-full` → `StorageFull`.
fn camel_case(status: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    let words = status.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let reason: String = words.map(capital).collect();
    // A condition's reason begins with a letter.
    match reason.starts_with(|first: char| first.is_ascii_alphabetic()) {
        true => reason,
        false => format!("Status{reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_means() {
        for (status, bearing, reason, words) in [
            ("available", Bearing::Available, "Available", ""),
            ("storage-optimization", Bearing::Busy, "StorageOptimization", "optimises"),
            ("backing-up", Bearing::Busy, "BackingUp", "backed up"),
            ("modifying", Bearing::Busy, "Modifying", "modified"),
            ("configuring-log-exports", Bearing::Busy, "ConfiguringLogExports", "configuring log exports"),
            ("configuring-of-the-future", Bearing::Busy, "ConfiguringOfTheFuture", ""),
            ("resetting-master-credentials", Bearing::Busy, "ResettingMasterCredentials", "password"),
            ("creating", Bearing::Underway, "Creating", "minutes"),
            ("deleting", Bearing::Underway, "Deleting", "deleted"),
            ("rebooting", Bearing::Underway, "Rebooting", "restarts"),
            ("upgrading", Bearing::Underway, "Upgrading", "upgraded"),
            ("maintenance", Bearing::Underway, "Maintenance", ""),
            ("renaming", Bearing::Underway, "Renaming", ""),
            ("starting", Bearing::Underway, "Starting", ""),
            ("stopping", Bearing::Underway, "Stopping", ""),
            ("stopped", Bearing::Resting, "Stopped", "start it"),
            ("storage-full", Bearing::Stuck, "StorageFull", "raise spec.allocatedStorage"),
            ("failed", Bearing::Stuck, "Failed", "restore"),
            ("incompatible-network", Bearing::Stuck, "IncompatibleNetwork", "subnets"),
            ("incompatible-parameters", Bearing::Stuck, "IncompatibleParameters", "parameter group"),
            ("incompatible-with-everything", Bearing::Stuck, "IncompatibleWithEverything", "RDS console"),
            ("inaccessible-encryption-credentials", Bearing::Stuck, "InaccessibleEncryptionCredentials", "KMS key"),
            ("insufficient-capacity", Bearing::Stuck, "InsufficientCapacity", "spec.instanceClass"),
            ("restore-error", Bearing::Stuck, "RestoreError", "snapshot"),
            ("something-new", Bearing::Underway, "SomethingNew", "something-new"),
            ("", Bearing::Underway, "Status", "no status"),
            ("2nd", Bearing::Underway, "Status2nd", ""),
        ] {
            let state = state(status);
            assert_eq!((state.bearing, state.reason.as_ref()), (bearing, reason), "{status}");
            assert!(state.message.contains(words), "{status}: {}", state.message);
        }
    }

    #[test]
    fn what_may_be_changed() {
        for (status, class, storage, limit) in [
            ("available", true, true, true),
            ("storage-optimization", true, false, true),
            ("storage-full", false, true, true),
            ("modifying", false, false, false),
            ("stopped", false, false, false),
            ("something-new", false, false, false),
        ] {
            let may = |field| allows(status).change_of(field);
            let fields = [Field::InstanceClass, Field::AllocatedStorage, Field::MaxAllocatedStorage].map(may);
            assert_eq!(fields, [class, storage, limit], "{status}");
        }
    }
}

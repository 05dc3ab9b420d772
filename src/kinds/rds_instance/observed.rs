//! What AWS said of a database instance, and the calls that change one, without the SDK's types.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::{Field, Value, Values};
use crate::{aws::tags::Tags, engine::password::Password};

/// What AWS said of a database instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Its identifier, in lower case.
    pub identifier: String,
    /// Its status, in AWS's word.
    pub status: String,
    /// The values of its fields.
    pub values: Values,
    /// The values that AWS has accepted, and that are not in effect yet.
    pub pending: Values,
    /// The same of what is no field of ours, by AWS's names.
    pub other_pending: BTreeMap<String, String>,
    /// Whether a parameter waits for a reboot.
    pub parameters_wait: bool,
    /// Its host, once it has one.
    pub host: Option<String>,
    /// The id that it keeps under any name.
    pub resource_id: Option<String>,
    /// How far AWS is with what it is doing.
    pub progress: Option<String>,
    /// The master user's secret, where AWS manages the password.
    pub secret: Option<MasterSecret>,
    /// When it was created, in seconds since 1970.
    pub created_at: Option<i64>,
    /// Its tags.
    pub tags: Tags,
}

/// A secret that AWS manages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterSecret {
    /// Its ARN.
    pub arn: String,
    /// The key that encrypts it.
    pub key: Option<String>,
}

/// One call that changes a database instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// ModifyDBInstance.
    Modify(Modify),
    /// RebootDBInstance.
    Reboot,
}

/// What one ModifyDBInstance is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modify {
    /// The new values.
    pub set: Values,
    /// The log exports that begin and end.
    pub logs: Option<LogChange>,
    /// The master user's password.
    pub master: Option<NewMaster>,
    /// Whether the version may become another major one.
    pub allow_major_upgrade: bool,
    /// Whether AWS is not to wait for the maintenance window, with this and with whatever waits.
    pub apply_immediately: bool,
}

/// The log exports that begin and end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogChange {
    /// Those that begin.
    pub enable: BTreeSet<String>,
    /// Those that end.
    pub disable: BTreeSet<String>,
}

/// Another password of the master user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewMaster {
    /// This one.
    Password(Password),
    /// This one, in place of the one that AWS manages.
    NoLongerManaged(Password),
    /// One that AWS manages, encrypted with a key, where one is named.
    Managed(Option<String>),
}

impl Observed {
    /// The value that is in effect, or will be: the pending one where there is one, else the actual.
    pub fn in_effect(&self, field: Field) -> Option<&Value> {
        self.pending.get(&field).or_else(|| self.values.get(&field))
    }
}

impl Change {
    /// The one that lets the instance be deleted.
    pub fn unprotect() -> Self {
        let set = [(Field::DeletionProtection, Value::Switch(false))].into();
        Self::Modify(Modify { set, ..Modify::default() })
    }

    /// Whether it gives the instance a password.
    pub fn sets_password(&self) -> bool {
        match self {
            Self::Modify(Modify { master, .. }) => {
                matches!(master, Some(NewMaster::Password(_) | NewMaster::NoLongerManaged(_)))
            }
            Self::Reboot => false,
        }
    }
}

//! What the creating call takes: the spec, the account's defaults, and what is always said. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{
    api::RDSInstanceDefaults,
    desired::{self, Credentials, Desired},
    fields::{Field, NO_AUTOSCALING, Value, Values, number, switch},
};
use crate::engine::{kind::NotYet, password::Password};

/// The master user, where the spec names none.
pub const MASTER_USERNAME: &str = "fairlead";
/// The type of storage, where neither the spec nor the account says one: AWS's own default depends on the call.
const STORAGE_TYPE: &str = "gp3";

/// What the creating call takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// The values of the fields that the call is given.
    pub fields: Values,
    /// The snapshot that the instance is restored from.
    pub snapshot: Option<String>,
    /// The master user's password.
    pub master: Master,
    /// Which of the values are the account's, for people.
    pub defaults: BTreeMap<String, String>,
}

/// The master user's password at the creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Master {
    /// The call takes none: the snapshot's is in effect until a plan sets it.
    Later,
    /// This one.
    Password(Password),
    /// AWS makes it, and encrypts it with a key, where one is named.
    Managed(Option<String>),
}

impl Creation {
    /// Whether the call gives the instance the password that the creation was made with.
    pub fn has_password(&self) -> bool {
        matches!(self.master, Master::Password(_))
    }

    /// The fields that it has, for people, by their names in the spec.
    pub fn shown(&self) -> BTreeMap<String, String> {
        let Self { fields, snapshot, master, defaults } = self;
        let of = |field: &Field| if defaults.contains_key(field.name()) { " (the account's default)" } else { "" };
        let value = |(field, value): (&Field, &Value)| {
            let shown = format!("{}{}", field.show(value), of(field));
            (field.name().to_owned(), shown)
        };
        let snapshot = snapshot.iter().map(|snapshot| ("restoreFromSnapshot".to_owned(), snapshot.clone()));
        let credentials = match master {
            Master::Later => "set once the snapshot is restored",
            Master::Password(_) => "a password from a Secret",
            Master::Managed(_) => "managed by AWS",
        };
        let credentials = [("credentials".to_owned(), credentials.to_owned())];
        fields.iter().map(value).chain(snapshot).chain(credentials).collect()
    }

    /// What the status tells of it.
    pub fn told(&self) -> Map<String, Json> {
        let told = (!self.defaults.is_empty()).then(|| ("defaults".to_owned(), json!(self.defaults)));
        told.into_iter().collect()
    }
}

/// What an account says of new instances.
pub fn defaults(defaults: &RDSInstanceDefaults) -> Values {
    let RDSInstanceDefaults {
        region: _,
        db_subnet_group_name,
        vpc_security_group_ids,
        kms_key_id,
        instance_class,
        allocated_storage,
        storage_type,
        port,
        multi_az,
        preferred_backup_window,
        preferred_maintenance_window,
    } = defaults;
    let values = [
        (Field::SubnetGroup, desired::name(db_subnet_group_name)),
        (Field::SecurityGroups, desired::set(vpc_security_group_ids)),
        (Field::KmsKey, desired::name(kms_key_id)),
        (Field::InstanceClass, desired::name(instance_class)),
        (Field::AllocatedStorage, desired::number(*allocated_storage)),
        (Field::StorageType, desired::word(storage_type.map(|it| it.as_str()))),
        (Field::Port, desired::number(*port)),
        (Field::MultiAz, desired::switch(*multi_az)),
        (Field::BackupWindow, desired::name(preferred_backup_window)),
        (Field::MaintenanceWindow, desired::name(preferred_maintenance_window)),
    ];
    values.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
}

/// The creation of what is `desired`, where the account has `defaults`, for people called `account`.
///
/// # Errors
/// Where something is missing that only a creation needs.
pub fn creation(
    desired: &Desired,
    defaults: &Values,
    account: &str,
    password: Option<&Password>,
) -> Result<Creation, NotYet> {
    let restores = desired.snapshot.is_some();
    let mut fields = desired.fields.clone();
    let mut told = BTreeMap::new();
    for (field, value) in defaults.iter().filter(|(field, _)| takes_default(desired, **field)) {
        fields.insert(*field, value.clone());
        told.insert(field.name().to_owned(), field.show(value));
    }
    // These are said in any case, since AWS's defaults depend on the call and on the network.
    fields.entry(Field::PubliclyAccessible).or_insert(Value::Switch(false));
    if restores {
        // What else the spec asks is a difference, once the instance is there.
        fields.retain(|field, _| restore_takes(desired.engine(), *field));
    } else {
        fields.entry(Field::StorageEncrypted).or_insert(Value::Switch(true));
        fields.entry(Field::StorageType).or_insert_with(|| Value::Text(STORAGE_TYPE.into()));
        fields.entry(Field::MasterUsername).or_insert_with(|| Value::Text(MASTER_USERNAME.into()));
        for field in [Field::InstanceClass, Field::AllocatedStorage] {
            if !fields.contains_key(&field) {
                return Err(missing(field, account));
            }
        }
    }
    // A limit that is the storage itself means none, which is the default.
    if number(&fields, Field::MaxAllocatedStorage) == Some(NO_AUTOSCALING) {
        fields.remove(&Field::MaxAllocatedStorage);
    }
    let master = match (&desired.credentials, password) {
        (Credentials::Managed(_), _) | (Credentials::Secret, _) if restores => Master::Later,
        (Credentials::Managed(key), _) => Master::Managed(key.clone()),
        (Credentials::Secret, Some(password)) => Master::Password(password.clone()),
        (Credentials::Secret, None) => {
            return Err(NotYet::Waiting("spec.credentials: waiting for the password of the database instance".into()));
        }
    };
    Ok(Creation { fields, snapshot: desired.snapshot.clone(), master, defaults: told })
}

/// Whether the account's default of `field` is for what is `desired`.
fn takes_default(desired: &Desired, field: Field) -> bool {
    let said = desired.fields.contains_key(&field);
    let restores = desired.snapshot.is_some();
    match field {
        _ if said => false,
        // AWS takes one of the two.
        Field::MultiAz => !desired.fields.contains_key(&Field::AvailabilityZone),
        // The snapshot's is kept.
        Field::KmsKey => !restores && switch(&desired.fields, Field::StorageEncrypted) != Some(false),
        // A snapshot may be of more: its own is taken.
        Field::AllocatedStorage => !restores,
        field if restores => restore_takes(desired.engine(), field),
        _ => true,
    }
}

/// Whether `RestoreDBInstanceFromDBSnapshot` takes `field`.
pub fn restore_takes(engine: &str, field: Field) -> bool {
    match field {
        Field::AllocatedStorage => !engine.starts_with("sqlserver"),
        Field::EngineVersion
        | Field::MaxAllocatedStorage
        | Field::DbName
        | Field::MasterUsername
        | Field::StorageEncrypted
        | Field::KmsKey
        | Field::MaintenanceWindow
        | Field::MonitoringInterval
        | Field::MonitoringRole
        | Field::PerformanceInsights
        | Field::PerformanceInsightsKey
        | Field::PerformanceInsightsRetention => false,
        _ => true,
    }
}

fn missing(field: Field, account: &str) -> NotYet {
    let name = field.name();
    NotYet::Invalid(format!(
        "spec.{name}: a new database instance needs it: set it here, or spec.rdsInstanceDefaults.{name} of {account}"
    ))
}

//! The table of a database instance's fields: names, which are fixed at the creation, when AWS applies a
//! change, defaults, how values are compared. As in the RDS API reference (`CreateDBInstance`,
//! `ModifyDBInstance`) and the user guide's "Settings for DB instances".

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::{Value as Json, json};

use super::version::{self, Step};

/// A field that a spec can set and AWS tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "AWS's own names")]
pub enum Field {
    Engine,
    EngineVersion,
    InstanceClass,
    AllocatedStorage,
    MaxAllocatedStorage,
    StorageType,
    Iops,
    StorageThroughput,
    DbName,
    MasterUsername,
    Port,
    MultiAz,
    AvailabilityZone,
    SubnetGroup,
    SecurityGroups,
    ParameterGroup,
    OptionGroup,
    PubliclyAccessible,
    StorageEncrypted,
    KmsKey,
    BackupRetention,
    BackupWindow,
    MaintenanceWindow,
    AutoMinorVersionUpgrade,
    CopyTagsToSnapshot,
    DeletionProtection,
    IamAuthentication,
    LogExports,
    MonitoringInterval,
    MonitoringRole,
    PerformanceInsights,
    PerformanceInsightsKey,
    PerformanceInsightsRetention,
    CaCertificate,
    LicenseModel,
    NetworkType,
}

/// Fields and their values.
pub type Values = BTreeMap<Field, Value>;

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A name, a word, an ARN.
    Text(String),
    /// A number.
    Number(i32),
    /// A switch.
    Switch(bool),
    /// Names without an order.
    Set(BTreeSet<String>),
}

/// When AWS makes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Applies {
    /// Never: the field is fixed when the instance is created.
    CreateOnly,
    /// As soon as it can, whatever ApplyImmediately says.
    AtOnce,
    /// In the next maintenance window, or as soon as it can with ApplyImmediately.
    InWindow,
}

/// To what a field returns when it leaves the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removed {
    /// There is no such value: it stays as it is, and is no longer managed.
    Stays,
    Switch(bool),
    Number(i32),
    Empty,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Exact,
    /// Of names that AWS, or the engine, keeps in a case of its own.
    CaseLess,
    /// Of versions: see [`version`].
    Version,
    /// Of KMS keys, by id or ARN. AWS tells ARNs only, so that an alias can't be compared.
    Key,
}

struct Row {
    field: Field,
    name: &'static str,
    applies: Applies,
    removed: Removed,
    comparison: Comparison,
}

const fn row(field: Field, name: &'static str, applies: Applies, removed: Removed, comparison: Comparison) -> Row {
    Row { field, name, applies, removed, comparison }
}

const COUNT: usize = 36;

static TABLE: [Row; COUNT] = {
    use Applies::{AtOnce, CreateOnly, InWindow};
    use Comparison::{CaseLess, Exact, Key, Version};
    use Field as F;
    use Removed::{Empty, Number, Stays, Switch};
    [
        row(F::Engine, "engine", CreateOnly, Stays, Exact),
        row(F::EngineVersion, "engineVersion", InWindow, Stays, Version),
        row(F::InstanceClass, "instanceClass", InWindow, Stays, Exact),
        row(F::AllocatedStorage, "allocatedStorage", InWindow, Stays, Exact),
        row(F::MaxAllocatedStorage, "maxAllocatedStorage", AtOnce, Number(NO_AUTOSCALING), Exact),
        row(F::StorageType, "storageType", InWindow, Stays, Exact),
        row(F::Iops, "iops", InWindow, Stays, Exact),
        row(F::StorageThroughput, "storageThroughput", InWindow, Stays, Exact),
        row(F::DbName, "dbName", CreateOnly, Stays, CaseLess),
        row(F::MasterUsername, "masterUsername", CreateOnly, Stays, CaseLess),
        row(F::Port, "port", AtOnce, Stays, Exact),
        row(F::MultiAz, "multiAZ", InWindow, Switch(false), Exact),
        row(F::AvailabilityZone, "availabilityZone", CreateOnly, Stays, Exact),
        row(F::SubnetGroup, "dbSubnetGroupName", InWindow, Stays, CaseLess),
        row(F::SecurityGroups, "vpcSecurityGroupIds", AtOnce, Stays, Exact),
        row(F::ParameterGroup, "dbParameterGroupName", AtOnce, Stays, CaseLess),
        row(F::OptionGroup, "optionGroupName", InWindow, Stays, CaseLess),
        row(F::PubliclyAccessible, "publiclyAccessible", AtOnce, Switch(false), Exact),
        row(F::StorageEncrypted, "storageEncrypted", CreateOnly, Stays, Exact),
        row(F::KmsKey, "kmsKeyId", CreateOnly, Stays, Key),
        // At once between two values that are not 0.
        row(F::BackupRetention, "backupRetentionPeriod", InWindow, Number(1), Exact),
        row(F::BackupWindow, "preferredBackupWindow", AtOnce, Stays, Exact),
        row(F::MaintenanceWindow, "preferredMaintenanceWindow", AtOnce, Stays, CaseLess),
        row(F::AutoMinorVersionUpgrade, "autoMinorVersionUpgrade", AtOnce, Switch(true), Exact),
        row(F::CopyTagsToSnapshot, "copyTagsToSnapshot", AtOnce, Switch(false), Exact),
        row(F::DeletionProtection, "deletionProtection", AtOnce, Switch(false), Exact),
        row(F::IamAuthentication, "enableIAMDatabaseAuthentication", InWindow, Switch(false), Exact),
        row(F::LogExports, "enableCloudwatchLogsExports", AtOnce, Empty, Exact),
        row(F::MonitoringInterval, "monitoringInterval", AtOnce, Number(0), Exact),
        row(F::MonitoringRole, "monitoringRoleARN", AtOnce, Stays, Exact),
        row(F::PerformanceInsights, "performanceInsights.enabled", AtOnce, Switch(false), Exact),
        row(F::PerformanceInsightsKey, "performanceInsights.kmsKeyId", AtOnce, Stays, Key),
        row(F::PerformanceInsightsRetention, "performanceInsights.retentionPeriod", AtOnce, Number(7), Exact),
        row(F::CaCertificate, "caCertificateIdentifier", InWindow, Stays, Exact),
        row(F::LicenseModel, "licenseModel", InWindow, Stays, Exact),
        row(F::NetworkType, "networkType", InWindow, Stays, Exact),
    ]
};

/// The value of maxAllocatedStorage that means: storage does not grow by itself.
pub const NO_AUTOSCALING: i32 = 0;

/// The fields of the spec that may be managed.
pub static FIELDS: [&str; COUNT] = {
    let mut fields = [""; COUNT];
    let mut index = 0;
    while index < COUNT {
        fields[index] = TABLE[index].name;
        index += 1;
    }
    fields
};

impl Field {
    /// All fields.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.field)
    }

    /// Its name in the spec.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether it is fixed when the instance is created.
    pub fn is_create_only(self) -> bool {
        self.row().applies == Applies::CreateOnly
    }

    /// Whether a change waits for the maintenance window, unless ApplyImmediately is given.
    pub fn waits_for_window(self) -> bool {
        self.row().applies == Applies::InWindow
    }

    /// Whether it is about what can't be changed while AWS is still working on the last such change.
    pub fn is_storage(self) -> bool {
        matches!(self, Self::AllocatedStorage | Self::StorageType | Self::Iops | Self::StorageThroughput)
    }

    /// To what it returns when it leaves the spec, where there is such a value.
    pub fn default_value(self) -> Option<Value> {
        match self.row().removed {
            Removed::Stays => None,
            Removed::Switch(on) => Some(Value::Switch(on)),
            Removed::Number(number) => Some(Value::Number(number)),
            Removed::Empty => Some(Value::Set(BTreeSet::new())),
        }
    }

    /// Whether `actual` is what `wished` asks, on an `engine`.
    pub fn same(self, engine: &str, wished: &Value, actual: &Value) -> bool {
        let (Value::Text(wished), Value::Text(actual)) = (wished, actual) else { return wished == actual };
        match self.row().comparison {
            Comparison::Exact => wished == actual,
            Comparison::CaseLess => wished.eq_ignore_ascii_case(actual),
            Comparison::Version => version::step(engine, actual, wished) == Step::None,
            Comparison::Key => same_key(wished, actual),
        }
    }

    /// `value` for people.
    pub fn show(self, value: &Value) -> String {
        match (self, value) {
            (Self::MaxAllocatedStorage, Value::Number(NO_AUTOSCALING)) => "off".into(),
            (_, value) => value.to_string(),
        }
    }

    fn row(self) -> &'static Row {
        // The table is in the order of the enum; a test holds it to that.
        &TABLE[self as usize]
    }
}

/// Whether two names of KMS keys may mean the same key.
fn same_key(wished: &str, actual: &str) -> bool {
    let is_alias = |key: &str| key.starts_with("alias/") || key.contains(":alias/");
    let id = |key: &str| key.rsplit('/').next().unwrap_or(key).to_owned();
    let is_arn = |key: &str| key.starts_with("arn:");
    match is_alias(wished) || is_alias(actual) {
        true => true,
        false if is_arn(wished) && is_arn(actual) => wished == actual,
        false => id(wished) == id(actual),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Switch(on) => on.fmt(f),
            Self::Set(names) => f.write_str(&names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
        }
    }
}

impl Value {
    /// As JSON.
    pub fn json(&self) -> Json {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(number) => json!(number),
            Self::Switch(on) => json!(on),
            Self::Set(names) => json!(names),
        }
    }
}

/// A number among `values`.
pub fn number(values: &Values, field: Field) -> Option<i32> {
    match values.get(&field) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    }
}

/// A text among `values`.
pub fn text(values: &Values, field: Field) -> Option<&str> {
    match values.get(&field) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// A switch among `values`.
pub fn switch(values: &Values, field: Field) -> Option<bool> {
    match values.get(&field) {
        Some(Value::Switch(on)) => Some(*on),
        _ => None,
    }
}

/// A set among `values`; empty where there is none.
pub fn set(values: &Values, field: Field) -> BTreeSet<String> {
    match values.get(&field) {
        Some(Value::Set(names)) => names.clone(),
        _ => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.field as usize, index, "{}", row.name);
        }
        assert_eq!(FIELDS.iter().collect::<BTreeSet<_>>().len(), COUNT, "each has a name of its own");
    }

    #[test]
    fn what_a_create_only_field_was_given_stays() {
        for field in Field::all().filter(|field| field.is_create_only()) {
            assert_eq!(field.default_value(), None, "{field:?}");
        }
    }

    #[test]
    fn values_are_compared_by_meaning() {
        let arn = "arn:aws:kms:eu-west-1:123456789012:key/1234-5678";
        for (field, wished, actual, same) in [
            (Field::KmsKey, arn, arn, true),
            (Field::KmsKey, "1234-5678", arn, true),
            (Field::KmsKey, "1234-5679", arn, false),
            (Field::KmsKey, "arn:aws:kms:eu-west-1:999999999999:key/1234-5678", arn, false),
            (Field::KmsKey, "alias/orders", arn, true),
            (Field::KmsKey, "arn:aws:kms:eu-west-1:123456789012:alias/orders", arn, true),
            (Field::SubnetGroup, "Private", "private", true),
            (Field::MaintenanceWindow, "Sun:03:00-Sun:04:00", "sun:03:00-sun:04:00", true),
            (Field::InstanceClass, "db.t4g.micro", "db.t4g.small", false),
            (Field::EngineVersion, "16", "16.3", true),
            (Field::EngineVersion, "16.3", "16.2", false),
        ] {
            let (wished, actual) = (Value::Text(wished.into()), Value::Text(actual.into()));
            assert_eq!(field.same("postgres", &wished, &actual), same, "{field:?} {wished} {actual}");
        }
    }
}

//! What a spec asks. Pure.

use super::{
    api::{Credentials as CredentialsSpec, PerformanceInsights, RDSInstanceSpec},
    fields::{Field, NO_AUTOSCALING, Value, Values, text},
};
use crate::engine::{
    kind::{NotYet, PasswordSource},
    password::Password,
};

/// The longest identifier.
const NAME_LIMIT: usize = 63;

/// What a spec asks, validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The values of the fields that the spec sets.
    pub fields: Values,
    /// Where the master user's password comes from.
    pub credentials: Credentials,
    /// Whether the version may become another major one.
    pub allow_major_upgrade: bool,
    /// Whether changes are made at once.
    pub apply_immediately: bool,
    /// Whether the instance is rebooted where a parameter waits for it.
    pub reboot: bool,
    /// The snapshot that a new instance is restored from.
    pub snapshot: Option<String>,
}

/// Where the master user's password comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// From a Secret in Kubernetes.
    Secret,
    /// From AWS Secrets Manager, encrypted with a key, where the spec names one.
    Managed(Option<String>),
}

impl Desired {
    /// The database engine.
    pub fn engine(&self) -> &str {
        text(&self.fields, Field::Engine).unwrap_or_default()
    }
}

/// The instance's identifier, given the wished one. RDS keeps it in lower case.
///
/// # Errors
/// Where RDS would not take it.
pub fn resource_name(wished: &str) -> Result<String, NotYet> {
    let name = wished.to_ascii_lowercase();
    let invalid =
        |problem: &str| Err(NotYet::Invalid(format!("spec.name: the database instance's name {name:?} {problem}")));
    if let Some(bad) = name.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
        return invalid(&format!("has {bad:?}: RDS allows letters, digits and -; set another spec.name"));
    }
    if name.is_empty() || name.len() > NAME_LIMIT {
        return invalid(&format!(
            "has {} characters: RDS takes 1 to {NAME_LIMIT}; set a shorter spec.name",
            name.len()
        ));
    }
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return invalid("does not begin with a letter: set another spec.name");
    }
    if name.ends_with('-') || name.contains("--") {
        return invalid("ends in - or has two - in a row, which RDS does not take: set another spec.name");
    }
    Ok(name)
}

/// What `spec` asks.
///
/// # Errors
/// Where the spec is invalid in a way that its schema can't tell.
pub fn desired(spec: &RDSInstanceSpec) -> Result<Desired, NotYet> {
    // Without `..`: a field that is forgotten here would silently do nothing.
    let RDSInstanceSpec {
        common: _,
        engine,
        engine_version,
        allow_major_version_upgrade,
        instance_class,
        allocated_storage,
        max_allocated_storage,
        storage_type,
        iops,
        storage_throughput,
        db_name,
        master_username,
        port,
        multi_az,
        availability_zone,
        db_subnet_group_name,
        vpc_security_group_ids,
        db_parameter_group_name,
        option_group_name,
        publicly_accessible,
        storage_encrypted,
        kms_key_id,
        backup_retention_period,
        preferred_backup_window,
        preferred_maintenance_window,
        auto_minor_version_upgrade,
        copy_tags_to_snapshot,
        deletion_protection,
        enable_iam_database_authentication,
        enable_cloudwatch_logs_exports,
        monitoring_interval,
        monitoring_role_arn,
        performance_insights,
        ca_certificate_identifier,
        license_model,
        network_type,
        apply_immediately,
        restore_from_snapshot,
        reboot_on_parameter_change,
        // Of the end alone, which reads it itself.
        delete_automated_backups: _,
        credentials,
    } = spec;
    let PerformanceInsights { enabled, kms_key_id: insights_key, retention_period } =
        performance_insights.clone().unwrap_or_default();
    let limit = max_allocated_storage.map(|limit| limit_of(limit, *allocated_storage));
    let values = [
        (Field::Engine, name(&Some(engine.clone()))),
        (Field::EngineVersion, name(engine_version)),
        (Field::InstanceClass, name(instance_class)),
        (Field::AllocatedStorage, number(*allocated_storage)),
        (Field::MaxAllocatedStorage, number(limit)),
        (Field::StorageType, word(storage_type.map(|it| it.as_str()))),
        (Field::Iops, number(*iops)),
        (Field::StorageThroughput, number(*storage_throughput)),
        (Field::DbName, name(db_name)),
        (Field::MasterUsername, name(master_username)),
        (Field::Port, number(*port)),
        (Field::MultiAz, switch(*multi_az)),
        (Field::AvailabilityZone, name(availability_zone)),
        (Field::SubnetGroup, name(db_subnet_group_name)),
        (Field::SecurityGroups, set(vpc_security_group_ids)),
        (Field::ParameterGroup, name(db_parameter_group_name)),
        (Field::OptionGroup, name(option_group_name)),
        (Field::PubliclyAccessible, switch(*publicly_accessible)),
        (Field::StorageEncrypted, switch(*storage_encrypted)),
        (Field::KmsKey, name(kms_key_id)),
        (Field::BackupRetention, number(*backup_retention_period)),
        (Field::BackupWindow, name(preferred_backup_window)),
        (Field::MaintenanceWindow, name(preferred_maintenance_window)),
        (Field::AutoMinorVersionUpgrade, switch(*auto_minor_version_upgrade)),
        (Field::CopyTagsToSnapshot, switch(*copy_tags_to_snapshot)),
        (Field::DeletionProtection, switch(*deletion_protection)),
        (Field::IamAuthentication, switch(*enable_iam_database_authentication)),
        (Field::LogExports, set(enable_cloudwatch_logs_exports)),
        (Field::MonitoringInterval, number(*monitoring_interval)),
        (Field::MonitoringRole, name(monitoring_role_arn)),
        (Field::PerformanceInsights, switch(enabled)),
        (Field::PerformanceInsightsKey, name(&insights_key)),
        (Field::PerformanceInsightsRetention, number(retention_period)),
        (Field::CaCertificate, name(ca_certificate_identifier)),
        (Field::LicenseModel, word(license_model.map(|it| it.as_str()))),
        (Field::NetworkType, word(network_type.map(|it| it.as_str()))),
    ];
    Ok(Desired {
        fields: values.into_iter().filter_map(|(field, value)| Some((field, value?))).collect(),
        credentials: credentials_of(credentials.as_ref())?,
        allow_major_upgrade: *allow_major_version_upgrade == Some(true),
        apply_immediately: *apply_immediately == Some(true),
        reboot: *reboot_on_parameter_change == Some(true),
        snapshot: restore_from_snapshot.clone(),
    })
}

/// Where the password of the object called `object` comes from.
pub fn password_source(credentials: Option<&CredentialsSpec>, object: &str) -> PasswordSource {
    match credentials {
        Some(CredentialsSpec { managed_by_aws: Some(_), .. }) => PasswordSource::Managed,
        Some(CredentialsSpec { secret_ref: Some(secret), .. }) => PasswordSource::Referenced {
            secret: secret.name.clone(),
            key: secret.key().to_owned(),
            field: "credentials.secretRef",
        },
        credentials => {
            let generate = credentials.and_then(|it| it.generate.clone()).unwrap_or_default();
            PasswordSource::Generated { secret: generate.secret_name(object), field: "credentials.generate.secretName" }
        }
    }
}

/// Makes sure that RDS takes `password` for an `engine`.
///
/// # Errors
/// What is wrong, without a part of the password.
pub fn check_password(engine: &str, password: &Password) -> Result<(), String> {
    let longest = match engine {
        "mysql" | "mariadb" => 41,
        engine if engine.starts_with("oracle") => 30,
        engine if engine.starts_with("db2") => 255,
        _ => 128,
    };
    let password = password.expose();
    let length = password.chars().count();
    if !(8..=longest).contains(&length) {
        return Err(format!("it has {length} characters, and RDS takes 8 to {longest} with {engine}"));
    }
    let forbidden = if engine.starts_with("oracle") { r#"/"@&'"# } else { r#"/"@"# };
    if password.chars().any(|c| !c.is_ascii_graphic() || forbidden.contains(c)) {
        let signs = forbidden.chars().map(String::from).collect::<Vec<_>>().join(" ");
        return Err(format!("RDS takes printable ASCII characters without {signs} and spaces with {engine}"));
    }
    Ok(())
}

/// The limit of the storage's growth: one that is no more than the storage is none.
fn limit_of(limit: i32, allocated_storage: Option<i32>) -> i32 {
    if allocated_storage.is_some_and(|storage| limit <= storage) { NO_AUTOSCALING } else { limit }
}

fn credentials_of(spec: Option<&CredentialsSpec>) -> Result<Credentials, NotYet> {
    let Some(CredentialsSpec { generate, secret_ref, managed_by_aws }) = spec else { return Ok(Credentials::Secret) };
    match (generate, secret_ref, managed_by_aws) {
        (None, None, Some(managed)) => Ok(Credentials::Managed(managed.kms_key_id.clone())),
        (Some(_), None, None) | (None, Some(_), None) => Ok(Credentials::Secret),
        _ => Err(NotYet::Invalid("spec.credentials: set generate, secretRef or managedByAWS, one of them".into())),
    }
}

pub(super) fn name(text: &Option<String>) -> Option<Value> {
    text.clone().map(Value::Text)
}

pub(super) fn word(word: Option<&str>) -> Option<Value> {
    word.map(|word| Value::Text(word.into()))
}

pub(super) fn number(number: Option<i32>) -> Option<Value> {
    number.map(Value::Number)
}

pub(super) fn switch(on: Option<bool>) -> Option<Value> {
    on.map(Value::Switch)
}

pub(super) fn set(names: &Option<Vec<String>>) -> Option<Value> {
    names.as_ref().map(|names| Value::Set(names.iter().cloned().collect()))
}

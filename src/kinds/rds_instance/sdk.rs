//! Between the SDK's types and plain ones.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_rds::{
    operation::{
        create_db_instance::builders::CreateDBInstanceFluentBuilder as Create,
        modify_db_instance::builders::ModifyDBInstanceFluentBuilder as ModifyCall,
        restore_db_instance_from_db_snapshot::builders::RestoreDBInstanceFromDBSnapshotFluentBuilder as Restore,
    },
    types::{
        CloudwatchLogsExportConfiguration, DbInstance, OptionGroupMembership, PendingCloudwatchLogsExports,
        PendingModifiedValues, Tag,
    },
};

use super::{
    creation::{Creation, Master},
    fields::{self, Field, Value, Values},
    observed::{LogChange, MasterSecret, Modify, NewMaster, Observed},
};
use crate::aws::tags::Tags;

/// Values as the SDK's setters want them.
struct Set<'a>(&'a Values);

impl Set<'_> {
    fn text(&self, field: Field) -> Option<String> {
        fields::text(self.0, field).map(str::to_owned)
    }

    fn number(&self, field: Field) -> Option<i32> {
        fields::number(self.0, field)
    }

    fn switch(&self, field: Field) -> Option<bool> {
        fields::switch(self.0, field)
    }

    fn names(&self, field: Field) -> Option<Vec<String>> {
        match self.0.get(&field) {
            Some(Value::Set(names)) => Some(names.iter().cloned().collect()),
            _ => None,
        }
    }
}

/// `call` with what a creation says.
pub(super) fn create(call: Create, creation: &Creation) -> Create {
    use Field as F;
    let set = Set(&creation.fields);
    let call = call
        .set_engine(set.text(F::Engine))
        .set_engine_version(set.text(F::EngineVersion))
        .set_db_instance_class(set.text(F::InstanceClass))
        .set_allocated_storage(set.number(F::AllocatedStorage))
        .set_max_allocated_storage(set.number(F::MaxAllocatedStorage))
        .set_storage_type(set.text(F::StorageType))
        .set_iops(set.number(F::Iops))
        .set_storage_throughput(set.number(F::StorageThroughput))
        .set_db_name(set.text(F::DbName))
        .set_master_username(set.text(F::MasterUsername))
        .set_port(set.number(F::Port))
        .set_multi_az(set.switch(F::MultiAz))
        .set_availability_zone(set.text(F::AvailabilityZone))
        .set_db_subnet_group_name(set.text(F::SubnetGroup))
        .set_vpc_security_group_ids(set.names(F::SecurityGroups))
        .set_db_parameter_group_name(set.text(F::ParameterGroup))
        .set_option_group_name(set.text(F::OptionGroup))
        .set_publicly_accessible(set.switch(F::PubliclyAccessible))
        .set_storage_encrypted(set.switch(F::StorageEncrypted))
        .set_kms_key_id(set.text(F::KmsKey))
        .set_backup_retention_period(set.number(F::BackupRetention))
        .set_preferred_backup_window(set.text(F::BackupWindow))
        .set_preferred_maintenance_window(set.text(F::MaintenanceWindow))
        .set_auto_minor_version_upgrade(set.switch(F::AutoMinorVersionUpgrade))
        .set_copy_tags_to_snapshot(set.switch(F::CopyTagsToSnapshot))
        .set_deletion_protection(set.switch(F::DeletionProtection))
        .set_enable_iam_database_authentication(set.switch(F::IamAuthentication))
        .set_enable_cloudwatch_logs_exports(set.names(F::LogExports))
        .set_monitoring_interval(set.number(F::MonitoringInterval))
        .set_monitoring_role_arn(set.text(F::MonitoringRole))
        .set_enable_performance_insights(set.switch(F::PerformanceInsights))
        .set_performance_insights_kms_key_id(set.text(F::PerformanceInsightsKey))
        .set_performance_insights_retention_period(set.number(F::PerformanceInsightsRetention))
        .set_ca_certificate_identifier(set.text(F::CaCertificate))
        .set_license_model(set.text(F::LicenseModel))
        .set_network_type(set.text(F::NetworkType));
    match &creation.master {
        Master::Later => call,
        Master::Password(password) => call.master_user_password(password.expose()),
        Master::Managed(key) => call.manage_master_user_password(true).set_master_user_secret_kms_key_id(key.clone()),
    }
}

/// `call` with what a creation from a snapshot says.
pub(super) fn restore(call: Restore, creation: &Creation) -> Restore {
    use Field as F;
    let set = Set(&creation.fields);
    call.set_db_snapshot_identifier(creation.snapshot.clone())
        .set_engine(set.text(F::Engine))
        .set_db_instance_class(set.text(F::InstanceClass))
        .set_allocated_storage(set.number(F::AllocatedStorage))
        .set_storage_type(set.text(F::StorageType))
        .set_iops(set.number(F::Iops))
        .set_storage_throughput(set.number(F::StorageThroughput))
        .set_port(set.number(F::Port))
        .set_multi_az(set.switch(F::MultiAz))
        .set_availability_zone(set.text(F::AvailabilityZone))
        .set_db_subnet_group_name(set.text(F::SubnetGroup))
        .set_vpc_security_group_ids(set.names(F::SecurityGroups))
        .set_db_parameter_group_name(set.text(F::ParameterGroup))
        .set_option_group_name(set.text(F::OptionGroup))
        .set_publicly_accessible(set.switch(F::PubliclyAccessible))
        .set_backup_retention_period(set.number(F::BackupRetention))
        .set_preferred_backup_window(set.text(F::BackupWindow))
        .set_auto_minor_version_upgrade(set.switch(F::AutoMinorVersionUpgrade))
        .set_copy_tags_to_snapshot(set.switch(F::CopyTagsToSnapshot))
        .set_deletion_protection(set.switch(F::DeletionProtection))
        .set_enable_iam_database_authentication(set.switch(F::IamAuthentication))
        .set_enable_cloudwatch_logs_exports(set.names(F::LogExports))
        .set_ca_certificate_identifier(set.text(F::CaCertificate))
        .set_license_model(set.text(F::LicenseModel))
        .set_network_type(set.text(F::NetworkType))
}

/// `call` with what a modification says.
pub(super) fn modify(call: ModifyCall, modify: &Modify) -> ModifyCall {
    use Field as F;
    // Without `..`: what is forgotten here would silently not be sent.
    let Modify { set, logs, master, allow_major_upgrade, apply_immediately } = modify;
    let set = Set(set);
    let call = call
        .set_engine_version(set.text(F::EngineVersion))
        .set_db_instance_class(set.text(F::InstanceClass))
        .set_allocated_storage(set.number(F::AllocatedStorage))
        .set_max_allocated_storage(set.number(F::MaxAllocatedStorage))
        .set_storage_type(set.text(F::StorageType))
        .set_iops(set.number(F::Iops))
        .set_storage_throughput(set.number(F::StorageThroughput))
        .set_db_port_number(set.number(F::Port))
        .set_multi_az(set.switch(F::MultiAz))
        .set_db_subnet_group_name(set.text(F::SubnetGroup))
        .set_vpc_security_group_ids(set.names(F::SecurityGroups))
        .set_db_parameter_group_name(set.text(F::ParameterGroup))
        .set_option_group_name(set.text(F::OptionGroup))
        .set_publicly_accessible(set.switch(F::PubliclyAccessible))
        .set_backup_retention_period(set.number(F::BackupRetention))
        .set_preferred_backup_window(set.text(F::BackupWindow))
        .set_preferred_maintenance_window(set.text(F::MaintenanceWindow))
        .set_auto_minor_version_upgrade(set.switch(F::AutoMinorVersionUpgrade))
        .set_copy_tags_to_snapshot(set.switch(F::CopyTagsToSnapshot))
        .set_deletion_protection(set.switch(F::DeletionProtection))
        .set_enable_iam_database_authentication(set.switch(F::IamAuthentication))
        .set_monitoring_interval(set.number(F::MonitoringInterval))
        .set_monitoring_role_arn(set.text(F::MonitoringRole))
        .set_enable_performance_insights(set.switch(F::PerformanceInsights))
        .set_performance_insights_kms_key_id(set.text(F::PerformanceInsightsKey))
        .set_performance_insights_retention_period(set.number(F::PerformanceInsightsRetention))
        .set_ca_certificate_identifier(set.text(F::CaCertificate))
        .set_license_model(set.text(F::LicenseModel))
        .set_network_type(set.text(F::NetworkType))
        .set_cloudwatch_logs_export_configuration(logs.as_ref().map(log_configuration))
        .set_allow_major_version_upgrade(allow_major_upgrade.then_some(true))
        .set_apply_immediately(apply_immediately.then_some(true));
    match master {
        None => call,
        Some(NewMaster::Password(password)) => call.master_user_password(password.expose()),
        Some(NewMaster::NoLongerManaged(password)) => {
            call.manage_master_user_password(false).master_user_password(password.expose())
        }
        Some(NewMaster::Managed(key)) => {
            call.manage_master_user_password(true).set_master_user_secret_kms_key_id(key.clone())
        }
    }
}

fn log_configuration(LogChange { enable, disable }: &LogChange) -> CloudwatchLogsExportConfiguration {
    let names = |names: &BTreeSet<String>| (!names.is_empty()).then(|| names.iter().cloned().collect());
    CloudwatchLogsExportConfiguration::builder()
        .set_enable_log_types(names(enable))
        .set_disable_log_types(names(disable))
        .build()
}

/// Tags as the SDK wants them.
pub(super) fn to_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// What AWS said of an instance.
pub(super) fn observed(instance: DbInstance) -> Observed {
    let (pending, other_pending) = pending(&instance);
    let tags = instance.tag_list.iter().flatten();
    let secret = instance
        .master_user_secret
        .as_ref()
        .and_then(|secret| Some(MasterSecret { arn: secret.secret_arn.clone()?, key: secret.kms_key_id.clone() }));
    let parameters = instance.db_parameter_groups.iter().flatten();
    Observed {
        identifier: instance.db_instance_identifier.clone().unwrap_or_default().to_ascii_lowercase(),
        status: instance.db_instance_status.clone().unwrap_or_default(),
        values: values(&instance),
        pending,
        other_pending,
        parameters_wait: parameters
            .into_iter()
            .any(|group| group.parameter_apply_status.as_deref() == Some("pending-reboot")),
        host: instance.endpoint.as_ref().and_then(|endpoint| endpoint.address.clone()),
        resource_id: instance.dbi_resource_id.clone(),
        progress: instance.percent_progress.clone().filter(|progress| !progress.is_empty()),
        secret,
        created_at: instance.instance_create_time.map(|time| time.secs()),
        tags: tags.filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default()))).collect(),
    }
}

fn values(instance: &DbInstance) -> Values {
    use Field as F;
    let endpoint_port = instance.endpoint.as_ref().and_then(|endpoint| endpoint.port);
    let port = endpoint_port.or(instance.db_instance_port).filter(|port| *port != 0);
    let subnets = instance.db_subnet_group.as_ref().and_then(|group| group.db_subnet_group_name.clone());
    let parameters = instance.db_parameter_groups.iter().flatten().next();
    let certificate = instance.certificate_details.as_ref().and_then(|details| details.ca_identifier.clone());
    let groups = instance.vpc_security_groups.iter().flatten();
    let groups = groups.filter(|group| group.status.as_deref() != Some("removing"));
    let values = [
        (F::Engine, text(&instance.engine)),
        (F::EngineVersion, text(&instance.engine_version)),
        (F::InstanceClass, text(&instance.db_instance_class)),
        (F::AllocatedStorage, number(instance.allocated_storage)),
        (F::MaxAllocatedStorage, number(instance.max_allocated_storage)),
        (F::StorageType, text(&instance.storage_type)),
        (F::Iops, number(instance.iops)),
        (F::StorageThroughput, number(instance.storage_throughput)),
        (F::DbName, text(&instance.db_name)),
        (F::MasterUsername, text(&instance.master_username)),
        (F::Port, number(port)),
        (F::MultiAz, switch(instance.multi_az)),
        (F::AvailabilityZone, text(&instance.availability_zone)),
        (F::SubnetGroup, text(&subnets)),
        (F::SecurityGroups, names(groups.filter_map(|group| group.vpc_security_group_id.clone()))),
        (F::ParameterGroup, parameters.and_then(|group| text(&group.db_parameter_group_name))),
        (F::OptionGroup, option_group(instance, |status| !status.starts_with("pending-maintenance-apply"))),
        (F::PubliclyAccessible, switch(instance.publicly_accessible)),
        (F::StorageEncrypted, switch(instance.storage_encrypted)),
        (F::KmsKey, text(&instance.kms_key_id)),
        (F::BackupRetention, number(instance.backup_retention_period)),
        (F::BackupWindow, text(&instance.preferred_backup_window)),
        (F::MaintenanceWindow, text(&instance.preferred_maintenance_window)),
        (F::AutoMinorVersionUpgrade, switch(instance.auto_minor_version_upgrade)),
        (F::CopyTagsToSnapshot, switch(instance.copy_tags_to_snapshot)),
        (F::DeletionProtection, switch(instance.deletion_protection)),
        (F::IamAuthentication, switch(instance.iam_database_authentication_enabled)),
        (F::LogExports, names(instance.enabled_cloudwatch_logs_exports.iter().flatten().cloned())),
        (F::MonitoringInterval, number(instance.monitoring_interval)),
        (F::MonitoringRole, text(&instance.monitoring_role_arn)),
        (F::PerformanceInsights, switch(instance.performance_insights_enabled)),
        (F::PerformanceInsightsKey, text(&instance.performance_insights_kms_key_id)),
        (F::PerformanceInsightsRetention, number(instance.performance_insights_retention_period)),
        (F::CaCertificate, text(&instance.ca_certificate_identifier).or_else(|| text(&certificate))),
        (F::LicenseModel, text(&instance.license_model)),
        (F::NetworkType, text(&instance.network_type)),
    ];
    values.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
}

/// What waits: our fields, and others by AWS's names.
fn pending(instance: &DbInstance) -> (Values, BTreeMap<String, String>) {
    use Field as F;
    let none = PendingModifiedValues::builder().build();
    let waits = instance.pending_modified_values.as_ref().unwrap_or(&none);
    let group = option_group(instance, |status| status == "pending-maintenance-apply");
    let values = [
        (F::EngineVersion, text(&waits.engine_version)),
        (F::InstanceClass, text(&waits.db_instance_class)),
        (F::AllocatedStorage, number(waits.allocated_storage)),
        (F::StorageType, text(&waits.storage_type)),
        (F::Iops, number(waits.iops)),
        (F::StorageThroughput, number(waits.storage_throughput)),
        (F::Port, number(waits.port)),
        (F::MultiAz, switch(waits.multi_az)),
        (F::SubnetGroup, text(&waits.db_subnet_group_name)),
        (F::OptionGroup, group),
        (F::BackupRetention, number(waits.backup_retention_period)),
        (F::IamAuthentication, switch(waits.iam_database_authentication_enabled)),
        (F::LogExports, waits.pending_cloudwatch_logs_exports.as_ref().map(|logs| logs_to_come(instance, logs))),
        (F::CaCertificate, text(&waits.ca_certificate_identifier)),
        (F::LicenseModel, text(&waits.license_model)),
    ];
    // A password that waits is applied at once.
    let others = [
        ("DBInstanceIdentifier", waits.db_instance_identifier.clone()),
        ("ProcessorFeatures", waits.processor_features.as_ref().map(|_| String::new())),
        ("AutomationMode", waits.automation_mode.as_ref().map(|mode| mode.as_str().to_owned())),
        ("MultiTenant", waits.multi_tenant.map(|on| on.to_string())),
        ("DedicatedLogVolume", waits.dedicated_log_volume.map(|on| on.to_string())),
        ("Engine", waits.engine.clone()),
        ("AdditionalStorageVolumes", waits.additional_storage_volumes.as_ref().map(|_| String::new())),
        ("DBCapacityReservationIdentifier", waits.db_capacity_reservation_identifier.clone()),
    ];
    (
        values.into_iter().filter_map(|(field, value)| Some((field, value?))).collect(),
        others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
    )
}

/// The log exports once those that wait have begun and ended.
fn logs_to_come(instance: &DbInstance, logs: &PendingCloudwatchLogsExports) -> Value {
    let mut exports: BTreeSet<String> = instance.enabled_cloudwatch_logs_exports.iter().flatten().cloned().collect();
    exports.extend(logs.log_types_to_enable.iter().flatten().cloned());
    exports.retain(|name| !logs.log_types_to_disable.iter().flatten().any(|ends| ends == name));
    Value::Set(exports)
}

/// The option group whose membership has such a status. One that AWS is about to apply at once comes before one
/// that it is about to remove.
fn option_group(instance: &DbInstance, of: impl Fn(&str) -> bool) -> Option<Value> {
    let status = |group: &OptionGroupMembership| group.status.clone().unwrap_or_default();
    let groups = || instance.option_group_memberships.iter().flatten().filter(|group| of(&status(group)));
    let leaves = |group: &&OptionGroupMembership| status(group).contains("remov");
    groups().find(|group| !leaves(group)).or_else(|| groups().next()).and_then(|group| text(&group.option_group_name))
}

fn text(text: &Option<String>) -> Option<Value> {
    text.clone().filter(|text| !text.is_empty()).map(Value::Text)
}

fn number(number: Option<i32>) -> Option<Value> {
    number.map(Value::Number)
}

fn switch(on: Option<bool>) -> Option<Value> {
    on.map(Value::Switch)
}

fn names(names: impl Iterator<Item = String>) -> Option<Value> {
    Some(Value::Set(names.collect()))
}

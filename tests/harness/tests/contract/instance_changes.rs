//! Looks at changes, deletions and snapshots of DB instances.

use anyhow::{Context as _, Result};
use aws_sdk_rds::types::{CloudwatchLogsExportConfiguration, DbInstance};

use crate::instances::{create, delete, gone, make, modify, reached, see, settled, tag, tags_of};
use crate::target::{REGION, Target, code};

/// The class, and the one that is pending.
fn classes(seen: &DbInstance) -> String {
    let pending = seen.pending_modified_values().and_then(|values| values.db_instance_class());
    format!("{} pending {}", seen.db_instance_class().unwrap_or("none"), pending.unwrap_or("none"))
}

pub async fn deferred(t: &Target) -> Result<String> {
    make(t, "deferred").await?;
    let answered = modify(t, "deferred").db_instance_class("db.t4g.small").send().await?;
    let mut seen = vec![classes(answered.db_instance().context("no instance")?)];
    seen.push(classes(&see(t, "deferred").await?));
    modify(t, "deferred").db_instance_class("db.t4g.micro").send().await?;
    seen.push(classes(&see(t, "deferred").await?));
    Ok(seen.join("; "))
}

pub async fn immediately(t: &Target) -> Result<String> {
    make(t, "immediately").await?;
    modify(t, "immediately").db_instance_class("db.t4g.small").send().await?;
    modify(t, "immediately").multi_az(true).apply_immediately(true).send().await?;
    let seen = settled(t, "immediately").await?;
    Ok(format!("{}, multi {:?}", classes(&seen), seen.multi_az()))
}

pub async fn at_once(t: &Target) -> Result<String> {
    make(t, "at-once").await?;
    let change = modify(t, "at-once").deletion_protection(true).backup_retention_period(7).copy_tags_to_snapshot(true);
    let logs = CloudwatchLogsExportConfiguration::builder().enable_log_types("postgresql").build();
    let change = change.max_allocated_storage(100).cloudwatch_logs_export_configuration(logs);
    change.preferred_maintenance_window("mon:01:00-mon:02:00").db_port_number(5_444).send().await?;
    let seen = settled(t, "at-once").await?;
    modify(t, "at-once").deletion_protection(false).send().await?;
    Ok(format!(
        "protected {:?}, backups {:?}, tags to snapshots {:?}, up to {:?}, logs {:?}, {}, port {:?}",
        seen.deletion_protection(),
        seen.backup_retention_period(),
        seen.copy_tags_to_snapshot(),
        seen.max_allocated_storage(),
        seen.enabled_cloudwatch_logs_exports(),
        seen.preferred_maintenance_window().unwrap_or_default(),
        seen.endpoint().and_then(|endpoint| endpoint.port()),
    ))
}

pub async fn backups_off(t: &Target) -> Result<String> {
    make(t, "backups-off").await?;
    modify(t, "backups-off").backup_retention_period(0).send().await?;
    let seen = see(t, "backups-off").await?;
    let pending = seen.pending_modified_values().and_then(|values| values.backup_retention_period());
    Ok(format!("{:?} pending {pending:?}", seen.backup_retention_period()))
}

pub async fn storage(t: &Target) -> Result<String> {
    create(t, "storage").allocated_storage(100).send().await?;
    settled(t, "storage").await?;
    let mut answers = vec![code(modify(t, "storage").allocated_storage(50).apply_immediately(true).send().await)];
    let change = |size| modify(t, "storage").allocated_storage(size).apply_immediately(true);
    answers.push(code(change(101).send().await));
    answers.push(settled(t, "storage").await?.allocated_storage().unwrap_or_default().to_string());
    answers.push(code(change(200).send().await));
    Ok(answers.join(", "))
}

pub async fn provisioned(t: &Target) -> Result<String> {
    create(t, "provisioned").allocated_storage(400).send().await?;
    let seen = settled(t, "provisioned").await?;
    let shown = format!("{:?} {:?}", seen.iops(), seen.storage_throughput());
    let change = modify(t, "provisioned").apply_immediately(true);
    let answers = [
        code(change.clone().allocated_storage(500).send().await),
        code(change.clone().iops(20_000).send().await),
        code(change.allocated_storage(500).iops(20_000).send().await),
    ];
    Ok(format!("{shown}, {}", answers.join(", ")))
}

pub async fn versions(t: &Target) -> Result<String> {
    create(t, "versions").engine_version("16.4").send().await?;
    settled(t, "versions").await?;
    let change = |version: &str| modify(t, "versions").engine_version(version).apply_immediately(true);
    let answers = [
        code(change("16.1").send().await),
        code(change("17.4").send().await),
        code(change("17.4").allow_major_version_upgrade(true).send().await),
    ];
    let seen = settled(t, "versions").await?;
    Ok(format!("{}, {}", answers.join(", "), seen.engine_version().unwrap_or_default()))
}

pub async fn managed(t: &Target) -> Result<String> {
    let create = create(t, "managed").set_master_user_password(None).manage_master_user_password(true);
    create.send().await?;
    let seen = settled(t, "managed").await?;
    let secret = seen.master_user_secret().context("no secret")?;
    let arn = format!("arn:aws:secretsmanager:{REGION}:{}:secret:rds!db-", t.account);
    let arn = if secret.secret_arn().is_some_and(|is| is.starts_with(&arn)) { "right ARN" } else { "wrong ARN" };
    let refused = code(modify(t, "managed").master_user_password("another-one").send().await);
    let off = modify(t, "managed").manage_master_user_password(false);
    let refused_too = code(off.clone().send().await);
    let off = code(off.master_user_password("another-one").apply_immediately(true).send().await);
    let left = settled(t, "managed").await?.master_user_secret().is_some();
    let status = secret.secret_status().unwrap_or_default();
    Ok(format!("{arn} {status}, {refused}, {refused_too}, {off}, still a secret: {left}"))
}

pub async fn parameters(t: &Target) -> Result<String> {
    make(t, "parameters").await?;
    let group = t.rds.create_db_parameter_group().db_parameter_group_name("custom").description("d");
    // The fake has all groups, and no operation that makes one.
    let _ = group.db_parameter_group_family("postgres16").send().await;
    modify(t, "parameters").db_parameter_group_name("custom").send().await?;
    let shown = async || {
        let seen = settled(t, "parameters").await?;
        let group = seen.db_parameter_groups().first().context("no group")?;
        let status = group.parameter_apply_status().unwrap_or_default();
        anyhow::Ok(format!("{} {status}", group.db_parameter_group_name().unwrap_or_default()))
    };
    let first = shown().await?;
    t.rds.reboot_db_instance().db_instance_identifier("parameters").send().await?;
    Ok([first, shown().await?].join(", "))
}

pub async fn logs(t: &Target) -> Result<String> {
    create(t, "logs").enable_cloudwatch_logs_exports("postgresql").send().await?;
    let first = settled(t, "logs").await?.enabled_cloudwatch_logs_exports().join(" ");
    let change =
        CloudwatchLogsExportConfiguration::builder().disable_log_types("postgresql").enable_log_types("upgrade");
    modify(t, "logs").cloudwatch_logs_export_configuration(change.build()).send().await?;
    let second = settled(t, "logs").await?.enabled_cloudwatch_logs_exports().join(" ");
    let unknown = create(t, "bad-logs").enable_cloudwatch_logs_exports("slowquery");
    Ok([first, second, code(unknown.send().await)].join(", "))
}

pub async fn renamed(t: &Target) -> Result<String> {
    make(t, "old-name").await?;
    modify(t, "old-name").new_db_instance_identifier("new-name").apply_immediately(true).send().await?;
    let describe = async |id| code(t.rds.describe_db_instances().db_instance_identifier(id).send().await);
    Ok([describe("old-name").await, describe("new-name").await].join(", "))
}

pub async fn stopped(t: &Target) -> Result<String> {
    make(t, "stopped").await?;
    let mut answers = vec![code(t.rds.start_db_instance().db_instance_identifier("stopped").send().await)];
    t.rds.stop_db_instance().db_instance_identifier("stopped").send().await?;
    reached(t, "stopped", "stopped").await?;
    answers.push(code(modify(t, "stopped").db_instance_class("db.t4g.small").send().await));
    answers.push(code(t.rds.stop_db_instance().db_instance_identifier("stopped").send().await));
    t.rds.start_db_instance().db_instance_identifier("stopped").send().await?;
    settled(t, "stopped").await?;
    Ok(format!("{}, started", answers.join(", ")))
}

pub async fn protected(t: &Target) -> Result<String> {
    create(t, "protected").deletion_protection(true).send().await?;
    settled(t, "protected").await?;
    let first = code(delete(t, "protected").skip_final_snapshot(true).send().await);
    modify(t, "protected").deletion_protection(false).send().await?;
    settled(t, "protected").await?;
    let second = code(delete(t, "protected").skip_final_snapshot(true).send().await);
    Ok([first, second, gone(t, "protected").await].join(", "))
}

pub async fn snapshot_options(t: &Target) -> Result<String> {
    make(t, "options-1").await?;
    make(t, "options-2").await?;
    let both = delete(t, "options-1").skip_final_snapshot(true).final_db_snapshot_identifier("options-last");
    let neither = delete(t, "options-2");
    Ok([code(both.send().await), code(neither.send().await)].join(", "))
}

pub async fn final_snapshot(t: &Target) -> Result<String> {
    let made = make(t, "last-will").await?;
    let deleted = code(delete(t, "last-will").final_db_snapshot_identifier("last-will-final").send().await);
    let gone = gone(t, "last-will").await;
    let kept = t.rds.describe_db_snapshots().db_snapshot_identifier("last-will-final").send().await?;
    let kept = kept.db_snapshots().first().context("no snapshot")?;
    let same = kept.dbi_resource_id() == made.dbi_resource_id();
    let of = kept.db_instance_identifier().unwrap_or_default();
    let again = make(t, "last-will").await?;
    let new = again.dbi_resource_id() != made.dbi_resource_id();
    let taken = code(delete(t, "last-will").final_db_snapshot_identifier("last-will-final").send().await);
    Ok(format!("{deleted}, {gone}, of {of}, same resource: {same}, new incarnation: {new}, {taken}"))
}

pub async fn snapshots(t: &Target) -> Result<String> {
    create(t, "source").tags(tag("a", "1")).copy_tags_to_snapshot(true).send().await?;
    let made = settled(t, "source").await?;
    let snapshot =
        |name: &str| t.rds.create_db_snapshot().db_instance_identifier("source").db_snapshot_identifier(name);
    let mut answers = vec![code(snapshot("source-1").send().await)];
    settled(t, "source").await?;
    answers.push(code(snapshot("source-1").send().await));
    answers.push(code(t.rds.describe_db_snapshots().db_snapshot_identifier("never-taken").send().await));
    let of = t.rds.describe_db_snapshots().db_instance_identifier("source").send().await?;
    let of = of.db_snapshots();
    let one = of.first().context("no snapshot")?;
    answers.push(format!(
        "{} of {} {} {} {} same resource: {} tags {}",
        of.len(),
        one.engine().unwrap_or_default(),
        one.master_username().unwrap_or_default(),
        one.allocated_storage().unwrap_or_default(),
        one.status().unwrap_or_default(),
        one.dbi_resource_id() == made.dbi_resource_id(),
        tags_of(one.tag_list()),
    ));
    Ok(answers.join(", "))
}

pub async fn restored(t: &Target) -> Result<String> {
    create(t, "origin").allocated_storage(30).tags(tag("a", "1")).send().await?;
    let made = settled(t, "origin").await?;
    let snapshot = t.rds.create_db_snapshot().db_instance_identifier("origin").db_snapshot_identifier("origin-1");
    snapshot.send().await?;
    settled(t, "origin").await?;
    let restore = |id: &str, snapshot: &str| {
        let restore = t.rds.restore_db_instance_from_db_snapshot().db_instance_identifier(id);
        restore.db_snapshot_identifier(snapshot).db_instance_class("db.t4g.small")
    };
    let mut answers = vec![code(restore("restored", "never-taken").send().await)];
    answers.push(code(restore("origin", "origin-1").send().await));
    answers.push(code(restore("restored", "origin-1").tags(tag("b", "2")).send().await));
    let seen = settled(t, "restored").await?;
    let new = seen.dbi_resource_id() != made.dbi_resource_id();
    answers.push(format!(
        "{} {} {} {} new resource: {new} tags {}",
        seen.engine().unwrap_or_default(),
        seen.master_username().unwrap_or_default(),
        seen.allocated_storage().unwrap_or_default(),
        seen.db_instance_class().unwrap_or_default(),
        tags_of(seen.tag_list()),
    ));
    Ok(answers.join(", "))
}

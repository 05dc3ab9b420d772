//! What a create or a restore makes, or why it makes nothing.

use std::time::Duration;

use super::RdsTiming;
use super::checks;
use super::engines::{self, Engine};
use super::form::{Form, Tags, combination_refused, identifier, value_refused};
use super::instance::{Instance, Secret};
use super::life::{Life, Origin};
use super::names::Names;
use super::settings::{self, Request, Settings};
use super::snapshot::Snapshot;
use super::storage;
use crate::fake_aws::refusal::Refusal;

/// What a decision is made from, besides what there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) form: Form<'a>,
    pub(super) names: Names<'a>,
    pub(super) now: Duration,
    pub(super) timing: RdsTiming,
}

pub(super) fn create(asking: Asking<'_>) -> Result<Instance, Refusal> {
    let Asking { form, .. } = asking;
    let identifier = identifier(settings::IDENTIFIER, form.required(settings::IDENTIFIER)?, 63)?;
    form.required("DBInstanceClass")?;
    let engine = engines::find(form.required("Engine")?)?;
    if let Some(cluster) = form.text("DBClusterIdentifier") {
        return Err(Refusal::new(404, "DBClusterNotFoundFault", format!("DBCluster {cluster} not found.")));
    }
    let asked = settings::parse(form, Request::Create)?;
    let user = asked.get("MasterUsername").ok_or_else(|| not_provided("MasterUsername"))?;
    engine.check_username(user)?;
    let managed = manages_password(form)?;
    let password = form.text("MasterUserPassword");
    match password {
        Some(_) if managed => return Err(both_passwords()),
        Some(password) => engine.check_password(password)?,
        None if managed => {}
        None => return Err(not_provided("MasterUserPassword")),
    }
    storage::check_limit(&asked, false)?;
    let version = engine.version(asked.get("EngineVersion").map(String::as_str))?;
    let mut all = defaults(asking, engine, &version, &asked);
    all.extend(asked.clone());
    all.insert("EngineVersion", version);
    all.insert(settings::IDENTIFIER, identifier);
    finish(asking, engine, Origin::New, all, &asked, form.tags()?, password.map(str::to_owned))
}

/// Makes an instance of a snapshot: what the snapshot has, the request's parameters over it, defaults for the
/// rest.
pub(super) fn restore(asking: Asking<'_>, snapshot: &Snapshot) -> Result<Instance, Refusal> {
    let Asking { form, now, .. } = asking;
    let identifier = identifier(settings::IDENTIFIER, form.required(settings::IDENTIFIER)?, 63)?;
    if snapshot.status(now) != "available" {
        let message = format!("DBSnapshot {} is not in available state.", snapshot.identifier);
        return Err(Refusal::bad("InvalidDBSnapshotState", message));
    }
    let engine = engines::find(settings::text(&snapshot.settings, "Engine"))?;
    if let Some(other) = form.text("Engine").filter(|other| *other != engine.name) {
        return Err(combination_refused(format!("The Engine {other} is not that of the snapshot, {}.", engine.name)));
    }
    let asked = settings::parse(form, Request::Restore)?;
    let managed = manages_password(form)?;
    let version = settings::text(&snapshot.settings, "EngineVersion").to_owned();
    let mut all = defaults(asking, engine, &version, &asked);
    all.extend(snapshot.settings.clone());
    all.extend(asked.clone());
    all.insert(settings::IDENTIFIER, identifier);
    let has = settings::number(&snapshot.settings, "AllocatedStorage").unwrap_or_default();
    if settings::number(&all, "AllocatedStorage").is_none_or(|size| size < has) {
        return Err(combination_refused(format!("AllocatedStorage is less than the snapshot's {has} GiB.")));
    }
    // "If there are no new tags, RDS looks for the tags from the source DB instance": the service model.
    let tags = form.tags()?;
    let tags = if tags.is_empty() { snapshot.source_tags.clone() } else { tags };
    let password = if managed { None } else { snapshot.password.clone() };
    finish(asking, engine, Origin::Snapshot, all, &asked, tags, password)
}

pub(super) fn both_passwords() -> Refusal {
    combination_refused("You can't specify MasterUserPassword when ManageMasterUserPassword is turned on.")
}

/// The secret of a password that AWS is to manage from now on.
pub(super) fn secret(asking: Asking<'_>, active: Duration) -> Secret {
    let key = asking.form.text("MasterUserSecretKmsKeyId").unwrap_or("alias/aws/secretsmanager");
    Secret { arn: asking.names.secret(), kms_key: asking.names.kms_key(key), active }
}

fn finish(
    asking: Asking<'_>,
    engine: &Engine,
    origin: Origin,
    mut all: Settings,
    asked: &Settings,
    tags: Tags,
    password: Option<String>,
) -> Result<Instance, Refusal> {
    let Asking { form, names, now, timing } = asking;
    checks::references(asked)?;
    checks::whole(engine, &all, asked)?;
    storage::check(engine, &all, asked)?;
    storage::complete(engine, &mut all);
    for key in ["KmsKeyId", "PerformanceInsightsKMSKeyId"] {
        if let Some(key) = all.get_mut(key) {
            *key = names.kms_key(key);
        }
    }
    let backups = settings::text(&all, "BackupRetentionPeriod") != "0";
    let managed = manages_password(form)?;
    Ok(Instance {
        host: names.host(settings::text(&all, settings::IDENTIFIER)),
        settings: all,
        pending: Settings::new(),
        tags,
        password: if managed { None } else { password },
        password_pending: true,
        secret: managed.then(|| secret(asking, now + timing.create)),
        resource_id: names.resource_id(),
        created: None,
        parameters_in_sync: true,
        delete_automated_backups: None,
        life: Life::begin(origin, backups, now, &timing),
    })
}

/// What an instance has that was not asked for anything else.
fn defaults(asking: Asking<'_>, engine: &Engine, version: &str, asked: &Settings) -> Settings {
    let subnet_group = asked.get("DBSubnetGroupName").map(String::as_str);
    let public = subnet_group.is_none_or(|name| name == "default").to_string();
    let zone = format!("{}a", asking.names.region);
    let storage = if asked.contains_key("Iops") { "io1" } else { "gp3" };
    let port = engine.port.to_string();
    let (parameters, options) = (engine.parameter_group(version), engine.option_group(version));
    let mut all: Settings = [
        ("Engine", engine.name),
        ("StorageType", storage),
        ("StorageEncrypted", "false"),
        ("AvailabilityZone", &*zone),
        ("MultiAZ", "false"),
        ("DBSubnetGroupName", "default"),
        ("VpcSecurityGroupIds", "sg-default"),
        ("PubliclyAccessible", &*public),
        ("Port", &*port),
        ("NetworkType", "IPV4"),
        ("DBParameterGroupName", &*parameters),
        ("OptionGroupName", &*options),
        ("BackupRetentionPeriod", "1"),
        ("CopyTagsToSnapshot", "false"),
        ("AutoMinorVersionUpgrade", "true"),
        ("DeletionProtection", "false"),
        ("LicenseModel", engine.license),
        ("IAMDatabaseAuthenticationEnabled", "false"),
        ("MonitoringInterval", "0"),
        ("PerformanceInsightsEnabled", "false"),
        ("DatabaseInsightsMode", "standard"),
        ("CACertificateIdentifier", "rds-ca-rsa2048-g1"),
        ("DedicatedLogVolume", "false"),
        ("EngineLifecycleSupport", "open-source-rds-extended-support"),
        ("BackupTarget", "region"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into();
    let (backup, maintenance) = checks::free_windows(asked);
    all.extend([("PreferredBackupWindow", backup), ("PreferredMaintenanceWindow", maintenance)]);
    if settings::is_on(asked, "StorageEncrypted") {
        all.insert("KmsKeyId", "alias/aws/rds".to_owned());
    }
    if settings::is_on(asked, "PerformanceInsightsEnabled") {
        all.insert("PerformanceInsightsKMSKeyId", "alias/aws/rds".to_owned());
        all.insert("PerformanceInsightsRetentionPeriod", "7".to_owned());
    }
    all
}

pub(super) fn manages_password(form: Form<'_>) -> Result<bool, Refusal> {
    Ok(form.flag("ManageMasterUserPassword")?.unwrap_or_default())
}

fn not_provided(parameter: &str) -> Refusal {
    value_refused(format!("The parameter {parameter} must be provided and must not be blank."))
}

//! What a modification does, and when, or why it does nothing.

use std::cmp::Ordering;

use super::checks;
use super::create::{Asking, both_passwords, manages_password, secret};
use super::engines::{self, Engine};
use super::form::{combination_refused, state_refused};
use super::instance::{Instance, Secret};
use super::settings::{self, LOGS, Request, Settings, When, number, text};
use super::storage;
use crate::fake_aws::refusal::Refusal;

/// A modification that has been judged.
#[derive(Debug)]
pub(super) struct Change {
    /// Become settings at once.
    now: Settings,
    /// All that is pending then.
    pending: Settings,
    immediately: bool,
    password: Option<String>,
    secret: Option<Secret>,
}

/// Judges a modification.
pub(super) fn decide(instance: &Instance, asking: Asking<'_>) -> Result<Change, Refusal> {
    let Asking { form, now, .. } = asking;
    let engine = engines::find(text(&instance.settings, "Engine"))?;
    let asked = wanted(instance, engine, asking)?;
    let immediately = form.flag("ApplyImmediately")?.unwrap_or_default();

    let (at_once, pending) = split(instance, &asked);
    let storage = |changes: &Settings| storage::NAMES.iter().any(|name| changes.contains_key(name));
    let asks_storage =
        asked.iter().any(|(name, value)| storage::NAMES.contains(name) && instance.settings.get(name) != Some(value));
    let changes_storage = asks_storage || (immediately && storage(&pending));
    check_state(instance, changes_storage, pending.contains_key("AllocatedStorage"))?;
    if changes_storage && instance.life.storage_pauses(now) {
        return Err(combination_refused(storage::OPTIMIZING));
    }
    if asks_storage {
        check_both(instance, engine, &asked)?;
    }

    let mut all = instance.settings.clone();
    all.extend(at_once.clone());
    all.extend(pending.clone());
    checks::references(&asked)?;
    checks::whole(engine, &all, &asked)?;
    if asks_storage {
        storage::check(engine, &all, &asked)?;
    }
    if asks_storage || asked.contains_key("MaxAllocatedStorage") {
        storage::check_limit(&all, asked.contains_key("MaxAllocatedStorage"))?;
    }
    check_version(engine, text(&instance.settings, "EngineVersion"), &asked, form.flag("AllowMajorVersionUpgrade")?)?;
    let (password, secret) = credentials(instance, engine, asking)?;
    Ok(Change { now: at_once, pending, immediately, password, secret })
}

/// Does what was decided.
pub(super) fn carry_out(instance: &mut Instance, change: Change, asking: Asking<'_>) {
    let Asking { now, timing, names, .. } = asking;
    let Change { now: at_once, pending, immediately, password, secret } = change;
    let differs = |name: &str| at_once.get(name).is_some_and(|value| instance.settings.get(name) != Some(value));
    let busy = [
        ("Port", "modifying"),
        ("BackupRetentionPeriod", "modifying"),
        ("NetworkType", "modifying"),
        ("MonitoringInterval", "configuring-enhanced-monitoring"),
        (LOGS, "configuring-log-exports"),
    ];
    let busy = busy.into_iter().find(|(name, _)| differs(name)).map(|(_, status)| status);
    if differs("DBParameterGroupName") {
        instance.parameters_in_sync = false;
    }
    instance.settings.extend(at_once);
    tidy(&mut instance.settings);
    if let Some(key) = instance.settings.get_mut("PerformanceInsightsKMSKeyId") {
        *key = names.kms_key(key);
    }
    instance.pending = pending;
    if let Some(status) = busy {
        instance.busy(status, now, &timing);
    }
    if let Some(secret) = secret {
        instance.password = None;
        instance.secret = Some(secret);
        instance.reset_password(now, &timing);
    }
    if let Some(password) = password {
        instance.secret = None;
        instance.password = Some(password);
        instance.reset_password(now, &timing);
    }
    if immediately {
        instance.apply_pending(now, &timing);
    }
}

/// What the request asks for, in full: a major version is the version of it that there is, a size as large as
/// it will be, log types all that there will be.
fn wanted(instance: &Instance, engine: &Engine, asking: Asking<'_>) -> Result<Settings, Refusal> {
    let form = asking.form;
    let mut asked = settings::parse(form, Request::Modify)?;
    let current = &instance.settings;
    if let Some(version) = asked.get_mut("EngineVersion") {
        let has = text(current, "EngineVersion");
        *version = if engine.major(has) == *version { has.to_owned() } else { engine.version(Some(version))? };
    }
    if let Some(size) = number(&asked, "AllocatedStorage") {
        let has = number(current, "AllocatedStorage").unwrap_or_default();
        asked.insert("AllocatedStorage", storage::grown(engine, has, size)?.to_string());
    }
    let [enable, disable] = ["EnableLogTypes", "DisableLogTypes"]
        .map(|which| form.list(&format!("CloudwatchLogsExportConfiguration.{which}"), "member"));
    if !enable.is_empty() || !disable.is_empty() {
        let version = text(current, "EngineVersion");
        engine.check_logs(&enable, version)?;
        engine.check_logs(&disable, version)?;
        let exported = settings::members(text(current, LOGS)).chain(enable);
        asked.insert(LOGS, settings::list(exported.filter(|log| !disable.contains(log))));
    }
    Ok(asked)
}

/// What applies at once, and what is pending with it. What is asked to stay as it is, is not pending any more.
fn split(instance: &Instance, asked: &Settings) -> (Settings, Settings) {
    let (mut at_once, mut pending) = (Settings::new(), instance.pending.clone());
    for (name, value) in asked {
        let has = instance.settings.get(name);
        let switches = *name == "BackupRetentionPeriod" && (has.is_some_and(|has| has == "0") != (value == "0"));
        let waits = settings::when(name) == When::Window && (*name != "BackupRetentionPeriod" || switches);
        if has == Some(value) {
            pending.remove(name);
        } else if waits {
            pending.insert(name, value.clone());
        } else {
            pending.remove(name);
            at_once.insert(name, value.clone());
        }
    }
    (at_once, pending)
}

fn check_state(instance: &Instance, storage: bool, grows: bool) -> Result<(), Refusal> {
    let allowed = match instance.status() {
        "available" => true,
        "storage-full" => grows,
        // What is about storage is refused with words of its own.
        "storage-optimization" => true,
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    let (identifier, status) = (instance.identifier(), instance.status());
    let what = if storage { "its storage cannot be modified" } else { "it cannot be modified" };
    Err(state_refused(format!("Database instance {identifier} is not in available state: it is {status}, {what}.")))
}

/// As users report it: <https://github.com/hashicorp/terraform-provider-aws/issues/12493>.
fn check_both(instance: &Instance, engine: &Engine, asked: &Settings) -> Result<(), Refusal> {
    let differs = |name: &str| asked.get(name).is_some_and(|value| instance.settings.get(name) != Some(value));
    let (size, iops) = (asked.contains_key("AllocatedStorage"), asked.contains_key("Iops"));
    let changes = differs("AllocatedStorage") || differs("Iops");
    if differs("StorageType") && matches!(text(asked, "StorageType"), "io1" | "io2") && !iops {
        return Err(combination_refused("You must specify Iops with StorageType io1 or io2."));
    }
    if storage::is_provisioned(engine, &instance.settings) && changes && !(size && iops) {
        let message = "You must specify both the storage size and iops when modifying the storage size or iops on a \
            DB instance that has iops: AllocatedStorage, Iops.";
        return Err(combination_refused(message));
    }
    Ok(())
}

fn check_version(engine: &Engine, has: &str, asked: &Settings, major: Option<bool>) -> Result<(), Refusal> {
    let Some(wanted) = asked.get("EngineVersion") else {
        return Ok(());
    };
    if engines::compare(wanted, has) == Ordering::Less {
        let message = format!("Cannot upgrade {} from {has} to {wanted}: EngineVersion.", engine.name);
        return Err(combination_refused(message));
    }
    if engine.major(wanted) != engine.major(has) && major != Some(true) {
        let message = "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.";
        return Err(combination_refused(message));
    }
    Ok(())
}

/// The password or the secret that takes the place of what there is.
fn credentials(
    instance: &Instance,
    engine: &Engine,
    asking: Asking<'_>,
) -> Result<(Option<String>, Option<Secret>), Refusal> {
    let Asking { form, now, timing, .. } = asking;
    let password = form.text("MasterUserPassword");
    let managed = form.flag("ManageMasterUserPassword")?;
    if let Some(password) = password {
        if manages_password(form)? || (instance.secret.is_some() && managed != Some(false)) {
            return Err(both_passwords());
        }
        engine.check_password(password)?;
        return Ok((Some(password.to_owned()), None));
    }
    match (managed, &instance.secret) {
        (Some(true), None) => Ok((None, Some(secret(asking, now + timing.modify)))),
        (Some(false), Some(_)) => {
            let message = "You must specify MasterUserPassword when you turn off ManageMasterUserPassword.";
            Err(combination_refused(message))
        }
        _ => Ok((None, None)),
    }
}

/// Takes out what has no meaning any more.
fn tidy(settings: &mut Settings) {
    if number(settings, "MaxAllocatedStorage").is_some_and(|max| Some(max) == number(settings, "AllocatedStorage")) {
        settings.remove("MaxAllocatedStorage");
    }
    if text(settings, "MonitoringInterval") == "0" {
        settings.remove("MonitoringRoleArn");
    }
    let insights = ["PerformanceInsightsRetentionPeriod", "PerformanceInsightsKMSKeyId"];
    if !settings::is_on(settings, "PerformanceInsightsEnabled") {
        for name in insights {
            settings.remove(name);
        }
    } else {
        for (name, default) in insights.into_iter().zip(["7", "alias/aws/rds"]) {
            settings.entry(name).or_insert_with(|| default.to_owned());
        }
    }
}

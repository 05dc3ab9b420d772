//! What somebody else does with DB instances and DB snapshots, or sees of them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use super::instance::Instance;
use super::names::Names;
use super::settings::{self, Settings, text};
use super::snapshot::{KEPT, Snapshot};
use super::xml::PENDING;
use super::{Inner, Place, Rds, RdsTiming, owned};

/// A DB instance as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceState {
    /// As AWS says it: `creating`, `available`, …
    pub status: String,
    /// What is set, by the names under which `DescribeDBInstances` shows it; besides `Port`,
    /// `DBParameterGroupName`, `OptionGroupName`, `DBSubnetGroupName`, and `VpcSecurityGroupIds` and
    /// `EnabledCloudwatchLogsExports` in order and with commas.
    pub settings: BTreeMap<String, String>,
    /// What is pending, by the same names; a password as `****`.
    pub pending: BTreeMap<String, String>,
    /// All of them.
    pub tags: BTreeMap<String, String>,
    /// As AWS names it.
    pub arn: String,
    /// New for each incarnation.
    pub dbi_resource_id: String,
    /// Host and port, once its creation is over.
    pub endpoint: Option<(String, u16)>,
    /// The master user's, in the clear; `None` where AWS manages it.
    pub password: Option<String>,
    /// The secret's ARN, where AWS manages the password.
    pub secret_arn: Option<String>,
    /// `in-sync` or `pending-reboot`.
    pub parameter_apply_status: String,
    /// When its creation was over, by the fake's clock.
    pub created: Option<Duration>,
    /// What the deletion said; `None` where there is none.
    pub delete_automated_backups: Option<bool>,
}

/// A DB snapshot as it is, or is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotState {
    /// Its own name.
    pub identifier: String,
    /// The instance that it was made of.
    pub instance: String,
    /// That instance's; made up where it is empty.
    pub dbi_resource_id: String,
    /// `available`, or `creating` for as long as it takes.
    pub status: String,
    /// What it keeps of the instance's settings, by the same names. What is not given is as of a small Postgres.
    pub settings: BTreeMap<String, String>,
    /// Its own.
    pub tags: BTreeMap<String, String>,
    /// The master user's, in the clear.
    pub password: Option<String>,
}

impl Rds {
    pub(in crate::fake_aws) fn timing(&self, timing: RdsTiming) {
        self.inner().timing = timing;
    }

    pub(in crate::fake_aws) fn identifiers(&self, place: Place<'_>, now: Duration) -> Vec<String> {
        self.inner().region(place, now).instances.keys().cloned().collect()
    }

    pub(in crate::fake_aws) fn state(&self, place: Place<'_>, name: &str, now: Duration) -> Option<InstanceState> {
        let mut inner = self.inner();
        let instance = inner.region(place, now).instance(name).ok()?;
        Some(state(instance, &place.names(0)))
    }

    /// Sets one of its settings, by any of its names, as somebody else would.
    pub(in crate::fake_aws) fn change(
        &self,
        place: Place<'_>,
        name: &str,
        parameter: &str,
        value: &str,
        now: Duration,
    ) -> Result<()> {
        self.alter(place, name, now, |instance, _| {
            if parameter == "MasterUserPassword" {
                instance.password = Some(value.to_owned());
                return Ok(());
            }
            let setting = settings::find(parameter).with_context(|| format!("no setting: {parameter}"))?;
            if setting.name == settings::IDENTIFIER {
                bail!("{parameter} is changed by ModifyDBInstance alone");
            }
            if value.is_empty() && setting.is_optional() {
                instance.settings.remove(setting.name);
                return Ok(());
            }
            let value = setting.read(value).map_err(|refusal| anyhow!("{}", refusal.message))?;
            instance.set(setting.name, value, now);
            Ok(())
        })
    }

    /// Shows a status until it is set to `available`.
    pub(in crate::fake_aws) fn pin(&self, place: Place<'_>, name: &str, status: &str, now: Duration) -> Result<()> {
        let mut gone = false;
        self.alter(place, name, now, |instance, timing| {
            gone = !instance.pin(status, now, timing);
            Ok(())
        })?;
        if gone { self.remove(place, name, now) } else { Ok(()) }
    }

    /// Sets a tag, or removes it.
    pub(in crate::fake_aws) fn tag(
        &self,
        place: Place<'_>,
        name: &str,
        key: &str,
        value: Option<&str>,
        now: Duration,
    ) -> Result<()> {
        self.alter(place, name, now, |instance, _| {
            match value {
                Some(value) => drop(instance.tags.insert(key.to_owned(), value.to_owned())),
                None => drop(instance.tags.remove(key)),
            }
            Ok(())
        })
    }

    pub(in crate::fake_aws) fn move_host(&self, place: Place<'_>, name: &str, host: &str, now: Duration) -> Result<()> {
        self.alter(place, name, now, |instance, _| {
            host.clone_into(&mut instance.host);
            Ok(())
        })
    }

    pub(in crate::fake_aws) fn remove(&self, place: Place<'_>, name: &str, now: Duration) -> Result<()> {
        let removed = self.inner().region(place, now).instances.remove(&name.to_ascii_lowercase());
        removed.map(drop).with_context(|| format!("no DB instance: {name}"))
    }

    pub(in crate::fake_aws) fn snapshots(&self, place: Place<'_>, now: Duration) -> Vec<SnapshotState> {
        let mut inner = self.inner();
        inner.region(place, now).snapshots.values().map(|snapshot| snapshot_state(snapshot, now)).collect()
    }

    pub(in crate::fake_aws) fn add_snapshot(
        &self,
        place: Place<'_>,
        state: SnapshotState,
        now: Duration,
        epoch: Duration,
    ) -> Result<()> {
        let mut inner = self.inner();
        let names = place.names(inner.seed(epoch));
        let snapshot = snapshot(state, &names, now, inner.timing.snapshot)?;
        let there = inner.region(place, now);
        there.check_snapshot_free(&snapshot.identifier).map_err(|refusal| anyhow!("{}", refusal.message))?;
        there.snapshots.insert(snapshot.identifier.clone(), snapshot);
        Ok(())
    }

    fn alter(
        &self,
        place: Place<'_>,
        name: &str,
        now: Duration,
        act: impl FnOnce(&mut Instance, &RdsTiming) -> Result<()>,
    ) -> Result<()> {
        let mut inner: std::sync::MutexGuard<'_, Inner> = self.inner();
        let timing = inner.timing;
        let instance = inner.region(place, now).instance(name).map_err(|refusal| anyhow!("{}", refusal.message))?;
        act(instance, &timing).with_context(|| name.to_owned())
    }
}

impl<'a> Place<'a> {
    fn names(self, seed: u64) -> Names<'a> {
        Names { account: self.account, region: self.region, seed }
    }
}

fn state(instance: &Instance, names: &Names<'_>) -> InstanceState {
    let Instance {
        settings,
        pending,
        tags,
        password,
        password_pending,
        secret,
        resource_id,
        created,
        host,
        parameters_in_sync,
        delete_automated_backups,
        life: _,
    } = instance;
    let mut shown: BTreeMap<_, _> = owned(pending);
    shown.retain(|name, _| PENDING.contains(&&**name));
    if *password_pending {
        shown.insert("MasterUserPassword".to_owned(), "****".to_owned());
    }
    let port = text(settings, "Port").parse().unwrap_or_default();
    InstanceState {
        status: instance.status().to_owned(),
        settings: owned(settings),
        pending: shown,
        tags: tags.clone(),
        arn: names.instance(instance.identifier()),
        dbi_resource_id: resource_id.clone(),
        endpoint: created.map(|_| (host.clone(), port)),
        password: password.clone(),
        secret_arn: secret.as_ref().map(|secret| secret.arn.clone()),
        parameter_apply_status: if *parameters_in_sync { "in-sync" } else { "pending-reboot" }.to_owned(),
        created: *created,
        delete_automated_backups: *delete_automated_backups,
    }
}

fn snapshot_state(snapshot: &Snapshot, now: Duration) -> SnapshotState {
    SnapshotState {
        identifier: snapshot.identifier.clone(),
        instance: snapshot.instance.clone(),
        dbi_resource_id: snapshot.resource_id.clone(),
        status: snapshot.status(now).to_owned(),
        settings: owned(&snapshot.settings),
        tags: snapshot.tags.clone(),
        password: snapshot.password.clone(),
    }
}

fn snapshot(state: SnapshotState, names: &Names<'_>, now: Duration, takes: Duration) -> Result<Snapshot> {
    let SnapshotState { identifier, instance, dbi_resource_id, status, settings: given, tags, password } = state;
    let mut settings: Settings = [
        ("AllocatedStorage", "20"),
        ("DBInstanceClass", "db.t4g.micro"),
        ("Engine", "postgres"),
        ("EngineVersion", "16.4"),
        ("MasterUsername", "postgres"),
        ("StorageEncrypted", "false"),
        ("StorageType", "gp3"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into();
    for (name, value) in given {
        let kept = KEPT.iter().find(|kept| **kept == name);
        settings.insert(kept.with_context(|| format!("{identifier}: a snapshot does not keep {name}"))?, value);
    }
    Ok(Snapshot {
        identifier: identifier.to_ascii_lowercase(),
        instance: instance.to_ascii_lowercase(),
        resource_id: if dbi_resource_id.is_empty() { names.resource_id() } else { dbi_resource_id },
        settings,
        source_tags: tags.clone(),
        tags,
        password,
        instance_created: None,
        made: now,
        ready: if status == "creating" { now + takes } else { now },
    })
}

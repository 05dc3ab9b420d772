//! A DB instance and its life: what is due by the clock happens when somebody looks.

use std::time::Duration;

use super::RdsTiming;
use super::engines;
use super::form::Tags;
use super::life::{Life, Step, Then};
use super::settings::{self, Settings};
use super::storage;

#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) settings: Settings,
    /// What a modification asked for and is not yet so.
    pub(super) pending: Settings,
    pub(super) tags: Tags,
    /// In the clear; `None` where AWS manages it.
    pub(super) password: Option<String>,
    /// A new password is on its way.
    pub(super) password_pending: bool,
    pub(super) secret: Option<Secret>,
    /// New for each incarnation.
    pub(super) resource_id: String,
    /// When its creation was over.
    pub(super) created: Option<Duration>,
    /// Where it is reached, as soon as its creation is over.
    pub(super) host: String,
    /// Whether the parameters of its group are in force.
    pub(super) parameters_in_sync: bool,
    /// As the deletion said.
    pub(super) delete_automated_backups: Option<bool>,
    pub(super) life: Life,
}

/// The secret of a password that AWS manages.
#[derive(Clone, Debug)]
pub(super) struct Secret {
    pub(super) arn: String,
    pub(super) kms_key: String,
    /// It is being created before.
    pub(super) active: Duration,
}

impl Secret {
    pub(super) fn status(&self, now: Duration) -> &'static str {
        if now < self.active { "creating" } else { "active" }
    }
}

impl Instance {
    pub(super) fn identifier(&self) -> &str {
        settings::text(&self.settings, settings::IDENTIFIER)
    }

    pub(super) fn status(&self) -> &str {
        self.life.status()
    }

    /// Lets happen what is due; false where it is gone by then.
    pub(super) fn settle(&mut self, now: Duration, timing: &RdsTiming) -> bool {
        loop {
            let step = self.life.steps.front().map(|step| step.until);
            let next = step.map_or(self.life.window, |until| until.min(self.life.window));
            if next > now {
                return true;
            }
            if step == Some(next) {
                if let Some(step) = self.life.steps.pop_front()
                    && !self.end(step.then, next, timing)
                {
                    return false;
                }
                continue;
            }
            // A window of no length would come without end.
            self.life.window = next + timing.window.max(Duration::from_secs(1));
            if self.status() == "available" {
                self.apply_pending(next, timing);
            }
        }
    }

    /// Applies what is pending, from this moment on.
    pub(super) fn apply_pending(&mut self, now: Duration, timing: &RdsTiming) {
        let status = match () {
            () if self.pending.is_empty() => return,
            () if self.pending.contains_key("EngineVersion") => "upgrading",
            () if self.pending.contains_key(settings::IDENTIFIER) => "renaming",
            () => "modifying",
        };
        self.life.modify(status, now, timing, Then::Apply);
    }

    /// Something that applies at once keeps it busy.
    pub(super) fn busy(&mut self, status: &'static str, now: Duration, timing: &RdsTiming) {
        self.life.modify(status, now, timing, Then::Nothing);
    }

    pub(super) fn reset_password(&mut self, now: Duration, timing: &RdsTiming) {
        self.password_pending = true;
        self.life.modify("resetting-master-credentials", now, timing, Then::Password);
    }

    pub(super) fn reboot(&mut self, now: Duration, timing: &RdsTiming) {
        self.life.first("rebooting", now + timing.reboot, Then::Parameters);
    }

    pub(super) fn back_up(&mut self, until: Duration) {
        self.life.first("backing-up", until, Then::Nothing);
    }

    pub(super) fn stop(&mut self, now: Duration, timing: &RdsTiming) {
        self.life.first("stopping", now + timing.reboot, Then::Stopped);
    }

    pub(super) fn start(&mut self, now: Duration, timing: &RdsTiming) {
        self.life.pinned = None;
        self.life.first("starting", now + timing.reboot, Then::Started);
    }

    /// Deletes it, whatever goes on.
    pub(super) fn delete(&mut self, gone: Duration) {
        self.life.pinned = None;
        self.life.steps = [Step { status: "deleting", until: gone, then: Then::Gone }].into();
    }

    /// Shows a status until it is set to `available`; what goes on is then over. False where it is gone.
    pub(super) fn pin(&mut self, status: &str, now: Duration, timing: &RdsTiming) -> bool {
        if status != "available" {
            self.life.pinned = Some(status.to_owned());
            return true;
        }
        self.life.pinned = None;
        self.life.stopped = false;
        while let Some(step) = self.life.steps.pop_front() {
            if !self.end(step.then, now, timing) {
                return false;
            }
        }
        true
    }

    /// Altered by somebody else, or by AWS itself.
    pub(super) fn set(&mut self, name: &'static str, value: String, now: Duration) {
        let version = settings::text(&self.settings, "EngineVersion").to_owned();
        let had = self.settings.insert(name, value);
        self.follow_version(&version);
        if name == "DBParameterGroupName" && had.as_ref() != self.settings.get(name) {
            self.parameters_in_sync = false;
        }
        if storage::NAMES.contains(&name) {
            self.life.storage_changed = Some(now);
            self.complete_storage();
        }
    }

    /// What follows a step that ended at a time; false where it is gone.
    fn end(&mut self, then: Then, at: Duration, timing: &RdsTiming) -> bool {
        match then {
            Then::Nothing => {}
            Then::Created => self.created = Some(at),
            Then::Apply => self.apply(at, timing),
            Then::Password => self.password_pending = false,
            Then::Parameters => self.parameters_in_sync = true,
            Then::Stopped => self.life.stopped = true,
            Then::Started => {
                self.life.stopped = false;
                self.parameters_in_sync = true;
            }
            Then::Gone => return false,
        }
        true
    }

    fn apply(&mut self, at: Duration, timing: &RdsTiming) {
        let applied = std::mem::take(&mut self.pending);
        let storage = storage::NAMES.iter().any(|name| applied.contains_key(name));
        let grown = applied.contains_key("AllocatedStorage");
        self.parameters_in_sync |= applied.contains_key("EngineVersion");
        let before = self.identifier().to_owned();
        let version = settings::text(&self.settings, "EngineVersion").to_owned();
        self.settings.extend(applied);
        self.follow_version(&version);
        if before != self.identifier() {
            let rest = self.host.strip_prefix(&before).map(str::to_owned);
            // Somebody's own address stays.
            self.host = rest.map_or_else(|| self.host.clone(), |rest| format!("{}{rest}", self.identifier()));
        }
        if storage {
            self.complete_storage();
            self.life.storage_changed = Some(at);
            self.life.first("storage-optimization", at + timing.storage_optimization, Then::Nothing);
        }
        if grown && self.life.pinned.as_deref() == Some("storage-full") {
            self.life.pinned = None;
        }
    }

    /// Default groups are those of a major version.
    fn follow_version(&mut self, before: &str) {
        let Ok(engine) = engines::find(settings::text(&self.settings, "Engine")) else {
            return;
        };
        let now = settings::text(&self.settings, "EngineVersion").to_owned();
        let groups = [
            ("DBParameterGroupName", engine.parameter_group(before), engine.parameter_group(&now)),
            ("OptionGroupName", engine.option_group(before), engine.option_group(&now)),
        ];
        for (name, old, new) in groups {
            if settings::text(&self.settings, name) == old {
                self.settings.insert(name, new);
            }
        }
    }

    fn complete_storage(&mut self) {
        if let Ok(engine) = engines::find(settings::text(&self.settings, "Engine")) {
            storage::complete(engine, &mut self.settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_aws::rds::life::Origin;

    const SECOND: Duration = Duration::from_secs(1);

    fn timing() -> RdsTiming {
        RdsTiming {
            create: SECOND * 10,
            backup: SECOND * 5,
            notice: Duration::ZERO,
            modify: SECOND * 3,
            storage_optimization: SECOND * 60,
            delete: SECOND * 7,
            reboot: SECOND * 2,
            snapshot: SECOND * 4,
            window: SECOND * 1_000,
        }
    }

    fn instance(origin: Origin, backups: bool) -> Instance {
        let settings = [("DBInstanceIdentifier", "orders"), ("Engine", "postgres"), ("StorageType", "gp3")];
        Instance {
            settings: settings.map(|(name, value)| (name, value.to_owned())).into(),
            pending: Settings::new(),
            tags: Tags::new(),
            password: None,
            password_pending: true,
            secret: None,
            resource_id: String::new(),
            created: None,
            host: "orders.x".to_owned(),
            parameters_in_sync: true,
            delete_automated_backups: None,
            life: Life::begin(origin, backups, Duration::ZERO, &timing()),
        }
    }

    /// The status at each of some seconds, `gone` where there is none.
    fn seen(instance: &mut Instance, seconds: &[u32]) -> Vec<String> {
        let status = seconds.iter().map(|at| match instance.settle(SECOND * *at, &timing()) {
            true => instance.status().to_owned(),
            false => "gone".to_owned(),
        });
        status.collect()
    }

    #[test]
    fn a_creation_takes_its_time() {
        let mut new = instance(Origin::New, true);
        assert_eq!(
            seen(&mut new, &[0, 9, 10, 14, 15]),
            ["creating", "creating", "backing-up", "backing-up", "available"]
        );
        assert_eq!(new.created, Some(SECOND * 10));
        assert_eq!(seen(&mut instance(Origin::New, false), &[9, 10]), ["creating", "available"]);
        assert_eq!(seen(&mut instance(Origin::Snapshot, true), &[9, 10, 13]), ["creating", "modifying", "available"]);
        // Looked at late, it all happened in time.
        let mut late = instance(Origin::New, true);
        assert_eq!((seen(&mut late, &[500]), late.created), (vec!["available".to_owned()], Some(SECOND * 10)));
    }

    #[test]
    fn pending_values_apply_in_the_window() {
        let mut instance = instance(Origin::New, true);
        instance.pending.insert("DBInstanceClass", "db.m5.large".to_owned());
        assert_eq!(seen(&mut instance, &[999, 1_000, 1_003]), ["available", "modifying", "available"]);
        assert_eq!(instance.settings["DBInstanceClass"], "db.m5.large");
        // In the next one it is not there to be modified, and in the one after that it is.
        instance.pending.insert("AllocatedStorage", "100".to_owned());
        instance.pin("failed", SECOND * 1_900, &timing());
        assert_eq!(seen(&mut instance, &[2_500]), ["failed"]);
        instance.pin("available", SECOND * 2_500, &timing());
        let expected = ["available", "modifying", "storage-optimization", "available"];
        assert_eq!(seen(&mut instance, &[2_999, 3_000, 3_003, 3_063]), expected);
        assert!(instance.life.storage_pauses(SECOND * 3_063));
        assert!(!instance.life.storage_pauses(SECOND * 3_003 + storage::PAUSE));
    }

    #[test]
    fn what_comes_first_ends_before_what_went_on() {
        let mut instance = instance(Origin::New, true);
        instance.settle(SECOND * 20, &timing());
        instance.pending.insert("AllocatedStorage", "100".to_owned());
        instance.apply_pending(SECOND * 20, &timing());
        instance.settle(SECOND * 30, &timing());
        instance.reset_password(SECOND * 30, &timing());
        let expected = ["resetting-master-credentials", "storage-optimization", "available"];
        assert_eq!(seen(&mut instance, &[30, 33, 83]), expected);
        instance.stop(SECOND * 90, &timing());
        assert_eq!(seen(&mut instance, &[91, 92, 200]), ["stopping", "stopped", "stopped"]);
        instance.start(SECOND * 200, &timing());
        assert_eq!(seen(&mut instance, &[201, 202]), ["starting", "available"]);
        instance.delete(SECOND * 210);
        assert_eq!(seen(&mut instance, &[203, 210]), ["deleting", "gone"]);
    }

    #[test]
    fn a_modification_may_show_late() {
        let mut instance = instance(Origin::New, true);
        let timing = RdsTiming { notice: SECOND * 2, ..timing() };
        instance.settle(SECOND * 20, &timing);
        instance.pending.insert("DBInstanceClass", "db.m5.large".to_owned());
        instance.apply_pending(SECOND * 20, &timing);
        assert_eq!(seen(&mut instance, &[21]), ["available"]);
        assert!(!instance.pending.is_empty());
        assert_eq!(seen(&mut instance, &[22, 25]), ["modifying", "available"]);
        assert!(instance.pending.is_empty());
    }

    #[test]
    fn a_new_name_moves_the_address() {
        let mut instance = instance(Origin::New, true);
        instance.settle(SECOND * 20, &timing());
        instance.pending.insert("DBInstanceIdentifier", "shop".to_owned());
        instance.apply_pending(SECOND * 20, &timing());
        assert_eq!(seen(&mut instance, &[20, 23]), ["renaming", "available"]);
        assert_eq!((instance.identifier(), &*instance.host), ("shop", "shop.x"));
    }
}

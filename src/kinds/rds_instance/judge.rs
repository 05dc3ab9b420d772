//! How one field of an instance stands to what is desired. Pure.

use std::time::Duration;

use super::{
    desired::Desired,
    fields::{Field, Value, number, switch, text},
    observed::Observed,
    state,
    storage::{self, Growth},
    version::{self, Step},
};
use crate::engine::kind::{CREATE_ONLY, Difference, Past, Pending, Refused};

/// The reason where storage is more than is asked.
pub const CANNOT_SHRINK: &str = "StorageCannotShrink";
/// How long reads may lag behind a change.
pub const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// The same for what waits for the window: the answer to the change shows it as pending already.
const SHOWS_WITHIN: Duration = Duration::from_secs(5);

/// How a field stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As desired, or not ours to say.
    Fits,
    /// As desired, once AWS has made what it has accepted.
    Waits(Pending),
    /// Otherwise than desired.
    Differs(Finding),
    /// Otherwise than desired, and AWS can't change it so.
    Refused(Refused),
}

/// A difference, and what to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The field.
    pub field: Field,
    /// The difference.
    pub difference: Difference,
    /// The value to send.
    pub value: Value,
}

/// What a verdict depends on.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What is desired.
    pub desired: &'a Desired,
    /// What AWS said.
    pub observed: &'a Observed,
    /// What was before.
    pub past: &'a Past<'a>,
}

impl Case<'_> {
    /// The value that a field ought to have; `None` where that is not ours to say.
    pub fn wished(&self, field: Field) -> Option<Value> {
        let applies = match field {
            // AWS has no role where there is no monitoring.
            Field::MonitoringRole => self.comes_to(Field::MonitoringInterval) != Some(Value::Number(0)),
            Field::PerformanceInsightsKey | Field::PerformanceInsightsRetention => {
                self.comes_to(Field::PerformanceInsights) == Some(Value::Switch(true))
            }
            // It is where the primary is, which changes with each failover.
            Field::AvailabilityZone => switch(&self.observed.values, Field::MultiAz) != Some(true),
            _ => true,
        };
        if !applies {
            return None;
        }
        let was_ours = || self.past.managed.iter().any(|managed| managed == field.name());
        self.desired.fields.get(&field).cloned().or_else(|| field.default_value().filter(|_| was_ours()))
    }

    /// The value that a field will have once the plan is done.
    pub fn comes_to(&self, field: Field) -> Option<Value> {
        self.wished(field).or_else(|| self.observed.in_effect(field).cloned()).or_else(|| field.default_value())
    }

    /// How `field` stands.
    pub fn verdict(&self, field: Field) -> Verdict {
        let Some(wished) = self.wished(field) else { return self.of_others(field) };
        let default = field.default_value();
        let actual = self.observed.values.get(&field).or(default.as_ref());
        if field.is_create_only() {
            return self.of_fixed(field, &wished, actual);
        }
        let pending = self.observed.pending.get(&field);
        let in_effect = pending.or(actual);
        let fits = |value: Option<&Value>| value.is_some_and(|value| self.fits(field, &wished, value));
        let at_once = self.desired.apply_immediately && field.waits_for_window();
        let as_desired = match self.past.settling.get(field.name()) {
            // What we wrote last is in effect, whatever a read shows; a third value is somebody else's.
            Some(written) if written.value == field.show(&wished) => {
                fits(in_effect) || written.old.contains(&show(field, in_effect))
            }
            // What is wished now is not what we wrote last: a read that shows it is an old one.
            Some(_) => false,
            // What waits is not in effect where nothing is to wait, unless AWS is at it.
            None if at_once && pending.is_some() && !fits(actual) => {
                fits(pending) && !state::allows(&self.observed.status).change_of(field)
            }
            None => fits(in_effect),
        };
        match pending.filter(|pending| fits(Some(pending))) {
            // AWS takes a group of another family only together with the version, and both with the window.
            _ if !as_desired && field == Field::ParameterGroup && self.awaits_major() => Verdict::Waits(Pending {
                field: field.name().into(),
                value: field.show(&wished),
                applies: "when the pending major version is in effect".into(),
            }),
            _ if !as_desired => self.of_difference(field, wished, actual, in_effect),
            Some(pending) => Verdict::Waits(self.pending(field, pending, self.desired.apply_immediately)),
            None => Verdict::Fits,
        }
    }

    /// What waits of a field that is not ours, or no longer: it is told, since it comes.
    fn of_others(&self, field: Field) -> Verdict {
        match self.observed.pending.get(&field) {
            Some(pending) => Verdict::Waits(self.pending(field, pending, false)),
            None => Verdict::Fits,
        }
    }

    /// Whether `value` of `field` is as good as the wished one.
    fn fits(&self, field: Field, wished: &Value, value: &Value) -> bool {
        let engine = self.desired.engine();
        // Growth that waits is somebody's wish: AWS lets storage grow at once.
        let waits = self.observed.pending.contains_key(&field);
        let grown_by_itself = || !waits && self.has_grown_by_itself(wished, value);
        match field {
            Field::AllocatedStorage => wished == value || grown_by_itself(),
            // Two limits that are reached mean the same: AWS tells of one, or of none.
            Field::MaxAllocatedStorage => {
                let storage = self.storage_to_come();
                let reached = |limit: &Value| matches!(limit, Value::Number(limit) if Some(*limit) <= storage);
                wished == value || (reached(wished) && reached(value))
            }
            _ => field.same(engine, wished, value),
        }
    }

    /// Whether AWS waits for the window with another major version.
    fn awaits_major(&self) -> bool {
        let version = |values| text(values, Field::EngineVersion);
        match (version(&self.observed.values), version(&self.observed.pending)) {
            (Some(from), Some(to)) => version::step(self.desired.engine(), from, to) == Step::Major,
            _ => false,
        }
    }

    /// Whether storage is more than asked because AWS has let it grow within a limit.
    fn has_grown_by_itself(&self, wished: &Value, value: &Value) -> bool {
        let (Value::Number(wished), Value::Number(value)) = (wished, value) else { return false };
        let limits = [&self.desired.fields, &self.observed.values].map(|it| number(it, Field::MaxAllocatedStorage));
        wished < value && limits.into_iter().flatten().any(|limit| *value <= limit)
    }

    /// The storage in GiB once the plan is done, and what waits.
    pub fn storage_to_come(&self) -> Option<i32> {
        match self.wished(Field::AllocatedStorage) {
            Some(Value::Number(wished)) => number(&self.observed.values, Field::AllocatedStorage).max(Some(wished)),
            _ => match self.observed.in_effect(Field::AllocatedStorage) {
                Some(Value::Number(storage)) => Some(*storage),
                _ => None,
            },
        }
    }

    fn of_fixed(&self, field: Field, wished: &Value, actual: Option<&Value>) -> Verdict {
        let fits = match actual {
            Some(actual) => self.fits(field, wished, actual),
            // AWS says nothing where there is none; of the others only for the time being.
            None => !matches!(field, Field::DbName | Field::KmsKey),
        };
        match fits {
            true => Verdict::Fits,
            false => refused("ImmutableField", self.difference(field, actual, wished), CREATE_ONLY.into()),
        }
    }

    fn of_difference(&self, field: Field, wished: Value, actual: Option<&Value>, in_effect: Option<&Value>) -> Verdict {
        let asked = self.difference(field, in_effect, &wished);
        // What AWS can do depends on what is, not on what is pending.
        let from_actual = self.difference(field, actual, &wished);
        let differs = |value| Verdict::Differs(Finding { field, difference: asked, value });
        match (field, actual, &wished) {
            (Field::EngineVersion, Some(Value::Text(from)), Value::Text(to)) => {
                match version::step(self.desired.engine(), from, to) {
                    // What is pending is taken back.
                    Step::None => differs(Value::Text(from.clone())),
                    Step::Major if !self.desired.allow_major_upgrade => {
                        refused("MajorUpgradeNotAllowed", from_actual, major_upgrade())
                    }
                    Step::Back => refused("VersionCannotGoBack", from_actual, version_back()),
                    Step::Minor | Step::Major => differs(wished),
                }
            }
            (Field::AllocatedStorage, Some(Value::Number(from)), Value::Number(to)) => {
                match storage::growth(*from, *to) {
                    // It has grown by itself, and what else is pending is not ours to say.
                    Growth::Shrinks if self.has_grown_by_itself(&wished, &Value::Number(*from)) => Verdict::Fits,
                    Growth::Shrinks => refused(CANNOT_SHRINK, from_actual, shrink(*from)),
                    Growth::TooLittle(least) => refused("StorageGrowsTooLittle", from_actual, too_little("GiB", least)),
                    Growth::None | Growth::Enough => differs(wished),
                }
            }
            (Field::Iops, Some(Value::Number(from)), Value::Number(to)) if self.rounds_iops() => {
                match storage::growth(*from, *to) {
                    Growth::TooLittle(least) => refused("IOPSGrowTooLittle", from_actual, too_little("IOPS", least)),
                    _ => differs(wished),
                }
            }
            (Field::PerformanceInsightsKey, Some(Value::Text(_)), _) => {
                refused("ImmutableField", from_actual, insights_key())
            }
            _ => differs(wished),
        }
    }

    /// Whether AWS rounds IOPS up: it does while the storage stays of its type.
    fn rounds_iops(&self) -> bool {
        let stays = self
            .wished(Field::StorageType)
            .is_none_or(|wished| self.observed.values.get(&Field::StorageType).is_some_and(|actual| *actual == wished));
        stays && storage::rounds_iops(self.desired.engine())
    }

    fn pending(&self, field: Field, value: &Value, hurried: bool) -> Pending {
        let at_once = hurried || !field.waits_for_window();
        let applies = match text(&self.observed.values, Field::MaintenanceWindow) {
            _ if at_once => "as soon as AWS has applied it".to_owned(),
            Some(window) => format!("in the maintenance window {window}"),
            None => "in the next maintenance window".to_owned(),
        };
        Pending { field: field.name().into(), value: field.show(value), applies }
    }

    fn difference(&self, field: Field, actual: Option<&Value>, desired: &Value) -> Difference {
        let waits = field.waits_for_window() && !self.desired.apply_immediately;
        Difference {
            field: field.name().into(),
            actual: show(field, actual),
            desired: field.show(desired),
            settles_within: if waits { SHOWS_WITHIN } else { SETTLES_WITHIN },
        }
    }
}

fn show(field: Field, value: Option<&Value>) -> String {
    value.map(|value| field.show(value)).unwrap_or_default()
}

fn refused(reason: &'static str, difference: Difference, why: String) -> Verdict {
    Verdict::Refused(Refused { reason, difference, why })
}

fn major_upgrade() -> String {
    "that is another major version: set spec.allowMajorVersionUpgrade to true, or set it back".into()
}

fn version_back() -> String {
    "AWS can't bring a database back to an earlier version: set it back, or restore a snapshot of that version into \
     another object"
        .into()
}

fn shrink(actual: i32) -> String {
    format!("AWS can't make storage smaller: set it to {actual} or more, or move the data into another object")
}

fn too_little(unit: &str, least: i32) -> String {
    format!("AWS lets it grow by a tenth at least: set it back, or to {least} {unit} or more")
}

fn insights_key() -> String {
    "AWS can't change the key of Performance Insights: set it back, or remove it".into()
}

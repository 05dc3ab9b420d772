//! From what is desired and what AWS said to calls. Pure: no client, no clock.
//!
//! - [`super::judge`]: how one field stands
//! - here: what is sent together, what has to wait, what has to be told

use super::{
    desired::{Credentials, Desired},
    fields::{Field, Value, Values, number, set, text},
    judge::{CANNOT_SHRINK, Case, Finding, SETTLES_WITHIN, Verdict},
    observed::{Change, LogChange, Modify, NewMaster, Observed},
    state::{self, Allows},
    storage,
    version::{self, Step},
};
use crate::engine::kind::{Difference, Past, Pending, Plan, Refused};

/// The field that says where the password comes from.
const CREDENTIALS: &str = "credentials";
/// The field that lets an instance be rebooted.
pub(super) const REBOOT: &str = "rebootOnParameterChange";
/// What differences say of a password in place of it.
const MANAGED: &str = "managed by AWS";
const SET: &str = "set";
const HIDDEN: &str = "…";

/// The calls that turn `observed` into `desired`: at most one, since AWS takes all values together, and a reboot
/// only when they are in effect.
pub fn plan(desired: &Desired, observed: &Observed, past: &Past<'_>) -> Plan<Change> {
    let mut plan = Plan::default();
    if state::comes_or_goes(&observed.status) {
        return plan;
    }
    let case = Case { desired, observed, past };
    let mut findings = Vec::new();
    for field in Field::all() {
        match case.verdict(field) {
            Verdict::Fits => {}
            Verdict::Waits(pending) => plan.pending.push(pending),
            Verdict::Differs(finding) => findings.push(finding),
            Verdict::Refused(refused) => {
                plan.refused.get_or_insert(refused);
            }
        }
    }
    let master = match master(&case) {
        Ok(master) => master,
        Err(refused) => {
            plan.refused.get_or_insert(refused);
            None
        }
    };
    // Less storage than there is concerns nothing else: what else differs is changed before that is told.
    if plan.refused.as_ref().is_some_and(|refused| refused.reason != CANNOT_SHRINK) {
        return plan;
    }
    let allows = state::allows(&observed.status);
    let (now, later): (Vec<_>, Vec<_>) = findings.into_iter().partition(|finding| allows.change_of(finding.field));
    let takes_master = matches!(allows, Allows::All | Allows::AllButStorage);
    let (master_now, master_later) = match master {
        Some(master) if takes_master && master.new.is_some() => (Some(master), None),
        master => (None, master),
    };
    plan.waiting = waiting(&later, master_later.as_ref(), &case);
    let modify = modify(&case, now, master_now, &mut plan.differences);
    plan.notice = modify.as_ref().and_then(|modify| notice(&case, modify));
    plan.changes.extend(modify.map(Change::Modify));
    reboot(&case, &mut plan);
    if !plan.changes.is_empty() {
        plan.refused = None;
    }
    plan
}

/// The password that AWS is to have, with what is told of it.
struct Master {
    difference: Difference,
    /// `None`: the password is not known here.
    new: Option<NewMaster>,
}

fn master(case: &Case<'_>) -> Result<Option<Master>, Refused> {
    let Case { desired, observed, past } = case;
    let differs = |actual: &str, wished: &str| Difference {
        field: CREDENTIALS.into(),
        actual: actual.into(),
        desired: wished.into(),
        settles_within: SETTLES_WITHIN,
    };
    let just_wrote = |value: &str| past.settling.get(CREDENTIALS).is_some_and(|written| written.value == value);
    let password = || past.password.cloned();
    Ok(match (&desired.credentials, &observed.secret) {
        (Credentials::Managed(key), Some(secret)) => {
            let keys = [key, &secret.key].map(|key| key.clone().map(Value::Text));
            if let [Some(wished), Some(actual)] = &keys
                && !Field::KmsKey.same("", wished, actual)
            {
                let difference = Difference {
                    field: "credentials.managedByAWS.kmsKeyId".into(),
                    ..differs(&actual.to_string(), &wished.to_string())
                };
                let why = "AWS can't change the key of a password that it manages: set it back, or set \
                           spec.credentials.generate until it no longer manages the password";
                return Err(Refused { reason: "ImmutableField", difference, why: why.into() });
            }
            None
        }
        (Credentials::Managed(_), None) if just_wrote(MANAGED) => None,
        (Credentials::Managed(key), None) => {
            Some(Master { difference: differs(HIDDEN, MANAGED), new: Some(NewMaster::Managed(key.clone())) })
        }
        (Credentials::Secret, Some(_)) if just_wrote(SET) => None,
        (Credentials::Secret, Some(_)) => {
            Some(Master { difference: differs(MANAGED, SET), new: password().map(NewMaster::NoLongerManaged) })
        }
        (Credentials::Secret, None) => password()
            .map(|password| Master { difference: differs(HIDDEN, SET), new: Some(NewMaster::Password(password)) }),
    })
}

fn modify(
    case: &Case<'_>,
    findings: Vec<Finding>,
    master: Option<Master>,
    differences: &mut Vec<Difference>,
) -> Option<Modify> {
    let mut modify = Modify::default();
    for Finding { field, difference, value } in findings {
        differences.push(difference);
        match (field, value) {
            (Field::LogExports, Value::Set(wished)) => modify.logs = Some(log_change(case.observed, &wished)),
            (field, value) => drop(modify.set.insert(field, value)),
        }
    }
    if let Some(Master { difference, new: Some(new) }) = master {
        differences.push(difference);
        modify.master = Some(new);
    }
    if differences.is_empty() {
        return None;
    }
    complete(case, &mut modify);
    let engine = case.desired.engine();
    let versions = (text(&case.observed.values, Field::EngineVersion), text(&modify.set, Field::EngineVersion));
    modify.allow_major_upgrade =
        matches!(versions, (Some(from), Some(to)) if version::step(engine, from, to) == Step::Major);
    // AWS would also make what waits: only where something of this would wait, too.
    modify.apply_immediately =
        case.desired.apply_immediately && modify.set.keys().any(|field| field.waits_for_window());
    Some(modify)
}

/// The values that AWS wants to have together with others, though they do not differ.
fn complete(case: &Case<'_>, modify: &mut Modify) {
    let Modify { set, .. } = modify;
    let of = |set: &Values, field| set.get(&field).or_else(|| case.observed.in_effect(field)).cloned();
    let gigabytes = |set: &Values| match of(set, Field::AllocatedStorage) {
        Some(Value::Number(gigabytes)) => Some(gigabytes),
        _ => None,
    };
    if set.keys().any(|field| field.is_storage())
        && let Some(gigabytes) = gigabytes(set)
    {
        set.insert(Field::AllocatedStorage, Value::Number(gigabytes));
        if !set.contains_key(&Field::Iops)
            && let Some(Value::Text(kind)) = of(set, Field::StorageType)
            && let Some(iops) =
                storage::iops_with(case.desired.engine(), &kind, gigabytes, in_effect(case.observed, Field::Iops))
        {
            set.insert(Field::Iops, Value::Number(iops));
        }
    }
    // A limit that is the storage itself is none, and AWS takes none below.
    if let (Some(limit), Some(gigabytes)) = (number(set, Field::MaxAllocatedStorage), case.storage_to_come())
        && limit < gigabytes
    {
        set.insert(Field::MaxAllocatedStorage, Value::Number(gigabytes));
    }
    let monitoring = [Field::MonitoringInterval, Field::MonitoringRole];
    if monitoring.iter().any(|field| set.contains_key(field)) && of(set, monitoring[0]) != Some(Value::Number(0)) {
        for field in monitoring {
            let value = set.get(&field).cloned().or_else(|| case.comes_to(field));
            set.extend(value.map(|value| (field, value)));
        }
    }
    let insights = [Field::PerformanceInsightsKey, Field::PerformanceInsightsRetention];
    if insights.iter().any(|field| set.contains_key(field)) {
        set.insert(Field::PerformanceInsights, Value::Switch(true));
    }
}

fn in_effect(observed: &Observed, field: Field) -> Option<i32> {
    match observed.in_effect(field) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    }
}

fn log_change(observed: &Observed, wished: &std::collections::BTreeSet<String>) -> LogChange {
    let values = if observed.pending.contains_key(&Field::LogExports) { &observed.pending } else { &observed.values };
    let exported = set(values, Field::LogExports);
    LogChange { enable: wished - &exported, disable: &exported - wished }
}

/// What AWS would do beside what it is asked to.
fn notice(case: &Case<'_>, modify: &Modify) -> Option<String> {
    if !modify.apply_immediately {
        return None;
    }
    let Case { observed, past, .. } = case;
    let flushed = observed.pending.iter().filter(|(field, _)| {
        field.waits_for_window() && !modify.set.contains_key(field) && !past.settling.contains_key(field.name())
    });
    let flushed = flushed.map(|(field, value)| format!("{} {}", field.name(), field.show(value)));
    let others = observed.other_pending.iter().map(|(name, value)| format!("{name} {value}"));
    let what: Vec<_> = flushed.chain(others).collect();
    (!what.is_empty()).then(|| {
        format!(
            "spec.applyImmediately is true, and AWS makes with these changes also those that wait for the maintenance \
             window: {}",
            what.join(", ")
        )
    })
}

fn waiting(later: &[Finding], master: Option<&Master>, case: &Case<'_>) -> Option<String> {
    let status = &case.observed.status;
    let differences = later.iter().map(|finding| &finding.difference).chain(master.map(|master| &master.difference));
    let show = |value: &str| if value.is_empty() { "none".to_owned() } else { value.to_owned() };
    let texts: Vec<_> =
        differences.map(|it| format!("{} ({} → {})", it.field, show(&it.actual), show(&it.desired))).collect();
    let verb = if texts.len() == 1 { "waits" } else { "wait" };
    let until = match state::allows(status) {
        Allows::All => "the password is known".into(),
        _ => state::until(status),
    };
    (!texts.is_empty()).then(|| format!("{} {verb} until {until}", texts.join(", ")))
}

/// Plans the reboot that a parameter waits for, or says that one is needed.
fn reboot(case: &Case<'_>, plan: &mut Plan<Change>) {
    let Case { desired, observed, past } = case;
    let ours = desired.reboot || desired.fields.contains_key(&Field::ParameterGroup);
    if !observed.parameters_wait || !ours {
        return;
    }
    let just_done = past.settling.contains_key(REBOOT);
    let can_be_done = state::allows(&observed.status) == Allows::All && plan.changes.is_empty();
    if desired.reboot && can_be_done && !just_done {
        plan.changes.push(Change::Reboot);
        plan.differences.push(Difference {
            field: REBOOT.into(),
            actual: "pending-reboot".into(),
            desired: "in-sync".into(),
            settles_within: SETTLES_WITHIN,
        });
        return;
    }
    let applies = match desired.reboot {
        true if just_done => "as soon as AWS has applied it",
        true => "after a reboot, which follows",
        false => "after a reboot (set spec.rebootOnParameterChange, or reboot by hand)",
    };
    let group = text(&observed.values, Field::ParameterGroup).unwrap_or_default();
    plan.pending.push(Pending {
        field: Field::ParameterGroup.name().into(),
        value: group.into(),
        applies: applies.into(),
    });
}

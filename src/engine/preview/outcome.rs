//! What a look ahead comes to. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::{
    faults::{Fault, Situation},
    kind::{Difference, Kind, Past, Pending, Plan},
    lifecycle::{Claim, claim},
    memory::Settling,
    status::Stage,
    subject::{Subject, TAG_FIELD, admit_observing, impossible},
};
use crate::{
    accounts::account::Account,
    aws::{
        identity::Identity,
        tags::{self, TagChanges, Tags},
    },
    crd::{spec::Adoption, status::ResourceIdentity},
    engine::password::Password,
};

/// What the next reconcile would come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// What it would do with the resource.
    pub outcome: Outcome,
    /// Why, for machines, where the object's conditions would say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The resource, as far as it can be told which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceIdentity>,
    /// What the creating call would be given, by the names of the spec's fields.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// The fields that would change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    /// What AWS has accepted earlier, and will do later.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
    /// What could not be known, and was assumed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<String>,
}

/// What a reconcile would do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Create it.
    Create,
    /// Change it.
    Update,
    /// Nothing: it is as the spec says.
    Nothing,
    /// Nothing yet: something has to happen first.
    Wait,
    /// Nothing, and say why: somebody has to change something.
    Refuse,
    /// Nothing: the object is paused.
    Paused,
    /// Compare it only.
    Observe,
    /// Delete it.
    Delete,
    /// Leave it, marked as retained, and let the object go.
    Retain,
    /// Leave it alone, since it is not this object's, and let the object go.
    Spare,
    /// Let the object go.
    Release,
    /// It can't be told from here.
    Unknown,
}

/// A field that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Its name in the spec.
    pub field: String,
    /// What AWS has; empty for nothing.
    pub actual: String,
    /// What the spec asks, or AWS's default where the field left the spec; empty for nothing.
    pub desired: String,
    /// When that takes effect, and what it interrupts, where that is not at once and unnoticed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
}

/// What decides, once AWS was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grounds<'a> {
    pub(super) subject: Subject<'a>,
    pub(super) account: &'a Account,
    /// The keys of the tags that may be removed, where it is not known which tags all resources have.
    pub(super) removable_tags: Option<&'a BTreeSet<String>>,
}

impl Preview {
    /// One that comes to this.
    pub fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            reason: None,
            message: message.into(),
            resource: None,
            fields: BTreeMap::new(),
            changes: Vec::new(),
            pending: Vec::new(),
            assumed: Vec::new(),
        }
    }

    /// The same, for this reason.
    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    /// What `fault` would be told as.
    pub(super) fn of_fault<K: Kind>(subject: &Subject<'_>, fault: &Fault) -> Self {
        let situation = Situation {
            deleting: subject.object.is_deleting(),
            exists: subject.exists::<K>(),
            failures: 0,
            rejections: 0,
            poll: std::time::Duration::ZERO,
            swept: false,
        };
        let Some(verdict) = fault.verdict(&situation) else { return Self::new(Outcome::Unknown, fault.to_string()) };
        let outcome = match verdict.stage {
            Stage::Stalled | Stage::DeletionBlocked => Outcome::Refuse,
            _ => Outcome::Wait,
        };
        Self::new(outcome, fault.to_string()).because(&verdict.reason)
    }
}

/// A resource as a status shows it.
pub(super) fn shown<K: Kind>(identity: &Identity) -> ResourceIdentity {
    let Identity { account_id, partition: _, region, name, adopted, created: _ } = identity.clone();
    ResourceIdentity { account_id, region, name, arn: K::arn(identity), adopted }
}

/// The creation of what is `desired`.
pub(super) fn creation<K: Kind>(
    account: &Account,
    identity: &Identity,
    desired: &K::Desired,
    again: bool,
) -> Result<Preview, Fault> {
    // It stands for the one that would be made or read; none is shown.
    let password = Password::from("…".to_owned());
    let creation = K::creation(desired, identity, account, Some(&password))?;
    let message =
        if again { format!("the {} was there, and is gone: it is created again", K::NOUN) } else { String::new() };
    Ok(Preview { fields: K::shown(&creation), ..Preview::new(Outcome::Create, message) })
}

/// What turns a resource, as it was `observed` and with the tags `actual`, into what is `desired`.
pub(super) fn correction<K: Kind>(
    grounds: &Grounds<'_>,
    spec: &K::Spec,
    identity: &Identity,
    desired: &K::Desired,
    observed: &K::Observed,
    actual: &Tags,
) -> Result<Preview, Fault> {
    let Grounds { subject, account, .. } = grounds;
    let noun = K::NOUN;
    let rule = account.adoption_rule();
    let allowed = if account.may_adopt(subject.asking()) { Ok(()) } else { Err(rule.as_str()) };
    let ownership = subject.owner::<K>().of(actual);
    let takes = match claim(&ownership, K::common(spec).adoption(), allowed, noun) {
        Claim::Refuse(message) => return Err(Fault::NotOurs(message)),
        Claim::Proceed => None,
        Claim::Restamp if subject.object.uid().is_empty() => {
            Some(format!("the {noun} has the owner tags of an object of this name, and is taken up by this one"))
        }
        Claim::Restamp => Some(format!("the {noun} is of an earlier object of this name, and becomes this one's")),
        Claim::Resume => Some(format!("the {noun} was retained by this object, which manages it again")),
        Claim::Adopt => Some(format!("takes over the existing {noun} {}", K::arn(identity))),
    };
    let general = general_tags::<K>(grounds, spec);
    let kept = |field: &str| field.strip_prefix(TAG_FIELD).is_some_and(|key| general.iter().any(|it| it == key));
    let managed: Vec<_> = subject.managed().into_iter().filter(|field| !kept(field)).collect();
    let Plan { changes: _, differences, refused, pending, waiting, notice } =
        K::plan(desired, observed, &Past { managed: &managed, settling: &Settling::new(), password: None });
    if let Some(refused) = refused {
        return Err(impossible::<K>(refused));
    }
    let tag_changes = subject.tag_changes::<K>(spec, identity, actual, &managed);
    let mut changes = field_changes::<K>(desired, observed, differences);
    changes.extend(of_tags(&tag_changes, actual));
    let outcome = match (changes.is_empty() && tag_changes.is_empty(), &waiting) {
        (false, _) => Outcome::Update,
        (true, Some(_)) => Outcome::Wait,
        (true, None) => Outcome::Nothing,
    };
    let stamped = takes.is_none() && changes.is_empty() && !tag_changes.is_empty();
    let stamped = stamped.then(|| "the owner tags are set as they should be".to_owned());
    let state = Some(K::state(observed).message).filter(|message| !message.is_empty());
    let message = [takes, stamped, notice, waiting, state].into_iter().flatten().collect::<Vec<_>>().join("; ");
    Ok(Preview { changes, pending, ..Preview::new(outcome, message) })
}

/// How a resource that is only observed compares.
pub(super) fn comparison<K: Kind>(
    grounds: &Grounds<'_>,
    desired: &K::Desired,
    observed: &K::Observed,
    actual: &Tags,
) -> Result<Preview, Fault> {
    let Grounds { subject, account, .. } = grounds;
    let ownership = subject.owner::<K>().of(actual);
    if !matches!(claim(&ownership, Adoption::Never, Err(""), K::NOUN), Claim::Proceed) {
        admit_observing::<K>(account, subject.asking())?;
    }
    let plan = K::plan(desired, observed, &Past { managed: &[], settling: &Settling::new(), password: None });
    let refused = plan.refused.map(|refused| refused.difference);
    let changes = field_changes::<K>(desired, observed, plan.differences.into_iter().chain(refused).collect());
    let message = match changes.is_empty() {
        true => format!("management is Observe, and the {} is as the spec says", K::NOUN),
        false => "management is Observe: what differs is left as it is".to_owned(),
    };
    Ok(Preview { changes, pending: plan.pending, ..Preview::new(Outcome::Observe, message) })
}

/// The keys of the tags that we have set and the spec does not name, where they may be the operator's own.
pub(super) fn general_tags<K: Kind>(grounds: &Grounds<'_>, spec: &K::Spec) -> Vec<String> {
    let Some(removable) = grounds.removable_tags else { return Vec::new() };
    let own = K::common(spec).tags.clone().unwrap_or_default();
    let managed = grounds.subject.managed();
    let keys = managed.iter().filter_map(|field| field.strip_prefix(TAG_FIELD));
    keys.filter(|key| !own.contains_key(*key) && !removable.contains(*key)).map(str::to_owned).collect()
}

fn field_changes<K: Kind>(
    desired: &K::Desired,
    observed: &K::Observed,
    differences: Vec<Difference>,
) -> Vec<FieldChange> {
    let change = |Difference { field, actual, desired: wished, settles_within: _ }| {
        let effect = K::effect(desired, observed, &field);
        FieldChange { field, actual, desired: wished, effect }
    };
    differences.into_iter().map(change).collect()
}

/// The users' tags that change; owner tags are told in a word.
fn of_tags<'a>(TagChanges { set, remove }: &'a TagChanges, actual: &'a Tags) -> impl Iterator<Item = FieldChange> + 'a {
    let change = |key: &String, desired: String| FieldChange {
        field: format!("{TAG_FIELD}{key}"),
        actual: actual.get(key).cloned().unwrap_or_default(),
        desired,
        effect: None,
    };
    let set = set.iter().map(move |(key, value)| change(key, value.clone()));
    let removed = remove.iter().map(move |key| change(key, String::new()));
    set.chain(removed).filter(|change| !change.field[TAG_FIELD.len()..].starts_with(tags::PREFIX))
}

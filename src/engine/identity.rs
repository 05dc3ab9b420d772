//! What an object's resource is: read from the annotation, from status where a user has removed the
//! annotation, or fixed now from spec and settings. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::kind::{Kind, NotYet};
use crate::{
    aws::identity::{Identity, partition},
    crd::status::ResourceIdentity,
    settings::NameTemplate,
};

/// What an object without an identity gets its own from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The account that the process calls with.
    pub account: &'a str,
    /// The region for objects that name none.
    pub default_region: Option<&'a str>,
    /// How names are made.
    pub template: &'a NameTemplate,
    /// The object's namespace.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
}

/// The annotation: an identity, and whose it is.
#[derive(Serialize, Deserialize)]
struct Recorded {
    /// `namespace/name` of the object: a copy of its manifest under another name has none yet.
    object: String,
    #[serde(flatten)]
    identity: Identity,
}

/// The annotation that records `identity` for `object` (`namespace/name`).
///
/// # Errors
/// Where it can't be written as JSON.
pub fn record(identity: &Identity, object: &str) -> Result<String, NotYet> {
    let recorded = Recorded { object: object.into(), identity: identity.clone() };
    serde_json::to_string(&recorded).map_err(|error| NotYet::Invalid(error.to_string()))
}

/// The identity that was fixed for `object` (`namespace/name`), if one was.
///
/// # Errors
/// Where the annotation can't be understood, or says something else than the status: somebody has
/// edited it.
pub fn recorded(
    annotation: Option<&str>,
    object: &str,
    status: &Map<String, Value>,
) -> Result<Option<Identity>, NotYet> {
    let told = status.get("identity").and_then(|told| serde_json::from_value::<ResourceIdentity>(told.clone()).ok());
    let Some(annotation) = annotation else { return Ok(told.as_ref().map(from_status)) };
    let way_out = |problem: String| {
        let repair = match &told {
            Some(told) => format!("set it to '{}'", record(&from_status(told), object).unwrap_or_default()),
            None => "remove it".into(),
        };
        NotYet::Invalid(format!("the annotation {} {problem}: {repair}", crate::crd::IDENTITY))
    };
    let Recorded { object: owner, identity } =
        serde_json::from_str(annotation).map_err(|error| way_out(format!("can't be understood ({error})")))?;
    if owner != object {
        return Ok(told.as_ref().map(from_status));
    }
    let identity = Identity { partition: partition(&identity.region).into(), ..identity };
    if let Some(told) = &told {
        let same =
            (&told.account_id, &told.region, &told.name) == (&identity.account_id, &identity.region, &identity.name);
        if !same {
            return Err(way_out(format!("was changed, and no longer means {}", told.arn)));
        }
    }
    Ok(Some(identity))
}

/// The identity of an object that has none yet.
///
/// # Errors
/// Where there is no region, or the name is none for AWS.
pub fn fix<K: Kind>(spec: &K::Spec, source: &Source<'_>) -> Result<Identity, NotYet> {
    let common = K::common(spec);
    let region = common.region.as_deref().or(source.default_region).ok_or_else(|| {
        NotYet::Invalid("spec.region: the operator has no default region; set it here, or AWS_REGION there".into())
    })?;
    Ok(Identity {
        account_id: source.account.into(),
        partition: partition(region).into(),
        region: region.into(),
        name: wished_name::<K>(spec, source)?,
        adopted: false,
    })
}

/// Whether the credentials, of `account`, still reach the resource that `identity` says.
///
/// # Errors
/// Both accounts and the way out.
pub fn check_account(identity: &Identity, account: &str) -> Result<(), NotYet> {
    if identity.account_id == account {
        return Ok(());
    }
    Err(NotYet::Invalid(format!(
        "the resource is in the AWS account {}, but the operator's credentials are of {account}: give it those of the \
         first",
        identity.account_id
    )))
}

/// Whether `spec` still means the resource that `identity` says.
///
/// # Errors
/// The field that means another one, both values and the way out.
pub fn check<K: Kind>(identity: &Identity, spec: &K::Spec) -> Result<(), NotYet> {
    let common = K::common(spec);
    let differs = |field: &str, wished: &str, actual: &str| {
        Err(NotYet::Invalid(format!(
            "spec.{field} is {wished:?}, but the resource was created with {actual:?} and can't be moved: set it back, \
             or create another object"
        )))
    };
    if let Some(region) = common.region.as_deref().filter(|region| *region != identity.region) {
        return differs("region", region, &identity.region);
    }
    if let Some(wished) = common.name.as_deref() {
        let wished = K::resource_name(spec, wished)?;
        if wished != identity.name {
            return differs("name", &wished, &identity.name);
        }
    }
    Ok(())
}

fn wished_name<K: Kind>(spec: &K::Spec, source: &Source<'_>) -> Result<String, NotYet> {
    match K::common(spec).name.as_deref() {
        Some(name) => K::resource_name(spec, name),
        None => K::resource_name(spec, &source.template.apply(source.namespace, source.name)),
    }
}

fn from_status(told: &ResourceIdentity) -> Identity {
    let ResourceIdentity { account_id, region, name, arn: _, adopted } = told.clone();
    Identity { account_id, partition: partition(&region).into(), region, name, adopted }
}

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
    /// The account that the object is of.
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
        created: false,
    })
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
    Identity { account_id, partition: partition(&region).into(), region, name, adopted, created: false }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::sqs_queue::{SqsQueue, api::SQSQueueSpec};

    const ORDERS: &str = "shop/orders";

    fn identity() -> Identity {
        Identity {
            account_id: "123456789012".into(),
            partition: "aws".into(),
            region: "eu-west-1".into(),
            name: "shop-orders".into(),
            adopted: false,
            created: false,
        }
    }

    /// A status that tells of `identity`.
    fn status(identity: &Identity) -> Map<String, Value> {
        let Identity { account_id, partition: _, region, name, adopted, created: _ } = identity.clone();
        let told = ResourceIdentity { account_id, region, name, arn: "arn:told".into(), adopted };
        [("identity".to_owned(), json!(told))].into_iter().collect()
    }

    fn spec(json: Value) -> SQSQueueSpec {
        serde_json::from_value(json).unwrap()
    }

    fn said<T: std::fmt::Debug>(outcome: Result<T, NotYet>) -> String {
        let Err(NotYet::Invalid(message)) = outcome else { panic!("{outcome:?}") };
        message
    }

    #[test]
    fn what_was_recorded_is_read_again_by_its_object_alone() {
        let adopted = Identity { adopted: true, ..identity() };
        let china = Identity { region: "cn-north-1".into(), partition: "aws-cn".into(), ..identity() };
        let (other, nothing) = (Identity { name: "other".into(), ..identity() }, Map::new());
        for fixed in [identity(), adopted, china] {
            let annotation = record(&fixed, ORDERS).unwrap();
            for (annotation, object, status, expected) in [
                (Some(annotation.as_str()), ORDERS, &nothing, Some(&fixed)),
                (Some(&annotation), ORDERS, &status(&fixed), Some(&fixed)),
                // A copy of the manifest, under another name or in another namespace.
                (Some(&annotation), "shop/payments", &nothing, None),
                (Some(&annotation), "store/orders", &nothing, None),
                (Some(&annotation), "shop/payments", &status(&other), Some(&other)),
                // Somebody has removed the annotation.
                (None, ORDERS, &nothing, None),
                (None, ORDERS, &status(&fixed), Some(&fixed)),
            ] {
                let outcome = recorded(annotation, object, status);
                assert_eq!(outcome.unwrap().as_ref(), expected, "{annotation:?} of {object}, {status:?}");
            }
        }
    }

    #[test]
    fn the_partition_is_the_regions_whatever_the_annotation_says() {
        let annotation = record(&identity(), ORDERS).unwrap().replace("\"aws\"", "\"aws-cn\"");
        assert_eq!(recorded(Some(&annotation), ORDERS, &Map::new()), Ok(Some(identity())));
    }

    #[test]
    fn an_annotation_that_somebody_edited_is_refused_with_the_way_out() {
        let edits: [fn(&mut Identity); 3] = [
            |identity| identity.account_id = "210987654321".into(),
            |identity| identity.region = "eu-central-1".into(),
            |identity| identity.name = "other".into(),
        ];
        let right = record(&identity(), ORDERS).unwrap();
        for edit in edits {
            let mut edited = identity();
            edit(&mut edited);
            let message = said(recorded(Some(&record(&edited, ORDERS).unwrap()), ORDERS, &status(&identity())));
            assert!(message.contains("no longer means arn:told"), "{message}");
            assert!(message.ends_with(&format!("set it to '{right}'")), "{message}");
        }
        for broken in ["", "{", "[]", "{}", "null", r#"{"object":"shop/orders"}"#] {
            let message = said(recorded(Some(broken), ORDERS, &Map::new()));
            assert!(message.contains(crate::crd::IDENTITY) && message.ends_with(": remove it"), "{message}");
            let message = said(recorded(Some(broken), ORDERS, &status(&identity())));
            assert!(message.ends_with(&format!("set it to '{right}'")), "{message}");
        }
    }

    #[test]
    fn a_spec_may_name_what_is_and_nothing_else() {
        for same in [
            json!({}),
            json!({ "region": "eu-west-1" }),
            json!({ "name": "shop-orders" }),
            json!({ "region": "eu-west-1", "name": "shop-orders" }),
        ] {
            assert_eq!(check::<SqsQueue>(&identity(), &spec(same.clone())), Ok(()), "{same}");
        }
        for (other, words) in [
            (
                json!({ "region": "eu-central-1" }),
                r#"spec.region is "eu-central-1", but the resource was created with "eu-west-1""#,
            ),
            (json!({ "name": "other" }), r#"spec.name is "other", but the resource was created with "shop-orders""#),
        ] {
            let message = said(check::<SqsQueue>(&identity(), &spec(other)));
            assert!(message.starts_with(words) && message.contains("set it back"), "{message}");
        }
        let fifo = Identity { name: "shop-orders.fifo".into(), ..identity() };
        for name in ["shop-orders", "shop-orders.fifo"] {
            let spec = spec(json!({ "fifoQueue": true, "name": name }));
            assert_eq!(check::<SqsQueue>(&fifo, &spec), Ok(()), "the suffix is added where it lacks: {name}");
        }
    }

    #[test]
    fn an_identity_is_fixed_from_spec_and_settings() {
        let template: NameTemplate = "{namespace}-{name}".parse().unwrap();
        let source = Source {
            account: "123456789012",
            default_region: Some("eu-west-1"),
            template: &template,
            namespace: "shop",
            name: "orders",
        };
        let fix = |json, source: &Source<'_>| fix::<SqsQueue>(&spec(json), source);
        assert_eq!(fix(json!({}), &source), Ok(identity()));
        let china =
            Identity { region: "cn-north-1".into(), partition: "aws-cn".into(), name: "n".into(), ..identity() };
        assert_eq!(fix(json!({ "region": "cn-north-1", "name": "n" }), &source), Ok(china));
        assert!(said(fix(json!({}), &Source { default_region: None, ..source })).starts_with("spec.region: "));
    }
}

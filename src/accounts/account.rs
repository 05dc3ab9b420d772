//! One account: how it is reached, what is known of it, and what it allows. Pure.

use std::{sync::Arc, time::Duration};

use super::{
    api::{AWSAccountSpec, DEFAULT},
    choice::{Refusal, any_matches},
};
use crate::{
    aws::session::{Role, Session, session_name},
    kinds::rds_instance::api::RDSInstanceDefaults,
    settings::{Pattern, Settings},
};

/// The session tags, with the keys of the owner tags: a role's policies compare the two.
const CLUSTER_TAG: &str = "fairlead.dev/cluster";
const NAMESPACE_TAG: &str = "fairlead.dev/namespace";

/// An account, as it is known now. A change makes another value.
#[derive(Clone, Debug)]
pub struct Account {
    /// The AWSAccount; `None` for the process's own credentials where no AWSAccount speaks of them.
    pub name: Option<String>,
    /// The 12-digit id, once AWS has said it.
    pub id: Option<String>,
    /// Why it can't be used now, whatever the object.
    pub trouble: Option<Refusal>,
    /// Whether its AWSAccount is being deleted.
    pub deleting: bool,
    /// Calls a second of a flow, where the AWSAccount says.
    pub call_rate: Option<u32>,
    /// Time between two looks at a resource that is in sync, where the AWSAccount says.
    pub poll: Option<Duration>,
    cluster: String,
    spec: AWSAccountSpec,
    adoption: Vec<Pattern>,
    observe: Vec<Pattern>,
}

/// What a tenant names by an ARN, id or alias, and an account may restrict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A KMS key.
    KmsKey,
    /// An IAM role.
    Role,
    /// A snapshot.
    Snapshot,
}

/// An ARN, id or alias in an object's spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedArn {
    /// The field that holds it, as `kmsMasterKeyID`.
    pub field: &'static str,
    /// What it names.
    pub what: Named,
    /// As the tenant wrote it.
    pub value: String,
}

/// An object that asks something of an account.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl Account {
    /// The process's own credentials, governed by the settings alone.
    pub fn own(settings: &Settings, cluster: &str) -> Self {
        Self::of_process(settings.allow_adoption.clone(), settings.allow_observe.clone(), cluster)
    }

    /// The process's own credentials, where these objects may adopt and these observe.
    pub fn of_process(adoption: Vec<Pattern>, observe: Vec<Pattern>, cluster: &str) -> Self {
        let spec = AWSAccountSpec { allowed_namespaces: vec!["*".into()], ..AWSAccountSpec::default() };
        Self { adoption, observe, ..Self::of(None, spec, cluster) }
    }

    /// What an AWSAccount says.
    pub fn named(name: &str, spec: AWSAccountSpec, cluster: &str) -> Self {
        Self::of(Some(name.into()), spec, cluster)
    }

    fn of(name: Option<String>, spec: AWSAccountSpec, cluster: &str) -> Self {
        let patterns = |texts: &Option<Vec<String>>| texts.iter().flatten().filter_map(|it| it.parse().ok()).collect();
        Self {
            name,
            id: None,
            trouble: None,
            deleting: false,
            call_rate: spec.call_rate,
            poll: spec.poll_interval_seconds.map(|seconds| Duration::from_secs(seconds.into())),
            cluster: cluster.into(),
            adoption: patterns(&spec.allow_adoption),
            observe: patterns(&spec.allow_observe),
            spec,
        }
    }

    /// Whether it is reached with the process's own credentials.
    pub fn is_own(&self) -> bool {
        self.name.as_deref().is_none_or(|name| name == DEFAULT)
    }

    /// With whose credentials calls for an object of `namespace` are made.
    pub fn session(&self, namespace: &str) -> Session {
        self.session_of(Some(namespace).filter(|_| self.spec.per_namespace_session == Some(true)))
    }

    /// With whose credentials the account itself is asked about.
    pub fn probe_session(&self) -> Session {
        self.session_of(None)
    }

    fn session_of(&self, namespace: Option<&str>) -> Session {
        if self.is_own() {
            return Session::Own;
        }
        let arn = self.spec.role_arn.clone().unwrap_or_default();
        let cluster = [(CLUSTER_TAG.to_owned(), self.cluster.clone())];
        let tags = cluster.into_iter().chain(namespace.map(|it| (NAMESPACE_TAG.to_owned(), it.to_owned()))).collect();
        let name = session_name(namespace.or(self.name.as_deref()).unwrap_or_default());
        Session::Role(Arc::new(Role { arn, external_id: self.spec.external_id.clone(), name, tags }))
    }

    /// Whether objects of `namespace` may use it.
    pub fn allows_namespace(&self, namespace: &str) -> bool {
        any_matches(&self.spec.allowed_namespaces, namespace)
    }

    /// Lets objects of a namespace use it; those that use it already, `managed`, also while it is being
    /// deleted.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, namespace: &str, managed: bool) -> Result<(), Refusal> {
        if !self.allows_namespace(namespace) {
            let message = format!(
                "the {} does not allow the namespace {namespace}: ask for it in its spec.allowedNamespaces, or name \
                 another in spec.accountRef",
                self.called()
            );
            return Err(Refusal { reason: "AccountNotAllowed", message });
        }
        if self.deleting && !managed {
            let message = format!(
                "the {} is being deleted, and takes no new objects: name another in spec.accountRef",
                self.called()
            );
            return Err(Refusal { reason: "AccountDeleting", message });
        }
        Ok(())
    }

    /// Lets objects use a region.
    ///
    /// # Errors
    /// Why not.
    pub fn admit_region(&self, region: &str) -> Result<(), Refusal> {
        match &self.spec.allowed_regions {
            Some(allowed) if !any_matches(allowed, region) => Err(Refusal {
                reason: "AccountNotAllowed",
                message: format!(
                    "spec.region: the {} does not allow the region {region}, only {}: choose one of these, or ask for \
                     it in its spec.allowedRegions",
                    self.called(),
                    allowed.join(", ")
                ),
            }),
            _ => Ok(()),
        }
    }

    /// Lets objects name what they name.
    ///
    /// # Errors
    /// The first that they must not.
    pub fn admit_arns(&self, named: &[NamedArn]) -> Result<(), Refusal> {
        for NamedArn { field, what, value } in named {
            let (list, allowed) = match what {
                Named::KmsKey => ("allowedKMSKeys", &self.spec.allowed_kms_keys),
                Named::Role => ("allowedRoles", &self.spec.allowed_roles),
                Named::Snapshot => ("allowedSnapshots", &self.spec.allowed_snapshots),
            };
            if allowed.as_ref().is_some_and(|allowed| !any_matches(allowed, value)) {
                let message = format!(
                    "spec.{field}: the {} does not allow {value}: choose another, or ask for it in its spec.{list}",
                    self.called()
                );
                return Err(Refusal { reason: "AccountNotAllowed", message });
            }
        }
        Ok(())
    }

    /// Whether an object may adopt what exists.
    pub fn may_adopt(&self, object: Asking<'_>) -> bool {
        self.adoption.iter().any(|pattern| pattern.matches(object.namespace, object.name))
    }

    /// Whether an object may observe what is not its own.
    pub fn may_observe(&self, object: Asking<'_>) -> bool {
        self.observe.iter().any(|pattern| pattern.matches(object.namespace, object.name))
    }

    /// What decides about adoption, for messages.
    pub fn adoption_rule(&self) -> String {
        self.rule("FAIRLEAD_ALLOW_ADOPTION", "allowAdoption")
    }

    /// What decides about observing, for messages.
    pub fn observe_rule(&self) -> String {
        self.rule("FAIRLEAD_ALLOW_OBSERVE", "allowObserve")
    }

    fn rule(&self, setting: &str, field: &str) -> String {
        match &self.name {
            Some(name) => format!("the AWSAccount {name}'s spec.{field}"),
            None => format!("the operator's {setting}"),
        }
    }

    /// The id.
    ///
    /// # Errors
    /// Why it is not known, or why the account can't be used.
    pub fn usable(&self) -> Result<&str, Refusal> {
        match (&self.trouble, &self.id) {
            (Some(trouble), _) => Err(trouble.clone()),
            (None, Some(id)) => Ok(id),
            (None, None) => Err(self.unknown()),
        }
    }

    /// Why nothing can be done: the id is not known.
    pub fn unknown(&self) -> Refusal {
        let message = format!("AWS has not yet said which account {} of", self.credentials_are());
        Refusal { reason: "AccountUnknown", message }
    }

    /// Why a resource in the account `resource` is not touched with these credentials, of `id`.
    pub fn mismatch(&self, resource: &str, id: &str) -> Refusal {
        let way_out = match self.is_own() {
            true => "give it those of the first".to_owned(),
            false => "set the object's spec.accountRef back, or the AWSAccount's spec.roleARN to a role of the first"
                .to_owned(),
        };
        let message = format!(
            "the resource is in the AWS account {resource}, but {} of {id}: {way_out}, or remove the finalizer to leave \
             the resource behind",
            self.credentials_are()
        );
        Refusal { reason: "AccountMismatch", message }
    }

    fn credentials_are(&self) -> String {
        match (&self.name, &self.spec.role_arn) {
            (Some(name), Some(role)) => format!("the AWSAccount {name} assumes {role}, which is"),
            _ => "the operator's credentials are".into(),
        }
    }

    /// What new RDSInstances of `region` get for fields that they do not set.
    pub fn rds_defaults(&self, region: &str) -> Option<&RDSInstanceDefaults> {
        self.spec.rds_instance_defaults.iter().flatten().find(|defaults| defaults.region == region)
    }

    /// The regions for which it says that.
    pub fn rds_default_regions(&self) -> impl Iterator<Item = &str> {
        self.spec.rds_instance_defaults.iter().flatten().map(|defaults| defaults.region.as_str())
    }

    /// The namespaces whose objects use it where they name none.
    pub fn default_for(&self) -> &[String] {
        self.spec.default_for_namespaces.as_deref().unwrap_or_default()
    }

    /// The AWSAccount, for messages.
    pub(crate) fn called(&self) -> String {
        format!("AWSAccount {}", self.name.as_deref().unwrap_or(DEFAULT))
    }

    /// Why nothing can be done: AWS refuses the role, or its credentials, with `error`.
    pub fn refused(&self, error: &str) -> Refusal {
        let role = self.spec.role_arn.as_deref().unwrap_or_default();
        let message = format!(
            "the {}: AWS refuses {role}: {error}; check its spec.roleARN and spec.externalID, the role's trust \
             policy (sts:AssumeRole and sts:TagSession), and the operator's own IAM policy",
            self.called()
        );
        Refusal { reason: "CredentialsError", message }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn account(mut spec: serde_json::Value) -> Account {
        let fields = spec.as_object_mut().unwrap();
        fields.entry("roleARN").or_insert(json!("arn:aws:iam::111122223333:role/fairlead"));
        fields.entry("allowedNamespaces").or_insert(json!(["*"]));
        Account::named("team-a", serde_json::from_value(spec).unwrap(), "cluster-1")
    }

    #[test]
    fn what_an_account_allows() {
        let lists = account(json!({
            "allowedNamespaces": ["shop", "team-*"], "allowedRegions": ["eu-*", "us-east-1"],
            "allowedKMSKeys": ["alias/shop-*"], "allowedSnapshots": [],
        }));
        for (namespace, allowed) in [("shop", true), ("shop2", false), ("team-x", true), ("team", false)] {
            assert_eq!(lists.admit(namespace, false).is_ok(), allowed, "{namespace}");
        }
        for (region, allowed) in [("eu-west-1", true), ("us-east-1", true), ("us-east-2", false)] {
            assert_eq!(lists.admit_region(region).is_ok(), allowed, "{region}");
        }
        let arn = |what, value: &str| NamedArn { field: "field", what, value: value.into() };
        for (what, value, allowed) in [
            (Named::KmsKey, "alias/shop-1", true),
            (Named::KmsKey, "alias/store", false),
            (Named::Role, "arn:aws:iam::1:role/any", true),
            (Named::Snapshot, "any", false),
        ] {
            assert_eq!(lists.admit_arns(&[arn(what, value)]).is_ok(), allowed, "{what:?} {value}");
        }
        let open = account(json!({}));
        assert!(open.admit_region("us-east-2").is_ok() && open.admit_arns(&[arn(Named::KmsKey, "k")]).is_ok());
        let object = Asking { namespace: "shop", name: "orders" };
        assert!(!open.may_adopt(object) && !open.may_observe(object));
        assert!(account(json!({ "allowAdoption": ["shop/*"] })).may_adopt(object));
        assert!(account(json!({ "allowObserve": ["shop/*"] })).may_observe(object));
    }

    #[test]
    fn defaults_for_databases_are_those_of_the_region() {
        let list = json!([{ "region": "eu-west-1", "port": 5_432 }, { "region": "eu-west-2", "port": 5_433 }]);
        let with = account(json!({ "rdsInstanceDefaults": list }));
        for (region, port) in [("eu-west-1", Some(5_432)), ("eu-west-2", Some(5_433)), ("eu-west-3", None)] {
            assert_eq!(with.rds_defaults(region).and_then(|defaults| defaults.port), port, "{region}");
        }
        assert_eq!(account(json!({})).rds_defaults("eu-west-1"), None);
    }

    #[test]
    fn a_deleting_account_takes_no_new_objects() {
        let deleting = Account { deleting: true, ..account(json!({})) };
        assert!(deleting.admit("shop", true).is_ok());
        assert_eq!(deleting.admit("shop", false).unwrap_err().reason, "AccountDeleting");
    }

    #[test]
    fn every_refusal_names_the_account_the_field_and_the_way_out() {
        let lists =
            account(json!({ "allowedNamespaces": ["x"], "allowedRegions": ["eu-west-1"], "allowedKMSKeys": [] }));
        let key = NamedArn { field: "kmsMasterKeyID", what: Named::KmsKey, value: "alias/a".into() };
        for (refusal, words) in [
            (lists.admit("shop", false).unwrap_err(), ["namespace shop", "spec.allowedNamespaces", "spec.accountRef"]),
            (lists.admit_region("us-east-1").unwrap_err(), ["spec.region", "us-east-1", "spec.allowedRegions"]),
            (lists.admit_arns(&[key]).unwrap_err(), ["spec.kmsMasterKeyID", "alias/a", "spec.allowedKMSKeys"]),
            (lists.refused("denied"), ["spec.roleARN", "trust policy", "denied"]),
            (lists.mismatch("111111111111", "222222222222"), ["111111111111", "222222222222", "spec.roleARN"]),
        ] {
            let named = refusal.message.contains("AWSAccount team-a");
            assert!(named && words.iter().all(|word| refusal.message.contains(word)), "{}", refusal.message);
        }
    }

    #[test]
    fn sessions_differ_by_what_they_are_tagged_with() {
        let (plain, apart) = (account(json!({})), account(json!({ "perNamespaceSession": true, "externalID": "x-1" })));
        assert_eq!(plain.session("shop"), plain.session("store"));
        assert_ne!(apart.session("shop"), apart.session("store"));
        assert_eq!(plain.session("shop"), plain.probe_session());
        let Session::Role(role) = apart.session("shop") else { panic!("a role") };
        let tags = [(CLUSTER_TAG, "cluster-1"), (NAMESPACE_TAG, "shop")];
        assert_eq!(role.tags, tags.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!((role.name.as_str(), role.external_id.as_deref()), ("fairlead-shop", Some("x-1")));
    }
}

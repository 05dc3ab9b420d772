//! What is known of an object and of the settings, and what follows from them: for a reconcile, and for one that
//! is only looked ahead to ([`super::preview`]). Nothing here reads or writes anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    faults::{Fault, Situation},
    identity::{self, Source},
    kind::{Difference, Kind, NotYet, Referent, Referents, Refused},
    lifecycle::Facts,
    objects::{Object, ObjectKey, Standing},
    reconcile::Run,
    sweep::SweepKey,
};
use crate::{
    accounts::account::{Account, Asking},
    aws::{
        call::Regional,
        identity::Identity,
        tags::{ADOPTED, Owner, TagChanges, Tags},
    },
    crd::{self, spec::CommonSpec},
    queue::{flow::Flow, scheduler::Next},
    settings::{self, NameTemplate, Tag},
};

/// The longest time between two looks at a resource that is about to be in another state.
const SOON: Duration = Duration::from_secs(10);
/// The prefix of tags in the list of managed fields.
pub const TAG_FIELD: &str = "tags.";
/// The reason where a resource is gone that is not created again by itself.
pub(super) const RESOURCE_GONE: &str = "ResourceGone";

/// An object, and what the settings say about its resource: what decides, whoever asks.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The object.
    pub object: &'a Object,
    /// The cluster's id, for owner tags.
    pub cluster: &'a str,
    /// The tags of every resource.
    pub tags: &'a [Tag],
    /// How names are made.
    pub template: &'a NameTemplate,
    /// The region of objects that name none.
    pub default_region: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// What its course depends on.
    pub fn facts(&self) -> Facts {
        Facts {
            deleting: self.object.is_deleting(),
            finalizer: self.object.has_finalizer(),
            paused: self.object.annotation(crd::PAUSED) == Some("true"),
            management: self.object.management(),
        }
    }

    /// The spec, with the annotations that belong to it.
    ///
    /// # Errors
    /// Where it is none of its kind.
    pub fn spec<K: Kind>(&self) -> Result<K::Spec, NotYet> {
        if let Some(text) = self.object.annotation(crd::POLL_INTERVAL)
            && let Err(allowed) = settings::seconds(text)
        {
            let annotation = crd::POLL_INTERVAL;
            return Err(NotYet::Invalid(format!("the annotation {annotation} is {text:?}; {allowed}, or remove it")));
        }
        self.object.spec::<K>()
    }

    /// What the spec asks, where `referent` knows the objects that it refers to.
    ///
    /// # Errors
    /// Where the spec is invalid, or a referenced object is not there yet.
    pub fn desired<K: Kind>(
        &self,
        spec: &K::Spec,
        identity: &Identity,
        referent: impl Fn(&str) -> Option<Referent>,
    ) -> Result<K::Desired, NotYet> {
        // To go on with a resource that is there, it is enough to know where the other one is.
        let exists = self.exists::<K>();
        let enough = |other: Referent| Referent { ready: other.ready || (exists && other.arn.is_some()), ..other };
        let known = |name: String| {
            let other = referent(&name).map(enough);
            (name, other)
        };
        let referents: Referents = K::references(spec).into_iter().map(known).collect();
        K::desired(spec, identity, &referents)
    }

    /// The tags that its resource is to have.
    pub fn desired_tags<K: Kind>(&self, spec: &K::Spec, identity: &Identity) -> Tags {
        let general = self.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone()));
        let own = K::common(spec).tags.clone().unwrap_or_default();
        let adopted = identity.adopted.then(|| (ADOPTED.to_owned(), "true".to_owned()));
        general.chain(own).chain(self.owner::<K>().tags()).chain(adopted).collect()
    }

    /// What has to change of the tags `actual`, where `managed` are the fields that we set earlier.
    pub fn tag_changes<K: Kind>(
        &self,
        spec: &K::Spec,
        identity: &Identity,
        actual: &Tags,
        managed: &[String],
    ) -> TagChanges {
        let managed: Vec<_> = managed.iter().filter_map(|field| field.strip_prefix(TAG_FIELD)).collect();
        TagChanges::between(&self.desired_tags::<K>(spec, identity), actual, &managed)
    }

    /// The fields that we have set, as the status tells them.
    pub fn managed(&self) -> BTreeSet<String> {
        let status = self.object.status();
        let told = status.get("managed").and_then(|managed| serde_json::from_value(managed.clone()).ok());
        told.unwrap_or_default()
    }

    /// Its owner tags.
    pub fn owner<K: Kind>(&self) -> Owner {
        Owner {
            cluster: self.cluster.into(),
            namespace: self.object.namespace().into(),
            name: self.object.name().into(),
            kind: K::KIND.into(),
            uid: self.object.uid().into(),
        }
    }

    /// Its identity, where that was fixed.
    ///
    /// # Errors
    /// Where somebody has edited it.
    pub fn recorded_identity(&self) -> Result<Option<Identity>, NotYet> {
        let owner = format!("{}/{}", self.object.namespace(), self.object.name());
        identity::recorded(self.object.annotation(crd::IDENTITY), &owner, &self.object.status())
    }

    /// What an identity is made of, in `account`.
    pub fn source(&self, account: &'a str) -> Source<'a> {
        Source {
            account,
            default_region: self.default_region,
            template: self.template,
            namespace: self.object.namespace(),
            name: self.object.name(),
        }
    }

    /// Makes sure that it may use `account` at all.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, account: &Account) -> Result<(), Fault> {
        let managed = self.object.has_finalizer() && self.recorded_identity()?.is_some();
        Ok(account.admit(self.object.namespace(), managed)?)
    }

    /// Who asks something of an account.
    pub fn asking(&self) -> Asking<'a> {
        Asking { namespace: self.object.namespace(), name: self.object.name() }
    }

    /// Whether the resource was there when it was last looked at.
    pub fn exists<K: Kind>(&self) -> bool {
        K::handle(&self.object.status()).is_some()
    }

    /// Whether the object's resource has been there, as far as the object says.
    pub fn has_existed<K: Kind>(&self) -> bool {
        let recorded = || self.recorded_identity().ok().flatten().is_some_and(|identity| identity.created);
        self.exists::<K>() || recorded()
    }
}

/// Makes sure that an object may use what its spec names in `account`.
pub(super) fn admit_use<K: Kind>(account: &Account, spec: &K::Spec, identity: &Identity) -> Result<(), Fault> {
    account.admit_region(&identity.region)?;
    Ok(account.admit_arns(&K::named_arns(spec))?)
}

/// Makes sure that an object may adopt what exists.
pub(super) fn admit_adoption(account: &Account, asking: Asking<'_>) -> Result<(), Fault> {
    if account.may_adopt(asking) {
        return Ok(());
    }
    let Asking { namespace, name } = asking;
    let rule = account.adoption_rule();
    let message = format!(
        "spec.adoption: {rule} does not allow {namespace}/{name} to adopt; ask for a pattern that does, or remove the \
         field"
    );
    Err(Fault::Refused { reason: "AdoptionNotAllowed", message })
}

/// Makes sure that an object may observe what is not its own.
pub(super) fn admit_observing<K: Kind>(account: &Account, asking: Asking<'_>) -> Result<(), Fault> {
    if account.may_observe(asking) {
        return Ok(());
    }
    let Asking { namespace, name } = asking;
    let (noun, rule) = (K::NOUN, account.observe_rule());
    let message =
        format!("the {noun} is not this object's, and {rule} does not allow {namespace}/{name} to observe it");
    Err(Fault::Refused { reason: "ObserveNotAllowed", message })
}

/// The resource is gone, and with it what it held.
pub(super) fn resource_gone<K: Kind>(identity: &Identity, uid: &str) -> Fault {
    let (noun, name, annotation) = (K::NOUN, &identity.name, crd::RECREATE);
    let message = format!(
        "the {noun} {name} is gone, and with it what it held: it is not created again by itself. Restore it under its \
         name and it is taken up again; or, for a new one, set the annotation {annotation}: {uid}"
    );
    Fault::Refused { reason: RESOURCE_GONE, message }
}

/// There is nothing to adopt.
pub(super) fn nothing_to_adopt<K: Kind>(identity: &Identity) -> Fault {
    let (noun, name, region) = (K::NOUN, &identity.name, &identity.region);
    Fault::Waiting(format!(
        "spec.adoption is Adopt, but there is no {noun} {name} in {region} to adopt; AdoptOrCreate would create it"
    ))
}

/// AWS can't do what the spec asks.
pub(super) fn impossible<K: Kind>(refused: Refused) -> Fault {
    let Refused { reason, difference: Difference { field, actual, desired, .. }, why } = refused;
    let message = format!("spec.{field} is {desired}, but the {} has {actual} and {why}", K::NOUN);
    Fault::Refused { reason, message }
}

impl<K: Kind> Run<'_, K> {
    /// What is known of the object.
    pub(super) fn subject(&self) -> Subject<'_> {
        let context = &self.controller.context;
        Subject {
            object: &self.object,
            cluster: &context.cluster,
            tags: &context.settings.tags,
            template: &context.settings.resource_name,
            default_region: context.clients.default_region(),
        }
    }

    /// The spec, with the annotations that belong to it.
    pub(super) fn spec(&self) -> Result<K::Spec, NotYet> {
        self.subject().spec::<K>()
    }

    pub(super) fn desired(&self, spec: &K::Spec, identity: &Identity) -> Result<K::Desired, NotYet> {
        self.subject().desired::<K>(spec, identity, |name| {
            let key = ObjectKey { name: name.to_owned(), ..self.key.clone() };
            self.controller.referent(&key, &self.key)
        })
    }

    pub(super) fn desired_tags(&self, spec: &K::Spec, identity: &Identity) -> Tags {
        self.subject().desired_tags::<K>(spec, identity)
    }

    pub(super) fn tag_changes(&self, spec: &K::Spec, identity: &Identity, managed: &[String]) -> TagChanges {
        let actual = self.memory.tags.as_ref();
        actual.map(|actual| self.subject().tag_changes::<K>(spec, identity, actual, managed)).unwrap_or_default()
    }

    pub(super) fn managed_before(&self) -> Vec<String> {
        let mut managed = self.subject().managed();
        managed.extend(self.memory.managed.iter().cloned());
        managed.into_iter().collect()
    }

    /// The list of managed fields: those of the spec; while the work is `under_way` those of before
    /// as well, since it may end halfway; and always those that this version does not know.
    pub(super) fn managed_after(&self, desired: &K::Desired, spec: &K::Spec, under_way: bool) -> Vec<String> {
        let general = self.controller.context.settings.tags.iter().map(|tag| &tag.key);
        let tags = general.chain(K::common(spec).tags.iter().flat_map(BTreeMap::keys));
        let now = K::managed(desired).into_iter().chain(tags.map(|key| format!("{TAG_FIELD}{key}")));
        let stays =
            |field: &String| under_way || !(field.starts_with(TAG_FIELD) || K::FIELDS.contains(&field.as_str()));
        let before = self.managed_before().into_iter().filter(stays);
        now.chain(before).collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(super) fn owner(&self) -> Owner {
        self.subject().owner::<K>()
    }

    pub(super) fn recorded_identity(&self) -> Result<Option<Identity>, NotYet> {
        self.subject().recorded_identity()
    }

    pub(super) fn source<'s>(&'s self, account: &'s str) -> Source<'s> {
        self.subject().source(account)
    }

    /// The account that the object is of, whether or not it may use it.
    pub(super) fn account(&self) -> Result<&Account, Fault> {
        self.account.as_deref().map_err(|refusal| refusal.clone().into())
    }

    /// The id of that account, where it can be used.
    pub(super) fn account_id(&self) -> Result<String, Fault> {
        Ok(self.account()?.usable()?.to_owned())
    }

    /// Makes sure that the object may use its account at all.
    pub(super) fn admit(&self) -> Result<(), Fault> {
        self.subject().admit(self.account()?)
    }

    /// Makes sure that the object may use what its spec names there.
    pub(super) fn admit_use(&self, spec: &K::Spec, identity: &Identity) -> Result<(), Fault> {
        admit_use::<K>(self.account()?, spec, identity)
    }

    /// Makes sure that the resource is in the account that is called, of `id`.
    pub(super) fn check_account(&self, identity: &Identity, id: &str) -> Result<(), Fault> {
        match identity.account_id == id {
            true => Ok(()),
            false => Err(self.account()?.mismatch(&identity.account_id, id).into()),
        }
    }

    /// Asks AWS itself whether the resource is in the account that is called.
    pub(super) async fn confirm_account(&self, identity: &Identity) -> Result<(), Fault> {
        let id = self.controller.context.accounts.ask(self.account()?, &self.key.namespace).await?;
        self.check_account(identity, &id)
    }

    pub(super) fn aws(&self, identity: &Identity) -> Result<Regional<K::Client>, Fault> {
        let session = self.account()?.session(&self.key.namespace);
        let token = self.token.within(&Flow::new(&identity.account_id, &identity.region, K::SERVICE));
        let clients = &self.controller.context.clients;
        Ok(clients.regional(&session, K::SERVICE, &identity.region, K::client, K::classify, token))
    }

    pub(super) fn asking(&self) -> Asking<'_> {
        self.subject().asking()
    }

    /// Whether the resource was there when it was last looked at.
    pub(super) fn exists(&self) -> bool {
        self.subject().exists::<K>()
    }

    /// Whether the last status does not say that the present spec is in effect.
    pub(super) fn is_unsettled(&self) -> bool {
        self.object.standing() != Standing::Settled
    }

    pub(super) fn connection_name(&self, common: &CommonSpec) -> Option<String> {
        let connection = common.connection.clone().unwrap_or_default();
        connection.enabled.unwrap_or(true).then(|| connection.name.unwrap_or_else(|| self.key.name.clone()))
    }

    pub(super) fn situation(&self) -> Situation {
        Situation {
            deleting: self.object.is_deleting(),
            exists: self.exists(),
            failures: self.failures,
            rejections: self.memory.rejections,
            poll: self.poll_interval(),
            swept: self.memory.sweep.is_some(),
        }
    }

    pub(super) fn poll(&self) -> Next {
        Next::Poll(self.poll_interval())
    }

    /// When to look again while the resource is about to be in another state.
    pub(super) fn soon(&self) -> Next {
        Next::Poll(self.poll_interval().min(SOON))
    }

    /// Whether the object's resource has been there.
    pub(super) fn has_existed(&self) -> bool {
        self.subject().has_existed::<K>() || self.was_published()
    }

    /// With which others the resource is looked at.
    pub(super) fn sweep_key(&self, identity: &Identity) -> Result<SweepKey, Fault> {
        let flow = Flow::new(&identity.account_id, &identity.region, K::SERVICE);
        Ok(SweepKey { kind: K::KIND, flow, session: self.account()?.session(&self.key.namespace) })
    }

    /// How often the resource is looked at while it is in sync.
    pub(super) fn poll_interval(&self) -> Duration {
        self.controller.poll_interval(&self.object)
    }
}

//! What a reconcile knows of its object and of the settings, and what follows from them. Nothing here
//! reads or writes anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    faults::{Fault, Situation},
    identity::{self, Source},
    kind::{Kind, NotYet, Referent, Referents},
    objects::{ObjectKey, Standing},
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
    settings,
};

/// The longest time between two looks at a resource that is about to be in another state.
const SOON: Duration = Duration::from_secs(10);
/// The prefix of tags in the list of managed fields.
const TAG_FIELD: &str = "tags.";

impl<K: Kind> Run<'_, K> {
    /// The spec, with the annotations that belong to it.
    pub(super) fn spec(&self) -> Result<K::Spec, NotYet> {
        if let Some(text) = self.object.annotation(crd::POLL_INTERVAL)
            && let Err(allowed) = settings::seconds(text)
        {
            let annotation = crd::POLL_INTERVAL;
            return Err(NotYet::Invalid(format!("the annotation {annotation} is {text:?}; {allowed}, or remove it")));
        }
        self.object.spec::<K>()
    }

    pub(super) fn desired(&self, spec: &K::Spec, identity: &Identity) -> Result<K::Desired, NotYet> {
        // To go on with a resource that is there, it is enough to know where the other one is.
        let enough =
            |other: Referent| Referent { ready: other.ready || (self.exists() && other.arn.is_some()), ..other };
        let referents: Referents = K::references(spec)
            .into_iter()
            .map(|name| {
                let key = ObjectKey { name: name.clone(), ..self.key.clone() };
                (name, self.controller.referent(&key, &self.key).map(enough))
            })
            .collect();
        K::desired(spec, identity, &referents)
    }

    pub(super) fn desired_tags(&self, spec: &K::Spec, identity: &Identity) -> Tags {
        let general = self.controller.context.settings.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone()));
        let own = K::common(spec).tags.clone().unwrap_or_default();
        let adopted = identity.adopted.then(|| (ADOPTED.to_owned(), "true".to_owned()));
        general.chain(own).chain(self.owner().tags()).chain(adopted).collect()
    }

    pub(super) fn tag_changes(&self, spec: &K::Spec, identity: &Identity, managed: &[String]) -> TagChanges {
        let managed: Vec<_> = managed.iter().filter_map(|field| field.strip_prefix(TAG_FIELD)).collect();
        let actual = self.memory.tags.as_ref();
        actual
            .map(|actual| TagChanges::between(&self.desired_tags(spec, identity), actual, &managed))
            .unwrap_or_default()
    }

    pub(super) fn managed_before(&self) -> Vec<String> {
        let status = self.object.status();
        let told = status.get("managed").and_then(|managed| serde_json::from_value(managed.clone()).ok());
        let mut managed: BTreeSet<String> = told.unwrap_or_default();
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
        Owner {
            cluster: self.controller.context.cluster.clone(),
            namespace: self.key.namespace.clone(),
            name: self.key.name.clone(),
            kind: K::KIND.into(),
            uid: self.object.uid().into(),
        }
    }

    pub(super) fn recorded_identity(&self) -> Result<Option<Identity>, NotYet> {
        let owner = format!("{}/{}", self.key.namespace, self.key.name);
        identity::recorded(self.object.annotation(crd::IDENTITY), &owner, &self.object.status())
    }

    pub(super) fn source<'s>(&'s self, account: &'s str) -> Source<'s> {
        let context = &self.controller.context;
        Source {
            account,
            default_region: context.clients.default_region(),
            template: &context.settings.resource_name,
            namespace: &self.key.namespace,
            name: &self.key.name,
        }
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
        let managed = self.object.has_finalizer() && self.recorded_identity()?.is_some();
        Ok(self.account()?.admit(&self.key.namespace, managed)?)
    }

    /// Makes sure that the object may use what its spec names there.
    pub(super) fn admit_use(&self, spec: &K::Spec, identity: &Identity) -> Result<(), Fault> {
        self.account()?.admit_region(&identity.region)?;
        Ok(self.account()?.admit_arns(&K::named_arns(spec))?)
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
        Asking { namespace: &self.key.namespace, name: &self.key.name }
    }

    /// Whether the resource was there when it was last looked at.
    pub(super) fn exists(&self) -> bool {
        K::handle(&self.object.status()).is_some()
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
        let recorded = || self.recorded_identity().ok().flatten().is_some_and(|identity| identity.created);
        self.exists() || self.was_published() || recorded()
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

//! The steps of a deletion. They need neither a valid spec nor a status, and let the object go only
//! when its resource is gone or retained.

use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use serde_json::{Map, Value};
use tracing::Instrument as _;

use super::{
    converge::{Sight, report, unseen},
    events::Happening,
    faults::Fault,
    identity,
    kind::{End, Ending, Gone, Kind},
    lifecycle::{Disposal, disposal},
    objects::{KubeError, bounded},
    reconcile::Run,
    status::{Stage, Verdict},
    traced,
};
use crate::{
    aws::{
        call::Regional,
        errors::ErrorClass,
        identity::Identity,
        tags::{self, Ownership, TagChanges, Tags},
    },
    telemetry::traces::spans,
};

/// A resource whose object is being deleted.
struct Found<K: Kind> {
    handle: K::Handle,
    observed: Option<K::Observed>,
    tags: Tags,
}

impl<K: Kind> Run<'_, K> {
    /// Deletes or retains the resource, then lets the object go.
    pub(super) async fn dispose(&mut self) -> Result<Option<Verdict>, Fault> {
        let Some(identity) = self.identity_to_dispose()? else {
            return self.release("Released", "nothing was ever created for this object").await;
        };
        self.reach_account(&identity)?;
        let aws = self.aws(&identity)?;
        let finding = self.find_to_dispose(&aws, &identity).instrument(spans::observe());
        let Some(Found { handle, observed, tags }) = finding.await? else {
            return self.gone(&identity).await;
        };
        let ownership = self.owner().of(&tags);
        self.confirm().await?; // reads Kubernetes, once a leadership
        if self.vanished && self.has_successor().await? {
            // It takes up what this one has left. No finalizer keeps the name until all is done.
            return Ok(None);
        }
        let crd_is_deleted = self.crd_is_deleted().await?;
        let adopted = identity.adopted || tags.contains_key(tags::ADOPTED);
        let disposal = match self.vanished && ownership != Ownership::Ours {
            // By now it may be another one's, who has this object's name.
            true => Disposal::Spare,
            false => disposal(&ownership, self.object.deletion_policy(), K::DELETION, adopted, crd_is_deleted),
        };
        let retag = match disposal {
            Disposal::Delete { .. } if ownership != Ownership::Ours => {
                TagChanges::between(&self.owner().tags(), &tags, &[])
            }
            Disposal::Retain => self.retention(adopted, &tags),
            Disposal::Delete { .. } | Disposal::Spare => TagChanges::default(),
        };
        // Were this to be tried again, somebody else may have the name by then.
        self.memory.tags = None;
        if !retag.is_empty() {
            let tagging = K::retag(&aws, &self.permit, &identity, &handle, &retag);
            let answer = tagging.instrument(spans::action("tag")).await;
            self.memory.wrote = Some(Instant::now());
            match answer {
                Err(error) if error.class == ErrorClass::NotFound => return self.gone(&identity).await,
                outcome => outcome?,
            }
        }
        let resource = format!("{} {}", K::NOUN, K::arn(&identity));
        match disposal {
            Disposal::Delete { snapshot } => self.end(&aws, &identity, &handle, observed.as_ref(), snapshot).await,
            Disposal::Retain => {
                self.disown_secrets().await?; // writes Kubernetes
                let why = if crd_is_deleted { ", because the CRD itself is being deleted" } else { "" };
                self.release("Retained", &format!("retained the {resource}{why}")).await
            }
            Disposal::Spare => {
                self.disown_secrets().await?; // writes Kubernetes
                self.release("Spared", &format!("left the {resource} alone: it is not this object's")).await
            }
        }
    }

    /// Takes the resource one step nearer to its end.
    async fn end(
        &mut self,
        aws: &Regional<K::Client>,
        identity: &Identity,
        handle: &K::Handle,
        observed: Option<&K::Observed>,
        snapshot: bool,
    ) -> Result<Option<Verdict>, Fault> {
        let wish = Ending { uid: self.object.uid(), snapshot, spec: &self.object.raw_spec() };
        let resource = format!("{} {}", K::NOUN, K::arn(identity));
        let message = match K::ending(observed, &wish) {
            End::Delete(farewell) => {
                let deleting = K::delete(aws, &self.permit, handle, &farewell);
                let answer = deleting.instrument(spans::action("delete")).await;
                self.memory.wrote = Some(Instant::now());
                if answer? == Gone::Now {
                    return self.release("Deleted", &format!("deleted the {resource}")).await;
                }
                self.memory.deleting = Some(resource.clone());
                format!("AWS deletes the {resource}")
            }
            End::Change(change) => {
                let changing = K::change(aws, &self.permit, handle, &change);
                let answer = changing.instrument(spans::action("change")).await;
                self.memory.wrote = Some(Instant::now());
                answer?;
                format!("preparing the {resource} for its deletion")
            }
            End::Wait(message) => message,
            End::Blocked(message) => return Err(Fault::Refused { reason: "DeletionBlocked", message }),
        };
        let fields = self.fields_of(identity, handle, observed);
        Ok(Some(Verdict { fields, ..Verdict::new(Stage::Deleting, "Deleting", message, self.soon()) }))
    }

    fn fields_of(&self, identity: &Identity, handle: &K::Handle, observed: Option<&K::Observed>) -> Map<String, Value> {
        let sight = observed.map(|observed| Sight::of(handle.clone(), observed.clone()));
        sight.map(|sight| report::<K>(identity, &sight, &[])).unwrap_or_default()
    }

    /// Makes sure that the account is called in which the resource is. What the object names by now may be
    /// another, or refused: that must not keep what is managed from being deleted.
    fn reach_account(&mut self, identity: &Identity) -> Result<(), Fault> {
        let Err(fault) = self.account_id().and_then(|id| self.check_account(identity, &id)) else { return Ok(()) };
        let accounts = &self.controller.context.accounts;
        let managing = accounts.managing(&self.key.namespace, &identity.account_id).ok_or(fault)?;
        self.account = Ok(managing);
        Ok(())
    }

    /// Lets the object go, whose resource is not there. "Not there" may also mean that a create has
    /// not come into sight, or that the credentials are of another account by now.
    async fn gone(&mut self, identity: &Identity) -> Result<Option<Verdict>, Fault> {
        let now = Instant::now();
        let recorded = K::handle(&self.object.status()).is_some();
        let since = *self.memory.absent_since.get_or_insert(now);
        let attempted = self.memory.attempted.is_some_and(|at| now - at < K::APPEARS_WITHIN);
        if attempted || (!recorded && now - since < K::APPEARS_WITHIN) {
            return Err(unseen::<K>(identity));
        }
        self.confirm_account(identity).await?;
        self.remove_secrets().await?; // writes Kubernetes
        match self.memory.deleting.take() {
            Some(resource) => self.release("Deleted", &format!("deleted the {resource}")).await,
            None => self.release("Deleted", &format!("the {} was gone already", K::NOUN)).await,
        }
    }

    /// Lets the object go.
    pub(super) async fn release(&mut self, reason: &str, note: &str) -> Result<Option<Verdict>, Fault> {
        if !self.vanished {
            let released = self.controller.writer.release(&self.permit, &self.object).await?;
            self.memory.written = released.version().map(str::to_owned);
        }
        traced::outcome(reason);
        self.happened.push(Happening::normal(reason, note));
        self.tell(None).await;
        Ok(None)
    }

    /// Whether there is an object of the name by now. Asked of the API server itself.
    async fn has_successor(&self) -> Result<bool, Fault> {
        match self.controller.writer.read(&self.object).await {
            Ok(_) => Ok(true),
            Err(KubeError::Gone) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn identity_to_dispose(&self) -> Result<Option<Identity>, Fault> {
        if let Some(identity) = self.recorded_identity()? {
            return Ok(Some(identity));
        }
        // Somebody has removed the annotation, and the status is lost: what it would be now.
        let Ok(spec) = self.object.spec::<K>() else { return Ok(None) };
        Ok(identity::fix::<K>(&spec, &self.source(&self.account_id()?)).ok())
    }

    /// The resource, with its tags, and what AWS says of it where the kind's end depends on that.
    async fn find_to_dispose(
        &mut self,
        aws: &Regional<K::Client>,
        identity: &Identity,
    ) -> Result<Option<Found<K>>, Fault> {
        if K::SWEEP.is_some() {
            let Some(sight) = self.look_at_once(aws, identity).await? else { return Ok(None) };
            let tags = K::tags_in(&sight.observed).cloned().unwrap_or_default();
            return Ok(Some(Found { handle: sight.handle, observed: Some(sight.observed), tags }));
        }
        let handle = match self.memory.handle.clone().or_else(|| K::handle(&self.object.status())) {
            Some(handle) => Some(handle),
            None => K::find(aws, identity).await?,
        };
        let Some(handle) = handle else { return Ok(None) };
        let tags = match self.memory.tags.clone() {
            Some(tags) => tags,
            None => match K::tags(aws, &handle).await {
                Ok(tags) => tags,
                Err(error) if error.class == ErrorClass::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            },
        };
        Ok(Some(Found { handle, observed: None, tags }))
    }

    fn retention(&self, adopted: bool, actual: &Tags) -> TagChanges {
        let mut kept = self.owner().tags();
        kept.extend(adopted.then(|| (tags::ADOPTED.to_owned(), "true".to_owned())));
        kept.remove(tags::UID);
        kept.insert(tags::RETAINED.into(), Timestamp::now().strftime("%FT%TZ").to_string());
        TagChanges::between(&kept, actual, &[tags::UID])
    }

    /// Asked of the API server itself, not of a cache: an object whose CRD is going keeps its data.
    async fn crd_is_deleted(&self) -> Result<bool, Fault> {
        let name = K::crd().metadata.name.unwrap_or_default();
        let api: Api<CustomResourceDefinition> = Api::all(self.controller.context.client.clone());
        let crd = bounded(api.get_opt(&name)).await?;
        Ok(crd.is_none_or(|crd| crd.metadata.deletion_timestamp.is_some()))
    }
}

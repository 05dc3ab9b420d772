//! What the next reconcile of an object would do, without doing it.
//!
//! It decides by the functions that a reconcile decides by, in the same order. It reads AWS, and can do nothing
//! else: every call that changes something takes a permit, and nothing here has one.
//!
//! - here: the steps, which read AWS
//! - [`outcome`]: what they come to; pure

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
};

use super::{
    faults::Fault,
    identity,
    kind::{End, Ending, Kind, Published, Referent},
    lifecycle::{Course, Disposal, course, disposal},
    subject::{Subject, admit_adoption, admit_use, nothing_to_adopt, resource_gone},
};
use crate::{
    accounts::account::Account,
    aws::{
        call::Regional,
        clients::Clients,
        errors::{AwsError, ErrorClass},
        identity::Identity,
        session::Session,
        tags::{self, Ownership, Tags},
    },
    crd::{self, spec::Adoption},
    queue::{flow::Flow, token::FlowToken},
};

pub mod outcome;

#[cfg(test)]
mod tests;

use outcome::Grounds;
pub use outcome::{FieldChange, Outcome, Preview};

/// What one looks ahead from.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The object, and what is known of the operator's settings.
    pub subject: Subject<'a>,
    /// Whether the cluster's id is known. Where not, a resource's owner tags are taken at their word.
    pub cluster_is_known: bool,
    /// The keys of the tags that may be removed, where it is not known which tags the operator gives all resources.
    pub removable_tags: Option<&'a BTreeSet<String>>,
    /// The object's account, with the id that AWS has said.
    pub account: &'a Account,
    /// The ways to AWS.
    pub clients: &'a Clients,
    /// With whose credentials AWS is read.
    pub session: &'a Session,
    /// The objects that the spec refers to, by name.
    pub referents: &'a BTreeMap<String, Referent>,
    /// Whether the object's CRD is being deleted.
    pub crd_is_deleted: bool,
}

/// A look ahead, whatever the kind.
pub type Ahead<'a> = Pin<Box<dyn Future<Output = Result<Preview, AwsError>> + Send + 'a>>;

/// What the next reconcile would come to.
///
/// # Errors
/// Where AWS can't be read from here: that says nothing of how it answers the operator.
pub async fn preview<K: Kind>(view: &View<'_>) -> Result<Preview, AwsError> {
    let mut look = Look { given: *view, cluster: None, identity: None, assumed: Vec::new() };
    let came_to = Box::pin(look.steps::<K>()).await;
    let Look { identity, assumed, .. } = look;
    let preview = match came_to {
        Ok(preview) => preview,
        Err(Fault::Aws(error)) => return Err(error),
        Err(fault) => Preview::of_fault::<K>(&view.subject, &fault),
    };
    Ok(Preview { resource: identity.map(|it| outcome::shown::<K>(&it)), assumed, ..preview })
}

/// What objects that refer to this one would know of it, were it applied to the account of this id: its resource may
/// not be there yet.
pub fn referent<K: Kind>(subject: &Subject<'_>, account: &str) -> Option<Referent> {
    let spec = subject.spec::<K>().ok()?;
    let identity = match subject.recorded_identity().ok()? {
        Some(identity) => identity,
        None => identity::fix::<K>(&spec, &subject.source(account)).ok()?,
    };
    Some(Referent { ready: true, spec: subject.object.raw_spec(), arn: Some(K::arn(&identity)) })
}

/// One look ahead.
struct Look<'a> {
    given: View<'a>,
    /// The cluster's id as the resource's tags have it, where it is not known otherwise.
    cluster: Option<String>,
    identity: Option<Identity>,
    assumed: Vec<String>,
}

/// A resource that is there.
struct Found<K: Kind> {
    observed: Option<K::Observed>,
    tags: Tags,
}

impl Look<'_> {
    async fn steps<K: Kind>(&mut self) -> Result<Preview, Fault> {
        let paused = |what: &str| Preview::new(Outcome::Paused, format!("{what} the annotation {}", crd::PAUSED));
        match course(&self.given.subject.facts()) {
            Course::Leave => Ok(Preview::new(Outcome::Wait, "it is being deleted, and nothing of it is Fairlead's")),
            Course::Pause => Ok(paused("paused by")),
            Course::PauseDeletion => Ok(paused("paused: the deletion waits for the removal of")),
            Course::Release => {
                Ok(Preview::new(Outcome::Release, format!("management is Observe: the {} is left as it is", K::NOUN)))
            }
            Course::Dispose => self.dispose::<K>().await,
            Course::Observe => self.observe::<K>().await,
            Course::Manage => self.manage::<K>().await,
        }
    }

    async fn manage<K: Kind>(&mut self) -> Result<Preview, Fault> {
        let View { subject, account, .. } = self.given;
        subject.admit(account)?; // decides
        let spec = subject.spec::<K>()?; // decides
        let identity = self.identity::<K>(&spec).await?; // reads AWS where spec and identity differ
        self.identity = Some(identity.clone());
        admit_use::<K>(account, &spec, &identity)?; // decides
        let desired = subject.desired::<K>(&spec, &identity, |name| self.given.referents.get(name).cloned())?; // decides
        match self.find::<K>(&identity, true).await? {
            Some(Found { observed: Some(observed), tags }) => {
                self.know(&tags);
                self.tell_of_general_tags::<K>(&spec, &tags);
                if K::PUBLISHES == Published::Secret {
                    self.assume("that the password is in effect: no Secret is read here");
                }
                outcome::correction::<K>(&self.grounds(), &spec, &identity, &desired, &observed, &tags) // decides
            }
            _ => self.creation::<K>(&spec, &identity, &desired), // decides
        }
    }

    fn creation<K: Kind>(&self, spec: &K::Spec, identity: &Identity, desired: &K::Desired) -> Result<Preview, Fault> {
        let View { subject, account, .. } = self.given;
        let (object, existed) = (subject.object, subject.has_existed::<K>());
        if existed && !K::RECREATES && object.annotation(crd::RECREATE) != Some(object.uid()) {
            return Err(resource_gone::<K>(identity, object.uid()));
        }
        if K::common(spec).adoption() == Adoption::Adopt {
            return Err(nothing_to_adopt::<K>(identity));
        }
        outcome::creation::<K>(account, identity, desired, existed)
    }

    async fn observe<K: Kind>(&mut self) -> Result<Preview, Fault> {
        let View { subject, account, .. } = self.given;
        subject.admit(account)?; // decides
        let spec = subject.spec::<K>()?; // decides
        let identity = match subject.recorded_identity()? {
            Some(identity) => identity,
            None => identity::fix::<K>(&spec, &subject.source(account.usable()?))?,
        };
        self.identity = Some(identity.clone());
        identity::check::<K>(&identity, &spec)?;
        admit_use::<K>(account, &spec, &identity)?; // decides
        let desired = subject.desired::<K>(&spec, &identity, |name| self.given.referents.get(name).cloned())?; // decides
        match self.find::<K>(&identity, true).await? {
            Some(Found { observed: Some(observed), tags }) => {
                self.know(&tags);
                outcome::comparison::<K>(&self.grounds(), &desired, &observed, &tags) // decides
            }
            _ => {
                let message = format!("there is no {} {} in {} to observe", K::NOUN, identity.name, identity.region);
                Ok(Preview::new(Outcome::Observe, message).because("NotFound"))
            }
        }
    }

    async fn dispose<K: Kind>(&mut self) -> Result<Preview, Fault> {
        let View { subject, account, crd_is_deleted, .. } = self.given;
        let object = subject.object;
        let identity = match subject.recorded_identity()? {
            Some(identity) => Some(identity),
            None => {
                let spec = object.spec::<K>().ok();
                spec.and_then(|spec| identity::fix::<K>(&spec, &subject.source(account.usable().ok()?)).ok())
            }
        };
        let Some(identity) = identity else {
            return Ok(Preview::new(Outcome::Release, "nothing was ever created for this object"));
        };
        self.identity = Some(identity.clone());
        let Some(Found { observed, tags }) = self.find::<K>(&identity, K::SWEEP.is_some()).await? else {
            return Ok(Preview::new(Outcome::Release, format!("the {} is not there", K::NOUN)));
        };
        self.know(&tags);
        let adopted = identity.adopted || tags.contains_key(tags::ADOPTED);
        let ownership = self.grounds().subject.owner::<K>().of(&tags);
        let resource = format!("{} {}", K::NOUN, K::arn(&identity));
        Ok(match disposal(&ownership, object.deletion_policy(), K::DELETION, adopted, crd_is_deleted) {
            Disposal::Spare => Preview::new(Outcome::Spare, format!("the {resource} is not this object's")),
            Disposal::Retain => Preview::new(Outcome::Retain, format!("the {resource} stays, marked as retained")),
            Disposal::Delete { snapshot } => {
                let wish = Ending { uid: object.uid(), snapshot, spec: &object.raw_spec() };
                match K::ending(observed.as_ref(), &wish) {
                    End::Delete(_) if snapshot => {
                        Preview::new(Outcome::Delete, format!("the {resource}, after a final snapshot of it"))
                    }
                    End::Delete(_) => Preview::new(Outcome::Delete, format!("the {resource}")),
                    End::Change(_) => Preview::new(Outcome::Delete, format!("the {resource}, which is prepared first")),
                    End::Wait(message) => Preview::new(Outcome::Wait, message),
                    End::Blocked(message) => Preview::new(Outcome::Refuse, message).because("DeletionBlocked"),
                }
            }
        })
    }

    /// The object's identity, as it was fixed, or as it would be now.
    async fn identity<K: Kind>(&self, spec: &K::Spec) -> Result<Identity, Fault> {
        let View { subject, account, .. } = self.given;
        if let Some(identity) = subject.recorded_identity()? {
            match identity::check::<K>(&identity, spec) {
                Ok(()) => return Ok(identity),
                // Nothing was ever made of it: a name that was taken, say. The spec may choose again.
                Err(_) if self.has_nothing_at::<K>(&identity).await? => {}
                Err(differs) => return Err(differs.into()),
            }
        }
        let identity = identity::fix::<K>(spec, &subject.source(account.usable()?))?;
        if K::common(spec).adoption() != Adoption::Never {
            admit_adoption(account, subject.asking())?;
        }
        Ok(identity)
    }

    /// Whether no resource of this identity is or was this object's.
    async fn has_nothing_at<K: Kind>(&self, identity: &Identity) -> Result<bool, Fault> {
        if self.given.subject.object.status().contains_key("identity") {
            return Ok(false);
        }
        let aws = self.aws::<K>(identity);
        let Some(handle) = K::find(&aws, identity).await? else { return Ok(true) };
        let ownership = self.given.subject.owner::<K>().of(&K::tags(&aws, &handle).await?);
        Ok(!matches!(ownership, Ownership::Ours | Ownership::Reincarnated | Ownership::Retained))
    }

    /// The resource, with its tags; and what AWS says of it, where that is asked for.
    async fn find<K: Kind>(&self, identity: &Identity, observe: bool) -> Result<Option<Found<K>>, Fault> {
        let aws = self.aws::<K>(identity);
        let known = K::handle(&self.given.subject.object.status()).or_else(|| K::handle_of(identity));
        let handle = match known {
            Some(handle) => Some(handle),
            None => K::find(&aws, identity).await?,
        };
        let Some(handle) = handle else { return Ok(None) };
        let observed = if observe { K::observe(&aws, &handle).await? } else { None };
        if observe && observed.is_none() {
            return Ok(None);
        }
        let tags = match observed.as_ref().and_then(K::tags_in) {
            Some(tags) => tags.clone(),
            None => match K::tags(&aws, &handle).await {
                Ok(tags) => tags,
                Err(error) if error.class == ErrorClass::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            },
        };
        Ok(Some(Found { observed, tags }))
    }

    fn aws<K: Kind>(&self, identity: &Identity) -> Regional<K::Client> {
        let Identity { account_id, region, .. } = identity;
        let View { clients, session, .. } = self.given;
        let token = FlowToken::unrationed(Flow::new(account_id, region, K::SERVICE));
        clients.regional(session, K::SERVICE, region, K::client, K::classify, token)
    }

    /// Where the cluster's id is not known, the one that the tags name is believed.
    fn know(&mut self, tags: &Tags) {
        if let Some(named) = tags.get(tags::CLUSTER).filter(|_| !self.given.cluster_is_known) {
            self.assume(&format!("that this cluster is the one that the owner tags name, {named} (--cluster-id)"));
            self.cluster = Some(named.clone());
        }
    }

    /// What decides, with what was found out.
    fn grounds(&self) -> Grounds<'_> {
        let View { subject, account, removable_tags, .. } = self.given;
        let cluster = self.cluster.as_deref().unwrap_or(subject.cluster);
        Grounds { subject: Subject { cluster, ..subject }, account, removable_tags }
    }

    /// Where the operator's general tags are not known, those that it may have set by them stay as they are.
    fn tell_of_general_tags<K: Kind>(&mut self, spec: &K::Spec, actual: &Tags) {
        let general = outcome::general_tags::<K>(&self.grounds(), spec);
        let general: Vec<_> = general.into_iter().filter(|key| actual.contains_key(key)).collect();
        if !general.is_empty() {
            let general = general.join(", ");
            self.assume(&format!("that the operator gives all resources the tags {general} (--tags)"));
        }
    }

    fn assume(&mut self, what: &str) {
        self.assumed.push(what.to_owned());
    }
}

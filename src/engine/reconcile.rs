//! The steps of a reconcile, in order. Each says whether it decides, or what it reads or writes.

use std::{
    collections::BTreeSet,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::{info, warn};

use super::{
    controller::Controller,
    events::{self, Happening},
    faults::{Fault, Situation},
    identity::{self, Source},
    kind::{Difference, Kind, NotYet, Past, Referents},
    lifecycle::{Claim, Course, Facts, claim, course},
    memory::Memory,
    objects::{KubeError, Object, ObjectKey, Writer},
    status::{Stage, Usable, Verdict, merge_patch},
};
use crate::{
    aws::{
        call::Regional,
        errors::ErrorClass,
        identity::Identity,
        tags::{Owner, TagChanges, Tags},
    },
    crd::{
        self,
        spec::{Adoption, CommonSpec},
        status::ResourceIdentity,
    },
    queue::scheduler::{Next, Priority, Ready},
    settings::CountInterval,
    shard::Permit,
};

/// A creation time this much before our call is still of our call: AWS gives whole seconds, and
/// clocks differ.
const CLOCK_TOLERANCE: i64 = 5;
/// Values longer than this are cut in conditions and events.
const VALUE_LIMIT: usize = 60;
/// The prefix of tags in the list of managed fields.
const TAG_FIELD: &str = "tags.";

/// One reconcile of one object.
pub struct Run<'a, K: Kind> {
    pub(super) controller: &'a Controller<K>,
    pub(super) permit: Permit,
    pub(super) key: ObjectKey,
    pub(super) object: Object,
    pub(super) memory: Memory<K::Handle>,
    pub(super) happened: Vec<Happening>,
    managed: Option<Vec<String>>,
    /// Whether the resource was looked for and is not there.
    absent: bool,
    failures: u32,
}

/// A resource that is there.
pub(super) struct Sight<K: Kind> {
    handle: K::Handle,
    observed: K::Observed,
    whose: Whose,
}

/// What is known of a resource's owner before its tags are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// This reconcile has created it with our tags.
    Created,
    /// It answered to a create that meant another one: only its tags can say.
    Doubtful,
    /// It was ours at the last look, or is new to us.
    AsBefore,
}

/// What was done to bring a resource in line. Only [`Run::correct`] makes one, after doing it: a
/// status that says "in sync" can't be had without.
pub(super) struct Executed {
    corrected: Option<(String, String)>,
}

impl<'a, K: Kind> Run<'a, K> {
    /// A reconcile of `object`.
    pub fn new(
        controller: &'a Controller<K>,
        object: Object,
        memory: Memory<K::Handle>,
        ready: Ready<ObjectKey>,
    ) -> Self {
        let permit = controller.context.permits.grant();
        let Ready { key, failures } = ready;
        Self { controller, permit, key, object, memory, happened: Vec::new(), managed: None, absent: false, failures }
    }

    /// Runs all steps: what to do next, and what to remember.
    pub async fn finish(mut self) -> (Next, Memory<K::Handle>) {
        if self.spec_changed() {
            self.memory.rejections = 0;
        }
        let outcome = self.steps().await;
        if !matches!(&outcome, Err(fault) if fault.is_rejection()) {
            self.memory.rejections = 0;
        }
        let verdict = match outcome {
            Ok(verdict) => verdict,
            Err(fault) => {
                self.memory.rejections += u32::from(fault.is_rejection());
                if let Fault::Kube(KubeError::Gone) = fault {
                    return (Next::Wait, self.memory);
                }
                let Some(verdict) = fault.verdict(&self.situation()) else {
                    return (Fault::at_once(), self.memory);
                };
                let usable = if self.absent { Usable::No } else { verdict.usable };
                Some(Verdict { usable, ..verdict })
            }
        };
        let next = match verdict {
            Some(verdict) => self.conclude(&verdict).await,
            None => Next::Wait,
        };
        (next, self.memory)
    }

    async fn steps(&mut self) -> Result<Option<Verdict>, Fault> {
        let facts = Facts {
            deleting: self.object.is_deleting(),
            finalizer: self.object.has_finalizer(),
            paused: self.object.annotation(crd::PAUSED) == Some("true"),
            management: self.object.management(),
        };
        match course(&facts) {
            Course::Leave => Ok(None),
            Course::Pause => Ok(Some(paused(Stage::Paused))),
            Course::PauseDeletion => Ok(Some(paused(Stage::DeletionBlocked))),
            Course::Dispose => self.dispose().await,
            Course::Release => self.release("Released", "management is Observe: left as it is").await,
            Course::Observe => self.observe_only().await.map(Some),
            Course::Manage => self.manage().await.map(Some),
        }
    }

    async fn manage(&mut self) -> Result<Verdict, Fault> {
        let spec = self.object.spec::<K>()?; // decides
        let (identity, fresh) = self.identity(&spec).await?; // decides; reads AWS where adoption is asked
        let desired = self.desired(&spec, &identity)?; // decides
        let aws = self.aws(&identity);
        self.check_connection(&spec).await?; // reads Kubernetes, before the first create
        self.claim_object(&identity).await?; // writes Kubernetes, once
        let sight = match self.look(&aws, &identity, fresh).await? {
            Some(sight) => sight,                                         // read AWS
            None => self.create(&aws, &spec, &identity, &desired).await?, // writes AWS
        };
        let executed = self.correct(&aws, &spec, &identity, &sight, &desired).await?; // writes AWS, on a difference
        self.publish(&spec, &identity, &sight, &desired).await?; // writes Kubernetes, on a difference
        Ok(Verdict { fields: report::<K>(&identity, &sight), ..Verdict::in_sync(executed.corrected, self.poll()) })
    }

    async fn observe_only(&mut self) -> Result<Verdict, Fault> {
        let spec = self.object.spec::<K>()?; // decides
        let identity = match self.recorded_identity()? {
            Some(identity) => identity,
            None => identity::fix::<K>(&spec, &self.source(&self.account()?))?,
        };
        identity::check::<K>(&identity, &spec, &self.account()?)?;
        let desired = self.desired(&spec, &identity)?; // decides
        let aws = self.aws(&identity);
        let Some(sight) = self.look(&aws, &identity, false).await? else {
            let message = format!("there is no {} {} in {}", K::NOUN, identity.name, identity.region);
            let verdict = Verdict::new(Stage::Observed { same: false }, "NotFound", message, self.poll());
            return Ok(Verdict { usable: Usable::No, ..verdict });
        };
        self.check_observation(&aws, &sight).await?; // reads AWS, once
        let past = Past { managed: &[], old: &self.memory.old_values(Instant::now()) };
        let plan = K::plan(&desired, &sight.observed, &past); // decides
        self.publish(&spec, &identity, &sight, &desired).await?; // writes Kubernetes, on a difference
        let differences: Vec<_> = plan.differences.iter().chain(&plan.immutable).cloned().collect();
        let verdict = match differences.as_slice() {
            [] => Verdict::new(Stage::Observed { same: true }, "Observed", "management is Observe", self.poll()),
            differences => Verdict::new(
                Stage::Observed { same: false },
                "Differs",
                format!("management is Observe: {} left as it is", describe(differences)),
                self.poll(),
            ),
        };
        Ok(Verdict { usable: Usable::Yes, fields: report::<K>(&identity, &sight), ..verdict })
    }

    /// The object's identity, and whether it is fixed only now and nothing can exist for it.
    async fn identity(&mut self, spec: &K::Spec) -> Result<(Identity, bool), Fault> {
        let account = self.account()?;
        if let Some(identity) = self.recorded_identity()? {
            identity::check::<K>(&identity, spec, &account)?;
            return Ok((identity, false));
        }
        let identity = identity::fix::<K>(spec, &self.source(&account))?;
        if K::common(spec).adoption() == Adoption::Never {
            return Ok((identity, true));
        }
        if !self.may_adopt() {
            return Err(Fault::Refused {
                reason: "AdoptionNotAllowed",
                message: format!(
                    "spec.adoption: the operator's FAIRLEAD_ALLOW_ADOPTION does not allow {}/{} to adopt; ask for a \
                     pattern that does, or remove the field",
                    self.key.namespace, self.key.name
                ),
            });
        }
        // Whether it is adopted is part of the identity, which is written before anything is done.
        let found = K::find(&self.aws(&identity), &identity).await?;
        let adopted = found.is_some();
        self.memory.handle = found;
        Ok((Identity { adopted, ..identity }, false))
    }

    /// Reads the resource. `None`: it is not there, and may be created.
    async fn look(
        &mut self,
        aws: &Regional<K::Client>,
        identity: &Identity,
        fresh: bool,
    ) -> Result<Option<Sight<K>>, Fault> {
        if fresh {
            return Ok(None);
        }
        let known = self.memory.handle.clone().or_else(|| K::handle(&self.object.status()));
        let handle = match known {
            Some(handle) => Some(handle),
            None => K::find(aws, identity).await?,
        };
        let Some(handle) = handle else {
            self.absent = true;
            return Ok(None);
        };
        let observed = K::observe(aws, &handle).await?;
        self.memory.handle = Some(handle.clone());
        self.absent = observed.is_none();
        Ok(observed.map(|observed| Sight { handle, observed, whose: Whose::AsBefore }))
    }

    async fn create(
        &mut self,
        aws: &Regional<K::Client>,
        spec: &K::Spec,
        identity: &Identity,
        desired: &K::Desired,
    ) -> Result<Sight<K>, Fault> {
        self.check_creation(spec, identity).await?;
        let recreated = K::handle(&self.object.status()).is_some();
        self.memory.forget_resource();
        self.managed = Some(self.managed_after(desired, spec, true));
        let tags = self.desired_tags(spec);
        let started = unix_now();
        let handle = match K::create(aws, &self.permit, identity, desired, &tags).await {
            Ok(handle) => handle,
            Err(error) if error.class == ErrorClass::Conflict => {
                // Something of this name is there. Whose it is, its tags will say.
                let sight = self.look(aws, identity, false).await?.ok_or(error)?;
                return Ok(Sight { whose: Whose::Doubtful, ..sight });
            }
            Err(error) => return Err(error.into()),
        };
        self.memory.handle = Some(handle.clone());
        self.memory.created = Some(Instant::now());
        self.absent = false;
        let Some(observed) = K::observe(aws, &handle).await? else { return Err(appearing::<K>(identity)) };
        // The answer to a create may be a resource that was there: then its tags say whose it is.
        let created = K::created_at(&observed).is_some_and(|at| at + CLOCK_TOLERANCE >= started);
        if created {
            self.memory.tags = Some(tags);
            self.memory.looks = 0;
            self.happened.push(if recreated {
                let note = format!("the {} was deleted outside of Fairlead, and is created again", K::NOUN);
                Happening::warning("Recreated", note)
            } else {
                Happening::normal("Created", format!("created the {} {}", K::NOUN, identity.arn(K::SERVICE)))
            });
        }
        Ok(Sight { handle, observed, whose: if created { Whose::Created } else { Whose::Doubtful } })
    }

    /// Whether a resource that is not there may be created.
    async fn check_creation(&self, spec: &K::Spec, identity: &Identity) -> Result<(), Fault> {
        let existed = K::handle(&self.object.status()).is_some();
        if self.memory.created.is_some_and(|created| created.elapsed() < K::APPEARS_WITHIN) {
            return Err(appearing::<K>(identity));
        }
        if K::common(spec).adoption() == Adoption::Adopt {
            let (noun, name, region) = (K::NOUN, &identity.name, &identity.region);
            return Err(Fault::Waiting(format!(
                "spec.adoption is Adopt, but there is no {noun} {name} in {region} to adopt; AdoptOrCreate would create it"
            )));
        }
        // "Not there" may also mean that the credentials are of another account by now.
        let account = match existed {
            true => self.controller.context.account.ask().await?,
            false => self.account()?,
        };
        Ok(identity::check::<K>(identity, spec, &account)?)
    }

    /// Brings the resource in line with the spec, after making sure that it is ours.
    async fn correct(
        &mut self,
        aws: &Regional<K::Client>,
        spec: &K::Spec,
        identity: &Identity,
        sight: &Sight<K>,
        desired: &K::Desired,
    ) -> Result<Executed, Fault> {
        let now = Instant::now();
        let managed = self.managed_before();
        let past = Past { managed: &managed, old: &self.memory.old_values(now) };
        let plan = K::plan(desired, &sight.observed, &past); // decides
        let changed = self.spec_changed();
        let due = match sight.whose {
            Whose::Created => false,
            Whose::Doubtful => true,
            Whose::AsBefore => self.memory.tags_are_due(),
        };
        if due || (self.memory.tags.is_none() && (changed || !plan.is_empty())) {
            self.memory.tags = Some(K::tags(aws, &sight.handle).await?); // reads AWS
        }
        let tags = self.tag_changes(spec, &managed);
        if let Some(actual) = self.memory.tags.clone() {
            self.verify(spec, identity, &actual).await?;
        }
        if let Some(Difference { field, actual, desired, .. }) = plan.immutable {
            let message = format!(
                "spec.{field} is {desired}, but the {} was created with {actual} and AWS can't change that: set it back, \
                 or create another object",
                K::NOUN
            );
            return Err(Fault::Refused { reason: "ImmutableField", message });
        }
        self.managed = Some(self.managed_after(desired, spec, true));
        if !tags.is_empty() {
            K::retag(aws, &self.permit, &sight.handle, &tags).await?; // writes AWS
            self.memory.tags = self.memory.tags.take().map(|actual| tags.applied_to(&actual));
        }
        for change in &plan.changes {
            K::change(aws, &self.permit, &sight.handle, change).await?; // writes AWS
        }
        for Difference { field, actual, settles_within, .. } in &plan.differences {
            self.memory.overwrote(field.clone(), actual.clone(), now, *settles_within);
        }
        self.managed = Some(self.managed_after(desired, spec, false));
        Ok(self.executed(&plan.differences, &tags, changed))
    }

    /// Makes sure that the resource with the tags `actual` is ours, or may become it.
    async fn verify(&mut self, spec: &K::Spec, identity: &Identity, actual: &Tags) -> Result<(), Fault> {
        let ownership = self.owner().of(actual);
        match claim(&ownership, K::common(spec).adoption(), self.may_adopt(), K::NOUN) {
            Claim::Proceed => {}
            Claim::Restamp => {
                let note = format!("the {} was of an earlier object of this name, and is now this one's", K::NOUN);
                self.happened.push(Happening::normal("Restamped", note));
            }
            Claim::Resume => {
                let note = format!("the {} was retained by this object, which manages it again", K::NOUN);
                self.happened.push(Happening::normal("Resumed", note));
            }
            Claim::Adopt => {
                self.claim_object(&Identity { adopted: true, ..identity.clone() }).await?;
                let note = format!("took over the existing {} {}", K::NOUN, identity.arn(K::SERVICE));
                self.happened.push(Happening::normal("Adopted", note));
            }
            Claim::Refuse(message) => return Err(Fault::Refused { reason: "NameTaken", message }),
        }
        Ok(())
    }

    fn executed(&mut self, differences: &[Difference], tags: &TagChanges, changed: bool) -> Executed {
        let tag_fields = tags.fields();
        if differences.is_empty() && tag_fields.is_empty() {
            return Executed { corrected: None };
        }
        let what = [describe(differences), tag_fields.join(", ")].into_iter().filter(|text| !text.is_empty());
        let what = what.collect::<Vec<_>>().join(", ");
        let (reason, note) = match changed {
            true => ("Updated", format!("applied the spec: {what}")),
            false => ("DriftCorrected", format!("corrected what was changed outside of Fairlead: {what}")),
        };
        info!(object = %self.key, reason, "{note}");
        self.happened.push(Happening::normal(reason, &note));
        Executed { corrected: Some((reason.into(), format!("{note}, at {}", Timestamp::now().strftime("%FT%TZ")))) }
    }

    async fn check_connection(&self, spec: &K::Spec) -> Result<(), Fault> {
        match self.connection_name(K::common(spec)) {
            Some(name) if K::handle(&self.object.status()).is_none() && self.memory.handle.is_none() => {
                self.controller.context.connections.check_free(&self.object, &name).await
            }
            _ => Ok(()),
        }
    }

    async fn publish(
        &self,
        spec: &K::Spec,
        identity: &Identity,
        sight: &Sight<K>,
        desired: &K::Desired,
    ) -> Result<(), Fault> {
        let common = K::common(spec);
        let connections = &self.controller.context.connections;
        let name = self.connection_name(common);
        if let Some(name) = &name {
            let given = common.connection.clone().unwrap_or_default();
            let data = K::connection(identity, &sight.handle, desired);
            let data = data.into_iter().map(|(key, value)| (given.key(&key).to_owned(), value)).collect();
            connections.publish(&self.permit, &self.object, name, data).await?;
        }
        connections.retract(&self.permit, &self.object, name.as_deref()).await
    }

    async fn check_observation(&mut self, aws: &Regional<K::Client>, sight: &Sight<K>) -> Result<(), Fault> {
        let tags = match self.memory.tags.clone() {
            Some(tags) => tags,
            None => K::tags(aws, &sight.handle).await?,
        };
        let ours = matches!(claim(&self.owner().of(&tags), Adoption::Never, false, K::NOUN), Claim::Proceed);
        self.memory.tags = Some(tags);
        let ObjectKey { kind: _, namespace, name } = &self.key;
        let patterns = &self.controller.context.settings.allow_observe;
        if ours || patterns.iter().any(|pattern| pattern.matches(namespace, name)) {
            return Ok(());
        }
        Err(Fault::Refused {
            reason: "ObserveNotAllowed",
            message: format!(
                "the {} is not this object's, and the operator's FAIRLEAD_ALLOW_OBSERVE does not allow {namespace}/{name} \
                 to observe it",
                K::NOUN
            ),
        })
    }

    /// Sets finalizer and identity, where they are not as they should be.
    async fn claim_object(&mut self, identity: &Identity) -> Result<(), Fault> {
        let identity = serde_json::to_string(identity).map_err(|error| Fault::Invalid(error.to_string()))?;
        if self.object.has_finalizer() && self.object.annotation(crd::IDENTITY) == Some(identity.as_str()) {
            return Ok(());
        }
        let after = Writer::claimed(&self.object, &identity);
        self.controller.expect(&self.key, after.fingerprint());
        self.object = self.controller.writer.claim(&self.permit, &self.object, &identity).await?;
        self.memory.written = self.object.version().map(str::to_owned);
        Ok(())
    }

    async fn conclude(&mut self, verdict: &Verdict) -> Next {
        let old = self.object.status();
        let mut new = verdict.status(&old, self.object.generation(), Timestamp::now());
        if let Some(managed) = &self.managed {
            new.insert("managed".into(), json!(managed));
        }
        if let Some(patch) = merge_patch(&old, &new).filter(|patch| self.worth_writing(patch)) {
            match self.controller.writer.status(&self.permit, &self.object, patch).await {
                Ok(written) => {
                    self.memory.written = written.version().map(str::to_owned);
                    self.memory.status_written = Some(Instant::now());
                }
                Err(KubeError::Gone) => return Next::Wait,
                Err(KubeError::Conflict) => return Fault::at_once(),
                Err(error) => {
                    warn!(object = %self.key, %error, "the status could not be written");
                    return Next::Backoff;
                }
            }
        }
        self.tell(Some(verdict)).await;
        verdict.next
    }

    /// Tells what happened, and what `verdict` has as news.
    pub(super) async fn tell(&mut self, verdict: Option<&Verdict>) {
        let news = verdict.and_then(|verdict| events::transition(&self.object, verdict, &self.happened));
        let context = &self.controller.context;
        for happening in std::mem::take(&mut self.happened).iter().chain(&news) {
            if happening.warning {
                warn!(object = %self.key, reason = happening.reason, "{}", happening.note);
            }
            events::tell(&context.client, &self.permit, &context.instance, &self.object, happening).await;
        }
    }

    /// A status that differs in volatile fields alone is written seldom.
    fn worth_writing(&self, patch: &Map<String, Value>) -> bool {
        if patch.keys().any(|field| !K::VOLATILE.contains(&field.as_str())) {
            return true;
        }
        match self.controller.context.settings.count_interval {
            CountInterval::Off => false,
            CountInterval::Every(interval) => self.memory.status_written.is_none_or(|at| at.elapsed() >= interval),
        }
    }

    fn desired(&self, spec: &K::Spec, identity: &Identity) -> Result<K::Desired, NotYet> {
        let referents: Referents = K::references(spec)
            .into_iter()
            .map(|name| {
                let key = ObjectKey { name: name.clone(), ..self.key.clone() };
                (name, self.controller.referent(&key, &self.key))
            })
            .collect();
        K::desired(spec, identity, &referents)
    }

    fn desired_tags(&self, spec: &K::Spec) -> Tags {
        let general = self.controller.context.settings.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone()));
        let own = K::common(spec).tags.clone().unwrap_or_default();
        general.chain(own).chain(self.owner().tags()).collect()
    }

    fn tag_changes(&self, spec: &K::Spec, managed: &[String]) -> TagChanges {
        let managed: Vec<_> = managed.iter().filter_map(|field| field.strip_prefix(TAG_FIELD)).collect();
        let actual = self.memory.tags.as_ref();
        actual.map(|actual| TagChanges::between(&self.desired_tags(spec), actual, &managed)).unwrap_or_default()
    }

    fn managed_before(&self) -> Vec<String> {
        let status = self.object.status();
        status.get("managed").and_then(|managed| serde_json::from_value(managed.clone()).ok()).unwrap_or_default()
    }

    /// The list of managed fields: those of the spec; while the work is `under_way` those of before
    /// as well, since it may end halfway; and always those that this version does not know.
    fn managed_after(&self, desired: &K::Desired, spec: &K::Spec, under_way: bool) -> Vec<String> {
        let tags = self.desired_tags(spec);
        let tags = tags.keys().filter(|key| !key.starts_with(crate::aws::tags::PREFIX));
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
        identity::recorded(self.object.annotation(crd::IDENTITY), &self.object.status())
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

    pub(super) fn account(&self) -> Result<String, Fault> {
        self.controller.context.account.id().ok_or(Fault::AccountUnknown)
    }

    pub(super) fn aws(&self, identity: &Identity) -> Regional<K::Client> {
        self.controller.context.clients.regional(K::SERVICE, &identity.region, K::client, K::classify)
    }

    fn may_adopt(&self) -> bool {
        let patterns = &self.controller.context.settings.allow_adoption;
        patterns.iter().any(|pattern| pattern.matches(&self.key.namespace, &self.key.name))
    }

    fn spec_changed(&self) -> bool {
        let observed = self.object.status().get("observedGeneration").and_then(Value::as_i64);
        observed != self.object.generation()
    }

    fn connection_name(&self, common: &CommonSpec) -> Option<String> {
        let connection = common.connection.clone().unwrap_or_default();
        connection.enabled.unwrap_or(true).then(|| connection.name.unwrap_or_else(|| self.key.name.clone()))
    }

    fn situation(&self) -> Situation {
        Situation {
            deleting: self.object.is_deleting(),
            exists: K::handle(&self.object.status()).is_some(),
            failures: self.failures,
            rejections: self.memory.rejections,
            poll: self.controller.context.settings.poll_interval(),
        }
    }

    fn poll(&self) -> Next {
        Next::After(self.controller.context.settings.poll_interval(), Priority::Poll)
    }
}

fn paused(stage: Stage) -> Verdict {
    let message = match stage {
        Stage::DeletionBlocked => format!("paused: the deletion waits until the annotation {} is removed", crd::PAUSED),
        _ => format!("paused by the annotation {}", crd::PAUSED),
    };
    Verdict::new(stage, "Paused", message, Next::Wait)
}

fn appearing<K: Kind>(identity: &Identity) -> Fault {
    Fault::Appearing(format!("the {} {} was created, and AWS does not show it yet", K::NOUN, identity.name))
}

fn report<K: Kind>(identity: &Identity, sight: &Sight<K>) -> Map<String, Value> {
    let Identity { account_id, partition: _, region, name, adopted } = identity.clone();
    let shown = ResourceIdentity { account_id, region, name, arn: identity.arn(K::SERVICE), adopted };
    let mut fields = K::status(&sight.handle, &sight.observed);
    fields.insert("identity".into(), json!(shown));
    fields
}

fn describe(differences: &[Difference]) -> String {
    let short = |value: &str| match value.char_indices().nth(VALUE_LIMIT) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None if value.is_empty() => "none".into(),
        None => value.to_owned(),
    };
    let text = |difference: &Difference| {
        format!("{} ({} → {})", difference.field, short(&difference.actual), short(&difference.desired))
    };
    differences.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

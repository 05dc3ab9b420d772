//! The steps of a reconcile, in order. Each says whether it decides, or what it reads or writes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Map, Value, json};
use tracing::{Instrument as _, Span, info, warn};

use super::{
    controller::Controller,
    controller::Task,
    converge::{Sight, describe, report},
    events::{self, Happening},
    faults::{Fault, THROTTLED},
    identity,
    kind::{Kind, Past, Published},
    lifecycle::{Course, course},
    memory::Memory,
    objects::{KubeError, Object, ObjectKey, Standing, Writer},
    status::{PAUSED, Stage, Usable, Verdict, conditions, is_true, merge_patch, overlay},
    subject::admit_adoption,
    sweep::Sighting,
    traced,
};
use crate::{
    accounts::{account::Account, choice::Refusal},
    aws::{errors::ErrorClass, identity::Identity},
    crd::{self, spec::Adoption},
    queue::{
        flow::Priority,
        scheduler::{Next, Ready},
        token::FlowToken,
    },
    settings::CountInterval,
    shard::Permit,
    telemetry::{thinned::Thinned, traces::spans},
};

/// When to try again what this replica may not do now.
pub const WITHOUT_PERMIT: Duration = Duration::from_secs(1);
/// When to look once more at what the last leader, which was not heard of any more, may have changed late.
const SECOND_LOOK: Duration = Duration::from_secs(60);

/// One reconcile of one object.
pub struct Run<'a, K: Kind> {
    pub(super) controller: &'a Controller<K>,
    pub(super) permit: Permit,
    pub(super) token: FlowToken,
    pub(super) key: ObjectKey,
    pub(super) object: Object,
    pub(super) memory: Memory<K::Handle>,
    pub(super) happened: Vec<Happening>,
    /// The fields that are managed from now on, where that was decided.
    pub(super) managed: Option<Vec<String>>,
    /// What the status is to say of the resource, once that was seen to be ours.
    pub(super) seen: Map<String, Value>,
    /// Status fields that were decided here and are told in any case; null takes one away.
    pub(super) told: Map<String, Value>,
    /// What a sweep has seen of the resource.
    pub(super) sighting: Option<Sighting<K::Observed>>,
    /// What made it due.
    pub(super) priority: Priority,
    /// When it began.
    pub(super) started: Instant,
    /// Whether the resource was looked for and is not there.
    pub(super) absent: bool,
    /// Whether the resource was seen to be of no use now.
    pub(super) unusable: bool,
    pub(super) failures: u32,
    /// The account that it is of.
    pub(super) account: Result<Arc<Account>, Refusal>,
    /// Whether the object is gone, though nobody has let it go.
    pub(super) vanished: bool,
    /// Whether it has come to changing its resource.
    changes: bool,
}

impl<'a, K: Kind> Run<'a, K> {
    /// A reconcile of `object`.
    pub fn new(
        controller: &'a Controller<K>,
        object: Object,
        memory: Memory<K::Handle>,
        key: ObjectKey,
        ready: &Ready<Task>,
        token: FlowToken,
        permit: Permit,
    ) -> Self {
        let account = controller.context.accounts.resolve(&key.namespace, object.account_ref());
        Self {
            controller,
            permit,
            token,
            key,
            object,
            memory,
            happened: Vec::new(),
            managed: None,
            seen: Map::new(),
            told: Map::new(),
            sighting: None,
            priority: ready.priority,
            started: Instant::now(),
            absent: false,
            unusable: false,
            failures: ready.failures,
            account,
            vanished: false,
            changes: false,
        }
    }

    /// Runs all steps: what to do next, and what to remember.
    pub async fn finish(mut self) -> (Next, Memory<K::Handle>) {
        let asked = self.object.annotation(crd::RECONCILE_AT).map(str::to_owned);
        if self.object.standing() == Standing::Changed || asked != self.memory.asked {
            self.memory.asked = asked;
            self.memory.rejections = 0;
        }
        let lagged = self.object.standing() == Standing::Changed;
        let mut outcome = Box::pin(self.steps()).await;
        if let Err(Fault::Outdated(fresh)) = outcome {
            if fresh.uid() != self.object.uid() {
                // Another object, perhaps of another shard: it has an event of its own.
                return (Next::Again(WITHOUT_PERMIT), self.memory);
            }
            self.begin_again(*fresh);
            outcome = Box::pin(self.steps()).await;
        }
        let came_through = outcome.is_ok();
        let next = match outcome {
            Ok(Some(verdict)) => {
                self.memory.rejections = 0;
                self.conclude(&verdict).await
            }
            Ok(None) => Next::Wait,
            Err(fault) => self.fail(&self.of_account(fault)).await,
        };
        // What was set and could not be told in the status must not be forgotten.
        self.memory.managed.extend(self.managed.take().into_iter().flatten());
        if !self.memory.seen && self.permit.after_silence() && (lagged || self.changes) {
            self.memory.second_look = Some(Instant::now() + SECOND_LOOK);
        }
        self.memory.seen |= came_through;
        let said = std::mem::take(&mut self.memory.said);
        self.memory.last = said.told.is_some().then(|| said.kept(self.started.elapsed()));
        (self.memory.look_again(next, Instant::now()), self.memory)
    }

    /// Plans again, for the object as the API server has it.
    fn begin_again(&mut self, fresh: Object) {
        self.account = self.controller.context.accounts.resolve(&self.key.namespace, fresh.account_ref());
        self.object = fresh;
        traced::again(&self.object);
        self.memory.confirmed = true;
        self.happened.clear();
        self.seen.clear();
        self.told.clear();
        (self.managed, self.absent, self.unusable, self.changes) = (None, false, false, false);
    }

    /// Makes sure, before the first change in a leadership, that the object is what was decided on: the watch
    /// may be behind what the last leader wrote.
    pub(super) async fn confirm(&mut self) -> Result<(), Fault> {
        self.changes = true;
        if self.memory.confirmed {
            return Ok(());
        }
        let fresh = self.controller.writer.read(&self.object).await?;
        if fresh.uid() != self.object.uid() || fresh.version() != self.object.version() {
            return Err(Fault::Outdated(Box::new(fresh)));
        }
        self.memory.confirmed = true;
        Ok(())
    }

    /// The same fault; where AWS refused the credentials of an AWSAccount, told of that one.
    fn of_account(&self, fault: Fault) -> Fault {
        match (&self.account, &fault) {
            (Ok(account), Fault::Aws(error)) if error.class == ErrorClass::Credentials && !account.is_own() => {
                self.controller.context.accounts.doubt(account);
                Fault::Session(account.refused(&error.to_string()))
            }
            _ => fault,
        }
    }

    async fn fail(&mut self, fault: &Fault) -> Next {
        if fault.is_no_permit() {
            traced::outcome("NoPermit");
            return Next::Again(WITHOUT_PERMIT);
        }
        if matches!(fault, Fault::Unseen) {
            traced::outcome("WaitsForSweep");
            return Next::Resume;
        }
        self.memory.said.error_class = fault.class();
        self.memory.rejections = if fault.is_rejection() { self.memory.rejections + 1 } else { 0 };
        if let Fault::NotOurs(_) = fault {
            // What is there was not made by us, and what we wanted to set was not set.
            self.memory.attempted = None;
            self.managed = None;
        }
        let verdict = fault.verdict(&self.situation());
        self.count_failure(fault, verdict.as_ref());
        let Some(verdict) = verdict else {
            traced::outcome("Outdated");
            self.tell(None).await;
            return if matches!(fault, Fault::Kube(KubeError::Gone)) { Next::Wait } else { Next::Backoff };
        };
        if matches!(verdict.stage, Stage::Failing | Stage::Stalled | Stage::DeletionBlocked) {
            let class = if let Fault::Aws(error) = fault { error.class.name() } else { &verdict.reason };
            spans::fail(&Span::current(), class, &verdict.message);
        }
        let usable = if self.absent || self.unusable { Usable::No } else { verdict.usable };
        let fields = std::mem::take(&mut self.seen);
        self.conclude(&Verdict { usable, fields, ..verdict }).await
    }

    async fn steps(&mut self) -> Result<Option<Verdict>, Fault> {
        match course(&self.subject().facts()) {
            Course::Leave => Ok(None),
            Course::Pause => Ok(Some(paused(Stage::Paused))),
            Course::PauseDeletion if self.vanished => {
                warn!(object = %self.key, "paused, and removed with its finalizer in place: its resource stays");
                Ok(None)
            }
            Course::PauseDeletion => Ok(Some(paused(Stage::DeletionBlocked))),
            Course::Dispose => Box::pin(self.dispose()).await,
            Course::Release => {
                self.disown_secrets().await?; // writes Kubernetes
                self.release("Released", "management is Observe: left as it is").await
            }
            Course::Observe => self.observe_only().await.map(Some),
            Course::Manage => Box::pin(self.manage()).await.map(Some),
        }
    }

    async fn manage(&mut self) -> Result<Verdict, Fault> {
        self.admit()?; // decides
        let spec = self.spec()?; // decides
        let (mut identity, fresh) = self.identity(&spec).await?; // decides; reads AWS where spec and identity differ
        self.admit_use(&spec, &identity)?; // decides
        let desired = self.desired(&spec, &identity)?; // decides
        let aws = self.aws(&identity)?;
        let published = self.check_connection(&spec).await?; // reads Kubernetes, before the first create
        self.hold_account().await?; // writes the AWSAccount, once a namespace
        self.claim_object(&identity).await?; // writes Kubernetes, once
        let mut sight = match self.look(&aws, &identity, fresh && !published).await? {
            Some(sight) => sight,                                                       // read AWS
            None => Box::pin(self.create(&aws, &spec, &mut identity, &desired)).await?, // writes AWS
        };
        let executed = self.correct(&aws, &spec, &mut identity, &mut sight, &desired).await?; // writes AWS, on a difference
        self.publish(&spec, &identity, &sight, &desired).await?; // writes Kubernetes, on a difference
        self.forget_wish().await?; // writes Kubernetes, after a wished creation
        let fields = std::mem::take(&mut self.seen);
        let state = K::state(&sight.observed);
        let was_ready = is_true(&self.object.status(), "Ready");
        Ok(Verdict { fields, ..Verdict::done(executed, &state, was_ready, self.poll(), self.soon()) })
    }

    async fn observe_only(&mut self) -> Result<Verdict, Fault> {
        self.admit()?; // decides
        let spec = self.spec()?; // decides
        let account = self.account_id()?;
        let identity = match self.recorded_identity()? {
            Some(identity) => identity,
            None => identity::fix::<K>(&spec, &self.source(&account))?,
        };
        self.check_account(&identity, &account)?;
        identity::check::<K>(&identity, &spec)?;
        self.admit_use(&spec, &identity)?; // decides
        let desired = self.desired(&spec, &identity)?; // decides
        let aws = self.aws(&identity)?;
        let Some(sight) = self.look(&aws, &identity, false).await? else {
            let message = format!("there is no {} {} in {}", K::NOUN, identity.name, identity.region);
            let verdict = Verdict::new(Stage::Observed { same: false }, "NotFound", message, self.poll());
            return Ok(Verdict { usable: Usable::No, ..verdict });
        };
        self.check_observation(&aws, &sight).await?; // reads AWS, once
        let past = Past { managed: &[], settling: &self.memory.settling(Instant::now()), password: None };
        let plan = K::plan(&desired, &sight.observed, &past); // decides
        if K::PUBLISHES == Published::ConfigMap {
            self.publish(&spec, &identity, &sight, &desired).await?; // writes Kubernetes, on a difference
        }
        let refused = plan.refused.iter().map(|refused| &refused.difference);
        let differences: Vec<_> = plan.differences.iter().chain(refused).cloned().collect();
        self.memory.said.differs(differences.iter());
        let verdict = match differences.as_slice() {
            [] => Verdict::new(Stage::Observed { same: true }, "Observed", "management is Observe", self.poll()),
            differences => Verdict::new(
                Stage::Observed { same: false },
                "Differs",
                format!("management is Observe: {} left as it is", describe(differences)),
                self.poll(),
            ),
        };
        let usable = if K::state(&sight.observed).is_usable() { Usable::Yes } else { Usable::No };
        Ok(Verdict { usable, fields: report::<K>(&identity, &sight, &plan.pending), ..verdict })
    }

    /// The object's identity, and whether it is fixed only now and nothing can exist for it.
    async fn identity(&mut self, spec: &K::Spec) -> Result<(Identity, bool), Fault> {
        let account = self.account_id()?;
        if let Some(identity) = self.recorded_identity()? {
            self.check_account(&identity, &account)?;
            match identity::check::<K>(&identity, spec) {
                Ok(()) => return Ok((identity, false)),
                // Nothing was ever made of it: a name that was taken, say. The spec may choose again.
                Err(_) if self.has_nothing_at(&identity).await? => self.memory.forget_resource(),
                Err(differs) => return Err(differs.into()),
            }
        }
        let identity = identity::fix::<K>(spec, &self.source(&account))?;
        match K::common(spec).adoption() {
            Adoption::Never => Ok((identity, true)),
            _ => admit_adoption(self.account()?, self.asking()).map(|()| (identity, false)),
        }
    }

    /// Makes sure that the name of what is published is free. Whether something of this object is there already:
    /// an earlier one of its name may have left it, together with its resource.
    async fn check_connection(&self, spec: &K::Spec) -> Result<bool, Fault> {
        match self.connection_name(K::common(spec)) {
            Some(name) if K::handle(&self.object.status()).is_none() && self.memory.handle.is_none() => {
                match K::PUBLISHES {
                    Published::ConfigMap => {
                        self.controller.context.connections.check_free(&self.object, &name).await?;
                        Ok(false)
                    }
                    Published::Secret => self.check_secret_free(spec, &name).await,
                }
            }
            _ => Ok(false),
        }
    }

    async fn publish(
        &mut self,
        spec: &K::Spec,
        identity: &Identity,
        sight: &Sight<K>,
        desired: &K::Desired,
    ) -> Result<(), Fault> {
        let data = self.connection(identity, sight, desired);
        if K::PUBLISHES == Published::Secret {
            return self.publish_secret(spec, data).await;
        }
        let common = K::common(spec);
        let connections = &self.controller.context.connections;
        let name = self.connection_name(common);
        if let (Some(name), Some(data)) = (&name, data) {
            let given = common.connection.clone().unwrap_or_default();
            let data = data.into_iter().map(|(key, value)| (given.key(&key).to_owned(), value)).collect();
            connections.publish(&self.permit, &self.object, name, data).await?;
        }
        if self.memory.maps_of.as_deref() != Some(name.as_deref().unwrap_or_default()) {
            connections.retract(&self.permit, &self.object, name.as_deref()).await?;
            self.memory.maps_of = Some(name.unwrap_or_default());
        }
        Ok(())
    }

    /// Makes sure that the account's AWSAccount stays while the object uses it.
    async fn hold_account(&self) -> Result<(), Fault> {
        let Self { controller, permit, key, .. } = self;
        let new = !self.object.has_finalizer();
        Ok(controller.context.accounts.hold(permit, self.account()?, &key.namespace, new).await?)
    }

    /// Takes the annotation away that let a resource be created again: it holds for once.
    async fn forget_wish(&mut self) -> Result<(), Fault> {
        if K::RECREATES || self.object.annotation(crd::RECREATE).is_none() {
            return Ok(());
        }
        let without = Writer::without_annotation(&self.object, crd::RECREATE);
        self.controller.expect(&self.key, without.fingerprint());
        self.object = self.controller.writer.unannotate(&self.permit, &self.object, crd::RECREATE).await?;
        self.memory.written = self.object.version().map(str::to_owned);
        self.memory.confirmed = true;
        Ok(())
    }

    /// Sets finalizer and identity, where they are not as they should be.
    pub(super) async fn claim_object(&mut self, identity: &Identity) -> Result<(), Fault> {
        let identity = identity::record(identity, &format!("{}/{}", self.key.namespace, self.key.name))?;
        if self.object.has_finalizer() && self.object.annotation(crd::IDENTITY) == Some(identity.as_str()) {
            return Ok(());
        }
        let after = Writer::claimed(&self.object, &identity);
        self.controller.expect(&self.key, after.fingerprint());
        self.object = self.controller.writer.claim(&self.permit, &self.object, &identity).await?;
        self.memory.written = self.object.version().map(str::to_owned);
        self.memory.confirmed = true;
        Ok(())
    }

    async fn conclude(&mut self, verdict: &Verdict) -> Next {
        self.memory.said.told = Some((verdict.stage, verdict.reason.clone()));
        let happened = self.happened.first().map(|happening| &happening.reason);
        traced::outcome(happened.filter(|_| verdict.stage == Stage::InSync).unwrap_or(&verdict.reason));
        self.tell(Some(verdict)).await;
        let old = self.object.status();
        let mut new = verdict.status(&old, self.object.generation(), Timestamp::now());
        match &self.managed {
            Some(managed) if managed.is_empty() => drop(new.remove("managed")),
            Some(managed) => drop(new.insert("managed".into(), json!(managed))),
            None => {}
        }
        overlay(&mut new, std::mem::take(&mut self.told));
        self.since_creation(&old, &mut new);
        self.count_messages(verdict);
        let patch = merge_patch(&old, &new).filter(|patch| !self.vanished && self.worth_writing(verdict, patch));
        if let Some(patch) = patch {
            let writing = self.controller.writer.status(&self.permit, &self.object, patch);
            match writing.instrument(spans::status()).await {
                Ok(written) => {
                    self.memory.written = written.version().map(str::to_owned);
                    self.memory.confirmed = true;
                    self.memory.status_written = Some(Instant::now());
                    self.count_ready(&old, &new);
                }
                Err(KubeError::Gone) => return Next::Wait,
                Err(KubeError::NoPermit(_)) => return Next::Again(WITHOUT_PERMIT),
                Err(error @ KubeError::Conflict) => {
                    self.count_unwritten(&error);
                    return Next::Backoff;
                }
                Err(error) => {
                    self.count_unwritten(&error);
                    static LINES: Thinned = Thinned::new();
                    if let Some(left_out) = LINES.pass(Instant::now()) {
                        warn!(object = %self.key, %error, left_out, "the status could not be written");
                    }
                    return Next::Backoff;
                }
            }
        }
        self.managed = None;
        self.memory.managed.clear();
        verdict.next
    }

    /// Tells what happened, and what `verdict` has as news.
    pub(super) async fn tell(&mut self, verdict: Option<&Verdict>) {
        let news = verdict.and_then(|verdict| events::transition(&self.object, verdict, &self.happened));
        if let Some(Verdict { stage: Stage::Failing, reason, message, .. }) = verdict.filter(|_| news.is_none()) {
            let attempts = self.failures + 1;
            // What goes on failing is told the more seldom the longer it does.
            if attempts > 1 && attempts.is_power_of_two() {
                warn!(object = %self.key, reason, attempts, "still: {message}");
            }
        }
        let context = &self.controller.context;
        for happening in std::mem::take(&mut self.happened).iter().chain(&news) {
            if happening.warning {
                warn!(object = %self.key, reason = happening.reason, "{}", happening.note);
            } else {
                info!(object = %self.key, reason = happening.reason, "{}", happening.note);
            }
            events::tell(&context.client, &self.permit, &context.instance, &self.object, happening).await;
        }
    }

    /// A status that differs in volatile fields alone is written seldom; that AWS throttles, once.
    fn worth_writing(&self, verdict: &Verdict, patch: &Map<String, Value>) -> bool {
        if verdict.next == Next::Throttled {
            let told = |condition: &Condition| {
                (condition.type_.as_str(), condition.reason.as_str()) == ("Synced", THROTTLED)
                    && condition.observed_generation == self.object.generation()
            };
            return !conditions(&self.object.status()).iter().any(told);
        }
        if patch.keys().any(|field| !K::VOLATILE.contains(&field.as_str())) {
            return true;
        }
        match self.controller.context.settings.count_interval {
            CountInterval::Off => false,
            CountInterval::Every(interval) => self.memory.status_written.is_none_or(|at| at.elapsed() >= interval),
        }
    }
}

fn paused(stage: Stage) -> Verdict {
    let message = match stage {
        Stage::DeletionBlocked => format!("paused: the deletion waits until the annotation {} is removed", crd::PAUSED),
        _ => format!("paused by the annotation {}", crd::PAUSED),
    };
    Verdict::new(stage, PAUSED, message, Next::Wait)
}

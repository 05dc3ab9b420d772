//! Bringing a resource in line with its spec: look, create, make sure that it is ours, correct.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Map, Value, json};
use tracing::Instrument as _;

use super::{
    events::Happening,
    faults::Fault,
    kind::{Created, Difference, Kind, Past, Pending, Plan},
    lifecycle::{Claim, claim},
    memory::TAGS_EVERY,
    reconcile::Run,
    status::conditions,
    subject::{RESOURCE_GONE, admit_observing, impossible, nothing_to_adopt, resource_gone},
    sweep::Wish,
    traced,
};
use crate::{
    aws::{
        call::Regional,
        errors::ErrorClass,
        identity::Identity,
        tags::{self, Ownership, TagChanges, Tags},
    },
    crd::{self, spec::Adoption, status::ResourceIdentity},
    telemetry::traces::spans,
};

/// A creation time this much before our call is still of our call: AWS gives whole seconds.
const CLOCK_TOLERANCE: i64 = 1;
/// Values longer than this are cut in conditions and events.
const VALUE_LIMIT: usize = 60;

/// A resource that is there.
pub(super) struct Sight<K: Kind> {
    pub(super) handle: K::Handle,
    pub(super) observed: K::Observed,
    whose: Whose,
    /// What there is to tell if it proves to be of our own making.
    made: Option<Happening>,
}

impl<K: Kind> Sight<K> {
    /// One that was looked at.
    pub(super) fn of(handle: K::Handle, observed: K::Observed) -> Self {
        Self { handle, observed, whose: Whose::AsBefore, made: None }
    }
}

/// What is known of a resource's owner before its tags are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// As far as its creation time can say, this reconcile has created it.
    Created,
    /// It answered to a create that meant another one: only its tags can say.
    Doubtful,
    /// It was ours at the last look, or is new to us.
    AsBefore,
}

/// What was done to bring a resource in line. Only [`Run::correct`] makes one, after doing it: a
/// status that says "in sync" can't be had without.
pub(super) struct Executed(Done);

/// What was done, and what is left.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// What was corrected, as reason and message.
    pub(super) corrected: Option<(String, String)>,
    /// What AWS has accepted, and will do later.
    pub(super) pending: Option<String>,
    /// What can't be changed now.
    pub(super) waiting: Option<String>,
}

impl Executed {
    pub(super) fn done(self) -> Done {
        self.0
    }

    /// One for tests of what follows.
    #[cfg(test)]
    pub(super) fn of(done: Done) -> Self {
        Self(done)
    }
}

impl<K: Kind> Run<'_, K> {
    /// Reads the resource. `None`: it is not there, and may be created.
    pub(super) async fn look(
        &mut self,
        aws: &Regional<K::Client>,
        identity: &Identity,
        fresh: bool,
    ) -> Result<Option<Sight<K>>, Fault> {
        if fresh {
            return Ok(None);
        }
        self.look_at_once(aws, identity).instrument(spans::observe()).await
    }

    /// The same, within a span.
    pub(super) async fn look_at_once(
        &mut self,
        aws: &Regional<K::Client>,
        identity: &Identity,
    ) -> Result<Option<Sight<K>>, Fault> {
        let known = self.memory.handle.clone().or_else(|| K::handle(&self.object.status()));
        let handle = match known.or_else(|| K::handle_of(identity)) {
            Some(handle) => Some(handle),
            None => K::find(aws, identity).await?,
        };
        let Some(handle) = handle else {
            self.absent = true;
            return Ok(None);
        };
        let observed = self.see(aws, identity, &handle).await?;
        self.memory.handle = Some(handle.clone());
        self.absent = observed.is_none();
        if self.absent && K::RECREATES {
            self.memory.sweep = None;
        }
        self.memory.recognise(observed.as_ref().and_then(K::created_at));
        Ok(observed.map(|observed| Sight::of(handle, observed)))
    }

    /// What AWS says of the resource: by a sweep, where the kind has them and this run has changed nothing.
    async fn see(
        &mut self,
        aws: &Regional<K::Client>,
        identity: &Identity,
        handle: &K::Handle,
    ) -> Result<Option<K::Observed>, Fault> {
        if K::SWEEP.is_none() || self.memory.wrote.is_some_and(|wrote| wrote >= self.started) {
            return Ok(K::observe(aws, handle).await?);
        }
        if self.sighting.is_none() {
            self.sighting = self.controller.sweeps.take(&self.key, self.memory.wrote, Instant::now());
        }
        let Some(sighting) = self.sighting.clone() else {
            aws.check("Describe")?;
            let sweep = self.sweep_key(identity)?;
            self.controller.want(&sweep, &self.object, handle.clone(), Wish::soon(Instant::now(), self.priority));
            self.memory.sweep = Some(sweep);
            return Err(Fault::Unseen);
        };
        self.memory.sweep = Some(self.sweep_key(identity)?);
        self.memory.missed = sighting.seen.is_err();
        if self.memory.missed {
            self.memory.handle = Some(handle.clone());
        }
        match sighting.seen? {
            Some(observed) => Ok(Some(observed)),
            // That it is still gone changes nothing.
            None if self.is_told_gone() => Ok(None),
            // That the answer of a sweep lacks it says too little.
            None => Ok(K::observe(aws, handle).await?),
        }
    }

    pub(super) async fn create(
        &mut self,
        aws: &Regional<K::Client>,
        spec: &K::Spec,
        identity: &mut Identity,
        desired: &K::Desired,
    ) -> Result<Sight<K>, Fault> {
        self.read_secrets(spec, self.exists()).await?; // reads and writes Kubernetes
        self.check_creation(spec, identity).await?;
        let creation = K::creation(desired, identity, self.account()?, self.wished_password())?; // decides
        identity.adopted = false;
        self.claim_object(identity).await?; // writes Kubernetes, where another one was adopted before
        let recreated = self.has_existed();
        self.confirm().await?; // reads Kubernetes, once a leadership
        self.memory.forget_resource();
        self.managed = Some(self.managed_after(desired, spec, true));
        let tags = self.desired_tags(spec, identity);
        let started = unix_now();
        // From here on something may be there, whatever becomes of the answer.
        self.memory.attempted = Some(Instant::now());
        let creating = K::create(aws, &self.permit, identity, &creation, &tags);
        let created = creating.instrument(spans::action("create")).await;
        self.memory.wrote = Some(Instant::now());
        let Created { handle, observed, told, has_password } = match created {
            Ok(created) => created,
            Err(error) if error.class == ErrorClass::Conflict => {
                // Something of this name is there. Whose it is, its tags will say.
                let sight = self.look(aws, identity, false).await?.ok_or(error)?;
                return Ok(Sight { whose: Whose::Doubtful, ..sight });
            }
            Err(error) => return Err(error.into()),
        };
        self.told.extend(told);
        self.memory.handle = Some(handle.clone());
        self.memory.sweep = K::SWEEP.and_then(|_| self.sweep_key(identity).ok());
        self.memory.created = Some(Instant::now());
        self.absent = false;
        let observed = match observed {
            Some(observed) => Some(observed),
            None => K::observe(aws, &handle).await?,
        };
        let Some(observed) = observed else { return Err(appearing::<K>(identity)) };
        if has_password {
            self.accept(&observed);
        }
        self.memory.created = None;
        self.memory.recognise(K::created_at(&observed));
        // The answer to a create may be a resource that was there: then its tags say whose it is.
        let created = K::created_at(&observed).is_some_and(|at| at + CLOCK_TOLERANCE >= started);
        let whose = if created { Whose::Created } else { Whose::Doubtful };
        // Tags that were not read are not known: the next look reads them, and so does a deletion.
        self.memory.looks = TAGS_EVERY;
        let made = if recreated {
            let note = format!("the {} was deleted outside of Fairlead, and is created again", K::NOUN);
            Happening::warning("Recreated", note)
        } else {
            Happening::normal("Created", format!("created the {} {}", K::NOUN, K::arn(identity)))
        };
        Ok(Sight { handle, observed, whose, made: Some(made) })
    }

    /// Whether the status says that the resource is gone, and nobody asks for another one, or for its end.
    fn is_told_gone(&self) -> bool {
        let told = conditions(&self.object.status());
        let told = told.iter().any(|condition| condition.type_ == "Stalled" && condition.reason == RESOURCE_GONE);
        told && !self.object.is_deleting() && self.object.annotation(crd::RECREATE).is_none()
    }

    /// Whether a resource that is not there may be created.
    pub(super) async fn check_creation(&self, spec: &K::Spec, identity: &Identity) -> Result<(), Fault> {
        let existed = self.has_existed();
        if existed && !K::RECREATES && self.object.annotation(crd::RECREATE) != Some(self.object.uid()) {
            if !self.is_told_gone() {
                self.confirm_account(identity).await?; // asks AWS
            }
            return Err(resource_gone::<K>(identity, self.object.uid()));
        }
        if self.memory.created.is_some_and(|created| created.elapsed() < K::APPEARS_WITHIN) {
            return Err(appearing::<K>(identity));
        }
        if K::common(spec).adoption() == Adoption::Adopt {
            return Err(nothing_to_adopt::<K>(identity));
        }
        // "Not there" may also mean that the credentials are of another account by now.
        match existed {
            true => self.confirm_account(identity).await,
            false => self.check_account(identity, &self.account_id()?),
        }
    }

    /// Brings the resource in line with the spec, after making sure that it is ours.
    pub(super) async fn correct(
        &mut self,
        aws: &Regional<K::Client>,
        spec: &K::Spec,
        identity: &mut Identity,
        sight: &mut Sight<K>,
        desired: &K::Desired,
    ) -> Result<Executed, Fault> {
        let managed = self.managed_before();
        let plan = self.plan(identity, desired, sight, &managed); // decides
        let changed = self.is_unsettled();
        if self.tags_are_unknown(sight, &plan, changed, self.managed_after(desired, spec, false) != managed) {
            self.memory.tags = Some(K::tags(aws, &sight.handle).await?); // reads AWS
        }
        let news = match self.memory.tags.clone() {
            Some(actual) => self.verify(spec, identity, &actual).await?,
            None => None,
        };
        let news = news.or_else(|| sight.made.clone());
        if !K::RECREATES && !identity.created {
            identity.created = true;
            self.claim_object(identity).await?; // writes Kubernetes, once: a lost status must not lose that
        }
        self.seen = report::<K>(identity, sight, &plan.pending);
        self.unusable = !K::state(&sight.observed).is_usable();
        self.read_secrets(spec, true).await?; // reads and writes Kubernetes, seldom
        let plan = self.plan(identity, desired, sight, &managed); // decides
        traced::plan(&plan);
        let tags = self.tag_changes(spec, identity, &managed);
        self.memory.said.differs(plan.differences.iter().chain(plan.refused.iter().map(|refused| &refused.difference)));
        if let Some(refused) = plan.refused {
            return Err(impossible::<K>(refused));
        }
        if plan.notice.as_ref().is_some_and(|notice| !self.has_told(notice)) {
            // It is told first, and done at the next look.
            return Ok(Executed(Done { waiting: plan.notice, ..Done::default() }));
        }
        if plan.changes.iter().any(K::sets_password) && self.doubt_password() {
            // Were the answer lost, nobody could tell which password AWS has.
            let waiting = Some("the password is about to be changed".into());
            return Ok(Executed(Done { waiting, ..Done::default() }));
        }
        if !tags.is_empty() || !plan.changes.is_empty() {
            self.confirm().await?; // reads Kubernetes, once a leadership
        }
        self.managed = Some(self.managed_after(desired, spec, true));
        if !tags.is_empty() {
            let tagging = K::retag(aws, &self.permit, identity, &sight.handle, &tags);
            tagging.instrument(spans::action("tag")).await?; // writes AWS
            self.memory.wrote = Some(Instant::now());
            self.memory.tags = self.memory.tags.take().map(|actual| tags.applied_to(&actual));
        }
        self.happened.extend(news);
        for change in &plan.changes {
            self.change(aws, sight, change).await?; // writes AWS
        }
        let now = Instant::now();
        for Difference { field, actual, desired, settles_within } in &plan.differences {
            self.memory.changed(field, actual, desired, now, *settles_within);
        }
        self.managed = Some(self.managed_after(desired, spec, false));
        // What AWS has answered may say when the changes apply.
        let left = self.plan(identity, desired, sight, &managed);
        self.seen = report::<K>(identity, sight, &left.pending);
        let Done { corrected, .. } = self.executed(&plan.differences, &tags, changed);
        Ok(Executed(Done { corrected, pending: promise(&left.pending), waiting: left.waiting }))
    }

    /// What turns what was seen into what is desired.
    fn plan(
        &mut self,
        identity: &Identity,
        desired: &K::Desired,
        sight: &Sight<K>,
        managed: &[String],
    ) -> Plan<K::Change> {
        let has = self.has_password(identity, sight, desired);
        let password = if has { None } else { self.wished_password() };
        K::plan(desired, &sight.observed, &Past { managed, settling: &self.memory.settling(Instant::now()), password })
    }

    /// Whether the condition Synced says `notice`.
    fn has_told(&self, notice: &str) -> bool {
        let says = |condition: &Condition| condition.type_ == "Synced" && condition.message.contains(notice);
        conditions(&self.object.status()).iter().any(says)
    }

    /// Whether tags have to be read before anything is done. Where every observation has them, they are known.
    fn tags_are_unknown(
        &mut self,
        sight: &Sight<K>,
        plan: &Plan<K::Change>,
        changed: bool,
        // A tag that is no longer in spec or settings can only be removed by one who knows the tags.
        other_fields: bool,
    ) -> bool {
        if let Some(tags) = K::tags_in(&sight.observed) {
            self.memory.tags = Some(tags.clone());
            return false;
        }
        let unknown = self.memory.tags.is_none();
        match sight.whose {
            Whose::Created => !plan.is_empty(),
            Whose::Doubtful => true,
            Whose::AsBefore => self.memory.tags_are_due() || (unknown && (changed || other_fields || !plan.is_empty())),
        }
    }

    async fn change(
        &mut self,
        aws: &Regional<K::Client>,
        sight: &mut Sight<K>,
        change: &K::Change,
    ) -> Result<(), Fault> {
        let changing = K::change(aws, &self.permit, &sight.handle, change);
        let answer = changing.instrument(spans::action("change")).await;
        self.memory.wrote = Some(Instant::now());
        if let Some(observed) = answer? {
            sight.observed = observed;
        }
        if K::sets_password(change) {
            self.accept(&sight.observed);
        }
        Ok(())
    }

    /// Whether no resource of this identity is or was this object's.
    pub(super) async fn has_nothing_at(&self, identity: &Identity) -> Result<bool, Fault> {
        if self.object.status().contains_key("identity") {
            return Ok(false);
        }
        let aws = self.aws(identity)?;
        let Some(handle) = K::find(&aws, identity).await? else {
            // A create that failed may have had its effect all the same: to be seen soon, or never.
            return match self.memory.attempted.is_some_and(|at| at.elapsed() < K::APPEARS_WITHIN) {
                true => Err(unseen::<K>(identity)),
                false => Ok(true),
            };
        };
        let ownership = self.owner().of(&K::tags(&aws, &handle).await?);
        Ok(!matches!(ownership, Ownership::Ours | Ownership::Reincarnated | Ownership::Retained))
    }

    pub(super) async fn check_observation(&mut self, aws: &Regional<K::Client>, sight: &Sight<K>) -> Result<(), Fault> {
        let tags = match K::tags_in(&sight.observed).or(self.memory.tags.as_ref()) {
            Some(tags) => tags.clone(),
            None => K::tags(aws, &sight.handle).await?,
        };
        let ours = matches!(claim(&self.owner().of(&tags), Adoption::Never, Err(""), K::NOUN), Claim::Proceed);
        self.memory.tags = Some(tags);
        if ours {
            return Ok(());
        }
        let admitted = admit_observing::<K>(self.account()?, self.asking());
        if admitted.is_err() {
            self.memory.doubt_tags();
        }
        admitted
    }

    /// Makes sure that the resource with the tags `actual` is ours, or may become it: then what there
    /// is to tell once its tags say so.
    async fn verify(
        &mut self,
        spec: &K::Spec,
        identity: &mut Identity,
        actual: &Tags,
    ) -> Result<Option<Happening>, Fault> {
        let ownership = self.owner().of(actual);
        let rule = self.account()?.adoption_rule();
        let allowed = if self.account()?.may_adopt(self.asking()) { Ok(()) } else { Err(rule.as_str()) };
        let claim = claim(&ownership, K::common(spec).adoption(), allowed, K::NOUN);
        if let Claim::Refuse(message) = claim {
            self.memory.doubt_tags();
            return Err(Fault::NotOurs(message));
        }
        // It outlives the object on the resource itself.
        if !identity.adopted && (claim == Claim::Adopt || actual.contains_key(tags::ADOPTED)) {
            identity.adopted = true;
            self.claim_object(identity).await?;
        }
        let noun = K::NOUN;
        Ok(match claim {
            Claim::Proceed | Claim::Refuse(_) => None,
            Claim::Restamp => {
                let note = format!("the {noun} was of an earlier object of this name, and is now this one's");
                Some(Happening::normal("Restamped", note))
            }
            Claim::Resume => {
                let note = format!("the {noun} was retained by this object, which manages it again");
                Some(Happening::normal("Resumed", note))
            }
            Claim::Adopt => {
                // Another object may be doing the same: the next look sees whose tags have lasted.
                self.memory.looks = TAGS_EVERY;
                let note = format!("took over the existing {noun} {}", K::arn(identity));
                Some(Happening::normal("Adopted", note))
            }
        })
    }

    fn executed(&mut self, differences: &[Difference], tags: &TagChanges, changed: bool) -> Done {
        let tag_fields = tags.fields();
        if differences.is_empty() && tag_fields.is_empty() {
            return Done::default();
        }
        let what = [describe(differences), tag_fields.join(", ")].into_iter().filter(|text| !text.is_empty());
        let what = what.collect::<Vec<_>>().join(", ");
        let (reason, note) = match changed {
            true => ("Updated", format!("applied the spec: {what}")),
            false => ("DriftCorrected", format!("corrected what was changed outside of Fairlead: {what}")),
        };
        if !changed {
            self.count_drift(differences, &tag_fields);
        }
        self.happened.push(Happening::normal(reason, &note));
        let at = Timestamp::now().strftime("%FT%TZ");
        Done { corrected: Some((reason.into(), format!("{note}, at {at}"))), ..Done::default() }
    }
}

/// What AWS has accepted and will do later, for people.
fn promise(pending: &[Pending]) -> Option<String> {
    let text = |Pending { field, value, applies }: &Pending| format!("{field} becomes {value} {applies}");
    let all: Vec<_> = pending.iter().map(text).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// What the status says of a resource that was seen.
pub(super) fn report<K: Kind>(identity: &Identity, sight: &Sight<K>, pending: &[Pending]) -> Map<String, Value> {
    let Identity { account_id, partition: _, region, name, adopted, created: _ } = identity.clone();
    let shown = ResourceIdentity { account_id, region, name, arn: K::arn(identity), adopted };
    let mut fields = K::status(&sight.handle, &sight.observed);
    fields.insert("identity".into(), json!(shown));
    if K::DEFERS {
        fields.insert("pendingChanges".into(), json!(pending));
    }
    fields
}

fn appearing<K: Kind>(identity: &Identity) -> Fault {
    Fault::Appearing(format!("the {} {} was created, and AWS does not show it yet", K::NOUN, identity.name))
}

/// Whether there is a resource can't be told yet.
pub(super) fn unseen<K: Kind>(identity: &Identity) -> Fault {
    Fault::Appearing(format!("making sure that no {} {} comes into sight any more", K::NOUN, identity.name))
}

/// A value as people read it.
pub fn shortened(value: &str) -> String {
    match value.char_indices().nth(VALUE_LIMIT) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None if value.is_empty() => "none".into(),
        None => value.to_owned(),
    }
}

pub(super) fn describe(differences: &[Difference]) -> String {
    let text = |difference: &Difference| {
        format!("{} ({} → {})", difference.field, shortened(&difference.actual), shortened(&difference.desired))
    };
    differences.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

//! Bringing a resource in line with its spec: look, create, make sure that it is ours, correct.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use super::{
    events::Happening,
    faults::Fault,
    kind::{Difference, Kind, Past},
    lifecycle::{Claim, claim},
    memory::TAGS_EVERY,
    objects::ObjectKey,
    reconcile::Run,
};
use crate::{
    aws::{
        call::Regional,
        errors::ErrorClass,
        identity::Identity,
        tags::{self, Ownership, TagChanges, Tags},
    },
    crd::spec::Adoption,
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
pub(super) struct Executed {
    corrected: Option<(String, String)>,
}

impl Executed {
    /// What was corrected, as reason and message.
    pub(super) fn corrected(self) -> Option<(String, String)> {
        self.corrected
    }

    /// One for tests of what follows.
    #[cfg(test)]
    pub(super) fn of(corrected: Option<(String, String)>) -> Self {
        Self { corrected }
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
        self.memory.recognise(observed.as_ref().and_then(K::created_at));
        Ok(observed.map(|observed| Sight { handle, observed, whose: Whose::AsBefore, made: None }))
    }

    pub(super) async fn create(
        &mut self,
        aws: &Regional<K::Client>,
        spec: &K::Spec,
        identity: &mut Identity,
        desired: &K::Desired,
    ) -> Result<Sight<K>, Fault> {
        self.check_creation(spec, identity).await?;
        identity.adopted = false;
        self.claim_object(identity).await?; // writes Kubernetes, where another one was adopted before
        let recreated = K::handle(&self.object.status()).is_some();
        self.confirm().await?; // reads Kubernetes, once a leadership
        self.memory.forget_resource();
        self.managed = Some(self.managed_after(desired, spec, true));
        let tags = self.desired_tags(spec, identity);
        let started = unix_now();
        // From here on something may be there, whatever becomes of the answer.
        self.memory.attempted = Some(Instant::now());
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
            Happening::normal("Created", format!("created the {} {}", K::NOUN, identity.arn(K::SERVICE)))
        };
        Ok(Sight { handle, observed, whose, made: Some(made) })
    }

    /// Whether a resource that is not there may be created.
    pub(super) async fn check_creation(&self, spec: &K::Spec, identity: &Identity) -> Result<(), Fault> {
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
        sight: &Sight<K>,
        desired: &K::Desired,
    ) -> Result<Executed, Fault> {
        let now = Instant::now();
        let managed = self.managed_before();
        let past = Past { managed: &managed, settling: &self.memory.settling(now) };
        let plan = K::plan(desired, &sight.observed, &past); // decides
        let changed = self.is_unsettled();
        // A tag that is no longer in spec or settings can only be removed by one who knows the tags.
        let other_fields = self.managed_after(desired, spec, false) != managed;
        let unknown = self.memory.tags.is_none();
        let read = match sight.whose {
            Whose::Created => !plan.is_empty(),
            Whose::Doubtful => true,
            Whose::AsBefore => self.memory.tags_are_due() || (unknown && (changed || other_fields || !plan.is_empty())),
        };
        if read {
            self.memory.tags = Some(K::tags(aws, &sight.handle).await?); // reads AWS
        }
        let news = match self.memory.tags.clone() {
            Some(actual) => self.verify(spec, identity, &actual).await?,
            None => None,
        };
        let news = news.or_else(|| sight.made.clone());
        let tags = self.tag_changes(spec, identity, &managed);
        if let Some(Difference { field, actual, desired, .. }) = plan.immutable {
            let message = format!(
                "spec.{field} is {desired}, but the {} was created with {actual} and AWS can't change that: set it back, \
                 or create another object",
                K::NOUN
            );
            return Err(Fault::Refused { reason: "ImmutableField", message });
        }
        if !tags.is_empty() || !plan.changes.is_empty() {
            self.confirm().await?; // reads Kubernetes, once a leadership
        }
        self.managed = Some(self.managed_after(desired, spec, true));
        if !tags.is_empty() {
            K::retag(aws, &self.permit, &sight.handle, &tags).await?; // writes AWS
            self.memory.tags = self.memory.tags.take().map(|actual| tags.applied_to(&actual));
        }
        self.happened.extend(news);
        for change in &plan.changes {
            K::change(aws, &self.permit, &sight.handle, change).await?; // writes AWS
        }
        for Difference { field, actual, desired, settles_within } in &plan.differences {
            self.memory.wrote(field, actual, desired, now, *settles_within);
        }
        self.managed = Some(self.managed_after(desired, spec, false));
        Ok(self.executed(&plan.differences, &tags, changed))
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
        let tags = match self.memory.tags.clone() {
            Some(tags) => tags,
            None => K::tags(aws, &sight.handle).await?,
        };
        let ours = matches!(claim(&self.owner().of(&tags), Adoption::Never, Err(""), K::NOUN), Claim::Proceed);
        self.memory.tags = Some(tags);
        let account = self.account()?;
        if ours || account.may_observe(self.asking()) {
            return Ok(());
        }
        let ObjectKey { kind: _, namespace, name } = &self.key;
        let message = format!(
            "the {} is not this object's, and {} does not allow {namespace}/{name} to observe it",
            K::NOUN,
            account.observe_rule()
        );
        self.memory.doubt_tags();
        Err(Fault::Refused { reason: "ObserveNotAllowed", message })
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
                let note = format!("took over the existing {noun} {}", identity.arn(K::SERVICE));
                Some(Happening::normal("Adopted", note))
            }
        })
    }

    pub(super) fn executed(&mut self, differences: &[Difference], tags: &TagChanges, changed: bool) -> Executed {
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
        self.happened.push(Happening::normal(reason, &note));
        Executed { corrected: Some((reason.into(), format!("{note}, at {}", Timestamp::now().strftime("%FT%TZ")))) }
    }
}

fn appearing<K: Kind>(identity: &Identity) -> Fault {
    Fault::Appearing(format!("the {} {} was created, and AWS does not show it yet", K::NOUN, identity.name))
}

/// Whether there is a resource can't be told yet.
pub(super) fn unseen<K: Kind>(identity: &Identity) -> Fault {
    Fault::Appearing(format!("making sure that no {} {} comes into sight any more", K::NOUN, identity.name))
}

pub(super) fn describe(differences: &[Difference]) -> String {
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

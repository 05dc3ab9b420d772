//! The watch of AWSAccounts, and who attends to each: asks AWS which account it is, takes needless
//! finalizers away, writes the status.
//!
//! Every AWSAccount has an attendant of its own, so that one that can't be reached delays no other.
//! Several operators on one cluster do not fight: finalizers are for one namespace each, and a status
//! is written when what this process knows has changed, never because somebody else wrote another.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::{
    Api,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
    runtime::watcher,
};
use serde_json::{Map, Value};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{Instrument as _, info, warn};

use super::{
    api,
    registry::{Accounts, View},
    report,
};
use crate::{
    aws::{clients::Clients, session::Session},
    crd::{GROUP, VERSION},
    engine::{
        controller::Context,
        objects::{KubeError, Object, ObjectKey},
        status::merge_patch,
        watch,
    },
    queue::flow::Priority,
    shard::{NoPermit, Shard},
    telemetry::{health::Component, traces::spans},
};

/// How often an account is asked for while all is well; growing pauses while it is not end here too.
const PROBE: Duration = Duration::from_secs(60);
/// The first pause after a failure, and the least time between two questions.
const PROBE_AGAIN: Duration = Duration::from_secs(2);
/// The least time between two rounds of an attendant.
const ROUND: Duration = Duration::from_millis(500);
/// The least time between two writes of a status.
const STATUS: Duration = Duration::from_secs(2);

/// The API resource of AWSAccounts.
pub fn resource() -> ApiResource {
    let plural = api::crd().spec.names.plural;
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, api::KIND), &plural)
}

/// Follows the AWSAccounts of the cluster, for ever.
pub async fn follow(context: Arc<Context>, health: Component) {
    let accounts: Api<DynamicObject> = Api::all_with(context.client.clone(), &resource());
    let mut listed: Option<Vec<String>> = None;
    let mut attendants = Attendants::default();
    let apply = |event: watcher::Event<DynamicObject>| {
        let mut take = |mut object: DynamicObject, listed: bool| {
            object.metadata.managed_fields = None;
            let object = Object(object);
            let name = object.name().to_owned();
            requeue(&context, context.accounts.apply(object, listed));
            attendants.attend(&context, &name);
            name
        };
        match event {
            watcher::Event::Init => listed = Some(Vec::new()),
            watcher::Event::InitApply(object) => {
                let name = take(object, true);
                listed.iter_mut().for_each(|listed| listed.push(name.clone()));
            }
            watcher::Event::Apply(object) => drop(take(object, false)),
            watcher::Event::Delete(object) => lose(&context, &mut attendants, Object(object).name()),
            watcher::Event::InitDone => {
                let there = listed.take().unwrap_or_default();
                for name in context.accounts.names().iter().filter(|name| !there.contains(name)) {
                    lose(&context, &mut attendants, name);
                }
            }
        }
    };
    watch::follow(accounts, watch::config(), health, api::KIND, explain, apply).await;
}

/// Follows the process's own account, for ever: what uses it is looked at again when it changes.
pub async fn follow_own(context: Arc<Context>) {
    let mut changes = context.accounts.own_changes();
    while changes.changed().await.is_ok() {
        requeue(&context, context.accounts.users_of_own());
        context.accounts.wake_all();
    }
}

fn lose(context: &Context, attendants: &mut Attendants, name: &str) {
    requeue(context, context.accounts.gone(name));
    attendants.dismiss(name);
}

fn requeue(context: &Context, objects: Vec<ObjectKey>) {
    // Until reconciles begin, every object waits for its first one anyway.
    for key in objects.into_iter().filter(|_| context.accounts.knows_objects()) {
        context.queue.wake(&(&key).into(), Priority::Progress);
    }
}

fn explain(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 404 =>
        {
            let crd = api::crd().metadata.name.unwrap_or_default();
            format!("the CRD {crd} is not installed; kubectl apply -f deploy/crds brings it")
        }
        error => error.to_string(),
    }
}

/// The attendants, by AWSAccount. They end with their owner.
#[derive(Default)]
struct Attendants {
    running: JoinSet<()>,
    by_name: HashMap<String, AbortHandle>,
}

impl Attendants {
    fn attend(&mut self, context: &Arc<Context>, name: &str) {
        while self.running.try_join_next().is_some() {}
        if self.by_name.get(name).is_none_or(AbortHandle::is_finished) {
            let handle = self.running.spawn(Attendant::new(context.clone(), name).run());
            self.by_name.insert(name.into(), handle);
        }
    }

    fn dismiss(&mut self, name: &str) {
        self.by_name.remove(name).iter().for_each(AbortHandle::abort);
    }
}

/// Who attends to one AWSAccount.
struct Attendant {
    context: Arc<Context>,
    name: String,
    /// With whose credentials it was asked about last, when, and how often in vain since.
    session: Option<Session>,
    asked: Instant,
    failures: u32,
    /// What its status was last to say, and when that was written.
    told: Option<Map<String, Value>>,
    written: Option<Instant>,
}

impl Attendant {
    fn new(context: Arc<Context>, name: &str) -> Self {
        let (name, asked) = (name.to_owned(), Instant::now());
        Self { context, name, session: None, asked, failures: 0, told: None, written: None }
    }

    async fn run(mut self) {
        while let Some(view) = self.accounts().view(&self.name) {
            let mut pause = PROBE;
            if view.concerned {
                pause = self.probe(&view).await; // reads AWS, where that is due
                let Some(view) = self.accounts().view(&self.name) else { return };
                pause = pause.min(self.settle(&view).await); // writes Kubernetes, on a difference
            }
            tokio::time::sleep(ROUND).await;
            tokio::select! {
                () = view.signal.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn accounts(&self) -> &Accounts {
        &self.context.accounts
    }

    fn clients(&self) -> &Clients {
        &self.context.clients
    }

    /// Asks which account it is, where that is due; answers when it is due again.
    async fn probe(&mut self, view: &View) -> Duration {
        if view.account.is_own() || view.unreadable.is_some() {
            return PROBE;
        }
        let session = view.account.probe_session();
        let due = match &self.session {
            Some(before) if *before == session => self.asked + if view.suspect { PROBE_AGAIN } else { self.pause() },
            _ => self.asked,
        };
        let now = Instant::now();
        if now < due {
            return due - now;
        }
        let said = self.clients().identify(&session).instrument(spans::account(&self.name)).await;
        (self.asked, self.session) = (Instant::now(), Some(session.clone()));
        match &said {
            Ok(_) => self.failures = 0,
            Err(error) => {
                self.failures += 1;
                if self.failures == 1 {
                    warn!(account = self.name, %error, "the AWSAccount can't be reached");
                }
            }
        }
        let affected = self.accounts().found(&self.name, &session, said);
        requeue(&self.context, affected);
        self.pause()
    }

    /// Give or take a tenth, so that many accounts are not asked about in step.
    fn pause(&self) -> Duration {
        let pause = match self.failures {
            0 => PROBE,
            failures => (PROBE_AGAIN * 2_u32.saturating_pow(failures - 1)).min(PROBE),
        };
        pause.mul_f64(0.9 + 0.2 * fastrand::f64())
    }

    /// Takes needless finalizers away and writes the status; answers when there is more to do.
    async fn settle(&mut self, view: &View) -> Duration {
        // It belongs to no shard: the leader of the first one keeps it.
        let permit = match self.context.permits.grant(Shard::FIRST) {
            Ok(permit) => permit,
            Err(NoPermit::NotLed) => return PROBE,
            Err(_) => return PROBE_AGAIN,
        };
        let writer = self.accounts().writer();
        if !view.needless.is_empty() {
            let all = view.object.0.metadata.finalizers.iter().flatten();
            let others = all.filter(|finalizer| !view.needless.contains(finalizer)).cloned().collect();
            let writing = writer.finalizers(&permit, &view.object, others);
            return match writing.instrument(spans::account(&self.name)).await {
                Ok(written) => {
                    info!(account = self.name, finalizers = view.needless.join(","), "no longer in use");
                    self.accounts().wrote(&self.name, written);
                    Duration::ZERO
                }
                Err(error) => self.failed(&error),
            };
        }
        let again = if view.lingering { STATUS } else { PROBE };
        let old = view.object.status();
        let new = report::status(view, Timestamp::now());
        let wish = report::wish(&new);
        let Some(patch) =
            merge_patch(&old, &new).filter(|_| self.told.as_ref() != Some(&wish) || !old.contains_key("conditions"))
        else {
            return again;
        };
        if let Some(wait) = self.written.and_then(|at| STATUS.checked_sub(at.elapsed())) {
            return wait;
        }
        match writer.status(&permit, &view.object, patch).instrument(spans::account(&self.name)).await {
            Ok(written) => {
                (self.told, self.written) = (Some(wish), Some(Instant::now()));
                self.accounts().wrote(&self.name, written);
                again
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &KubeError) -> Duration {
        match error {
            KubeError::Conflict | KubeError::Gone | KubeError::NoPermit(_) => {}
            error => warn!(account = self.name, %error, "the AWSAccount could not be written"),
        }
        PROBE_AGAIN
    }
}

//! What is known of every account, and which objects use it. Asked at every event and reconcile, so
//! it answers from memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use kube::Client;
use tokio::sync::Notify;

use super::{
    account::Account,
    choice::{Candidate, Choice, Refusal},
    entry::{Entry, IN_USE, stand},
};
use crate::{
    aws::{
        account::{OwnAccount, Standing},
        clients::Clients,
        errors::AwsError,
        session::Session,
    },
    engine::objects::{KubeError, Object, ObjectKey, Writer},
    settings::Settings,
    shard::Permit,
};

/// What is known of every account.
#[derive(Clone)]
pub struct Accounts(Arc<Shared>);

struct Shared {
    own: OwnAccount,
    clients: Clients,
    writer: Writer,
    cluster: String,
    /// The namespaces that are watched; none stands for all.
    watched: Vec<String>,
    /// Whether all objects have been seen, so that one that is not known is not there.
    complete: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// The process's own credentials where no AWSAccount speaks of them.
    own: Arc<Account>,
    entries: BTreeMap<String, Entry>,
    users: HashMap<ObjectKey, User>,
}

/// An object, as far as accounts go.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    account_ref: Option<String>,
    /// The 12-digit account of its resource, where that is fixed.
    account_id: Option<String>,
    holds: bool,
}

/// An AWSAccount, and what is to be known to attend to it.
pub struct View {
    /// The AWSAccount, as last read or written.
    pub object: Object,
    /// What it says.
    pub account: Arc<Account>,
    /// Why it can't be understood, where that is so.
    pub unreadable: Option<Refusal>,
    /// Whether objects that this process watches use it, or may.
    pub concerned: bool,
    /// The objects that have our finalizer and use it.
    pub users: BTreeSet<ObjectKey>,
    /// Our finalizers that are no longer needed.
    pub needless: Vec<String>,
    /// Whether there are some that may soon not be needed.
    pub lingering: bool,
    /// Whether AWS has refused its credentials since this was last asked.
    pub suspect: bool,
    /// Rings when there is something to attend to.
    pub signal: Arc<Notify>,
}

impl Accounts {
    /// Knowing the process's own account alone.
    pub fn new(client: Client, clients: Clients, own: OwnAccount, settings: &Settings, cluster: &str) -> Self {
        let state =
            State { own: Arc::new(Account::own(settings, cluster)), entries: BTreeMap::new(), users: HashMap::new() };
        Self(Arc::new(Shared {
            own,
            clients,
            writer: Writer::new(client, super::controller::resource()),
            cluster: cluster.into(),
            watched: settings.watch_namespaces.clone(),
            complete: AtomicBool::new(false),
            state: Mutex::new(state),
        }))
    }

    /// The account of an object of `namespace` that names `account_ref`, whether or not it may use it.
    ///
    /// # Errors
    /// Where none can be told.
    pub fn resolve(&self, namespace: &str, account_ref: Option<&str>) -> Result<Arc<Account>, Refusal> {
        let mut state = self.state();
        let choice = state.choose(namespace, account_ref);
        if let Some(refusal) = choice.refusal() {
            return Err(refusal);
        }
        let State { own, entries, .. } = &mut *state;
        let account = match &choice {
            Choice::Named(name) => match entries.get_mut(name) {
                Some(Entry { unreadable: Some(refusal), .. }) => return Err(refusal.clone()),
                Some(entry) => &mut entry.account,
                None => own,
            },
            _ => own,
        };
        if account.is_own() {
            stand(account, &self.0.own.standing());
        }
        Ok(account.clone())
    }

    /// An account by which resources of `namespace` in the AWS account `id` are managed, whatever their
    /// objects name by now: for their deletion.
    pub fn managing(&self, namespace: &str, id: &str) -> Option<Arc<Account>> {
        if self.0.own.standing().id() == Some(id) {
            let mut own = self.state().own.clone();
            stand(&mut own, &self.0.own.standing());
            return Some(own);
        }
        let in_use = format!("{IN_USE}{namespace}");
        let state = self.state();
        let holds = |entry: &&Entry| entry.object.0.metadata.finalizers.iter().flatten().any(|it| *it == in_use);
        let mut accounts = state.entries.values().filter(holds).map(|entry| &entry.account);
        accounts.find(|account| account.usable().ok() == Some(id)).cloned()
    }

    /// The account's id, asked of AWS now.
    ///
    /// # Errors
    /// The call's error.
    pub async fn ask(&self, account: &Account, namespace: &str) -> Result<String, AwsError> {
        match account.session(namespace) {
            Session::Own => self.0.own.ask().await,
            session => self.0.clients.identify(&session).await,
        }
    }

    /// Takes note of an object: what account it names, which one its resource is in, and whether it has our
    /// finalizer.
    pub fn saw(&self, key: &ObjectKey, account_ref: Option<&str>, account_id: Option<String>, holds: bool) {
        let now = User { account_ref: account_ref.map(str::to_owned), account_id, holds };
        let mut state = self.state();
        let before = state.users.get(key).cloned();
        if before.as_ref() == Some(&now) {
            return;
        }
        state.ring(key, before.as_ref());
        state.users.insert(key.clone(), now.clone());
        state.ring(key, Some(&now));
    }

    /// Takes note that an object is gone.
    pub fn forget(&self, key: &ObjectKey) {
        let mut state = self.state();
        let before = state.users.remove(key);
        state.ring(key, before.as_ref());
    }

    /// Makes sure that the AWSAccount does not go while an object of `namespace` uses it; to be called
    /// before the object's own finalizer is written, which is yet to come where it is `new`.
    ///
    /// # Errors
    /// The write's error.
    pub async fn hold(&self, permit: &Permit, account: &Account, namespace: &str, new: bool) -> Result<(), KubeError> {
        // Without its AWSAccount the operator's own account is still there.
        let Some(name) = account.name.as_deref().filter(|_| !account.is_own()) else { return Ok(()) };
        let finalizer = format!("{IN_USE}{namespace}");
        let Some(writing) = self.needs(name, namespace, &finalizer, new).map(|(writing, _)| writing) else {
            return Ok(());
        };
        // Of many new objects one writes.
        let _turn = writing.lock().await;
        let Some((_, object)) = self.needs(name, namespace, &finalizer, new) else { return Ok(()) };
        let all = object.0.metadata.finalizers.iter().flatten().cloned().chain([finalizer]).collect();
        let written = self.0.writer.finalizers(permit, &object, all).await?;
        self.wrote(name, written);
        Ok(())
    }

    /// What it takes to have `finalizer` on the AWSAccount, where that lacks it and can still get it.
    fn needs(
        &self,
        name: &str,
        namespace: &str,
        finalizer: &str,
        new: bool,
    ) -> Option<(Arc<tokio::sync::Mutex<()>>, Object)> {
        let mut state = self.state();
        let entry = state.entries.get_mut(name)?;
        if new {
            entry.hold(namespace);
        }
        let has = entry.object.0.metadata.finalizers.iter().flatten().any(|it| it == finalizer);
        (!has && !entry.object.is_deleting()).then(|| (entry.writing.clone(), entry.object.clone()))
    }

    /// Notes that AWS has refused the account's credentials.
    pub fn doubt(&self, account: &Account) {
        let mut state = self.state();
        if let Some(entry) = account.name.as_ref().and_then(|name| state.entries.get_mut(name)) {
            entry.suspect = true;
            entry.signal.notify_one();
        }
    }

    /// Whether every account that matters here has been asked about at least once.
    pub fn all_asked(&self) -> bool {
        let state = self.state();
        state.entries.iter().all(|(name, entry)| entry.is_settled() || !self.concerned(&state, name, entry))
    }

    /// Whether all objects have been seen, and are reconciled.
    pub fn knows_objects(&self) -> bool {
        self.0.complete.load(Ordering::Relaxed)
    }

    /// Says that all objects have been seen, and are reconciled from now on.
    pub fn objects_are_known(&self) {
        self.0.complete.store(true, Ordering::Relaxed);
        self.wake_all();
    }

    /// Has every AWSAccount attended to.
    pub fn wake_all(&self) {
        self.state().entries.values().for_each(|entry| entry.signal.notify_one());
    }

    /// The objects that use the process's own credentials.
    pub fn users_of_own(&self) -> Vec<ObjectKey> {
        let state = self.state();
        let own = |choice| match choice {
            Choice::Own => true,
            Choice::Named(name) => state.entries.get(&name).is_some_and(|entry| entry.account.is_own()),
            Choice::Missing(_) | Choice::Ambiguous(..) => false,
        };
        state.users.iter().filter(|(key, user)| own(state.choice(key, user))).map(|(key, _)| key.clone()).collect()
    }

    /// Hears of the process's own account.
    pub fn own_changes(&self) -> tokio::sync::watch::Receiver<Standing> {
        self.0.own.changes()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn concerned(&self, state: &State, name: &str, entry: &Entry) -> bool {
        let watched = &self.0.watched;
        watched.is_empty()
            || watched.iter().any(|namespace| entry.account.allows_namespace(namespace))
            || entry.namespaces().any(|namespace| watched.iter().any(|it| it == namespace))
            || state.users.iter().any(|(key, user)| user.holds && state.choice(key, user).concerns(name))
    }
}

/// What the one who attends to AWSAccounts asks and tells.
impl Accounts {
    /// Writes AWSAccounts.
    pub(super) fn writer(&self) -> &Writer {
        &self.0.writer
    }

    /// Takes an AWSAccount as an event or, `listed`, a list has it; answers the objects to which that
    /// makes a difference. An event may be older than our own last write, a list says what is.
    pub(super) fn apply(&self, object: Object, listed: bool) -> Vec<ObjectKey> {
        let name = object.name().to_owned();
        let mut state = self.state();
        let before = state.entries.get(&name);
        if !listed && before.is_some_and(|before| before.is_newer_than(&object)) {
            return Vec::new();
        }
        let same = before.is_some_and(|before| before.object.fingerprint() == object.fingerprint());
        if same {
            if let Some(entry) = state.entries.get_mut(&name) {
                entry.object = object;
                entry.signal.notify_one();
            }
            return Vec::new();
        }
        let cluster = &self.0.cluster;
        state.affected(&name, |state| {
            let before = state.entries.remove(&name);
            let entry = Entry::of(object, before, cluster);
            entry.signal.notify_one();
            state.entries.insert(name.clone(), entry);
        })
    }

    /// Takes note that an AWSAccount is gone; answers the objects to which that makes a difference.
    pub(super) fn gone(&self, name: &str) -> Vec<ObjectKey> {
        self.state().affected(name, |state| {
            if let Some(entry) = state.entries.remove(name) {
                entry.signal.notify_one();
            }
        })
    }

    /// The names of all AWSAccounts.
    pub(super) fn names(&self) -> Vec<String> {
        self.state().entries.keys().cloned().collect()
    }

    /// An AWSAccount, and what is to be known to attend to it.
    pub(super) fn view(&self, name: &str) -> Option<View> {
        let mut state = self.state();
        let users: BTreeSet<_> = state.users_of(name);
        let entry = state.entries.get(name)?;
        let concerned = self.concerned(&state, name, entry);
        let entry = state.entries.get_mut(name)?;
        if entry.account.is_own() {
            stand(&mut entry.account, &self.0.own.standing());
        }
        let watched = |namespace: &str| self.0.watched.is_empty() || self.0.watched.iter().any(|it| it == namespace);
        let unused: Vec<_> = entry
            .namespaces()
            .filter(|namespace| watched(namespace) && !users.iter().any(|key| key.namespace == **namespace))
            .map(str::to_owned)
            .collect();
        let complete = self.knows_objects();
        let needless: Vec<_> =
            unused.iter().filter(|namespace| complete && !entry.is_held(namespace)).cloned().collect();
        Some(View {
            object: entry.object.clone(),
            account: entry.account.clone(),
            unreadable: entry.unreadable.clone(),
            concerned,
            lingering: needless.len() < unused.len(),
            needless: needless.iter().map(|namespace| format!("{IN_USE}{namespace}")).collect(),
            users,
            suspect: entry.suspect,
            signal: entry.signal.clone(),
        })
    }

    /// Takes note of what AWS said of an account; answers the objects to which that makes a difference.
    pub(super) fn found(&self, name: &str, session: &Session, said: Result<String, AwsError>) -> Vec<ObjectKey> {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(name).filter(|entry| entry.account.probe_session() == *session) else {
            return Vec::new();
        };
        let before = entry.account.clone();
        entry.suspect = false;
        entry.learn(said);
        let reason = |account: &Account| account.trouble.as_ref().map(|trouble| trouble.reason);
        if (&before.id, reason(&before)) == (&entry.account.id, reason(&entry.account)) {
            return Vec::new();
        }
        state.affected(name, |_| ())
    }

    /// Takes an AWSAccount as our own write has left it.
    pub(super) fn wrote(&self, name: &str, object: Object) {
        if let Some(entry) = self.state().entries.get_mut(name) {
            entry.update(object);
        }
    }
}

impl State {
    fn choose(&self, namespace: &str, account_ref: Option<&str>) -> Choice {
        let all = self.entries.iter().map(|(name, entry)| Candidate { name, default_for: &entry.default_for });
        Choice::of(namespace, account_ref, all)
    }

    fn choice(&self, key: &ObjectKey, user: &User) -> Choice {
        self.choose(&key.namespace, user.account_ref.as_deref())
    }

    fn users_of(&self, name: &str) -> BTreeSet<ObjectKey> {
        let id = self.entries.get(name).filter(|entry| !entry.account.is_own()).and_then(|it| it.account.id.as_deref());
        // Of several that are meant, any may be the one in which the resource is; and one in which it is stays
        // in use, though the object names another by now.
        let uses = |key: &ObjectKey, user: &User| {
            self.choice(key, user).concerns(name) || (id.is_some() && user.account_id.as_deref() == id)
        };
        let users = self.users.iter().filter(|(key, user)| user.holds && uses(key, user));
        users.map(|(key, _)| key.clone()).collect()
    }

    /// Makes a change to an AWSAccount: the objects that it concerned before, or does now.
    fn affected(&mut self, name: &str, change: impl FnOnce(&mut Self)) -> Vec<ObjectKey> {
        let concerned = |state: &Self| -> BTreeSet<ObjectKey> {
            let users = state.users.iter().filter(|(key, user)| state.choice(key, user).concerns(name));
            users.map(|(key, _)| key.clone()).collect()
        };
        let mut all = concerned(self);
        change(self);
        all.append(&mut concerned(self));
        all.into_iter().collect()
    }

    /// Wakes whoever attends to the account of an object.
    fn ring(&self, key: &ObjectKey, user: Option<&User>) {
        let Some(user) = user.filter(|_| !self.entries.is_empty()) else { return };
        let choice = self.choice(key, user);
        // Also the one in which the resource is, where the object names another by now.
        let holds = |entry: &Entry| user.account_id.is_some() && entry.account.id == user.account_id;
        let concerned = self.entries.iter().filter(|(name, entry)| choice.concerns(name) || holds(entry));
        concerned.for_each(|(_, entry)| entry.signal.notify_one());
    }
}

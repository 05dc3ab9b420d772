//! Looking ahead from the command line: what is known of the cluster, of its accounts and of AWS, and what the next
//! reconcile of an object would do by that. It reads, and changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kube::{Api, Client, api::DynamicObject};
use tokio::sync::Mutex;

use super::access::{self, list, patiently};
use crate::{
    accounts::{
        self,
        account::Account,
        choice::{Candidate, Choice},
    },
    app,
    aws::{
        clients::Clients,
        errors::{AwsError, ErrorClass},
        session::Session,
    },
    engine::{
        controller::referent,
        kind::Referent,
        lifecycle::{Course, course},
        objects::{KubeError, Object, bounded},
        preview::{Outcome, Preview, View},
        subject::Subject,
    },
    kinds::Registration,
    settings::{self, NameTemplate, Pattern, Tag},
};

pub(super) mod text;

/// The form of what is printed.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub(super) enum Output {
    Text,
    Json,
}

/// What the operator is set to, as far as it matters here.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "As the operator has it")]
pub(super) struct AsOperator {
    /// The region of objects that name none. Default: what the AWS SDK finds.
    #[arg(long, env = "FAIRLEAD_REGION", value_name = "REGION", value_parser = settings::region)]
    default_region: Option<String>,

    /// What this cluster is called in the owner tags. Default: the uid of the namespace kube-system.
    #[arg(long, env = "FAIRLEAD_CLUSTER_ID", value_name = "ID", value_parser = settings::cluster_id)]
    cluster_id: Option<String>,

    /// How AWS names are made where the spec has none.
    #[arg(long, env = "FAIRLEAD_RESOURCE_NAME", value_name = "TEMPLATE", default_value = "{name}")]
    resource_name: NameTemplate,

    /// The tags of every resource. Default: those that are there and no spec names stay as they are.
    #[arg(long, env = "FAIRLEAD_TAGS", value_name = "TAGS", value_delimiter = ',')]
    tags: Vec<Tag>,

    /// Objects that may adopt existing resources of the operator's own account.
    #[arg(long, env = "FAIRLEAD_ALLOW_ADOPTION", value_name = "PATTERNS", value_delimiter = ',')]
    allow_adoption: Vec<Pattern>,

    /// Objects that may observe resources of that account which are not theirs.
    #[arg(long, env = "FAIRLEAD_ALLOW_OBSERVE", value_name = "PATTERNS", value_delimiter = ',')]
    allow_observe: Vec<Pattern>,
}

/// What is known of the surroundings of objects.
pub(super) struct Scene {
    settings: AsOperator,
    client: Option<Client>,
    cluster: Option<String>,
    /// The AWSAccounts, where they may be listed.
    accounts: Option<Vec<Account>>,
    own: Account,
    clients: Result<Clients, String>,
    ids: Mutex<HashMap<Session, Result<String, String>>>,
    /// What could not be seen, and what would show it.
    pub(super) unseen: Vec<(&'static str, String)>,
}

/// An object and what surrounds it.
pub(super) struct Asked<'a> {
    pub(super) kind: &'a Registration,
    pub(super) object: &'a Object,
    /// The keys of the tags that may be removed, though it is not known what tags all resources have.
    pub(super) removable_tags: BTreeSet<String>,
    /// Objects that would be applied together with it.
    pub(super) others: &'a [Object],
}

/// A way to an account.
struct Way {
    account: Account,
    session: Session,
    assumed: Option<String>,
}

impl Scene {
    /// Looks at what all objects have in common; without a cluster, at AWS alone.
    pub(super) async fn look(client: Option<&Client>, settings: AsOperator) -> Self {
        let clients = access::clients(settings.default_region.clone()).await;
        let mut unseen = Vec::new();
        // Without AWS nothing of it matters.
        let client = client.filter(|_| clients.is_ok());
        let cluster = match (client, &settings.cluster_id) {
            (Some(client), None) => app::cluster::id(client, None).await.map(Some).unwrap_or_else(|error| {
                let way_out = "`get` on the namespace kube-system shows it, or give --cluster-id";
                unseen.push(("the cluster's id, which owner tags have", format!("{error}; {way_out}")));
                None
            }),
            (_, given) => given.clone(),
        };
        let called = cluster.clone().unwrap_or_default();
        let accounts = match client {
            Some(client) => named_accounts(client, &called).await.map(Some).unwrap_or_else(|why| {
                unseen.push(("which AWSAccounts there are", why));
                None
            }),
            None => None,
        };
        let own = Account::of_process(settings.allow_adoption.clone(), settings.allow_observe.clone(), &called);
        let client = client.cloned();
        Self { settings, client, cluster, accounts, own, clients, ids: Mutex::default(), unseen }
    }

    /// Why AWS can't be read at all.
    pub(super) fn no_aws(&self) -> Option<&str> {
        self.clients.as_ref().err().map(String::as_str)
    }

    /// What the next reconcile of an object would do.
    pub(super) async fn ahead(&self, asked: &Asked<'_>) -> Preview {
        let unknown = |why: String| Preview::new(Outcome::Unknown, why);
        let clients = match &self.clients {
            Ok(clients) => clients,
            Err(why) => return unknown(why.clone()),
        };
        let Way { account, session, assumed } = match self.way(clients, asked.object).await {
            Ok(way) => way,
            Err(preview) => return *preview,
        };
        let id = account.id.clone().unwrap_or_default();
        let (referents, mut assumptions) = self.referents(clients, asked, &id).await;
        assumptions.extend(assumed);
        let crd_is_deleted = match course(&self.subject(clients, asked.object).facts()) {
            Course::Dispose => self.crd_is_deleted(asked.kind).await.unwrap_or_else(|why| {
                assumptions.push(format!("that the CRD is not being deleted as well: {why}"));
                false
            }),
            _ => false,
        };
        let view = View {
            subject: self.subject(clients, asked.object),
            cluster_is_known: self.cluster.is_some(),
            removable_tags: self.settings.tags.is_empty().then_some(&asked.removable_tags),
            account: &account,
            clients,
            session: &session,
            referents: &referents,
            crd_is_deleted,
        };
        let looked = patiently(async || (asked.kind.preview)(&view).await).await;
        let mut preview = looked.unwrap_or_else(|error| unknown(unread(&error)));
        preview.assumed.extend(assumptions);
        preview
    }

    fn subject<'a>(&'a self, clients: &'a Clients, object: &'a Object) -> Subject<'a> {
        Subject {
            object,
            cluster: self.cluster.as_deref().unwrap_or_default(),
            tags: &self.settings.tags,
            template: &self.settings.resource_name,
            default_region: clients.default_region(),
        }
    }

    /// The way to the account of an object, which is told of instead where there is none.
    async fn way(&self, clients: &Clients, object: &Object) -> Result<Way, Box<Preview>> {
        let unknown = |why: String| Box::new(Preview::new(Outcome::Unknown, why));
        let account = match (&self.accounts, object.account_ref()) {
            (Some(accounts), account_ref) => {
                let candidates = accounts.iter().map(|account| Candidate {
                    name: account.name.as_deref().unwrap_or_default(),
                    default_for: account.default_for(),
                });
                let choice = Choice::of(object.namespace(), account_ref, candidates);
                if let Some(refusal) = choice.refusal() {
                    return Err(Box::new(Preview::new(Outcome::Refuse, refusal.message).because(refusal.reason)));
                }
                let named = |name: &str| accounts.iter().find(|it| it.name.as_deref() == Some(name));
                match &choice {
                    Choice::Named(name) => named(name).unwrap_or(&self.own),
                    _ => &self.own,
                }
            }
            (None, Some(name)) if object.resource_place().is_none() => {
                let why = format!("spec.accountRef names the AWSAccount {name}, which could not be read");
                return Err(unknown(format!("the account was not looked at: {why}")));
            }
            _ => &self.own,
        };
        let place = object.resource_place().map(|(id, _)| id);
        let session = account.session(object.namespace());
        let mut assumed = None;
        let (session, id) = match self.identify(clients, &session).await {
            Ok(id) => (session, id),
            // Those who look may be in the account already.
            Err(why) if session != Session::Own => match self.identify(clients, &Session::Own).await {
                Ok(own) if Some(&own) == place.as_ref() => {
                    assumed = Some(format!("that your own credentials, of {own}, see what the operator's role sees"));
                    (Session::Own, own)
                }
                _ => {
                    let name = account.name.as_deref().unwrap_or_default();
                    return Err(unknown(format!(
                        "the account was not looked at, by the role of AWSAccount {name}: {why}"
                    )));
                }
            },
            Err(why) => return Err(unknown(format!("AWS does not say whose your credentials are: {why}"))),
        };
        match place {
            Some(place) if place != id => Err(unknown(format!(
                "the resource is in the AWS account {place}, and your credentials are of {id}: nothing was looked at there"
            ))),
            place => {
                if place.is_none() && account.is_own() && assumed.is_none() {
                    assumed = Some(format!("that the operator's credentials are of the account of yours, {id}"));
                }
                let mut account = account.clone();
                account.id = Some(id);
                Ok(Way { account, session, assumed })
            }
        }
    }

    async fn identify(&self, clients: &Clients, session: &Session) -> Result<String, String> {
        // Held meanwhile: whoever asks too is told the answer.
        let mut ids = self.ids.lock().await;
        if let Some(known) = ids.get(session) {
            return known.clone();
        }
        let said = patiently(async || clients.identify(session).await).await.map_err(|error| error.to_string());
        ids.insert(session.clone(), said.clone());
        said
    }

    /// The objects that one refers to, and what was assumed of them.
    async fn referents(
        &self,
        clients: &Clients,
        asked: &Asked<'_>,
        account: &str,
    ) -> (BTreeMap<String, Referent>, Vec<String>) {
        let (mut known, mut assumed) = (BTreeMap::new(), Vec::new());
        for name in (asked.kind.references)(asked.object) {
            let namespace = asked.object.namespace();
            let beside = asked.others.iter().find(|other| (other.namespace(), other.name()) == (namespace, &*name));
            let there = match self.read(asked.kind, namespace, &name).await {
                Ok(there) => there,
                Err(why) => {
                    assumed.push(format!(
                        "that there is no {} {namespace}/{name} but in the manifests: {why}",
                        asked.kind.kind
                    ));
                    None
                }
            };
            let as_it_is = there.as_ref().map(referent).filter(|it| it.arn.is_some() && (it.ready || beside.is_none()));
            let applied = beside.and_then(|other| (asked.kind.referent)(&self.subject(clients, other), account));
            if as_it_is.is_none() && applied.is_some() {
                assumed
                    .push(format!("that {} {namespace}/{name} of these manifests is ready by then", asked.kind.kind));
            }
            let seen = as_it_is.or(applied).or_else(|| there.as_ref().map(referent));
            known.extend(seen.map(|seen| (name, seen)));
        }
        (known, assumed)
    }

    /// An object as the cluster has it.
    ///
    /// # Errors
    /// Why it can't be told.
    pub(super) async fn read(
        &self,
        kind: &Registration,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Object>, String> {
        let Some(client) = &self.client else { return Ok(None) };
        let resource = (kind.resource)();
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        match bounded(api.get(name)).await {
            Ok(object) => Ok(Some(Object(object))),
            Err(KubeError::Gone) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn crd_is_deleted(&self, kind: &Registration) -> Result<bool, String> {
        use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
        let Some(client) = &self.client else { return Ok(false) };
        let api: Api<CustomResourceDefinition> = Api::all(client.clone());
        let crd = bounded(api.get(&(kind.crd)().metadata.name.unwrap_or_default())).await;
        crd.map(|crd| crd.metadata.deletion_timestamp.is_some()).map_err(|error| error.to_string())
    }
}

/// Why AWS could not be read with the credentials of whoever asks.
fn unread(error: &AwsError) -> String {
    match error.class {
        ErrorClass::Denied => {
            let action = error.missing_action().unwrap_or_default();
            format!("your AWS credentials lack the permission {action}: {error}")
        }
        _ => format!("AWS can't be read with your credentials: {error}"),
    }
}

/// The AWSAccounts there are. One that can't be understood is one that nobody can use.
async fn named_accounts(client: &Client, cluster: &str) -> Result<Vec<Account>, String> {
    let objects = list(client, &accounts::controller::resource()).await?;
    let account = |object: &Object| {
        let spec = serde_json::from_value(object.raw_spec()).ok()?;
        let mut account = Account::named(object.name(), spec, cluster);
        account.deleting = object.is_deleting();
        Some(account)
    };
    Ok(objects.iter().filter_map(account).collect())
}

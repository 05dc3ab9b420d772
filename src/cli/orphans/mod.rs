//! `fairlead orphans`: the database instances that carry this cluster's owner tags and whose object is gone. It
//! reads, and changes nothing. This file asks; [`report`] concludes and prints, both pure.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use kube::Client;

use self::report::{Instance, Known, Problem, Seen};
use super::{
    Failure,
    access::{self, list, patiently},
    print,
};
use crate::{
    accounts::{self, account::Account, api::DEFAULT},
    app,
    aws::{clients::Clients, session::Session},
    crd,
    engine::{controller, identity::recorded, kind::Kind, objects::Object},
    kinds::rds_instance::{self, RdsInstance},
    queue::{flow::Flow, token::FlowToken},
    settings,
};

mod report;

/// How many accounts and regions are asked at once.
const AT_ONCE: usize = 8;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The regions to look in, separated by commas. Default: those of the RDSInstances there are, those that
    /// AWSAccounts have defaults for, and the default region.
    #[arg(long, value_name = "REGIONS", value_delimiter = ',', value_parser = settings::region)]
    region: Vec<String>,

    /// The default region, as the operator has it. Default: what the AWS SDK finds.
    #[arg(long, env = "FAIRLEAD_REGION", value_name = "REGION", value_parser = settings::region)]
    default_region: Option<String>,

    /// What this cluster is called in the owner tags, as the operator has it. Default: the uid of the namespace
    /// kube-system.
    #[arg(long, env = "FAIRLEAD_CLUSTER_ID", value_name = "ID", value_parser = settings::cluster_id)]
    cluster_id: Option<String>,

    /// List those as well that were retained.
    #[arg(long)]
    retained: bool,

    /// The form of what is printed.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Output {
    Table,
    Json,
}

pub(super) fn main(args: Args) -> Result<(), Failure> {
    access::run(orphans(args))
}

async fn orphans(Args { region, default_region, cluster_id, retained, output }: Args) -> Result<(), Failure> {
    let client = app::cluster::connect().await.map_err(|error| Failure::Runtime(error.to_string()))?;
    let cluster = app::cluster::id(&client, cluster_id.as_deref()).await;
    let cluster = cluster.map_err(|error| Failure::Runtime(error.to_string()))?;
    let objects = objects(&client).await.map_err(Failure::Runtime)?;
    let (reaches, mut problems) = reaches(&client, &cluster).await.map_err(Failure::Runtime)?;
    let clients = access::clients(default_region).await.map_err(Failure::Runtime)?;
    let regions = match region.is_empty() {
        true => regions(&objects, &reaches, clients.default_region()),
        false => region.iter().cloned().collect(),
    };
    if regions.is_empty() {
        return Err(Failure::Usage("no region is known: name some with --region".into()));
    }
    // A region that nobody asked for is left out where the account is not for it.
    let wanted = |account: &Account, at: &str| !region.is_empty() || account.admit_region(at).is_ok();
    let (ways, unreached) = identify(&clients, reaches).await;
    problems.extend(unreached);
    let (instances, looked_in, unseen) = look(&clients, ways, &regions, wanted).await;
    problems.extend(unseen);
    // An object that came or went meanwhile was there when its instance was.
    let later = self::objects(&client).await.map_err(Failure::Runtime)?;
    let known = objects.iter().chain(&later).map(known).collect();
    let report = report::conclude(Seen { cluster, known, instances, looked_in, problems }, retained);
    match output {
        Output::Table => print(&report::text(&report))?,
        Output::Json => {
            let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::Runtime(error.to_string()))?;
            print(&(text + "\n"))?;
        }
    }
    report::failure(&report).map_or(Ok(()), |why| Err(Failure::Runtime(why)))
}

/// A way to an account, and who speaks of it.
struct Reach {
    account: Account,
    session: Session,
}

impl Reach {
    /// The account, for people.
    fn called(&self) -> String {
        match &self.account.name {
            Some(name) if name != DEFAULT => format!("AWSAccount {name}"),
            _ => "the process's own account".into(),
        }
    }
}

/// The ways to all accounts: the process's own credentials, and the role of every AWSAccount.
async fn reaches(client: &Client, cluster: &str) -> Result<(Vec<Reach>, Vec<Problem>), String> {
    let own = Account::named(DEFAULT, accounts::api::AWSAccountSpec::default(), cluster);
    let (mut reaches, mut problems) = (vec![Reach { account: own, session: Session::Own }], Vec::new());
    for object in list(client, &accounts::controller::resource()).await? {
        let name = object.name().to_owned();
        match serde_json::from_value(object.raw_spec()) {
            Ok(spec) => {
                let account = Account::named(&name, spec, cluster);
                if account.is_own() {
                    reaches[0].account = account;
                } else {
                    let session = account.probe_session();
                    reaches.push(Reach { account, session });
                }
            }
            Err(error) => problems.push(Problem {
                account: format!("AWSAccount {name}"),
                region: None,
                why: format!("it can't be understood: {error}"),
            }),
        }
    }
    Ok((reaches, problems))
}

/// The regions in which instances may be.
fn regions(objects: &[Object], reaches: &[Reach], default: Option<&str>) -> BTreeSet<String> {
    let there = objects.iter().filter_map(|object| Some(object.resource_place()?.1));
    let wished = objects.iter().filter_map(|object| object.wished_region().map(str::to_owned));
    let prepared = reaches.iter().flat_map(|reach| reach.account.rds_default_regions()).map(str::to_owned);
    there.chain(wished).chain(prepared).chain(default.map(str::to_owned)).collect()
}

/// All RDSInstances.
async fn objects(client: &Client) -> Result<Vec<Object>, String> {
    list(client, &controller::resource::<RdsInstance>()).await
}

/// What is to be known of an object.
fn known(object: &Object) -> Known {
    let owner = format!("{}/{}", object.namespace(), object.name());
    let identity = recorded(object.annotation(crd::IDENTITY), &owner, &object.status()).ok().flatten();
    Known {
        namespace: object.namespace().into(),
        name: object.name().into(),
        uid: object.uid().into(),
        resource: identity.map(|identity| (identity.account_id, identity.region, identity.name)),
    }
}

/// The ways to each account, by its id, as AWS says it.
async fn identify(clients: &Clients, reaches: Vec<Reach>) -> (BTreeMap<String, Vec<Reach>>, Vec<Problem>) {
    let asked = reaches.into_iter().map(|reach| async move {
        let said = patiently(async || clients.identify(&reach.session).await).await;
        (reach, said)
    });
    let (mut ways, mut problems) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
    let mut answers = futures::stream::iter(asked).buffered(AT_ONCE);
    while let Some((reach, said)) = answers.next().await {
        match said {
            Ok(id) => ways.entry(id).or_default().push(reach),
            Err(error) => problems.push(Problem { account: reach.called(), region: None, why: error.to_string() }),
        }
    }
    (ways, problems)
}

/// All instances, and where they were looked for.
async fn look(
    clients: &Clients,
    ways: BTreeMap<String, Vec<Reach>>,
    regions: &BTreeSet<String>,
    wanted: impl Fn(&Account, &str) -> bool,
) -> (Vec<Instance>, Vec<(String, String)>, Vec<Problem>) {
    let places = ways.iter().flat_map(|(id, reaches)| regions.iter().map(move |region| (id, region, reaches)));
    let asked = places.filter_map(|(id, region, reaches)| {
        let ways: Vec<_> = reaches.iter().filter(|reach| wanted(&reach.account, region)).collect();
        (!ways.is_empty()).then_some(async move { (id, region, look_in(clients, id, region, &ways).await) })
    });
    let (mut instances, mut looked_in, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    let mut answers = futures::stream::iter(asked).buffered(AT_ONCE);
    while let Some((id, region, answer)) = answers.next().await {
        match answer {
            Ok(found) => {
                looked_in.push((id.clone(), region.clone()));
                instances.extend(found);
            }
            Err((reach, why)) => problems.push(Problem {
                account: format!("{} ({id})", reach.called()),
                region: Some(region.clone()),
                why,
            }),
        }
    }
    (instances, looked_in, problems)
}

/// The instances of one account and region, by the first way that leads there.
async fn look_in<'a>(
    clients: &Clients,
    id: &str,
    region: &str,
    ways: &[&'a Reach],
) -> Result<Vec<Instance>, (&'a Reach, String)> {
    let mut last = Ok(Vec::new());
    for reach in ways {
        let (make, classify) = (RdsInstance::client, RdsInstance::classify);
        let token = FlowToken::unrationed(Flow::new(id, region, RdsInstance::SERVICE));
        let aws = clients.regional(&reach.session, RdsInstance::SERVICE, region, make, classify, token);
        match patiently(async || rds_instance::list(&aws).await).await {
            Ok(listing) if listing.complete => {
                let of = |observed: rds_instance::observed::Observed| Instance {
                    account: id.into(),
                    region: region.into(),
                    name: observed.identifier,
                    status: observed.status,
                    created_at: observed.created_at,
                    tags: observed.tags,
                };
                return Ok(listing.instances.into_iter().map(of).collect());
            }
            Ok(listing) => {
                last = Err((*reach, format!("there are more than {} database instances", listing.instances.len())));
            }
            Err(error) => last = Err((*reach, error.to_string())),
        }
    }
    last
}

//! Several operators that share the work, each behind proxies of its own: one to the API server and one to
//! the fake AWS, whose log tells by the door who made a call.
//!
//! | File | What it holds |
//! |---|---|
//! | [`holders`] | who held which Lease, and when |
//! | [`mutations`] | who changed what in AWS, and whether two did at once |

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use kube::ResourceExt as _;
use serde_json::Value;

pub mod holders;
pub mod mutations;

use crate::operator::{Operator, OperatorSpec};
use crate::site::Site;
use crate::tcp_proxy::TcpProxy;
use crate::wait::eventually;
use holders::Holders;
use mutations::{Mutation, mutations, overlaps};

/// Some operators on one site.
pub struct Replicas {
    /// Where they work.
    pub site: Site,
    /// Who held which Lease.
    pub holders: Holders,
    /// When all this began, to which what is shown refers.
    pub origin: Instant,
    all: Vec<Replica>,
}

/// A place for an operator, and the proxies that it keeps when another process takes it.
pub struct Replica {
    /// Its name, under which its calls are in the fake's log.
    pub name: String,
    /// On its way to the API server.
    pub api: TcpProxy,
    /// On its way to AWS.
    pub aws: TcpProxy,
    kubeconfig: PathBuf,
    operator: Option<Operator>,
    /// What the running process calls itself in Leases.
    identity: Option<String>,
    /// How many processes have had this place.
    generation: usize,
}

/// How much of what happened an error shows.
const SHOWN: usize = 60;
/// Of each replica's log.
const LINES: usize = 25;

impl Replicas {
    /// Places for so many operators on a site; none runs yet.
    pub async fn new(site: Site, count: usize) -> Result<Replicas> {
        let mut all = Vec::new();
        for number in 0..count {
            let name = format!("replica-{number}");
            let api = TcpProxy::start(site.cluster.address()?)?;
            let aws = TcpProxy::start(site.fake.door(&name)?)?;
            let kubeconfig =
                site.cluster.service_account_kubeconfig_at("fairlead-system", "fairlead", api.addr()).await?;
            all.push(Replica { name, api, aws, kubeconfig, operator: None, identity: None, generation: 0 });
        }
        let holders = Holders::watch(site.admin(), &site.leases);
        Ok(Replicas { site, holders, origin: Instant::now(), all })
    }

    /// How many places there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// One of the places.
    pub fn at(&self, index: usize) -> Result<&Replica> {
        self.all.get(index).with_context(|| format!("there is no replica {index}"))
    }

    /// How the next process of a place is started: as a pod that replaces one, it has a name of its own.
    pub fn spec(&self, index: usize) -> Result<OperatorSpec> {
        let replica = self.at(index)?;
        let endpoint = format!("http://{}", replica.aws.addr());
        let identity = format!("{}-{}", replica.name, replica.generation);
        Ok(self.site.spec(&replica.kubeconfig, &endpoint).env("FAIRLEAD_IDENTITY", identity))
    }

    /// Starts an operator in a place, and does not wait.
    pub fn start(&mut self, index: usize) -> Result<()> {
        self.start_as(index, &self.spec(index)?)
    }

    /// The same as `spec` says.
    pub fn start_as(&mut self, index: usize, spec: &OperatorSpec) -> Result<()> {
        let operator = Operator::start(spec)?;
        let replica = self.all.get_mut(index).context("no such replica")?;
        replica.operator = Some(operator);
        replica.identity = None;
        replica.generation += 1;
        Ok(())
    }

    /// Waits until an operator is ready, and notes what it calls itself.
    pub async fn ready(&mut self, index: usize, deadline: Duration) -> Result<()> {
        let operator = self.at(index)?.operator()?;
        operator.ready(deadline).await?;
        let status =
            eventually("/statusz", deadline, async || operator.statusz().await.map_err(|error| format!("{error:#}")));
        let identity = status.await?["identity"].as_str().context("no identity")?.to_owned();
        if let Some(replica) = self.all.get_mut(index) {
            replica.identity = Some(identity);
        }
        Ok(())
    }

    /// Starts an operator in every place, and waits until all are ready.
    pub async fn start_all(&mut self, deadline: Duration) -> Result<()> {
        (0..self.count()).try_for_each(|index| self.start(index))?;
        for index in 0..self.count() {
            self.ready(index, deadline).await?;
        }
        Ok(())
    }

    /// Takes an operator away, running or not.
    pub fn take(&mut self, index: usize) -> Result<Operator> {
        let replica = self.all.get_mut(index).context("no such replica")?;
        replica.identity = None;
        replica.operator.take().with_context(|| format!("{} does not run", replica.name))
    }

    /// Which replica's process goes by this identity.
    pub fn by_identity(&self, identity: &str) -> Option<usize> {
        self.all.iter().position(|replica| replica.identity.as_deref() == Some(identity))
    }

    /// Waits until a running replica holds a shard's Lease: which one.
    pub async fn leader(&self, shard: usize, deadline: Duration) -> Result<usize> {
        let lease = lease_of(shard);
        self.until(&format!("a leader of shard {shard}"), deadline, || {
            let holder = self.holders.holder(&lease);
            let leader = holder.as_deref().and_then(|holder| self.by_identity(holder));
            leader.ok_or(format!("held by {holder:?}"))
        })
        .await
    }

    /// Which shards each replica leads, by what the running ones say themselves.
    pub async fn led(&self) -> Result<Vec<Vec<u64>>> {
        let mut all = Vec::new();
        for replica in &self.all {
            let Some(operator) = &replica.operator else {
                all.push(Vec::new());
                continue;
            };
            let status = operator.statusz().await?;
            let shards = status["shards"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
            let led = shards.filter(|shard| shard["led"] == true).filter_map(|shard| shard["shard"].as_u64());
            all.push(led.collect());
        }
        Ok(all)
    }

    /// Waits until `check` answers; its error is what was seen instead.
    pub async fn until<T>(&self, what: &str, deadline: Duration, check: impl Fn() -> Result<T, String>) -> Result<T> {
        eventually(what, deadline, async || check()).await.map_err(|error| self.explain(error))
    }

    /// The calls so far that change something in AWS.
    pub fn mutations(&self) -> Vec<Mutation> {
        mutations(&self.site.fake)
    }

    /// The first call of an operation on a queue.
    pub fn first(&self, operation: &str, queue: &str) -> Option<Mutation> {
        self.mutations().into_iter().find(|call| call.operation == operation && call.queue == queue)
    }

    /// No two replicas have changed one queue at the same time.
    pub fn check_apart(&self) -> Result<()> {
        match overlaps(&self.mutations()).first() {
            None => Ok(()),
            Some(overlap) => Err(self.explain(anyhow!("{overlap}"))),
        }
    }

    /// Waits until every object is in sync or gone, and until AWS has one queue for each and no other.
    pub async fn settled(&self, deadline: Duration) -> Result<()> {
        let settled = eventually("everything to be in sync", deadline, async || {
            // What the watch has seen is cheap to look at, and may be behind.
            let seen: Vec<_> = {
                let seen = self.site.all_seen();
                seen.iter().map(|(name, seen)| (name.clone(), seen.object.clone())).collect()
            };
            self.fits(seen)?;
            let listed = self.site.queues().list(&Default::default()).await.map_err(|error| error.to_string())?;
            let listed = listed.into_iter().map(|object| {
                let name = object.name_any();
                serde_json::to_value(object).map(|object| (name, object)).map_err(|error| error.to_string())
            });
            self.fits(listed.collect::<Result<_, _>>()?)
        });
        settled.await.map_err(|error| self.explain(anyhow!("{error:#}\n\n{}", self.strays().join("\n"))))
    }

    /// All that happened to queues that have no object.
    fn strays(&self) -> Vec<String> {
        let queues = self.site.fake.queues(&self.site.account, "eu-west-1");
        let strays: Vec<_> = {
            let seen = self.site.all_seen();
            queues.into_iter().filter(|queue| !seen.contains_key(queue)).collect()
        };
        let calls = self.mutations();
        let calls = calls.iter().filter(|call| strays.contains(&call.queue)).map(|call| call.line(self.origin));
        let logs = self.all.iter().filter_map(|replica| Some(replica.operator.as_ref()?.log()));
        let logs: Vec<_> = logs.collect();
        let said = logs.iter().flat_map(|log| log.lines()).filter(|line| {
            let names = |stray: &String| line.contains(&format!("/{stray} ")) || line.ends_with(stray.as_str());
            strays.iter().any(names)
        });
        calls.chain(said.map(str::to_owned)).collect()
    }

    /// Whether these objects are in sync, and there are queues for them alone.
    fn fits(&self, objects: Vec<(String, Value)>) -> Result<(), String> {
        let behind: Vec<_> = objects.iter().filter(|(_, object)| !in_sync(object)).map(|(name, _)| name).collect();
        let mut names: Vec<_> = objects.iter().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        let queues = self.site.fake.queues(&self.site.account, "eu-west-1");
        match behind.is_empty() && names == queues {
            true => Ok(()),
            false => Err(format!("not in sync: {behind:?}; objects {names:?}, queues {queues:?}")),
        }
    }

    /// Adds what was seen of Leases, calls and processes to an error.
    pub fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let calls = self.mutations();
        let calls: Vec<_> =
            calls[calls.len().saturating_sub(SHOWN)..].iter().map(|call| call.line(self.origin)).collect();
        let logs = self.all.iter().map(|replica| {
            let Some(operator) = &replica.operator else { return format!("{}: does not run", replica.name) };
            let log = operator.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
            let fares = if operator.is_running() { "runs" } else { "has ended" };
            format!("{} ({:?}) {fares}:\n{tail}", replica.name, replica.identity)
        });
        let logs: Vec<_> = logs.collect();
        anyhow!(
            "{error:#}\n\nat {:.3} s; Leases:\n{}\n\nchanges in AWS (arrival, end):\n{}\n\n{}",
            self.origin.elapsed().as_secs_f64(),
            self.holders.story(self.origin),
            calls.join("\n"),
            logs.join("\n\n"),
        )
    }
}

impl Replica {
    /// Its operator.
    pub fn operator(&self) -> Result<&Operator> {
        match &self.operator {
            Some(operator) => Ok(operator),
            None => bail!("{} does not run", self.name),
        }
    }

    /// What its process calls itself in Leases, once it was ready.
    pub fn identity(&self) -> Result<&str> {
        self.identity.as_deref().with_context(|| format!("{} was not ready yet", self.name))
    }
}

/// The name of a shard's Lease.
pub fn lease_of(shard: usize) -> String {
    format!("fairlead-shard-{shard}")
}

/// Whether an object is ready and in sync with its present generation.
fn in_sync(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is = |kind: &str| conditions.iter().any(|it| it["type"] == kind && it["status"] == "True");
    let present = object["status"]["observedGeneration"] == object["metadata"]["generation"];
    present && is("Ready") && is("Synced")
}

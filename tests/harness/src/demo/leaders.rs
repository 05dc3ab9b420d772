//! What the demo shows of leaders: one that is killed, one that is stopped, and who comes after them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use fairlead_harness::replicas::lease_of;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, Client};

use super::screen::{command, output, say};
use super::stage::NAMESPACE;
use super::table::{Row, Table};
use super::{DEADLINE, Demo};

/// How long a queue may wait for a successor where the leader was killed: its Lease has to expire.
const AFTER_A_KILL: Duration = Duration::from_secs(30);
/// … and where it was stopped: it releases the Lease.
const AFTER_A_STOP: Duration = Duration::from_secs(10);

impl Demo {
    pub(super) async fn kill_the_leader(&mut self) -> Result<()> {
        self.screen.step("Kill the replica that leads, and create a queue right after");
        let client = self.stage.cluster.admin_client().await?;
        let before = self.stage.leader(None, DEADLINE).await?;
        let killed = self.stage.take(&before)?;
        command(&format!("kill -9 {}   # {before}", killed.operator.pid()));
        let began = Instant::now();
        killed.operator.kill()?;
        create(client, "invoices").await?;
        ready(&mut self.table, "invoices", AFTER_A_KILL).await?;
        let ready = began.elapsed();
        self.show_lease().await?;
        let leader = self.stage.leader(Some(&before), AFTER_A_KILL).await?;
        say(&format!("{:.1} s after the kill the queue is ready, and {leader} leads.", ready.as_secs_f64()));
        say(
            "A leader that says nothing may still act. Its Lease, which it renews every 2 s, must have stood as it was",
        );
        say("for 8 s: only then does another replica take it.");
        self.replace(&before).await
    }

    pub(super) async fn stop_the_leader(&mut self) -> Result<()> {
        self.screen.step("Stop the replica that leads, as an upgrade does, and create a queue right after");
        let client = self.stage.cluster.admin_client().await?;
        let before = self.stage.leader(None, DEADLINE).await?;
        let stopped = self.stage.take(&before)?;
        command(&format!("kill {}   # SIGTERM for {before}", stopped.operator.pid()));
        let began = Instant::now();
        stopped.operator.terminate()?;
        create(client, "receipts").await?;
        let Demo { stage, table, .. } = self;
        let taken_over = async {
            let leader = stage.leader(Some(&before), AFTER_A_STOP).await;
            leader.map(|leader| (leader, began.elapsed()))
        };
        let ready = async { ready(table, "receipts", AFTER_A_STOP).await.map(|()| began.elapsed()) };
        let ((leader, taken_over), ready) = tokio::try_join!(taken_over, ready)?;
        self.show_lease().await?;
        let (taken_over, ready) = (taken_over.as_secs_f64(), ready.as_secs_f64());
        say(&format!("{taken_over:.1} s after the signal {leader} leads; after {ready:.1} s the queue is ready."));
        say("A leader that is stopped finishes what runs, and releases its Lease.");
        let code = stopped.operator.exit_code(DEADLINE).await?;
        ensure!(code == 0, "{before} ended with exit code {code}");
        self.replace(&before).await
    }

    /// Shows whose the Lease is.
    pub(super) async fn show_lease(&self) -> Result<()> {
        let args = ["-n", NAMESPACE, "get", "lease", &lease_of(0)];
        output(&self.stage.kubectl(&args.join(" "), &args).await?);
        Ok(())
    }

    /// Replaces replicas that end, for ever; one that fails ends the demo.
    pub(crate) async fn look_after_replicas(&mut self) -> Result<()> {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let ended = self.stage.replicas.iter().find(|replica| !replica.operator.is_running());
            let Some(name) = ended.map(|replica| replica.name.clone()) else { continue };
            let replica = self.stage.take(&name)?;
            let status = replica.operator.exit_status()?.context("it has ended, and has not")?;
            if status.code().is_some_and(|code| code != 0) {
                return Err(replica.operator.explain(anyhow::anyhow!("{name} has failed")));
            }
            println!();
            say(&format!("{name} has ended: {status}."));
            self.replace(&name).await?;
            self.introduce();
        }
    }

    /// Says how to reach each replica.
    pub(super) fn introduce(&self) {
        for replica in &self.stage.replicas {
            let (name, operator) = (&replica.name, &replica.operator);
            println!(
                "  kill -9 {:<10} # {name:<12} curl http://{}/statusz",
                operator.pid(),
                operator.metrics_address()
            );
        }
    }

    /// Starts a replica for one that has ended, as a Deployment does.
    async fn replace(&mut self, ended: &str) -> Result<()> {
        let replica = self.stage.start_replica()?;
        say(&format!("{} takes the place of {ended}, as a Deployment would see to.", replica.name));
        replica.operator.ready(DEADLINE).await
    }
}

/// Waits until a queue is ready and in sync.
async fn ready(table: &mut Table, name: &str, deadline: Duration) -> Result<()> {
    let fits = |row: &Row| row.name == name && row.is_in_sync();
    table.until("the queue to be ready", deadline, |rows| rows.iter().any(fits)).await.map(drop)
}

/// Creates a queue that has an empty spec, and shows how one would.
async fn create(client: Client, name: &str) -> Result<()> {
    let manifest = serde_json::json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue", "metadata": { "name": name }, "spec": {},
    });
    command(&format!("kubectl create -f - <<< '{manifest}'"));
    let kind = GroupVersionKind::gvk("aws.fairlead.dev", "v1alpha1", "SQSQueue");
    let api: Api<DynamicObject> = Api::default_namespaced_with(client, &ApiResource::from_gvk(&kind));
    match api.create(&PostParams::default(), &serde_json::from_value(manifest)?).await {
        Ok(_) => Ok(()),
        Err(error) => bail!("{name} was not created: {error}"),
    }
}

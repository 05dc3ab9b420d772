//! A database in the demo: its Secret, a change that waits, and its end.

use anyhow::{Context as _, Result, ensure};

use super::{DEADLINE, Demo, command, output, say, table::Row};

/// A condition's message, for kubectl.
const SYNCED: &str = r#"jsonpath={.status.conditions[?(@.type=="Synced")].message}"#;

impl Demo {
    pub(super) async fn apply_database(&mut self) -> Result<()> {
        self.screen.step("Apply a PostgreSQL database");
        command("cat deploy/samples/postgres.yaml");
        output(&std::fs::read_to_string(self.stage.deploy("samples/postgres.yaml"))?);
        let sample = self.stage.deploy("samples/postgres.yaml");
        output(&self.stage.kubectl("apply -f deploy/samples/postgres.yaml", &["apply", "-f", &sample]).await?);
        command("kubectl get rds -w");
        self.shop("the database to be ready", |shop| shop.is_in_sync() && shop.status("ready") == "available").await?;
        say("RDS is a fake here, in which minutes are seconds; the operator waits in its queue, not in a worker.");
        Ok(())
    }

    pub(super) async fn show_secret(&mut self) -> Result<()> {
        self.screen.step("What an application needs is in a Secret, for envFrom");
        let secret = self.stage.kubectl("describe secret shop", &["describe", "secret", "shop"]).await?;
        let data: Vec<_> = secret.lines().skip_while(|line| *line != "Data").collect();
        ensure!(data.iter().any(|line| line.contains("DATABASE_URL")), "the Secret has no DATABASE_URL: {secret}");
        output(&data.join("\n"));
        say("The password was made, and kept in the Secret shop-credentials, before the database was.");
        Ok(())
    }

    pub(super) async fn change_storage(&mut self) -> Result<()> {
        self.screen.step("Ask for more storage: it comes in the maintenance window, or now");
        self.patch_shop(r#"{"spec":{"allocatedStorage":40}}"#).await?;
        self.shop("the change to be pending", |shop| {
            shop.is_in_sync() && shop.object["status"]["pendingChanges"][0]["field"] == "allocatedStorage"
        })
        .await?;
        let typed = format!("get rds shop -o '{SYNCED}'");
        output(&self.stage.kubectl(&typed, &["get", "rds", "shop", "-o", SYNCED]).await?);
        self.patch_shop(r#"{"spec":{"applyImmediately":true}}"#).await?;
        self.shop("the storage to grow", |shop| shop.is_in_sync() && shop.status("allocatedStorage") == "40").await?;
        Ok(())
    }

    /// After the object: what is left of the database.
    pub(super) async fn show_snapshot(&mut self) -> Result<()> {
        command("aws rds describe-db-instances; aws rds describe-db-snapshots");
        let left = self.stage.rds.describe_db_instances().send().await?.db_instances.unwrap_or_default();
        ensure!(left.is_empty(), "these databases are left in AWS: {left:?}");
        let snapshots = self.stage.rds.describe_db_snapshots().send().await?.db_snapshots.unwrap_or_default();
        let name = snapshots.first().and_then(|snapshot| snapshot.db_snapshot_identifier()).context("no snapshot")?;
        say("no instances");
        say(&format!("snapshot {name}"));
        say("The database's last snapshot stays: `restoreFromSnapshot` of a new RDSInstance takes it up.");
        Ok(())
    }

    async fn patch_shop(&mut self, patch: &str) -> Result<()> {
        let args = ["patch", "rds", "shop", "--type", "merge", "-p", patch];
        output(&self.stage.kubectl(&format!("patch rds shop --type merge -p '{patch}'"), &args).await?);
        Ok(())
    }

    async fn shop(&mut self, what: &str, fits: impl Fn(&Row) -> bool) -> Result<()> {
        let fits = |rows: &[Row]| rows.iter().any(|row| row.name == "shop" && fits(row));
        self.databases.until(what, DEADLINE, fits).await.map(drop)
    }
}

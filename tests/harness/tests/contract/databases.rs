//! What only the fake does with DB instances: none of the emulators can be held to it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_sdk_rds::types::{DbInstance, Tag};
use fairlead_harness::fake_aws::{Budget, Effect, FakeAws, Fault, InstanceState, RdsTiming, Scope, SnapshotState};
use fairlead_harness::sqs::rds_client;

use crate::target::{REGION, code};

const ACCOUNT: &str = "111122223333";
const ID: &str = "orders";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const BAD_STATE: &str = "InvalidDBInstanceState";
const BAD_COMBINATION: &str = "InvalidParameterCombination";

struct Setup {
    fake: FakeAws,
    rds: aws_sdk_rds::Client,
}

/// Everything takes minutes, and happens when the clock is advanced.
fn setup() -> Result<Setup> {
    let fake = FakeAws::start()?;
    fake.rds_timing(RdsTiming {
        create: MINUTE * 10,
        backup: MINUTE * 5,
        modify: MINUTE * 4,
        storage_optimization: MINUTE * 30,
        delete: MINUTE * 5,
        reboot: MINUTE * 2,
        snapshot: MINUTE * 3,
        ..RdsTiming::default()
    });
    Ok(Setup { rds: rds_client(&fake.url(), ACCOUNT, REGION), fake })
}

impl Setup {
    async fn create(&self, id: &str) -> String {
        let create = self.rds.create_db_instance().db_instance_identifier(id).engine("postgres").engine_version("16");
        let create = create.db_instance_class("db.t4g.micro").allocated_storage(100).copy_tags_to_snapshot(true);
        let create = create.tags(Tag::builder().key("team").value("shop").build());
        code(create.master_username("fairlead").master_user_password("a-password").send().await)
    }

    /// Makes an instance, and waits until it is available.
    async fn make(&self) -> Result<InstanceState> {
        assert_eq!(self.create(ID).await, "ok");
        self.fake.advance(MINUTE * 15);
        let state = self.state()?;
        assert_eq!(state.status, "available");
        Ok(state)
    }

    fn state(&self) -> Result<InstanceState> {
        self.fake.instance(ACCOUNT, REGION, ID).context("no instance")
    }

    fn pin(&self, status: &str) -> Result<()> {
        self.fake.set_instance_status(ACCOUNT, REGION, ID, status)
    }

    async fn see(&self, id: &str) -> Result<DbInstance> {
        let seen = self.rds.describe_db_instances().db_instance_identifier(id).send().await?;
        seen.db_instances.and_then(|all| all.into_iter().next()).context("no instance")
    }

    async fn status(&self, id: &str) -> String {
        match self.see(id).await {
            Ok(seen) => seen.db_instance_status().unwrap_or_default().to_owned(),
            Err(_) => "gone".to_owned(),
        }
    }

    /// The status after each of some advances of the clock, in minutes.
    async fn statuses(&self, minutes: &[u32]) -> Vec<String> {
        let mut seen = Vec::new();
        for minutes in minutes {
            self.fake.advance(MINUTE * *minutes);
            seen.push(self.status(ID).await);
        }
        seen
    }

    async fn change_class(&self, immediately: bool) -> String {
        let change = self.rds.modify_db_instance().db_instance_identifier(ID).db_instance_class("db.t4g.small");
        code(change.apply_immediately(immediately).send().await)
    }

    async fn change_storage(&self, size: i32) -> String {
        let change = self.rds.modify_db_instance().db_instance_identifier(ID).allocated_storage(size);
        code(change.apply_immediately(true).send().await)
    }

    async fn delete(&self, last: Option<&str>) -> String {
        let delete = self.rds.delete_db_instance().db_instance_identifier(ID).skip_final_snapshot(last.is_none());
        code(delete.set_final_db_snapshot_identifier(last.map(str::to_owned)).send().await)
    }
}

#[tokio::test]
async fn a_creation_takes_its_time() -> Result<()> {
    let setup = setup()?;
    assert_eq!(setup.create(ID).await, "ok");
    let seen = setup.see(ID).await?;
    assert!(seen.endpoint().is_none() && seen.instance_create_time().is_none());
    assert!(seen.pending_modified_values().and_then(|pending| pending.master_user_password()).is_some());
    assert_eq!(setup.statuses(&[0, 9, 2, 5]).await, ["creating", "creating", "backing-up", "available"]);
    let seen = setup.see(ID).await?;
    let endpoint = seen.endpoint().context("no endpoint")?;
    assert!(endpoint.address().is_some_and(|host| host.starts_with("orders.") && host.contains(REGION)));
    assert_eq!(endpoint.port(), Some(5432));
    assert!(seen.instance_create_time().is_some());
    Ok(())
}

#[tokio::test]
async fn a_change_shows_how_it_goes_on() -> Result<()> {
    let setup = setup()?;
    setup.make().await?;
    assert_eq!(setup.change_class(true).await, "ok");
    assert_eq!(setup.state()?.pending["DBInstanceClass"], "db.t4g.small");
    assert_eq!(setup.statuses(&[0, 3, 1]).await, ["modifying", "modifying", "available"]);
    assert_eq!(setup.state()?.settings["DBInstanceClass"], "db.t4g.small");
    assert!(setup.state()?.pending.is_empty());
    let password = setup.rds.modify_db_instance().db_instance_identifier(ID).master_user_password("another-one");
    password.send().await?;
    assert_eq!(setup.state()?.pending["MasterUserPassword"], "****");
    assert_eq!(setup.statuses(&[0, 4]).await, ["resetting-master-credentials", "available"]);
    assert_eq!(setup.state()?.password.as_deref(), Some("another-one"));
    setup.rds.reboot_db_instance().db_instance_identifier(ID).send().await?;
    assert_eq!(setup.statuses(&[0, 2]).await, ["rebooting", "available"]);
    setup.rds.stop_db_instance().db_instance_identifier(ID).send().await?;
    assert_eq!(setup.statuses(&[0, 2, 600]).await, ["stopping", "stopped", "stopped"]);
    setup.rds.start_db_instance().db_instance_identifier(ID).send().await?;
    assert_eq!(setup.statuses(&[0, 2]).await, ["starting", "available"]);
    Ok(())
}

#[tokio::test]
async fn pending_values_apply_in_the_maintenance_window() -> Result<()> {
    let setup = setup()?;
    setup.make().await?;
    assert_eq!(setup.change_class(false).await, "ok");
    assert_eq!(setup.statuses(&[60, 22 * 60]).await, ["available", "available"]);
    assert_eq!(setup.state()?.settings["DBInstanceClass"], "db.t4g.micro");
    assert_eq!(setup.statuses(&[46, 4]).await, ["modifying", "available"]);
    assert_eq!(setup.state()?.settings["DBInstanceClass"], "db.t4g.small");
    Ok(())
}

#[tokio::test]
async fn storage_changes_once_in_six_hours() -> Result<()> {
    let setup = setup()?;
    setup.make().await?;
    assert_eq!(setup.change_storage(101).await, "ok");
    assert_eq!(setup.state()?.pending["AllocatedStorage"], "110");
    assert_eq!(setup.statuses(&[0, 4]).await, ["modifying", "storage-optimization"]);
    assert_eq!(setup.change_storage(200).await, BAD_COMBINATION);
    // Everything else goes on.
    assert_eq!(setup.change_class(true).await, "ok");
    assert_eq!(setup.statuses(&[0, 4, 26]).await, ["modifying", "storage-optimization", "available"]);
    assert_eq!(setup.change_storage(200).await, BAD_COMBINATION);
    setup.fake.advance(HOUR * 6);
    assert_eq!(setup.change_storage(200).await, "ok");
    setup.fake.advance(HOUR);
    assert_eq!(setup.state()?.settings["AllocatedStorage"], "200");
    // Autoscaling is a change like any other.
    setup.fake.advance(HOUR * 6);
    setup.fake.change_instance(ACCOUNT, REGION, ID, "AllocatedStorage", "220")?;
    assert_eq!(setup.change_storage(300).await, BAD_COMBINATION);
    Ok(())
}

#[tokio::test]
async fn a_modification_needs_a_state_that_allows_it() -> Result<()> {
    let setup = setup()?;
    assert_eq!(setup.create(ID).await, "ok");
    assert_eq!(setup.change_class(false).await, BAD_STATE);
    setup.fake.advance(MINUTE * 15);
    let cases = [
        ("backing-up", BAD_STATE, BAD_STATE),
        ("stopped", BAD_STATE, BAD_STATE),
        ("failed", BAD_STATE, BAD_STATE),
        ("incompatible-network", BAD_STATE, BAD_STATE),
        ("storage-optimization", "ok", BAD_COMBINATION),
        ("storage-full", BAD_STATE, "ok"),
    ];
    for (status, class, storage) in cases {
        setup.pin(status)?;
        assert_eq!(setup.status(ID).await, status);
        assert_eq!(setup.change_class(false).await, class, "{status}");
        // Whatever is pending would flow with it.
        setup.rds.modify_db_instance().db_instance_identifier(ID).db_instance_class("db.t4g.micro").send().await.ok();
        assert_eq!(setup.change_storage(200).await, storage, "{status}");
    }
    // Growth ends what is full.
    assert_eq!(setup.statuses(&[4, 30]).await, ["storage-optimization", "available"]);
    Ok(())
}

#[tokio::test]
async fn deletions_have_their_states_too() -> Result<()> {
    let setup = setup()?;
    assert_eq!(setup.create(ID).await, "ok");
    assert_eq!(setup.delete(Some("last")).await, BAD_STATE);
    setup.fake.advance(MINUTE * 15);
    for status in ["failed", "incompatible-restore", "incompatible-network"] {
        setup.pin(status)?;
        assert_eq!(setup.delete(Some("last")).await, BAD_STATE, "{status}");
    }
    setup.pin("available")?;
    let made = setup.state()?;
    assert_eq!(setup.delete(Some("last")).await, "ok");
    assert_eq!(setup.delete(Some("other")).await, BAD_STATE);
    assert_eq!(setup.state()?.delete_automated_backups, Some(true));
    let snapshot = setup.fake.snapshots(ACCOUNT, REGION).pop().context("no snapshot")?;
    assert_eq!((&*snapshot.identifier, &*snapshot.status, &*snapshot.instance), ("last", "creating", ID));
    assert_eq!(setup.statuses(&[0, 3, 5]).await, ["deleting", "deleting", "gone"]);
    assert!(setup.fake.instances(ACCOUNT, REGION).is_empty());
    let snapshot = setup.fake.snapshots(ACCOUNT, REGION).pop().context("no snapshot")?;
    assert_eq!((&*snapshot.status, &snapshot.dbi_resource_id), ("available", &made.dbi_resource_id));
    assert_eq!(snapshot.tags, made.tags);
    setup.make().await?;
    assert_ne!(setup.state()?.dbi_resource_id, made.dbi_resource_id);
    setup.pin("failed")?;
    assert_eq!(setup.delete(None).await, "ok");
    assert_eq!(setup.status(ID).await, "deleting");
    Ok(())
}

#[tokio::test]
async fn a_restore_takes_what_the_snapshot_has() -> Result<()> {
    let setup = setup()?;
    let snapshot = SnapshotState {
        identifier: "last-year".to_owned(),
        instance: ID.to_owned(),
        settings: [("AllocatedStorage", "50"), ("MasterUsername", "shop"), ("Port", "5433")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        tags: [("team".to_owned(), "shop".to_owned())].into(),
        password: Some("a-password".to_owned()),
        ..SnapshotState::default()
    };
    setup.fake.add_snapshot(ACCOUNT, REGION, snapshot.clone())?;
    assert!(setup.fake.add_snapshot(ACCOUNT, REGION, snapshot).is_err());
    let restore = setup.rds.restore_db_instance_from_db_snapshot().db_instance_identifier(ID);
    restore.db_snapshot_identifier("last-year").deletion_protection(true).send().await?;
    assert_eq!(setup.statuses(&[0, 10, 4]).await, ["creating", "modifying", "available"]);
    let state = setup.state()?;
    let shown =
        ["AllocatedStorage", "MasterUsername", "Port", "DeletionProtection", "DBInstanceClass", "EngineVersion"]
            .map(|name| &*state.settings[name]);
    assert_eq!(shown, ["50", "shop", "5433", "true", "db.t4g.micro", "16.4"]);
    assert_eq!(state.password.as_deref(), Some("a-password"));
    assert_eq!(state.tags["team"], "shop");
    Ok(())
}

#[tokio::test]
async fn keys_and_secrets_are_shown_by_their_arns() -> Result<()> {
    let setup = setup()?;
    let create = setup.rds.create_db_instance().db_instance_identifier(ID).engine("mysql").allocated_storage(20);
    let create = create.db_instance_class("db.t4g.micro").master_username("fairlead").manage_master_user_password(true);
    create.storage_encrypted(true).kms_key_id("alias/shop").send().await?;
    let secret = async || {
        let seen = setup.see(ID).await?;
        let secret = seen.master_user_secret().context("no secret")?;
        let (arn, status) = (secret.secret_arn().unwrap_or_default(), secret.secret_status().unwrap_or_default());
        anyhow::Ok((arn.to_owned(), status.to_owned()))
    };
    let (arn, status) = secret().await?;
    assert!(arn.starts_with(&format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:rds!db-")), "{arn}");
    assert_eq!(status, "creating");
    setup.fake.advance(MINUTE * 10);
    assert_eq!(secret().await?, (arn.clone(), "active".to_owned()));
    let state = setup.state()?;
    assert_eq!((state.password, state.secret_arn), (None, Some(arn)));
    let key = &state.settings["KmsKeyId"];
    assert!(key.starts_with(&format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/")), "{key}");
    Ok(())
}

#[tokio::test]
async fn what_others_do_is_seen() -> Result<()> {
    let setup = setup()?;
    setup.make().await?;
    for (parameter, value) in [
        ("BackupRetentionPeriod", "9"),
        ("DBPortNumber", "6000"),
        ("EnableIAMDatabaseAuthentication", "true"),
        ("EngineVersion", "16.99"),
        ("VpcSecurityGroupIds", "sg-2,sg-1"),
    ] {
        setup.fake.change_instance(ACCOUNT, REGION, ID, parameter, value)?;
    }
    assert!(setup.fake.change_instance(ACCOUNT, REGION, ID, "Size", "1").is_err());
    assert!(setup.fake.change_instance(ACCOUNT, REGION, ID, "BackupRetentionPeriod", "36").is_err());
    setup.fake.tag_instance(ACCOUNT, REGION, ID, "team", Some("others"))?;
    setup.fake.move_endpoint(ACCOUNT, REGION, ID, "elsewhere.example")?;
    let seen = setup.see(ID).await?;
    assert_eq!(seen.backup_retention_period(), Some(9));
    assert_eq!(seen.iam_database_authentication_enabled(), Some(true));
    assert_eq!(seen.engine_version(), Some("16.99"));
    let groups: Vec<_> = seen.vpc_security_groups().iter().filter_map(|group| group.vpc_security_group_id()).collect();
    assert_eq!(groups, ["sg-1", "sg-2"]);
    assert_eq!(seen.tag_list().first().and_then(Tag::value), Some("others"));
    let endpoint = seen.endpoint().context("no endpoint")?;
    assert_eq!((endpoint.address(), endpoint.port()), (Some("elsewhere.example"), Some(6_000)));
    setup.fake.tag_instance(ACCOUNT, REGION, ID, "team", None)?;
    assert!(setup.state()?.tags.is_empty());
    assert_eq!(setup.state()?.arn, format!("arn:aws:rds:{REGION}:{ACCOUNT}:db:{ID}"));
    setup.fake.delete_instance(ACCOUNT, REGION, ID)?;
    assert_eq!(setup.status(ID).await, "gone");
    assert!(setup.fake.delete_instance(ACCOUNT, REGION, ID).is_err());
    // An account and a region have instances of their own.
    setup.create(ID).await;
    assert!(setup.fake.instances(ACCOUNT, "us-east-1").is_empty());
    let other = rds_client(&setup.fake.url(), "444455556666", REGION);
    assert_eq!(code(other.describe_db_instances().db_instance_identifier(ID).send().await), "DBInstanceNotFound");
    Ok(())
}

#[tokio::test]
async fn what_befalls_callers_befalls_those_of_rds() -> Result<()> {
    let setup = setup()?;
    setup.fake.fault(Fault::new("CreateDBInstance", Effect::LoseReply));
    setup.fake.fault(Fault::new("CreateDBInstance", Effect::respond(400, "InstanceQuotaExceeded", "no")).skip(1));
    assert_eq!(setup.create(ID).await, "no answer: dispatch failure");
    assert_eq!(setup.create("more").await, "InstanceQuotaExceeded");
    assert_eq!(setup.create(ID).await, "DBInstanceAlreadyExists");
    let calls = setup.fake.calls_of("CreateDBInstance");
    assert_eq!((&*calls[0].service, calls[0].status, calls[2].status), ("rds", None, Some(400)));
    assert_eq!(calls[0].request["MasterUserPassword"], "a-password");
    setup.fake.budget(Scope::account(ACCOUNT), Budget::new(0.001, 1.0));
    let list = async || code(setup.rds.describe_db_instances().send().await);
    assert_eq!([list().await, list().await], ["ok", "Throttling"]);
    assert_eq!(setup.fake.throttled(), 1);
    Ok(())
}

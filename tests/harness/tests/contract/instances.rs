//! Looks at DB instances of a target: each does something and says in words what was answered.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_sdk_rds::operation::create_db_instance::builders::CreateDBInstanceFluentBuilder as Create;
use aws_sdk_rds::operation::delete_db_instance::builders::DeleteDBInstanceFluentBuilder as Delete;
use aws_sdk_rds::operation::modify_db_instance::builders::ModifyDBInstanceFluentBuilder as Modify;
use aws_sdk_rds::types::{DbInstance, Filter, Tag};
use fairlead_harness::wait::eventually;

use crate::target::{REGION, Target, code};

const PATIENCE: Duration = Duration::from_secs(10);

/// A create that is in order.
pub fn create(t: &Target, id: &str) -> Create {
    let create = t.rds.create_db_instance().db_instance_identifier(id).engine("postgres").engine_version("16");
    let create = create.db_instance_class("db.t4g.micro").allocated_storage(20).storage_type("gp3");
    create.master_username("fairlead").master_user_password("a-password")
}

pub fn modify(t: &Target, id: &str) -> Modify {
    t.rds.modify_db_instance().db_instance_identifier(id)
}

pub fn delete(t: &Target, id: &str) -> Delete {
    t.rds.delete_db_instance().db_instance_identifier(id)
}

pub fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

fn filter(name: &str, values: &[&str]) -> Filter {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

pub async fn see(t: &Target, id: &str) -> Result<DbInstance> {
    let described = t.rds.describe_db_instances().db_instance_identifier(id).send().await?;
    described.db_instances.and_then(|all| all.into_iter().next()).context("no instance")
}

/// The instance as soon as it is `available`.
pub async fn settled(t: &Target, id: &str) -> Result<DbInstance> {
    reached(t, id, "available").await
}

pub async fn reached(t: &Target, id: &str, status: &str) -> Result<DbInstance> {
    eventually("the status", PATIENCE, async || {
        let seen = see(t, id).await.map_err(|error| format!("{error:#}"))?;
        if seen.db_instance_status() == Some(status) {
            Ok(seen)
        } else {
            Err(format!("{:?}", seen.db_instance_status()))
        }
    })
    .await
}

pub async fn make(t: &Target, id: &str) -> Result<DbInstance> {
    create(t, id).send().await?;
    settled(t, id).await
}

pub async fn gone(t: &Target, id: &str) -> String {
    let seen = eventually("the end", PATIENCE, async || {
        let described = code(t.rds.describe_db_instances().db_instance_identifier(id).send().await);
        if described == "ok" { Err(described) } else { Ok(described) }
    });
    seen.await.unwrap_or_else(|_| "there".to_owned())
}

/// The identifiers that a filter finds.
async fn found(t: &Target, filters: Filter) -> Result<String> {
    let described = t.rds.describe_db_instances().filters(filters).send().await?;
    let mut found: Vec<_> = described.db_instances().iter().filter_map(DbInstance::db_instance_identifier).collect();
    found.sort_unstable();
    // A filter that is not known to the target may let all of them through.
    Ok(if found.len() > 3 { "everything".to_owned() } else { found.join(" ") })
}

pub fn tags_of(tags: &[Tag]) -> String {
    let mut tags: Vec<_> =
        tags.iter().map(|tag| format!("{}={}", tag.key().unwrap_or("?"), tag.value().unwrap_or("?"))).collect();
    tags.sort_unstable();
    if tags.is_empty() { "none".to_owned() } else { tags.join(" ") }
}

pub async fn same_identifier(t: &Target) -> Result<String> {
    make(t, "same-id").await?;
    let other = create(t, "same-id").allocated_storage(30);
    Ok([code(create(t, "same-id").send().await), code(other.send().await)].join(", "))
}

pub async fn folding(t: &Target) -> Result<String> {
    let made = create(t, "Folded-Id").send().await?;
    let shown = made.db_instance().and_then(DbInstance::db_instance_identifier).unwrap_or("none").to_owned();
    let described = code(t.rds.describe_db_instances().db_instance_identifier("FOLDED-ID").send().await);
    let upper = found(t, filter("db-instance-id", &["FOLDED-ID"])).await?;
    let conflict = code(create(t, "FOLDED-id").send().await);
    Ok(format!("{shown}; {described}; filtered: {upper}; {conflict}"))
}

pub async fn passwords(t: &Target) -> Result<String> {
    let without = create(t, "no-password").set_master_user_password(None);
    let both = create(t, "both-passwords").manage_master_user_password(true);
    let mut answers = vec![code(without.send().await), code(both.send().await)];
    for (n, password) in ["short", "with/slash", "with@sign", "with space"].into_iter().enumerate() {
        let create = create(t, &format!("bad-password-{n}"));
        answers.push(code(create.master_user_password(password).send().await));
    }
    Ok(answers.join(", "))
}

pub async fn bad_identifiers(t: &Target) -> Result<String> {
    let mut answers = Vec::new();
    for id in ["1st", "two--hyphens", "end-", "under_score", &*"x".repeat(64)] {
        answers.push(code(create(t, id).send().await));
    }
    Ok(answers.join(", "))
}

pub async fn required(t: &Target) -> Result<String> {
    let answers = [
        code(create(t, "no-user").set_master_username(None).send().await),
        code(create(t, "no-storage").set_allocated_storage(None).send().await),
        code(create(t, "bad-engine").engine("postgrse").send().await),
        code(create(t, "bad-version").engine_version("99.1").send().await),
    ];
    Ok(answers.join(", "))
}

pub async fn not_found(t: &Target, expected: &str) -> Result<String> {
    let (rds, id) = (&t.rds, "never-made");
    let arn = format!("arn:aws:rds:{REGION}:{}:db:{id}", t.account);
    let snapshot = rds.create_db_snapshot().db_instance_identifier(id).db_snapshot_identifier("never-taken");
    let answers = [
        ("Describe", code(rds.describe_db_instances().db_instance_identifier(id).send().await)),
        ("Modify", code(modify(t, id).deletion_protection(false).send().await)),
        ("Delete", code(delete(t, id).skip_final_snapshot(true).send().await)),
        ("Reboot", code(rds.reboot_db_instance().db_instance_identifier(id).send().await)),
        ("Stop", code(rds.stop_db_instance().db_instance_identifier(id).send().await)),
        ("Start", code(rds.start_db_instance().db_instance_identifier(id).send().await)),
        ("CreateDBSnapshot", code(snapshot.send().await)),
        ("AddTags", code(rds.add_tags_to_resource().resource_name(&arn).tags(tag("a", "1")).send().await)),
        ("RemoveTags", code(rds.remove_tags_from_resource().resource_name(&arn).tag_keys("a").send().await)),
        ("ListTags", code(rds.list_tags_for_resource().resource_name(&arn).send().await)),
    ];
    let said =
        answers.iter().map(
            |(operation, code)| {
                if code == expected { (*operation).to_owned() } else { format!("{operation} {code}") }
            },
        );
    Ok(said.collect::<Vec<_>>().join(", "))
}

pub async fn filters(t: &Target) -> Result<String> {
    let one = make(t, "filter-1").await?;
    make(t, "filter-2").await?;
    create(t, "filter-3").engine("mysql").engine_version("8.0").send().await?;
    let by_id = found(t, filter("db-instance-id", &["filter-1", "filter-3", "never-made"])).await?;
    let by_resource = found(t, filter("dbi-resource-id", &[one.dbi_resource_id().context("no id")?])).await?;
    let both = t.rds.describe_db_instances().filters(filter("engine", &["postgres"]));
    let both = both.filters(filter("db-instance-id", &["filter-2", "filter-3"])).send().await?;
    let both: Vec<_> = both.db_instances().iter().filter_map(DbInstance::db_instance_identifier).collect();
    Ok([by_id, by_resource, both.join(" ")].join("; "))
}

pub async fn paging(t: &Target) -> Result<String> {
    let names: Vec<_> = (10..35).map(|n| format!("paging-{n}")).collect();
    for name in &names {
        create(t, name).send().await?;
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let (mut pages, mut marker) = (Vec::new(), None);
    for _ in 0..3 {
        let page = t.rds.describe_db_instances().filters(filter("db-instance-id", &names)).max_records(20);
        let page = page.set_marker(marker).send().await?;
        let more = if page.marker().is_some() { " and more" } else { "" };
        pages.push(format!("{}{more}", page.db_instances().len()));
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    Ok(pages.join(", "))
}

pub async fn page_sizes(t: &Target) -> Result<String> {
    let mut answers = Vec::new();
    for size in [19, 20, 100, 101] {
        answers.push(code(t.rds.describe_db_instances().max_records(size).send().await));
    }
    Ok(answers.join(", "))
}

pub async fn tags(t: &Target) -> Result<String> {
    create(t, "tags").tags(tag("a", "1")).tags(tag("b", "<&>")).send().await?;
    let seen = settled(t, "tags").await?;
    let arn = seen.db_instance_arn().context("no ARN")?.to_owned();
    let mut shown = vec![tags_of(seen.tag_list())];
    t.rds.add_tags_to_resource().resource_name(&arn).tags(tag("b", "3")).tags(tag("c", "4")).send().await?;
    t.rds.remove_tags_from_resource().resource_name(&arn).tag_keys("a").tag_keys("never").send().await?;
    shown.push(tags_of(see(t, "tags").await?.tag_list()));
    shown.push(tags_of(t.rds.list_tags_for_resource().resource_name(&arn).send().await?.tag_list()));
    Ok(shown.join("; "))
}

pub async fn computed(t: &Target) -> Result<String> {
    let seen = make(t, "computed").await?;
    let arn = format!("arn:aws:rds:{REGION}:{}:db:computed", t.account);
    let arn = if seen.db_instance_arn() == Some(&arn) { "right ARN" } else { "wrong ARN" };
    let id = seen.dbi_resource_id().unwrap_or_default();
    let drawn = id.strip_prefix("db-").unwrap_or_default();
    let id = match drawn.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
        true => format!("db-… of {}", drawn.len()),
        false => id.to_owned(),
    };
    let port = seen.endpoint().and_then(|endpoint| endpoint.port()).unwrap_or_default();
    let version = seen.engine_version().unwrap_or_default();
    let version = if version.starts_with("16.") { "16.…" } else { version };
    let created = if seen.instance_create_time().is_some() { "created" } else { "no time" };
    Ok(format!("{arn}, {id}, port {port}, {version}, {created}"))
}

pub async fn defaults(t: &Target) -> Result<String> {
    let seen = make(t, "defaults").await?;
    Ok(format!(
        "backups {:?}, public {:?}, multi {:?}, protected {:?}, minor {:?}, tags to snapshots {:?}, encrypted {:?}, \
         monitoring {:?}, iops {:?}, throughput {:?}, {:?}, {:?}",
        seen.backup_retention_period(),
        seen.publicly_accessible(),
        seen.multi_az(),
        seen.deletion_protection(),
        seen.auto_minor_version_upgrade(),
        seen.copy_tags_to_snapshot(),
        seen.storage_encrypted(),
        seen.monitoring_interval(),
        seen.iops(),
        seen.storage_throughput(),
        seen.license_model().unwrap_or_default(),
        seen.network_type().unwrap_or_default(),
    ))
}

pub async fn ranges(t: &Target) -> Result<String> {
    let made = std::cell::Cell::new(0);
    let wish = || {
        made.set(made.get() + 1);
        create(t, &format!("range-{}", made.get()))
    };
    let answers = [
        code(wish().port(80).send().await),
        code(wish().backup_retention_period(36).send().await),
        code(wish().monitoring_interval(2).send().await),
        code(wish().storage_type("gp4").send().await),
        code(wish().preferred_backup_window("04:00-04:10").send().await),
        code(wish().db_instance_class("micro").send().await),
    ];
    Ok(answers.join(", "))
}

pub async fn combinations(t: &Target) -> Result<String> {
    let made = std::cell::Cell::new(0);
    let wish = || {
        made.set(made.get() + 1);
        create(t, &format!("combination-{}", made.get()))
    };
    let answers = [
        code(wish().allocated_storage(19).send().await),
        code(wish().iops(3_000).send().await),
        code(wish().multi_az(true).availability_zone("eu-west-1a").send().await),
        code(wish().monitoring_interval(60).send().await),
        code(wish().max_allocated_storage(20).send().await),
    ];
    Ok(answers.join(", "))
}

pub async fn missing_references(t: &Target) -> Result<String> {
    let answers = [
        code(create(t, "without-subnets").db_subnet_group_name("missing-subnets").send().await),
        code(create(t, "without-parameters").db_parameter_group_name("missing-parameters").send().await),
        code(create(t, "without-options").option_group_name("missing-options").send().await),
        code(create(t, "without-key").storage_encrypted(true).kms_key_id("alias/missing").send().await),
    ];
    Ok(answers.join(", "))
}

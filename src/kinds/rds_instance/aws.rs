//! The calls to RDS. They decide nothing.

use aws_sdk_rds::{
    Client,
    types::{DbInstance, Filter},
};

use super::{
    InstanceId,
    creation::Creation,
    ending::{Farewell, Kept, Snapshot, kept},
    observed::{Change, Observed},
    sdk,
};
use crate::{
    aws::{
        call::Regional,
        errors::{AwsError, ErrorClass},
        identity::Identity,
        tags::{TagChanges, Tags},
    },
    engine::kind::Gone,
    shard::Permit,
};

/// The most instances that AWS tells of in one answer.
pub(super) const PAGE: usize = 100;
/// The most pages of one sweep: as many instances as were asked for fit into one.
const PAGES: usize = 4;
/// The most pages of a listing: far more instances than AWS lets a region have.
const LISTED: usize = 100;

/// The instances of a region, whosoever they are.
#[derive(Debug, Default)]
pub struct Listing {
    /// The instances.
    pub instances: Vec<Observed>,
    /// Whether these are all.
    pub complete: bool,
}

/// RDS's own error codes, which come with and without `Fault`.
pub(super) fn classify(code: &str, message: &str) -> Option<ErrorClass> {
    let says = |words: &str| message.to_ascii_lowercase().contains(words);
    Some(match code.strip_suffix("Fault").unwrap_or(code) {
        "DBInstanceNotFound" => ErrorClass::NotFound,
        "DBInstanceAlreadyExists" | "DBSnapshotAlreadyExists" => ErrorClass::Conflict,
        "InvalidDBInstanceState" | "InvalidParameterCombination" | "InvalidParameterValue"
            if says("storage") && (says("optimiz") || says("6 hours") || says("six hours")) =>
        {
            ErrorClass::Later(600)
        }
        // A role that was made a moment ago may not be known yet.
        "InvalidParameterValue" if says("iam role") => ErrorClass::PerhapsTerminal,
        "InvalidDBInstanceState" | "InvalidVPCNetworkState" | "InvalidDBSnapshotState" | "DBInstanceNotReady" => {
            ErrorClass::Later(10)
        }
        "InstanceQuotaExceeded"
        | "StorageQuotaExceeded"
        | "SnapshotQuotaExceeded"
        | "InsufficientDBInstanceCapacity"
        | "ProvisionedIopsNotAvailableInAZ" => ErrorClass::Later(300),
        "DBSubnetGroupNotFound"
        | "DBParameterGroupNotFound"
        | "OptionGroupNotFound"
        | "CertificateNotFound"
        | "DBSnapshotNotFound"
        | "KMSKeyNotAccessible" => ErrorClass::Dependency,
        "InvalidParameterValue"
        | "InvalidParameterCombination"
        | "StorageTypeNotSupported"
        | "NetworkTypeNotSupported"
        | "DBSubnetGroupDoesNotCoverEnoughAZs"
        | "InvalidSubnet"
        | "InvalidRestore"
        | "DBSecurityGroupNotFound" => ErrorClass::Terminal,
        _ => return None,
    })
}

pub(super) async fn observe(rds: &Regional<Client>, InstanceId(id): &InstanceId) -> Result<Option<Observed>, AwsError> {
    let call = |rds: &Client| rds.describe_db_instances().db_instance_identifier(id).send();
    let answer = if_found(rds.read("DescribeDBInstances", id, call).await)?;
    let instances = answer.and_then(|answer| answer.db_instances).unwrap_or_default();
    Ok(instances.into_iter().map(sdk::observed).find(|observed| observed.identifier == *id))
}

pub(super) async fn sweep(rds: &Regional<Client>, ids: &[InstanceId]) -> Result<Vec<(InstanceId, Observed)>, AwsError> {
    let values: Vec<_> = ids.iter().map(|InstanceId(id)| id.clone()).collect();
    let about = format!("{} database instances", ids.len());
    let filter = Filter::builder().name("db-instance-id").set_values(Some(values)).build();
    let page = i32::try_from(PAGE).ok();
    let (mut seen, mut marker) = (Vec::new(), None);
    for _ in 0..PAGES {
        let call = |rds: &Client| {
            let call = rds.describe_db_instances().filters(filter.clone());
            call.set_max_records(page).set_marker(marker.clone()).send()
        };
        let Some(answer) = if_found(rds.read("DescribeDBInstances", &about, call).await)? else { break };
        let instances = answer.db_instances.unwrap_or_default().into_iter().map(sdk::observed);
        seen.extend(instances.map(|observed| (InstanceId(observed.identifier.clone()), observed)));
        marker = answer.marker;
        if marker.is_none() {
            break;
        }
    }
    seen.retain(|(id, _)| ids.contains(id));
    Ok(seen)
}

/// All instances of a region. A read.
///
/// # Errors
/// The error of the first call that fails.
pub async fn list(rds: &Regional<Client>) -> Result<Listing, AwsError> {
    let page = i32::try_from(PAGE).ok();
    let (mut listing, mut marker) = (Listing::default(), None);
    for _ in 0..LISTED {
        let call = |rds: &Client| {
            let call = rds.describe_db_instances().set_max_records(page);
            call.set_marker(marker.clone()).send()
        };
        let answer = rds.read("DescribeDBInstances", "all database instances", call).await?;
        listing.instances.extend(answer.db_instances.unwrap_or_default().into_iter().map(sdk::observed));
        marker = answer.marker.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            listing.complete = true;
            break;
        }
    }
    Ok(listing)
}

pub(super) async fn create(
    rds: &Regional<Client>,
    permit: &Permit,
    identity: &Identity,
    creation: &Creation,
    tags: &Tags,
) -> Result<Option<Observed>, AwsError> {
    let (name, tags) = (&identity.name, Some(sdk::to_tags(tags)));
    let instance = if creation.snapshot.is_some() {
        let call = |rds: &Client| {
            let call = rds.restore_db_instance_from_db_snapshot().db_instance_identifier(name).set_tags(tags);
            sdk::restore(call, creation).send()
        };
        rds.mutate(permit, "RestoreDBInstanceFromDBSnapshot", name, call).await?.db_instance
    } else {
        let call = |rds: &Client| {
            let call = rds.create_db_instance().db_instance_identifier(name).set_tags(tags);
            sdk::create(call, creation).send()
        };
        rds.mutate(permit, "CreateDBInstance", name, call).await?.db_instance
    };
    Ok(instance.map(sdk::observed))
}

pub(super) async fn change(
    rds: &Regional<Client>,
    permit: &Permit,
    InstanceId(id): &InstanceId,
    change: &Change,
) -> Result<Option<Observed>, AwsError> {
    let instance: Option<DbInstance> = match change {
        Change::Modify(modify) => {
            let call = |rds: &Client| sdk::modify(rds.modify_db_instance().db_instance_identifier(id), modify).send();
            rds.mutate(permit, "ModifyDBInstance", id, call).await?.db_instance
        }
        Change::Reboot => {
            let call = |rds: &Client| rds.reboot_db_instance().db_instance_identifier(id).send();
            rds.mutate(permit, "RebootDBInstance", id, call).await?.db_instance
        }
    };
    Ok(instance.map(sdk::observed))
}

pub(super) async fn retag(
    rds: &Regional<Client>,
    permit: &Permit,
    arn: &str,
    TagChanges { set, remove }: &TagChanges,
) -> Result<(), AwsError> {
    if !set.is_empty() {
        let tags = Some(sdk::to_tags(set));
        let call = |rds: &Client| rds.add_tags_to_resource().resource_name(arn).set_tags(tags).send();
        rds.mutate(permit, "AddTagsToResource", arn, call).await?;
    }
    if !remove.is_empty() {
        let keys = Some(remove.clone());
        let call = |rds: &Client| rds.remove_tags_from_resource().resource_name(arn).set_tag_keys(keys).send();
        rds.mutate(permit, "RemoveTagsFromResource", arn, call).await?;
    }
    Ok(())
}

/// Deletes the instance: with the first final snapshot whose name is not another one's.
pub(super) async fn delete(
    rds: &Regional<Client>,
    permit: &Permit,
    id: &InstanceId,
    farewell: &Farewell,
) -> Result<Gone, AwsError> {
    if farewell.snapshots.is_empty() {
        return delete_with(rds, permit, id, farewell, None).await;
    }
    let mut taken = None;
    for name in &farewell.snapshots {
        let error = match delete_with(rds, permit, id, farewell, Some(name)).await {
            Err(error) if error.class == ErrorClass::Conflict => error,
            outcome => return outcome,
        };
        match kept(farewell.resource_id.as_deref(), snapshot(rds, name).await?.as_ref()) {
            Kept::Yes => return delete_with(rds, permit, id, farewell, None).await,
            Kept::NotYet => return Ok(Gone::Later),
            Kept::No => taken = Some(error),
        }
    }
    taken.map_or(Ok(Gone::Later), Err)
}

async fn delete_with(
    rds: &Regional<Client>,
    permit: &Permit,
    InstanceId(id): &InstanceId,
    farewell: &Farewell,
    snapshot: Option<&str>,
) -> Result<Gone, AwsError> {
    let call = |rds: &Client| {
        rds.delete_db_instance()
            .db_instance_identifier(id)
            .skip_final_snapshot(snapshot.is_none())
            .set_final_db_snapshot_identifier(snapshot.map(str::to_owned))
            .delete_automated_backups(farewell.delete_automated_backups)
            .send()
    };
    let answer = if_found(rds.mutate(permit, "DeleteDBInstance", id, call).await)?;
    Ok(answer.map_or(Gone::Now, |_| Gone::Later))
}

async fn snapshot(rds: &Regional<Client>, name: &str) -> Result<Option<Snapshot>, AwsError> {
    let call = |rds: &Client| rds.describe_db_snapshots().db_snapshot_identifier(name).send();
    let answer = match rds.read("DescribeDBSnapshots", name, call).await {
        Err(error) if error.code.starts_with("DBSnapshotNotFound") => return Ok(None),
        answer => answer?,
    };
    let snapshot = answer.db_snapshots.unwrap_or_default().into_iter().next();
    Ok(snapshot.map(|it| Snapshot { resource_id: it.dbi_resource_id, status: it.status.unwrap_or_default() }))
}

fn if_found<T>(answer: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

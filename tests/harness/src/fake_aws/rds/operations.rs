//! What each of RDS's operations does.

use std::ops::Bound;

use super::create::{self, Asking};
use super::form::{
    Form, combination_refused, identifier, instance_not_found, snapshot_not_found, state_refused, value_refused,
};
use super::instance::Instance;
use super::modify;
use super::names::{Kind, Names};
use super::region::Region;
use super::settings::{self, IDENTIFIER};
use super::snapshot::Snapshot;
use super::xml::{Times, Xml, answer, show_instance, show_snapshot, show_tags};
use crate::fake_aws::refusal::Refusal;

type Answer = Result<String, Refusal>;

const SNAPSHOT: &str = "DBSnapshotIdentifier";
const FINAL_SNAPSHOT: &str = "FinalDBSnapshotIdentifier";

pub(super) fn call(region: &mut Region, operation: &str, asking: Asking<'_>, times: Times<'_>) -> Answer {
    let done = match operation {
        "CreateDBInstance" => create(region, asking, times)?,
        "RestoreDBInstanceFromDBSnapshot" => restore(region, asking, times)?,
        "DescribeDBInstances" => describe(region, asking, times)?,
        "ModifyDBInstance" => modify(region, asking, times)?,
        "RebootDBInstance" => reboot(region, asking, times)?,
        "StopDBInstance" => stop(region, asking, times)?,
        "StartDBInstance" => start(region, asking, times)?,
        "DeleteDBInstance" => delete(region, asking, times)?,
        "CreateDBSnapshot" => create_snapshot(region, asking, times)?,
        "DescribeDBSnapshots" => describe_snapshots(region, asking, times)?,
        "AddTagsToResource" => add_tags(region, asking)?,
        "RemoveTagsFromResource" => remove_tags(region, asking)?,
        "ListTagsForResource" => list_tags(region, asking)?,
        other => return Err(Refusal::bad("InvalidAction", format!("Could not find operation {other}"))),
    };
    Ok(answer(operation, done))
}

fn create(region: &mut Region, asking: Asking<'_>, times: Times<'_>) -> Result<Xml, Refusal> {
    let instance = create::create(asking)?;
    add(region, instance, asking, times)
}

fn restore(region: &mut Region, asking: Asking<'_>, times: Times<'_>) -> Result<Xml, Refusal> {
    let snapshot = region.snapshot(asking.form.required(SNAPSHOT)?)?;
    let instance = create::restore(asking, snapshot)?;
    add(region, instance, asking, times)
}

fn add(region: &mut Region, instance: Instance, asking: Asking<'_>, times: Times<'_>) -> Result<Xml, Refusal> {
    region.check_free(instance.identifier())?;
    let name = instance.identifier().to_owned();
    region.instances.insert(name.clone(), instance);
    // A creation that takes no time is over.
    region.settle(asking.now, &asking.timing);
    shown(region.instance(&name)?, asking, times)
}

/// The instance that a request names, by its identifier or its ARN.
fn named<'a>(region: &'a mut Region, asking: Asking<'_>) -> Result<&'a mut Instance, Refusal> {
    let text = asking.form.required(IDENTIFIER)?;
    region.instance(plain(&asking.names, text))
}

fn plain<'a>(names: &Names<'_>, text: &'a str) -> &'a str {
    match names.named(text) {
        Some((Kind::Instance, identifier)) => identifier,
        _ => text,
    }
}

fn shown(instance: &Instance, asking: Asking<'_>, times: Times<'_>) -> Result<Xml, Refusal> {
    let mut xml = Xml::default();
    show_instance(&mut xml, instance, &asking.names, times);
    Ok(xml)
}

fn describe(region: &mut Region, asking: Asking<'_>, times: Times<'_>) -> Result<Xml, Refusal> {
    let Asking { form, names, .. } = asking;
    let size = form.page_size()?;
    let filters = form.filters();
    for (name, _) in &filters {
        if !matches!(*name, "db-instance-id" | "dbi-resource-id" | "engine" | "db-cluster-id" | "domain") {
            return Err(value_refused(format!("Unrecognized filter name: {name}")));
        }
    }
    let one = form.text(IDENTIFIER).map(|text| plain(&names, text).to_ascii_lowercase());
    if let Some(one) = &one {
        region.instance(one)?;
    }
    let passes = |instance: &Instance| {
        filters.iter().all(|(name, values)| {
            let is: &[&str] = match *name {
                "db-instance-id" => &[instance.identifier(), &names.instance(instance.identifier())],
                "dbi-resource-id" => &[&instance.resource_id],
                "engine" => &[settings::text(&instance.settings, "Engine")],
                _ => &[],
            };
            values.iter().any(|value| is.contains(value))
        })
    };
    let wanted = |name: &String| one.as_ref().is_none_or(|one| one == name);
    let mut found = behind(&region.instances, form)
        .filter(|(name, instance)| wanted(name) && passes(instance))
        .map(|(_, instance)| instance);
    let page: Vec<_> = found.by_ref().take(size).collect();
    let mut xml = Xml::default();
    xml.within("DBInstances", |xml| {
        for instance in &page {
            show_instance(xml, instance, &names, times);
        }
    });
    if let (Some(last), Some(_)) = (page.last(), found.next()) {
        xml.leaf("Marker", last.identifier());
    }
    Ok(xml)
}

/// What comes behind a request's marker, which is the last name of the page before.
fn behind<'a, T>(
    all: &'a std::collections::BTreeMap<String, T>,
    form: Form<'_>,
) -> impl Iterator<Item = (&'a String, &'a T)> {
    let from = form.text("Marker").map_or(Bound::Unbounded, Bound::Excluded);
    all.range::<str, _>((from, Bound::Unbounded))
}

fn modify(region: &mut Region, asking: Asking<'_>, times: Times<'_>) -> Result<Xml, Refusal> {
    if let Some(new) = asking.form.text("NewDBInstanceIdentifier") {
        let same = new.eq_ignore_ascii_case(named(region, asking)?.identifier());
        if !same {
            region.check_free(new)?;
        }
    }
    let instance = named(region, asking)?;
    let change = modify::decide(instance, asking)?;
    modify::carry_out(instance, change, asking);
    let mut name = instance.identifier().to_owned();
    if let Some(new) = asking.form.text("NewDBInstanceIdentifier").map(str::to_ascii_lowercase) {
        region.settle(asking.now, &asking.timing);
        name = if region.instances.contains_key(&new) { new } else { name };
    }
    shown(region.instance(&name)?, asking, times)
}

/// Refuses an instance whose status is none of these.
fn check_status(instance: &Instance, allowed: &[&str]) -> Result<(), Refusal> {
    if allowed.contains(&instance.status()) {
        return Ok(());
    }
    let (identifier, status, allowed) = (instance.identifier(), instance.status(), allowed.join(" or "));
    Err(state_refused(format!("Instance {identifier} is {status}: it has to be {allowed}.")))
}

fn reboot(region: &mut Region, asking: Asking<'_>, times: Times<'_>) -> Result<Xml, Refusal> {
    let instance = named(region, asking)?;
    check_status(instance, &["available", "storage-optimization", "incompatible-parameters"])?;
    instance.reboot(asking.now, &asking.timing);
    shown(instance, asking, times)
}

fn stop(region: &mut Region, asking: Asking<'_>, times: Times<'_>) -> Result<Xml, Refusal> {
    check_status(named(region, asking)?, &["available"])?;
    if let Some(snapshot) = asking.form.text(SNAPSHOT) {
        let snapshot = identifier(SNAPSHOT, snapshot, 255)?;
        region.check_snapshot_free(&snapshot)?;
        let ready = asking.now + asking.timing.snapshot;
        let made = Snapshot::of(named(region, asking)?, snapshot.clone(), Default::default(), asking.now, ready);
        region.snapshots.insert(snapshot, made);
    }
    let instance = named(region, asking)?;
    instance.stop(asking.now, &asking.timing);
    shown(instance, asking, times)
}

fn start(region: &mut Region, asking: Asking<'_>, times: Times<'_>) -> Result<Xml, Refusal> {
    let instance = named(region, asking)?;
    check_status(instance, &["stopped"])?;
    instance.start(asking.now, &asking.timing);
    shown(instance, asking, times)
}

fn delete(region: &mut Region, asking: Asking<'_>, times: Times<'_>) -> Result<Xml, Refusal> {
    let Asking { form, now, timing, .. } = asking;
    let instance = named(region, asking)?;
    let skip = form.flag("SkipFinalSnapshot")?.unwrap_or_default();
    let last = form.text(FINAL_SNAPSHOT).map(|text| identifier(FINAL_SNAPSHOT, text, 255)).transpose()?;
    match (skip, &last) {
        (true, Some(_)) => {
            let message = "FinalDBSnapshotIdentifier can not be specified when deleting an instance with \
                SkipFinalSnapshot.";
            return Err(combination_refused(message));
        }
        (false, None) => {
            let message = "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.";
            return Err(combination_refused(message));
        }
        _ => {}
    }
    let status = instance.status().to_owned();
    if status == "deleting" {
        let message = format!("Instance {} is already being deleted.", instance.identifier());
        return Err(state_refused(message));
    }
    if settings::is_on(&instance.settings, "DeletionProtection") {
        let message = "Cannot delete protected DB Instance, please disable deletion protection and try again.";
        return Err(combination_refused(message));
    }
    let without = ["creating", "failed", "incompatible-restore", "incompatible-network"];
    if last.is_some() && without.contains(&&*status) {
        let message =
            format!("Cannot create a snapshot because the database instance {} is {status}.", instance.identifier());
        return Err(state_refused(message));
    }
    instance.delete_automated_backups = Some(form.flag("DeleteAutomatedBackups")?.unwrap_or(true));
    if let Some(last) = last {
        region.check_snapshot_free(&last)?;
        let ready = now + timing.snapshot;
        let instance = named(region, asking)?;
        let snapshot = Snapshot::of(instance, last.clone(), Default::default(), now, ready);
        instance.delete(ready + timing.delete);
        region.snapshots.insert(last, snapshot);
    } else {
        instance.delete(now + timing.delete);
    }
    shown(named(region, asking)?, asking, times)
}

fn create_snapshot(region: &mut Region, asking: Asking<'_>, times: Times<'_>) -> Result<Xml, Refusal> {
    let Asking { form, now, timing, names } = asking;
    let snapshot = identifier(SNAPSHOT, form.required(SNAPSHOT)?, 255)?;
    let status = named(region, asking)?.status().to_owned();
    region.check_snapshot_free(&snapshot)?;
    let instance = named(region, asking)?;
    check_status(instance, &["available", "storage-optimization", "stopped"])?;
    let ready = now + timing.snapshot;
    let made = Snapshot::of(instance, snapshot.clone(), form.tags()?, now, ready);
    if status != "stopped" {
        instance.back_up(ready);
    }
    let mut xml = Xml::default();
    show_snapshot(&mut xml, &made, &names, times);
    region.snapshots.insert(snapshot, made);
    Ok(xml)
}

fn describe_snapshots(region: &mut Region, asking: Asking<'_>, times: Times<'_>) -> Result<Xml, Refusal> {
    let Asking { form, names, .. } = asking;
    let size = form.page_size()?;
    let [one, instance] = [SNAPSHOT, IDENTIFIER].map(|name| form.text(name).map(str::to_ascii_lowercase));
    let resource = form.text("DbiResourceId");
    if let Some(one) = &one {
        region.snapshot(one)?;
    }
    // All are manual: no others outlive their instance.
    let manual = form.text("SnapshotType").is_none_or(|kind| kind == "manual");
    let mut found = behind(&region.snapshots, form)
        .map(|(_, snapshot)| snapshot)
        .filter(|_| manual)
        .filter(|snapshot| one.as_ref().is_none_or(|one| *one == snapshot.identifier))
        .filter(|snapshot| instance.as_ref().is_none_or(|instance| *instance == snapshot.instance))
        .filter(|snapshot| resource.is_none_or(|resource| resource == snapshot.resource_id));
    let page: Vec<_> = found.by_ref().take(size).collect();
    let mut xml = Xml::default();
    xml.within("DBSnapshots", |xml| {
        for snapshot in &page {
            show_snapshot(xml, snapshot, &names, times);
        }
    });
    if let (Some(last), Some(_)) = (page.last(), found.next()) {
        xml.leaf("Marker", &last.identifier);
    }
    Ok(xml)
}

/// The tags of what a request names by its ARN.
fn tags<'a>(region: &'a mut Region, asking: Asking<'_>) -> Result<&'a mut super::form::Tags, Refusal> {
    let arn = asking.form.required("ResourceName")?;
    match asking.names.named(arn) {
        Some((Kind::Instance, identifier)) => {
            let instance = region.instances.get_mut(identifier);
            instance.map(|instance| &mut instance.tags).ok_or_else(|| instance_not_found(identifier))
        }
        Some((Kind::Snapshot, identifier)) => {
            let snapshot = region.snapshots.get_mut(identifier);
            snapshot.map(|snapshot| &mut snapshot.tags).ok_or_else(|| snapshot_not_found(identifier))
        }
        None => Err(value_refused(format!("Invalid resource name: {arn}"))),
    }
}

fn add_tags(region: &mut Region, asking: Asking<'_>) -> Result<Xml, Refusal> {
    let added = asking.form.tags()?;
    let tags = tags(region, asking)?;
    let mut all = tags.clone();
    all.extend(added);
    if all.len() > 50 {
        return Err(value_refused("A resource can have at most 50 tags: Tags."));
    }
    *tags = all;
    Ok(Xml::default())
}

fn remove_tags(region: &mut Region, asking: Asking<'_>) -> Result<Xml, Refusal> {
    let keys = asking.form.list("TagKeys", "member");
    tags(region, asking)?.retain(|key, _| !keys.contains(&&**key));
    Ok(Xml::default())
}

fn list_tags(region: &mut Region, asking: Asking<'_>) -> Result<Xml, Refusal> {
    let mut xml = Xml::default();
    show_tags(&mut xml, tags(region, asking)?);
    Ok(xml)
}

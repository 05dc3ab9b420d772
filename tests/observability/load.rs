//! Some of everything that there are metrics of: objects that come, change and go, drift, denials and throttles.

use anyhow::{Result, ensure};
use fairlead_harness::{
    fake_aws::{Budget, Effect, Fault, Scope},
    site::Site,
};
use serde_json::json;

use crate::DEADLINE;

/// Where AWS allows few calls.
const TIGHT: &str = "us-east-1";
/// A field that is managed, and what it is.
const FIELD: (&str, u32) = ("VisibilityTimeout", 60);

/// Queues that are made in a burst, and some where AWS throttles; databases; an object whose spec is wrong; and
/// one that AWS refuses.
pub async fn come(site: &Site, wave: &str) -> Result<()> {
    let names =
        |what: &str, count: usize| (0..count).map(move |number| format!("{wave}-{what}-{number}")).collect::<Vec<_>>();
    site.fake.budget(Scope::region(TIGHT), Budget::new(8.0, 8.0));
    site.create(names("well", 150), json!({ "visibilityTimeout": FIELD.1 })).await?;
    site.create(names("tight", 20), json!({ "region": TIGHT })).await?;
    for name in names("database", 2) {
        apply(
            site,
            "RDSInstance",
            &name,
            json!({}),
            json!({ "engine": "postgres", "instanceClass": "db.t4g.micro", "allocatedStorage": 20 }),
        )
        .await?;
    }
    apply(
        site,
        "SQSQueue",
        &format!("{wave}-wrong"),
        json!({ "aws.fairlead.dev/poll-interval-seconds": "often" }),
        json!({}),
    )
    .await?;
    site.until_ready(&format!("{wave}-well"), 150, DEADLINE).await?;
    site.until_ready(&format!("{wave}-tight"), 20, DEADLINE).await?;
    ensure!(site.fake.throttled() > 0, "nothing was throttled");
    site.fake.fault(Fault::new("GetQueueAttributes", Effect::respond(500, "InternalFailure", "try again")).times(10));
    site.fake.fault(Fault::new("CreateQueue", Effect::respond(403, "AccessDenied", "no policy allows it")));
    site.create(names("denied", 1), json!({})).await
}

/// Somebody changes queues in AWS; it is corrected.
pub async fn drift(site: &Site, wave: &str) -> Result<()> {
    let (field, wished) = FIELD;
    let names: Vec<_> = (0..20).map(|number| format!("{wave}-well-{number}")).collect();
    for name in &names {
        site.fake.set_attribute(&site.account, "eu-west-1", name, field, "7")?;
    }
    site.until("drift to be corrected", DEADLINE, || {
        let corrected = names.iter().filter(|name| {
            let queue = site.fake.queue(&site.account, "eu-west-1", name);
            queue.and_then(|queue| queue.attributes.get(field).cloned()) == Some(wished.to_string())
        });
        let corrected = corrected.count();
        if corrected == names.len() { Ok(()) } else { Err(format!("{corrected} of {}", names.len())) }
    })
    .await
}

/// Some are changed, and some deleted.
pub async fn go(site: &Site, wave: &str) -> Result<()> {
    for number in 20..30 {
        site.change(&format!("{wave}-well-{number}"), json!({ "visibilityTimeout": 90 })).await?;
    }
    site.delete((100..130).map(|number| format!("{wave}-well-{number}"))).await?;
    site.until("the deletions", DEADLINE, || match site.count(&format!("{wave}-well")) {
        120 => Ok(()),
        left => Err(format!("{left} are left")),
    })
    .await
}

async fn apply(
    site: &Site,
    kind: &str,
    name: &str,
    annotations: serde_json::Value,
    spec: serde_json::Value,
) -> Result<()> {
    let manifest = json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": kind,
        "metadata": { "namespace": site.namespace, "name": name, "annotations": annotations }, "spec": spec,
    });
    site.cluster.kubectl_apply(&manifest.to_string()).await?;
    Ok(())
}

//! `fairlead explain`: why an object is as it is, and what its next reconcile would do. This file asks;
//! [`report`] concludes and [`text`] prints, both pure.
//!
//! With `get` on the object alone it still answers: what could not be seen is told, with what would show it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::{Api, Client, api::ListParams};

use self::report::{Seen, Unseen};
use super::{
    Failure, access,
    ahead::{AsOperator, Asked, Output, Scene},
    print,
    status::{self, Unanswered, look_at, within},
};
use crate::{
    app,
    engine::{
        objects::{KubeError, Object, bounded},
        preview::Outcome,
    },
    kinds::{KINDS, Registration},
};

mod report;
mod text;

#[cfg(test)]
mod tests;

/// More events than this are not read of one object.
const EVENTS: u32 = 500;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The object: KIND/NAME, or KIND NAME; the kind as kubectl takes it, for example sqsqueue, sqs or SQSQueue.
    #[arg(value_name = "OBJECT", required = true, num_args = 1..=2)]
    object: Vec<String>,

    /// The object's namespace. Default: that of the kubeconfig's context.
    #[arg(long, short, value_name = "NAMESPACE", value_parser = status::namespace)]
    namespace: Option<String>,

    /// The namespace in which Fairlead's Leases and pods are.
    #[arg(long, env = "FAIRLEAD_NAMESPACE", value_name = "NAMESPACE", default_value = "fairlead-system", value_parser = status::namespace)]
    fairlead_namespace: String,

    /// The port of the pods at which metrics and /statusz are served.
    #[arg(long, value_name = "PORT", default_value = "8080", value_parser = status::port)]
    metrics_port: u16,

    /// The form of what is printed.
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    output: Output,

    #[command(flatten)]
    operator: AsOperator,
}

pub(super) fn main(args: Args) -> Result<(), Failure> {
    let (kind, name) = target(&args.object).map_err(Failure::Usage)?;
    access::run(explain(args, kind, name))
}

async fn explain(args: Args, kind: &'static Registration, name: String) -> Result<(), Failure> {
    let Args { object: _, namespace, fairlead_namespace, metrics_port, output, operator } = args;
    let client = app::cluster::connect().await.map_err(|error| Failure::Runtime(error.to_string()))?;
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let object = read(&client, kind, &namespace, &name).await.map_err(Failure::Runtime)?;
    let place = Place { namespace: &fairlead_namespace, port: metrics_port };
    let report = report::conclude(look(&client, kind, object, place, operator).await);
    match output {
        Output::Text => print(&text::text(&report)),
        Output::Json => {
            let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::Runtime(error.to_string()))?;
            print(&(text + "\n"))
        }
    }
}

/// Where Fairlead is.
struct Place<'a> {
    namespace: &'a str,
    port: u16,
}

async fn look(
    client: &Client,
    kind: &'static Registration,
    object: Object,
    place: Place<'_>,
    operator: AsOperator,
) -> Seen {
    let mut unseen = Vec::new();
    let names = [kind.kind, object.namespace(), object.name(), object.uid()];
    let asked = Asked { kind, object: &object, removable_tags: Default::default(), others: &[] };
    let ahead = async {
        let scene = Scene::look(Some(client), operator).await;
        let preview = scene.ahead(&asked).await;
        (preview, scene.no_aws().map(str::to_owned), scene.unseen)
    };
    let (events, sight, (preview, no_aws, of_scene)) =
        tokio::join!(events(client, &object), look_at(client, place.namespace, place.port, names), ahead);
    let events = events.unwrap_or_else(|why| {
        unseen.push(Unseen::new("events", why));
        Vec::new()
    });
    let leader = sight.leader.map_err(|why| unseen.push(Unseen::new("who leads it", why))).ok();
    let told = sight.told.map_err(|why| unseen.push(Unseen::new("queue, flow and last reconcile", why))).ok();
    let next = match no_aws {
        Some(why) => {
            let why = format!("{why}; with credentials that may read the resource it is compared with the spec");
            unseen.push(Unseen::new("the resource in AWS", why));
            None
        }
        None => {
            unseen.extend(of_scene.into_iter().map(|(what, why)| Unseen::new(what, why)));
            let known = preview.outcome != Outcome::Unknown;
            if !known {
                unseen.push(Unseen::new("the resource in AWS", preview.message.clone()));
            }
            known.then_some(preview)
        }
    };
    Seen { now: Timestamp::now(), kind: kind.kind, object, leader, told, next, events, unseen }
}

async fn read(client: &Client, kind: &Registration, namespace: &str, name: &str) -> Result<Object, String> {
    let resource = (kind.resource)();
    let api = Api::namespaced_with(client.clone(), namespace, &resource);
    bounded(api.get(name)).await.map(Object).map_err(|error| match error {
        KubeError::Gone => format!(
            "there is no {} {name} in the namespace {namespace}: is it in another one (-n), or in another cluster?",
            kind.kind
        ),
        error => format!("{} {namespace}/{name} can't be read, for which you need `get`: {error}", kind.kind),
    })
}

/// The events about an object.
async fn events(client: &Client, object: &Object) -> Result<Vec<Event>, String> {
    let api: Api<Event> = Api::namespaced(client.clone(), object.namespace());
    let about = format!("involvedObject.uid={}", object.uid());
    let asked = ListParams::default().fields(&about).limit(EVENTS);
    within(api.list(&asked)).await.map(|list| list.items).map_err(|error| match error {
        Unanswered::Refused(status) if status.code == 403 => {
            format!("you need `list` on events in {}, which the role view grants", object.namespace())
        }
        Unanswered::Refused(status) => format!("{} ({})", status.message, status.code),
        Unanswered::Failed(why) => why,
    })
}

/// The kind and the name that the arguments mean.
fn target(words: &[String]) -> Result<(&'static Registration, String), String> {
    let (kind, name) = match words {
        [one] => one.split_once('/').ok_or_else(|| format!("{one:?}: an object is KIND/NAME, or KIND NAME"))?,
        [kind, name] => (kind.as_str(), name.as_str()),
        _ => return Err("an object is KIND/NAME, or KIND NAME".into()),
    };
    if !is_name(name) {
        return Err(format!("{name:?} is no name of an object"));
    }
    let known = KINDS.iter().find(|known| goes_by(known, &kind.to_lowercase()));
    let known = known.ok_or_else(|| {
        let kinds: Vec<_> = KINDS.iter().map(|known| known.kind.to_lowercase()).collect();
        format!("{kind:?} is no kind of Fairlead's; allowed: {}", kinds.join(", "))
    })?;
    Ok((known, name.to_owned()))
}

/// Whether an object may be called so.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    (1..=253).contains(&name.len()) && name.chars().all(fits)
}

/// Whether a kind is called so, in lower case, by any of its names.
fn goes_by(kind: &Registration, called: &str) -> bool {
    let called = called.strip_suffix(".aws.fairlead.dev").unwrap_or(called);
    let names = (kind.crd)().spec.names;
    let short = names.short_names.unwrap_or_default();
    [names.kind.to_lowercase(), names.plural].into_iter().chain(names.singular).chain(short).any(|name| name == called)
}

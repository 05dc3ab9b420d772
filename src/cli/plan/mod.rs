//! `fairlead plan`: what applying manifests would change in AWS. This file asks; [`manifests`] reads files,
//! [`check`] makes sure that the objects are valid, and [`report`] prints.
//!
//! Nothing is written: to AWS nothing here has a permit, and the API server is only asked for dry runs.

use futures::StreamExt as _;
use kube::Client;

use self::{
    manifests::Document,
    report::{Line, Report, Verdict},
};
use super::{
    Failure, access,
    ahead::{AsOperator, Asked, Output, Scene},
    explain::is_name,
    print, status,
};
use crate::{
    app,
    crd::GROUP,
    engine::objects::{KubeError, Object, bounded},
    kinds::{KINDS, Registration},
};

mod check;
mod manifests;
mod report;

#[cfg(test)]
mod tests;

/// How many objects are compared at once.
const AT_ONCE: usize = 8;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A file of manifests, a directory of them, or `-` for standard input. May be given several times.
    #[arg(long = "filename", short = 'f', value_name = "FILE", required = true)]
    files: Vec<String>,

    /// The namespace of objects that name none. Default: that of the kubeconfig's context.
    #[arg(long, short, value_name = "NAMESPACE", value_parser = status::namespace)]
    namespace: Option<String>,

    /// The form of what is printed.
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    output: Output,

    #[command(flatten)]
    operator: AsOperator,
}

pub(super) fn main(args: Args) -> Result<(), Failure> {
    access::run(plan(args))
}

async fn plan(Args { files, namespace, output, operator }: Args) -> Result<(), Failure> {
    let documents = manifests::read(&files).map_err(Failure::Runtime)?;
    if documents.is_empty() {
        return Err(Failure::Usage(format!("-f: there is no manifest in {}", files.join(", "))));
    }
    let (client, mut assumed) = cluster().await;
    let namespace = namespace.or_else(|| Some(client.as_ref()?.default_namespace().to_owned()));
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    let scene = Scene::look(client.as_ref(), operator).await;
    if let Some(why) = scene.no_aws() {
        return Err(Failure::Runtime(format!("{why}: without them nobody can tell what is in AWS")));
    }
    assumed.extend(scene.unseen.iter().map(|(what, why)| format!("not seen: {what}: {why}")));

    let mut lines = Vec::new();
    let mut wished = Vec::new();
    for document in documents {
        match prepare(&scene, client.as_ref(), &namespace, document).await {
            Step::Done(line) => lines.push(line),
            Step::Ask(asked) => wished.push(*asked),
        }
    }
    let others: Vec<Object> = wished.iter().map(|wish| wish.object.clone()).collect();
    let planned = wished.into_iter().map(|wish| compare(&scene, wish, &others));
    lines.extend(futures::stream::iter(planned).buffered(AT_ONCE).collect::<Vec<_>>().await);
    lines.sort_by_key(|line| line.number);
    let report = Report { assumed, lines };
    match output {
        Output::Text => print(&report::text(&report))?,
        Output::Json => {
            let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::Runtime(error.to_string()))?;
            print(&(text + "\n"))?;
        }
    }
    report::failure(&report).map_or(Ok(()), |why| Err(Failure::Runtime(why)))
}

/// An object's line, after a look at AWS.
async fn compare(scene: &Scene, wish: Wish, others: &[Object]) -> Line {
    let Wish { line, kind, object, removable_tags, assumed } = wish;
    let asked = Asked { kind, object: &object, removable_tags, others };
    let mut preview = scene.ahead(&asked).await;
    preview.assumed.extend(assumed);
    if object.is_deleting() {
        let said = std::mem::take(&mut preview.message);
        preview.message = format!("it is being deleted, which applying a manifest does not stop: {said}");
    }
    Line { verdict: Verdict::Planned(Box::new(preview)), ..line }
}

/// The cluster, where there is one that answers; and what is assumed without.
async fn cluster() -> (Option<Client>, Vec<String>) {
    let without = |why: String| {
        let assumed = "that none of these objects is in a cluster, and that no AWSAccount is";
        (None, vec![format!("no cluster was looked at ({why}); assumed: {assumed}")])
    };
    let client = match app::cluster::connect().await {
        Ok(client) => client,
        Err(error) => return without(error.to_string()),
    };
    // Whatever it answers, it answers.
    match bounded(client.apiserver_version()).await {
        Err(error @ (KubeError::Unreachable(_) | KubeError::Timeout)) => without(error.to_string()),
        _ => (Some(client), Vec::new()),
    }
}

/// What becomes of a document.
enum Step {
    /// That is all.
    Done(Line),
    /// It is compared with AWS.
    Ask(Box<Wish>),
}

/// An object as it would be, were its manifest applied.
struct Wish {
    line: Line,
    kind: &'static Registration,
    object: Object,
    removable_tags: std::collections::BTreeSet<String>,
    assumed: Vec<String>,
}

async fn prepare(scene: &Scene, client: Option<&Client>, namespace: &str, document: Document) -> Step {
    let Document { number, place, content } = document;
    let mut line = Line { number, place, object: String::new(), verdict: Verdict::Skipped(String::new()) };
    let with = |line: Line, verdict: Verdict| Step::Done(Line { verdict, ..line });
    let manifest = match content {
        Ok(manifest) => manifest,
        Err(why) => return with(line, Verdict::Invalid(vec![why])),
    };
    let text = |path: &str| manifest.pointer(path).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let (version, called, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    line.object = format!("{called} {name}");
    let kind = KINDS.iter().find(|kind| kind.kind == called && version.starts_with(&format!("{GROUP}/")));
    let Some(kind) = kind else {
        let why = match version.starts_with(&format!("{GROUP}/")) {
            true => "it stands for nothing in AWS",
            false => "it is no kind of Fairlead's",
        };
        return with(line, Verdict::Skipped(why.into()));
    };
    let own = Some(text("/metadata/namespace")).filter(|it| !it.is_empty());
    let namespace = own.unwrap_or_else(|| namespace.to_owned());
    line.object = format!("{called} {namespace}/{name}");
    if name.is_empty() {
        let why = "metadata.name: it has none, and what has no name can't be told from another".to_owned();
        return with(line, Verdict::Invalid(vec![why]));
    }
    // They become part of an address.
    for (field, name) in [("metadata.name", &name), ("metadata.namespace", &namespace)] {
        if !is_name(name) {
            return with(line, Verdict::Invalid(vec![format!("{field}: {name:?} is no name")]));
        }
    }
    let (live, mut assumed) = match scene.read(kind, &namespace, &name).await {
        Ok(live) => (live, Vec::new()),
        Err(why) => (None, vec![format!("that there is no such object in the cluster: {why}")]),
    };
    let object = match check::merged(kind, &manifest, &namespace, live.as_ref()) {
        Ok(object) => object,
        Err(why) => return with(line, Verdict::Invalid(vec![why])),
    };
    let object = match check::valid(client, kind, object, live.as_ref()).await {
        Ok((object, doubts)) => {
            assumed.extend(doubts);
            object
        }
        Err(wrong) => return with(line, Verdict::Invalid(wrong)),
    };
    if let Some(live) = &live {
        assumed.extend(check::left_out(live, &object));
    }
    let removable_tags = live.iter().flat_map(check::tag_keys).collect();
    Step::Ask(Box::new(Wish { line, kind, object, removable_tags, assumed }))
}

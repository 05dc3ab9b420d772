//! What an AWSAccount's status says. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{choice::Refusal, registry::View};
use crate::{
    engine::status::{Stage, Usable, Verdict},
    queue::scheduler::Next,
};

/// How many objects a message names.
const NAMES: usize = 3;

/// The status that follows from what is known, at `now`.
pub fn status(view: &View, now: Timestamp) -> Map<String, Value> {
    let old = view.object.status();
    let mut status = verdict(view).status(&old, view.object.generation(), now);
    if let Some(Value::Array(conditions)) = status.get_mut("conditions") {
        // An account is not compared with anything.
        conditions.retain(|condition| condition["type"] != "Synced");
    }
    match &view.account.id {
        Some(id) => drop(status.insert("accountID".into(), json!(id))),
        None => drop(status.remove("accountID")),
    }
    status.insert("objects".into(), json!(view.users.len()));
    status
}

/// The same without the times: what there is to tell.
pub fn wish(status: &Map<String, Value>) -> Map<String, Value> {
    let mut wish = status.clone();
    for condition in wish.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        condition.as_object_mut().map(|condition| condition.remove("lastTransitionTime"));
    }
    wish
}

fn verdict(view: &View) -> Verdict {
    let account = &view.account;
    if account.deleting {
        return Verdict::new(Stage::Deleting, "InUse", in_use(view), Next::Wait);
    }
    let trouble = view.unreadable.clone().map_or_else(|| account.usable().map(drop), Err);
    let (stage, usable, Refusal { reason, message }) = match trouble {
        Ok(()) => {
            let well = Refusal { reason: "InSync", message: String::new() };
            (Stage::InSync, Usable::Yes, well)
        }
        Err(refusal) if refusal.passes() => (Stage::New, Usable::No, refusal),
        Err(refusal) => (Stage::Stalled, Usable::No, refusal),
    };
    Verdict { usable, ..Verdict::new(stage, reason, message, Next::Wait) }
}

fn in_use(view: &View) -> String {
    let mut names: Vec<_> = view.users.iter().take(NAMES).map(ToString::to_string).collect();
    let more = view.users.len().saturating_sub(names.len());
    names.extend((more > 0).then(|| format!("{more} more")));
    match view.users.len() {
        0 => "the deletion waits for other operators of this cluster, whose objects use it".into(),
        1 => format!("the deletion waits for 1 object that uses it: {}", names.join(", ")),
        count => format!("the deletion waits for {count} objects that use it: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use super::*;
    use crate::{
        accounts::account::Account,
        engine::{
            objects::{Object, ObjectKey},
            status::conditions,
        },
    };

    fn view(change: impl FnOnce(&mut Account), users: &[&str]) -> View {
        let spec = json!({ "roleARN": "arn:aws:iam::111122223333:role/a", "allowedNamespaces": ["*"] });
        let object = json!({ "metadata": { "name": "team-a", "generation": 2 }, "spec": spec });
        let mut account = Account::named("team-a", serde_json::from_value(spec).unwrap(), "c");
        change(&mut account);
        let key = |name: &&str| ObjectKey { kind: "SQSQueue", namespace: "shop".into(), name: (*name).into() };
        View {
            object: Object(serde_json::from_value(object).unwrap()),
            account: Arc::new(account),
            unreadable: None,
            concerned: true,
            users: users.iter().map(key).collect::<BTreeSet<_>>(),
            needless: Vec::new(),
            lingering: false,
            suspect: false,
            signal: Arc::default(),
        }
    }

    #[test]
    fn what_is_told_of_an_account() {
        let known = |account: &mut Account| account.id = Some("111122223333".into());
        let denied = |account: &mut Account| {
            known(account);
            account.trouble = Some(account.refused("denied"));
        };
        let deleting = |account: &mut Account| {
            known(account);
            account.deleting = true;
        };
        let four = ["a", "b", "c", "d"].as_slice();
        for (view, ready, reason, words, objects) in [
            (view(|_| (), &[]), "False", "AccountUnknown", "AWSAccount team-a assumes", 0),
            (view(known, &["a"]), "True", "Available", "", 1),
            (view(denied, &["a"]), "False", "CredentialsError", "refuses arn:aws:iam::111122223333:role/a: denied", 1),
            (view(deleting, &["a"]), "False", "InUse", "1 object that uses it: SQSQueue/shop/a", 1),
            (view(deleting, four), "False", "InUse", "SQSQueue/shop/c, 1 more", 4),
        ] {
            let status = status(&view, Timestamp::UNIX_EPOCH);
            let all = conditions(&status);
            let told = all.iter().find(|condition| condition.type_ == "Ready").unwrap();
            assert_eq!((told.status.as_str(), told.reason.as_str()), (ready, reason));
            assert!(told.message.contains(words), "{}", told.message);
            assert!(all.iter().all(|condition| condition.type_ != "Synced"));
            assert_eq!((&status["objects"], &status["observedGeneration"]), (&json!(objects), &json!(2)));
            let later = super::status(&view, Timestamp::from_second(60).unwrap());
            assert_eq!(wish(&status), wish(&later), "time alone is nothing to tell");
        }
    }
}

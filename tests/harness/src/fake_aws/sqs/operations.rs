//! What each of SQS's operations does.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::attributes::{self, Attributes};
use super::region::{Queue, Tags};
use super::{Inner, Place, not_found};
use crate::fake_aws::refusal::Refusal;
use crate::fake_aws::server::Asking;

type Answer = Result<String, Refusal>;

/// What AWS answers where there is nothing to say.
const NOTHING: &str = "{}";

pub(super) fn call(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    match asking.operation {
        "CreateQueue" => create(sqs, asking),
        "ListQueues" => list(sqs, asking),
        "GetQueueUrl" => get_url(sqs, asking),
        "GetQueueAttributes" => get_attributes(sqs, asking),
        "SetQueueAttributes" => set_attributes(sqs, asking),
        "ListQueueTags" => list_tags(sqs, asking),
        "TagQueue" => tag(sqs, asking),
        "UntagQueue" => untag(sqs, asking),
        "DeleteQueue" => delete(sqs, asking),
        "PurgeQueue" => purge(sqs, asking),
        "SendMessage" => send(sqs, asking),
        "ReceiveMessage" => receive(sqs, asking),
        "DeleteMessage" => delete_message(sqs, asking),
        other => {
            let message = format!("The operation {other} is not one that the fake knows.");
            Err(Refusal::bad("AWS.SimpleQueueService.UnsupportedOperation", message))
        }
    }
}

fn create(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    let name = asking.text("QueueName").ok_or_else(|| missing("QueueName"))?;
    let place = Place { account: asking.account, region: asking.region, name };
    let given = &asking.parameters["Attributes"];
    let fifo = given["FifoQueue"] == "true";
    check_name(name, fifo)?;
    let asked = attributes::parse(given, fifo)?;
    check_redrive(sqs, place, &asked)?;
    // In this request alone the name is not capitalised.
    let tags = asking.parameters.get("tags").map(tags_of);
    let url = json!({ "QueueUrl": asking.queue_url(name) }).to_string();
    let lag = sqs.propagation.created;
    let region = sqs.region_or_new(place.account, place.region);
    if let Some(existing) = region.get(name) {
        let conflict = attributes::conflict(&existing.attributes, &asked).map(|name| format!("attribute {name}"));
        let differ = tags.is_some_and(|tags| tags != existing.tags);
        let Some(what) = conflict.or_else(|| differ.then(|| "tag".to_owned())) else {
            return Ok(url);
        };
        let message = format!("A queue already exists with the same name and a different value for {what}");
        return Err(Refusal::bad("QueueAlreadyExists", message));
    }
    let attributes = attributes::changed(&attributes::defaults(fifo), asked)?;
    region.create(name, Queue::new(attributes, tags.unwrap_or_default(), asking.now), lag)?;
    Ok(url)
}

fn list(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    let limit = asking.number("MaxResults");
    if limit.is_some_and(|limit| !(1..=1_000).contains(&limit)) {
        let message = "Value for parameter MaxResults is invalid. Reason: Must be between 1 and 1000.";
        return Err(Refusal::bad("InvalidParameterValue", message));
    }
    let prefix = asking.text("QueueNamePrefix").unwrap_or_default();
    let after = asking.text("NextToken").unwrap_or_default();
    let Some(region) = sqs.region(asking.account, asking.region) else {
        return Ok(NOTHING.to_owned());
    };
    let mut names = region.names(prefix, after, asking.now);
    let size = usize::try_from(limit.unwrap_or(1_000)).unwrap_or(1_000);
    let page: Vec<_> = names.by_ref().take(size).collect();
    let mut answer = serde_json::Map::new();
    if !page.is_empty() {
        let urls: Vec<_> = page.iter().map(|name| asking.queue_url(name)).collect();
        answer.insert("QueueUrls".to_owned(), urls.into());
    }
    // Without MaxResults there is no token, however many there are.
    if let (Some(_), Some(last), Some(_)) = (limit, page.last(), names.next()) {
        answer.insert("NextToken".to_owned(), Value::from(*last));
    }
    Ok(Value::Object(answer).to_string())
}

fn get_url(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    let name = asking.text("QueueName").ok_or_else(|| missing("QueueName"))?;
    let account = asking.text("QueueOwnerAWSAccountId").unwrap_or(asking.account);
    if account != asking.account {
        // AWS does not tell those without access whether there is one.
        return Err(not_found());
    }
    sqs.read(Place { account, region: asking.region, name }, asking.now)?;
    Ok(json!({ "QueueUrl": asking.queue_url(name) }).to_string())
}

fn get_attributes(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    let place = place(sqs, asking)?;
    let names = asking.parameters["AttributeNames"].as_array().map_or(&[][..], Vec::as_slice);
    let queue = sqs.read(place, asking.now)?;
    let counts = queue.messages.counts(asking.now);
    let [created, modified] = [queue.created, queue.modified].map(|time| asking.unix(time).as_secs());
    let computed = [
        ("ApproximateNumberOfMessages", counts.visible.to_string()),
        ("ApproximateNumberOfMessagesDelayed", counts.delayed.to_string()),
        ("ApproximateNumberOfMessagesNotVisible", counts.in_flight.to_string()),
        ("CreatedTimestamp", created.to_string()),
        ("LastModifiedTimestamp", modified.to_string()),
        ("QueueArn", place.arn()),
    ];
    let shown = queue.shown(asking.now);
    let mut answer: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
    if names.iter().any(|name| name == "All") {
        answer.extend(shown.iter().map(|(name, value)| (*name, Cow::Borrowed(value.as_str()))));
        answer.extend(computed.map(|(name, value)| (name, Cow::Owned(value))));
    } else {
        for name in names.iter().filter_map(Value::as_str) {
            if let Some((name, value)) = computed.iter().find(|(computed, _)| *computed == name) {
                answer.insert(name, Cow::Owned(value.clone()));
            } else {
                let known = attributes::known(name).ok_or_else(|| attributes::unknown(name))?;
                answer.extend(shown.get(known).map(|value| (known, Cow::Borrowed(value.as_str()))));
            }
        }
    }
    if answer.is_empty() {
        return Ok(NOTHING.to_owned());
    }
    serde_json::to_string(&BTreeMap::from([("Attributes", answer)])).map_err(|error| internal(&error))
}

fn set_attributes(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    let place = place(sqs, asking)?;
    sqs.write(place)?;
    let change = attributes::parse(&asking.parameters["Attributes"], place.is_fifo())?;
    check_redrive(sqs, place, &change)?;
    let lag = sqs.propagation.changed;
    sqs.write(place)?.change(change, asking.now, lag)?;
    Ok(NOTHING.to_owned())
}

fn list_tags(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    let place = place(sqs, asking)?;
    let tags = &sqs.read(place, asking.now)?.tags;
    if tags.is_empty() {
        return Ok(NOTHING.to_owned());
    }
    serde_json::to_string(&BTreeMap::from([("Tags", tags)])).map_err(|error| internal(&error))
}

fn tag(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    let place = place(sqs, asking)?;
    let added = tags_of(asking.parameters.get("Tags").ok_or_else(|| missing("Tags"))?);
    sqs.write(place)?.tags.extend(added);
    Ok(NOTHING.to_owned())
}

fn untag(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    let place = place(sqs, asking)?;
    let keys = asking.parameters["TagKeys"].as_array().ok_or_else(|| missing("TagKeys"))?;
    let queue = sqs.write(place)?;
    for key in keys.iter().filter_map(Value::as_str) {
        queue.tags.remove(key);
    }
    Ok(NOTHING.to_owned())
}

fn delete(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    let place = place(sqs, asking)?;
    let lag = sqs.propagation.deleted;
    let region = sqs.region(place.account, place.region).ok_or_else(not_found)?;
    if region.delete(place.name, asking.now, lag) { Ok(NOTHING.to_owned()) } else { Err(not_found()) }
}

fn purge(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    let place = place(sqs, asking)?;
    sqs.write(place)?.messages.purge();
    Ok(NOTHING.to_owned())
}

fn send(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    let place = place(sqs, asking)?;
    let body = asking.text("MessageBody").ok_or_else(|| missing("MessageBody"))?;
    let delay = asking.number("DelaySeconds").map(Duration::from_secs);
    let queue = sqs.write(place)?;
    let delay = delay.unwrap_or_else(|| queue.seconds("DelaySeconds"));
    let number = queue.messages.send(body.to_owned(), delay, asking.now);
    Ok(json!({ "MessageId": message_id(number) }).to_string())
}

fn receive(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    let place = place(sqs, asking)?;
    let count = asking.number("MaxNumberOfMessages").unwrap_or(1);
    let timeout = asking.number("VisibilityTimeout").map(Duration::from_secs);
    let queue = sqs.write(place)?;
    let timeout = timeout.unwrap_or_else(|| queue.seconds("VisibilityTimeout"));
    let received = queue.messages.receive(usize::try_from(count).unwrap_or(1), timeout, asking.now);
    let messages = received.into_iter().map(|message| {
        json!({
            "MessageId": message_id(message.number),
            "ReceiptHandle": message.number.to_string(),
            "Body": message.body,
        })
    });
    let messages: Vec<_> = messages.collect();
    Ok(if messages.is_empty() { NOTHING.to_owned() } else { json!({ "Messages": messages }).to_string() })
}

fn delete_message(sqs: &mut Inner, asking: &Asking<'_>) -> Answer {
    let place = place(sqs, asking)?;
    let handle = asking.text("ReceiptHandle").ok_or_else(|| missing("ReceiptHandle"))?;
    let number = handle.parse().map_err(|_| {
        Refusal::bad("ReceiptHandleIsInvalid", format!("The input receipt handle \"{handle}\" is not valid."))
    })?;
    sqs.write(place)?.messages.delete(number);
    Ok(NOTHING.to_owned())
}

/// The queue that a call is about. Policies are not looked at: those of other accounts are refused.
fn place<'a>(sqs: &mut Inner, asking: &'a Asking<'_>) -> Result<Place<'a>, Refusal> {
    let url = asking.text("QueueUrl").ok_or_else(|| missing("QueueUrl"))?;
    let place = Place::of_url(url, asking.region)
        .ok_or_else(|| Refusal::bad("InvalidAddress", format!("The address {url} is not valid for this endpoint.")))?;
    if place.account != asking.account {
        sqs.write(place)?;
        return Err(Refusal::denied("AccessDenied", format!("Access to the resource {url} is denied.")));
    }
    Ok(place)
}

fn check_name(name: &str, fifo: bool) -> Result<(), Refusal> {
    let stem = if fifo { name.strip_suffix(".fifo") } else { Some(name) };
    let allowed = |stem: &str| stem.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if stem.is_some_and(|stem| !stem.is_empty() && allowed(stem)) && name.len() <= 80 {
        return Ok(());
    }
    let message = if fifo {
        "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with \
         .fifo suffix and be 1 to 80 in length."
    } else {
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
    };
    Err(Refusal::bad("InvalidParameterValue", message))
}

/// A dead-letter queue is one of the same account, region and type.
fn check_redrive(sqs: &mut Inner, place: Place<'_>, asked: &Attributes) -> Result<(), Refusal> {
    let Some(policy) = asked.get("RedrivePolicy").filter(|policy| !policy.is_empty()) else {
        return Ok(());
    };
    let refused = |reason: &str| {
        let message = format!("Value {policy} for parameter RedrivePolicy is invalid. Reason: {reason}");
        Refusal::bad("InvalidParameterValue", message)
    };
    let document: Value = serde_json::from_str(policy).unwrap_or_default();
    let target = document["deadLetterTargetArn"].as_str().unwrap_or_default();
    let target = Place::of_arn(target).ok_or_else(|| refused("Invalid value for deadLetterTargetArn."))?;
    if (target.account, target.region) != (place.account, place.region) || sqs.write(target).is_err() {
        return Err(refused("Dead letter target does not exist."));
    }
    if target.is_fifo() != place.is_fifo() {
        return Err(refused("Dead-letter queue must be same type of queue as the source."));
    }
    Ok(())
}

fn tags_of(given: &Value) -> Tags {
    let given = given.as_object().into_iter().flatten();
    given.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn message_id(number: u64) -> String {
    format!("fa017000-0000-4000-8001-{number:012}")
}

fn missing(parameter: &str) -> Refusal {
    Refusal::bad("MissingParameter", format!("The request must contain the parameter {parameter}."))
}

fn internal(error: &serde_json::Error) -> Refusal {
    Refusal::new(500, "InternalFailure", error.to_string())
}

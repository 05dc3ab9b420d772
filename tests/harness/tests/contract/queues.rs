//! Looks at a target: each does something and says in words what was answered.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aws_sdk_sqs::types::QueueAttributeName as Name;
use serde_json::{Value, json};

use crate::target::{REGION, Target, code};

type Attributes = BTreeMap<String, String>;

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"*"}]}"#;

async fn create(t: &Target, name: &str, attributes: &[(&str, &str)]) -> String {
    let mut request = t.sqs.create_queue().queue_name(name);
    for (attribute, value) in attributes {
        request = request.attributes(Name::from(*attribute), *value);
    }
    code(request.send().await)
}

async fn set(t: &Target, url: &str, attributes: &[(&str, &str)]) -> String {
    let mut request = t.sqs.set_queue_attributes().queue_url(url);
    for (attribute, value) in attributes {
        request = request.attributes(Name::from(*attribute), *value);
    }
    code(request.send().await)
}

async fn all(t: &Target, url: &str) -> Result<Attributes> {
    let read = t.sqs.get_queue_attributes().queue_url(url).attribute_names(Name::All).send().await?;
    let attributes = read.attributes.unwrap_or_default();
    Ok(attributes.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect())
}

/// Those whose names are wanted, as `a=1 b=2`.
fn some(attributes: &Attributes, wanted: impl Fn(&str) -> bool) -> String {
    let wanted = attributes.iter().filter(|(name, _)| wanted(name)).map(|(name, value)| format!("{name}={value}"));
    wanted.collect::<Vec<_>>().join(" ")
}

pub async fn same_create(t: &Target) -> Result<String> {
    let make = || t.sqs.create_queue().queue_name("same").attributes(Name::DelaySeconds, "5").tags("a", "1").send();
    let (first, second) = (make().await?, make().await?);
    Ok(if first.queue_url() == second.queue_url() { "the same URL" } else { "another URL" }.to_owned())
}

pub async fn omitted_attributes(t: &Target) -> Result<String> {
    let made = t.sqs.create_queue().queue_name("omitted").attributes(Name::DelaySeconds, "5").send().await?;
    let again = t.make("omitted").await?;
    Ok(if made.queue_url() == Some(&again) { "the same URL" } else { "another URL" }.to_owned())
}

pub async fn other_attributes(t: &Target) -> Result<String> {
    create(t, "other-attributes", &[("DelaySeconds", "5")]).await;
    Ok(create(t, "other-attributes", &[("DelaySeconds", "6")]).await)
}

pub async fn other_key(t: &Target) -> Result<String> {
    create(t, "other-key", &[]).await;
    Ok(create(t, "other-key", &[("KmsMasterKeyId", "alias/one")]).await)
}

pub async fn other_tags(t: &Target) -> Result<String> {
    let make = |value| t.sqs.create_queue().queue_name("other-tags").tags("a", value).send();
    make("1").await?;
    Ok(code(make("2").await))
}

pub async fn bad_values(t: &Target) -> Result<String> {
    let cases = [
        ("DelaySeconds", "901"),
        ("VisibilityTimeout", "many"),
        ("MaximumMessageSize", "1023"),
        ("RedrivePolicy", "{\"maxReceiveCount\":3}"),
    ];
    let mut answers = Vec::new();
    for (name, value) in cases {
        answers.push(create(t, &format!("bad-value-{name}"), &[(name, value)]).await);
    }
    Ok(answers.join(", "))
}

pub async fn unknown_attributes(t: &Target) -> Result<String> {
    let url = t.make("unknown").await?;
    let read = t.sqs.get_queue_attributes().queue_url(&url).attribute_names(Name::from("Size")).send().await;
    let made = create(t, "unknown-made", &[("Size", "1")]).await;
    Ok([made, set(t, &url, &[("Size", "1")]).await, code(read)].join(", "))
}

pub async fn bad_names(t: &Target) -> Result<String> {
    let long = "x".repeat(81);
    let cases = [("has.dot", false), (&*long, false), ("fifo-by-name.fifo", false), ("fifo-by-attribute", true)];
    let mut answers = Vec::new();
    for (name, fifo) in cases {
        let attributes: &[_] = if fifo { &[("FifoQueue", "true")] } else { &[] };
        answers.push(create(t, name, attributes).await);
    }
    Ok(answers.join(", "))
}

pub async fn fifo(t: &Target) -> Result<String> {
    let made = t.sqs.create_queue().queue_name("ordered.fifo").attributes(Name::FifoQueue, "true").send().await?;
    let attributes = all(t, made.queue_url().context("no URL")?).await?;
    Ok(some(&attributes, |name| name.contains("Fifo") || name.contains("Dedup")))
}

pub async fn not_found(t: &Target, expected: &str) -> Result<String> {
    let real = t.make("not-found").await?;
    let url = real.replace("not-found", "never-made");
    let sqs = &t.sqs;
    let answers = [
        ("GetQueueUrl", code(sqs.get_queue_url().queue_name("never-made").send().await)),
        (
            "GetQueueAttributes",
            code(sqs.get_queue_attributes().queue_url(&url).attribute_names(Name::All).send().await),
        ),
        ("SetQueueAttributes", set(t, &url, &[("DelaySeconds", "1")]).await),
        ("ListQueueTags", code(sqs.list_queue_tags().queue_url(&url).send().await)),
        ("TagQueue", code(sqs.tag_queue().queue_url(&url).tags("a", "1").send().await)),
        ("UntagQueue", code(sqs.untag_queue().queue_url(&url).tag_keys("a").send().await)),
        ("DeleteQueue", code(sqs.delete_queue().queue_url(&url).send().await)),
        ("SendMessage", code(sqs.send_message().queue_url(&url).message_body("m").send().await)),
        ("ReceiveMessage", code(sqs.receive_message().queue_url(&url).send().await)),
        ("PurgeQueue", code(sqs.purge_queue().queue_url(&url).send().await)),
    ];
    let said =
        answers.iter().map(
            |(operation, code)| {
                if code == expected { (*operation).to_owned() } else { format!("{operation} {code}") }
            },
        );
    Ok(said.collect::<Vec<_>>().join(", "))
}

pub async fn no_names(t: &Target) -> Result<String> {
    let url = t.make("no-names").await?;
    let read = t.sqs.get_queue_attributes().queue_url(&url).send().await?;
    let count = read.attributes().map_or(0, |attributes| attributes.len());
    Ok(if count == 0 { "none".to_owned() } else { format!("{count}") })
}

pub async fn all_names(t: &Target) -> Result<String> {
    let url = t.make("all-names").await?;
    Ok(all(t, &url).await?.into_keys().collect::<Vec<_>>().join(" "))
}

pub async fn defaults(t: &Target) -> Result<String> {
    let url = t.make("defaults").await?;
    let numbers = [
        "DelaySeconds",
        "MaximumMessageSize",
        "MessageRetentionPeriod",
        "ReceiveMessageWaitTimeSeconds",
        "VisibilityTimeout",
    ];
    Ok(some(&all(t, &url).await?, |name| numbers.contains(&name)))
}

pub async fn computed(t: &Target) -> Result<String> {
    let url = t.make("computed").await?;
    let attributes = all(t, &url).await?;
    let arn = format!("arn:aws:sqs:{REGION}:{}:computed", t.account);
    let arn = if attributes.get("QueueArn") == Some(&arn) { "right ARN" } else { "wrong ARN" };
    let same = attributes.get("CreatedTimestamp") == attributes.get("LastModifiedTimestamp");
    Ok(format!("{arn}, created{}modified", if same { "=" } else { "!=" }))
}

pub async fn change_numbers(t: &Target) -> Result<String> {
    let url = t.make("numbers").await?;
    let answer = set(t, &url, &[("DelaySeconds", "9"), ("VisibilityTimeout", "77")]).await;
    let attributes = all(t, &url).await?;
    Ok(format!("{answer}, {}", some(&attributes, |name| ["DelaySeconds", "VisibilityTimeout"].contains(&name))))
}

pub async fn clearing(t: &Target, attribute: &str) -> Result<String> {
    let dead = t.make(&format!("dead-{attribute}")).await?;
    let dead = all(t, &dead).await?.remove("QueueArn").context("no ARN")?;
    let value = match attribute {
        "Policy" => POLICY.to_owned(),
        "RedrivePolicy" => json!({"deadLetterTargetArn": dead, "maxReceiveCount": 3}).to_string(),
        _ => json!({"redrivePermission": "denyAll"}).to_string(),
    };
    let url = t.make(&format!("clearing-{attribute}")).await?;
    let mut seen = Vec::new();
    for (value, done) in [(&*value, "set"), ("", "cleared")] {
        let answer = set(t, &url, &[(attribute, value)]).await;
        let shown = all(t, &url).await?.remove(attribute);
        seen.push(match shown {
            _ if answer != "ok" => answer,
            None if value.is_empty() => done.to_owned(),
            Some(shown) if is_same_document(&shown, value) => done.to_owned(),
            Some(shown) => format!("shown: {shown}"),
            None => "dropped".to_owned(),
        });
    }
    Ok(seen.join(", "))
}

pub async fn created_with(t: &Target, attribute: &str) -> Result<String> {
    let value = if attribute == "Policy" { POLICY } else { r#"{"redrivePermission":"denyAll"}"# };
    let name = format!("created-with-{attribute}");
    let made = t.sqs.create_queue().queue_name(name).attributes(Name::from(attribute), value).send().await?;
    let shown = all(t, made.queue_url().context("no URL")?).await?.remove(attribute);
    Ok(match shown {
        Some(shown) if is_same_document(&shown, value) => "set".to_owned(),
        Some(shown) => format!("shown: {shown}"),
        None => "dropped".to_owned(),
    })
}

pub async fn policy_after_change(t: &Target) -> Result<String> {
    let url = t.make("policy-after-change").await?;
    set(t, &url, &[("Policy", POLICY)]).await;
    set(t, &url, &[("DelaySeconds", "9")]).await;
    Ok(if all(t, &url).await?.contains_key("Policy") { "kept" } else { "dropped" }.to_owned())
}

fn is_same_document(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|text| serde_json::from_str::<Value>(text).ok());
    one.is_some() && one == other
}

pub async fn encryption(t: &Target) -> Result<String> {
    let url = t.make("encryption").await?;
    let mut seen = Vec::new();
    for change in [("KmsMasterKeyId", "alias/one"), ("KmsMasterKeyId", ""), ("SqsManagedSseEnabled", "true")] {
        let answer = set(t, &url, &[change]).await;
        let shown = some(&all(t, &url).await?, |name| name.contains("Kms") || name.contains("Sse"));
        seen.push(if answer == "ok" { shown } else { answer });
    }
    Ok(seen.join("; "))
}

pub async fn missing_dead_letter(t: &Target) -> Result<String> {
    let target = format!("arn:aws:sqs:{REGION}:{}:never-made", t.account);
    let policy = json!({"deadLetterTargetArn": target, "maxReceiveCount": 3}).to_string();
    Ok(create(t, "without-dead-letter", &[("RedrivePolicy", &policy)]).await)
}

pub async fn tags(t: &Target) -> Result<String> {
    let made = t.sqs.create_queue().queue_name("tags").tags("a", "1").tags("b", "2").send().await?;
    let url = made.queue_url().context("no URL")?;
    let shown = async || {
        let tags = t.sqs.list_queue_tags().queue_url(url).send().await?.tags.unwrap_or_default();
        anyhow::Ok(some(&tags.into_iter().collect(), |_| true))
    };
    let first = shown().await?;
    t.sqs.tag_queue().queue_url(url).tags("b", "3").tags("c", "4").send().await?;
    let second = shown().await?;
    t.sqs.untag_queue().queue_url(url).tag_keys("a").tag_keys("c").tag_keys("never").send().await?;
    Ok([first, second, shown().await?].join("; "))
}

pub async fn listing(t: &Target) -> Result<String> {
    for n in 0..5 {
        t.make(&format!("listing-{n}")).await?;
    }
    let whole = t.sqs.list_queues().queue_name_prefix("listing-").send().await?;
    let token = if whole.next_token().is_some() { "with" } else { "without" };
    let mut pages = Vec::new();
    let mut next = None;
    for _ in 0..4 {
        let request = t.sqs.list_queues().queue_name_prefix("listing-").max_results(2).set_next_token(next);
        let page = request.send().await?;
        let token = if page.next_token().is_some() { " token" } else { "" };
        pages.push(format!("{}{token}", page.queue_urls().len()));
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    Ok(format!("{} {token} token; {}", whole.queue_urls().len(), pages.join(", ")))
}

pub async fn empty_listing(t: &Target) -> Result<String> {
    let listed = t.sqs.list_queues().queue_name_prefix("never-").send().await?;
    Ok(listed.queue_urls().len().to_string())
}

pub async fn counts(t: &Target) -> Result<String> {
    let url = t.make("counts").await?;
    let counted = async || {
        let attributes = all(t, &url).await?;
        let of = |kind: &str| attributes.get(&format!("ApproximateNumberOfMessages{kind}")).cloned();
        let counts = ["", "NotVisible", "Delayed"].map(|kind| of(kind).unwrap_or_default());
        anyhow::Ok(counts.join(" "))
    };
    for delay in [0, 0, 0, 600] {
        t.sqs.send_message().queue_url(&url).message_body("m").delay_seconds(delay).send().await?;
    }
    let mut seen = vec![counted().await?];
    let received = t.sqs.receive_message().queue_url(&url).max_number_of_messages(2).send().await?;
    seen.push(counted().await?);
    let handle = received.messages().first().and_then(|message| message.receipt_handle()).context("no message")?;
    t.sqs.delete_message().queue_url(&url).receipt_handle(handle).send().await?;
    seen.push(counted().await?);
    t.sqs.purge_queue().queue_url(&url).send().await?;
    seen.push(counted().await?);
    Ok(seen.join("; "))
}

pub async fn deleted(t: &Target) -> Result<String> {
    let url = t.make("deleted").await?;
    let answer = code(t.sqs.delete_queue().queue_url(&url).send().await);
    let read = t.sqs.get_queue_attributes().queue_url(&url).attribute_names(Name::All).send().await;
    Ok([answer, code(read)].join(", "))
}

pub async fn deleted_recently(t: &Target) -> Result<String> {
    let url = t.make("deleted-recently").await?;
    t.sqs.delete_queue().queue_url(&url).send().await?;
    Ok(create(t, "deleted-recently", &[]).await)
}

pub async fn caller(t: &Target) -> Result<String> {
    let identity = t.sts.get_caller_identity().send().await?;
    Ok(if identity.account() == Some(&t.account) { "same account" } else { "another account" }.to_owned())
}

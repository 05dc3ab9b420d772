//! What is read, and what is then printed.

use serde_json::{Value, json};

use super::{
    Unanswered,
    report::{Candidate, Seen, candidates, conclude, not_listed, not_told, nothing},
    table,
};

const NOW: &str = "2026-01-02T03:04:05Z";

/// A Lease, `ago` seconds after its last renewal; it was acquired 5 min before that.
fn lease(name: &str, holder: &str, ago: i64) -> Value {
    let renewed: jiff::Timestamp = NOW.parse::<jiff::Timestamp>().unwrap() - jiff::SignedDuration::from_secs(ago);
    let acquired = renewed - jiff::SignedDuration::from_mins(5);
    json!({
        "metadata": { "name": name },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": 8,
                  "renewTime": format!("{renewed:.6}"), "acquireTime": format!("{acquired:.6}") },
    })
}

fn layout(shards: &str) -> Value {
    json!({ "metadata": { "name": "fairlead-layout", "annotations": { "fairlead.dev/shards": shards } } })
}

fn released(name: &str) -> Value {
    let mut lease = lease(name, "", 60);
    lease["metadata"]["annotations"] = json!({ "fairlead.dev/released": "true" });
    lease
}

fn pod(name: &str, phase: &str) -> Value {
    json!({ "metadata": { "name": name }, "status": { "phase": phase } })
}

/// What a replica of `shards` shards answers that leads some of them.
fn statusz(identity: &str, shards: u16, led: &[u16]) -> Value {
    let shard = |number: u16| {
        let led = led.contains(&number);
        json!({ "shard": number, "led": led, "draining": false, "holder": null, "holderAgeSeconds": 0.5,
                "epoch": led.then_some("7"), "validForSeconds": 5.0, "objects": 10 + number,
                "outstandingPermits": if led { 2 } else { 0 }, "a later version's": true })
    };
    json!({ "identity": identity, "version": "0.1.0", "startedAt": NOW,
            "shards": (0..shards).map(shard).collect::<Vec<_>>(), "queue": { "depth": 3, "running": 1 } })
}

/// What was read: each answer is a `/statusz`, or a text that says why there is none.
fn seen(leases: &[Value], pods: &[Value], answers: &[(&str, Value)]) -> Seen {
    let answer = |(name, answer): &(&str, Value)| {
        let answer = match answer.as_str() {
            Some(why) => Err(why.to_owned()),
            None => Ok(serde_json::from_value(answer.clone()).unwrap()),
        };
        ((*name).to_owned(), answer)
    };
    Seen {
        namespace: "fairlead-system".into(),
        now: NOW.parse().unwrap(),
        leases: leases.iter().map(|lease| serde_json::from_value(lease.clone()).unwrap()).collect(),
        pods: Ok(pods.iter().map(|pod| serde_json::from_value(pod.clone()).unwrap()).collect()),
        answers: answers.iter().map(answer).collect(),
    }
}

fn prints(seen: &Seen, expected: &str) {
    let text = table::text(&conclude(seen));
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn a_leader_and_a_standby() {
    let leases = [layout("1"), lease("fairlead-shard-0", "fairlead-a_1", 1)];
    let answers = [("fairlead-a", statusz("fairlead-a_1", 1, &[0])), ("fairlead-b", statusz("fairlead-b_2", 1, &[]))];
    prints(
        &seen(&leases, &[], &answers),
        "\
1 shard, 2 replicas, in the namespace fairlead-system

SHARD   HOLDER         RENEWED    LED-FOR   OBJECTS   PERMITS
0       fairlead-a_1   1.0s ago   5m        10        2

REPLICA      ROLE      SHARDS   QUEUE   RUNNING   VERSION   /STATUSZ
fairlead-a   leader    0        3       1         0.1.0     ok
fairlead-b   standby   -        3       1         0.1.0     ok
",
    );
}

#[test]
fn shards_that_nobody_leads() {
    let mut emptied = lease("fairlead-shard-2", "", 3);
    emptied["spec"]["renewTime"] = Value::Null;
    let leases = [layout("4"), lease("fairlead-shard-0", "fairlead-a_1", 42), released("fairlead-shard-1"), emptied];
    prints(
        &seen(&leases, &[pod("fairlead-a", "Failed")], &[("fairlead-a", json!("its pod is Failed"))]),
        "\
4 shards, 1 replica, in the namespace fairlead-system

SHARD   HOLDER                   RENEWED   LED-FOR   OBJECTS   PERMITS
0       expired (fairlead-a_1)   42s ago   -         -         -
1       free (released)          -         -         -         -
2       nobody (not released)    -         -         -         -
3       no Lease                 -         -         -         -

REPLICA      ROLE   SHARDS   QUEUE   RUNNING   VERSION   /STATUSZ
fairlead-a   -      -        -       -         -         its pod is Failed

note: fairlead-shard-0 lasts 8 s and was renewed 42 s ago, by this machine's clock: it is expired if that agrees \
with its holder's. Replicas do not judge by that: they watch it for 8 s
note: fairlead-shard-2 has no holder and was not released, so it was edited: it counts as held for its whole duration
note: the Lease fairlead-shard-3 is missing: the shard has no leader
",
    );
}

#[test]
fn sixteen_shards_of_which_one_is_being_given_up() {
    let holder = |number: u16| if number.is_multiple_of(4) { "fairlead-b_2" } else { "fairlead-a_1" };
    let shards = (0..16).map(|number| lease(&format!("fairlead-shard-{number}"), holder(number), 2));
    let leases: Vec<_> = shards.chain([layout("16"), lease("fairlead-member-fairlead-c", "fairlead-c_3", 1)]).collect();
    let mut stopping = statusz("fairlead-b_2", 16, &[0, 4, 8, 12]);
    (0..16).for_each(|number| stopping["shards"][number]["draining"] = json!(true));
    let answers = [("fairlead-a", json!("no answer within 5 s")), ("fairlead-b", stopping)];
    let text = table::text(&conclude(&seen(&leases, &[], &answers)));
    for line in [
        "4       fairlead-b_2 (draining)   2.0s ago   5m        14        2\n",
        // Counted by the other one, which stores all objects too.
        "15      fairlead-a_1              2.0s ago   5m        25        -\n",
        "fairlead-a   leader     1-3,5-7,9-11,13-15   -       -         -         no answer within 5 s\n",
        "fairlead-b   draining   0,4,8,12             3       1         0.1.0     ok\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("note"), "{text}");
}

#[test]
fn what_disagrees_is_noted() {
    let held = lease("fairlead-shard-0", "fairlead-a_1", 1);
    let led = |identity: &str| statusz(identity, 1, &[0]);
    for (leases, answer, noted) in [
        (vec![held.clone()], led("fairlead-a_1"), "the Lease fairlead-layout is missing"),
        (vec![layout("many"), held.clone()], led("fairlead-a_1"), "the Lease fairlead-layout has no number of shards"),
        (
            vec![layout("1"), held.clone(), released("fairlead-shard-7"), released("fairlead-shard-3")],
            led("fairlead-a_1"),
            "the layout says 1 shard, and there are Leases of others: fairlead-shard-{3,7}",
        ),
        (
            vec![layout("1"), held.clone()],
            statusz("fairlead-a_1", 16, &[0]),
            "fairlead-a runs with 16 shards, and the layout says 1: give all replicas the same FAIRLEAD_SHARDS",
        ),
        (vec![layout("1"), held.clone()], led("fairlead-a_9"), "fairlead-shard-0 names fairlead-a_1, another process"),
        (
            vec![layout("1"), lease("fairlead-shard-0", "fairlead-b_2", 1)],
            led("fairlead-a_1"),
            "fairlead-a said that it leads shard 0, which its Lease did not",
        ),
        (
            vec![layout("1"), held],
            statusz("fairlead-a_1", 1, &[]),
            "fairlead-shard-0 names fairlead-a, which said a moment later that it does not lead it",
        ),
        (
            vec![layout("1"), lease("fairlead-shard-0", "fairlead-a_1", -60)],
            led("fairlead-a_1"),
            "fairlead-shard-0 was renewed 60 s in the future: this machine's clock and its holder's differ",
        ),
    ] {
        let report = conclude(&seen(&leases, &[], &[("fairlead-a", answer)]));
        assert!(report.notes.iter().any(|note| note.contains(noted)), "{noted}: {:?}", report.notes);
    }
}

#[test]
fn replicas_outside_the_cluster_are_known_by_their_leases_alone() {
    let shards = (0..16).map(|number| lease(&format!("fairlead-shard-{number}"), "fairlead-a_1", 2));
    let leases: Vec<_> = shards.chain([layout("16"), lease("fairlead-member-fairlead-b", "fairlead-b_2", 1)]).collect();
    let nobody = [("fairlead-a", json!("no pod of this name")), ("fairlead-b", json!("no pod of this name"))];
    let text = table::text(&conclude(&seen(&leases, &[], &nobody)));
    for line in [
        "16 shards, 2 replicas, in",
        "fairlead-a   leader   0-15     -       -         -         no pod of this name\n",
        "fairlead-b   -        -        -       -         -         no pod of this name\n",
        "note: no pod has the label app.kubernetes.io/name=fairlead here: only replicas that hold a Lease are shown\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn who_is_asked() {
    let leases = [lease("fairlead-shard-0", "fairlead-a_1", 1), lease("fairlead-shard-1", "../../secrets/x_1", 1)];
    let pods = [pod("fairlead-b", "Pending"), pod("fairlead-c", "Running")];
    let Seen { leases, pods, .. } = seen(&leases, &pods, &[]);
    let found: Vec<_> = candidates(&leases, &pods.unwrap())
        .into_iter()
        .map(|Candidate { name, instead }| (name, instead.unwrap_or_default()))
        .collect();
    let expected = [
        ("../../secrets/x", "no pod can have this name"),
        ("fairlead-a", ""),
        ("fairlead-b", "its pod is Pending"),
        ("fairlead-c", ""),
    ];
    assert_eq!(found, expected.map(|(name, instead)| (name.to_owned(), instead.to_owned())));
}

#[test]
fn names_that_others_write_reach_no_terminal_as_they_are() {
    let leases = [layout("1"), lease("fairlead-shard-0", "\u{1b}[31mred_1", 1)];
    let text = table::text(&conclude(&seen(&leases, &[], &[])));
    assert!(text.contains("?[31mred_1") && !text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn why_a_replica_says_nothing() {
    let unreached = "error trying to reach service: dial tcp 10.0.0.7:8080: connect: connection refused";
    for (code, reason, message, told) in [
        (403, "Forbidden", "pods \"x\" is forbidden", "you need `get` on pods/proxy in fairlead-system"),
        (404, "NotFound", "pods \"x\" not found", "no pod of this name"),
        (404, "Failed to parse error data", "", "the pod has no /statusz"),
        (503, "ServiceUnavailable", unreached, "the API server can't reach it: dial tcp 10.0.0.7:8080"),
        (500, "InternalError", "out of order", "out of order (500)"),
    ] {
        let status = kube::core::Status::failure(message, reason).with_code(code).boxed();
        let line = not_told("fairlead-system", &Unanswered::Refused(status));
        assert!(line.contains(told), "{line}");
    }
}

#[test]
fn without_leases_it_says_what_to_check() {
    let refused = || kube::core::Status::failure("", "Forbidden").with_code(403).boxed();
    let forbidden = not_listed("pods", "fairlead-system", &Unanswered::Refused(refused()));
    assert!(forbidden.starts_with("pods can't be listed: you need `list` on pods in fairlead-system"), "{forbidden}");
    for (pods, elsewhere, told) in [
        (Ok(vec![]), vec![], "no pod with the label app.kubernetes.io/name=fairlead is there either"),
        (Ok(vec![pod("fairlead-a", "Running")]), vec![], "1 pod is of Fairlead there: see the log of one"),
        (Ok(vec![]), vec!["ops".to_owned()], "there are some in ops: use --namespace"),
        (Err(forbidden), vec![], "pods can't be listed: you need"),
    ] {
        let mut seen = seen(&[], pods.as_deref().unwrap_or_default(), &[]);
        if let Err(why) = pods {
            seen.pods = Err(why);
        }
        let line = nothing(&seen, &elsewhere);
        assert!(line.starts_with("no Leases of Fairlead in the namespace fairlead-system; "), "{line}");
        assert!(line.contains(told), "{line}");
    }
}

#[test]
fn the_json_has_the_same() {
    let leases = [layout("1"), lease("fairlead-shard-0", "fairlead-a_1", 1)];
    let report = conclude(&seen(&leases, &[], &[("fairlead-a", statusz("fairlead-a_1", 1, &[0]))]));
    assert_eq!(
        serde_json::to_value(report).unwrap(),
        json!({
            "namespace": "fairlead-system", "readAt": NOW, "shardCount": 1,
            "shards": [{ "shard": 0, "state": "led", "holder": "fairlead-a_1", "draining": false,
                         "renewedSecondsAgo": 1.0, "ledForSeconds": 301.0, "objects": 10, "outstandingPermits": 2 }],
            "replicas": [{ "name": "fairlead-a", "identity": "fairlead-a_1", "role": "leader", "leads": [0],
                           "queueDepth": 3, "running": 1, "version": "0.1.0", "problem": null }],
            "notes": [],
        })
    );
}

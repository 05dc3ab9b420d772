//! `fairlead-harness demo`: the operator at work, step by step. Every step waits for what it shows
//! and fails where that does not happen in time, so that the demo is a test as well.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aws_sdk_sqs::types::QueueAttributeName::VisibilityTimeout;
use fairlead_harness::wait::eventually;

mod databases;
mod leaders;
mod screen;
mod sight;
mod stage;
mod table;

use screen::{Screen, command, output, say};
use stage::{NAMESPACE, SECONDS, Stage};
use table::{DATABASES, QUEUES, Row, Table};

/// How long a step may take on a slow machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// How many replicas run.
const REPLICAS: usize = 3;

/// A demo that was shown, and still runs. Dropped means stopped.
pub(crate) struct Demo {
    stage: Stage,
    table: Table,
    databases: Table,
    screen: Screen,
}

/// Shows all steps, and leaves everything running.
pub(crate) async fn show() -> Result<Demo> {
    let (demo, began) = perform().await?;
    say(&format!(
        "That was the demo, in {:.0} s. All of it still runs; Ctrl-C stops it.",
        began.elapsed().as_secs_f64()
    ));
    demo.invite()?;
    Ok(demo)
}

/// Shows all steps, and stops everything.
pub(crate) async fn once() -> Result<()> {
    let (demo, began) = perform().await?;
    demo.stop().await?;
    say(&format!("That was the demo, in {:.0} s. Everything is stopped.", began.elapsed().as_secs_f64()));
    Ok(())
}

async fn perform() -> Result<(Demo, Instant)> {
    let began = Instant::now();
    println!("Fairlead: SQS queues and databases as Kubernetes objects, on this machine alone.");
    println!("The control plane is real; SQS is an emulator (ministack), and RDS the fake of our tests.");
    let mut screen = Screen::default();
    let stage = set(&mut screen).await?;
    let table = Table::new(stage.cluster.admin_client().await?, QUEUES);
    let databases = Table::new(stage.cluster.admin_client().await?, DATABASES);
    let mut demo = Demo { stage, table, databases, screen };
    match demo.steps().await {
        Ok(()) => Ok((demo, began)),
        Err(error) => {
            let error = error.context(format!("step {} did not work", demo.screen.number()));
            Err(demo.stage.explain(error))
        }
    }
}

async fn set(screen: &mut Screen) -> Result<Stage> {
    screen.step("Start a Kubernetes control plane and an AWS emulator");
    let stage = Stage::start().await?;
    say(&format!("etcd, kube-apiserver, kube-controller-manager   {}", stage.cluster.server()));
    say(&format!("ministack                                       {}", stage.emulator.url()));
    say(&format!("a fake of RDS                                   {}", stage.databases.url()));
    Ok(stage)
}

impl Demo {
    async fn steps(&mut self) -> Result<()> {
        self.install().await?;
        self.run_operator().await?;
        self.apply_samples().await?;
        self.count_messages().await?;
        self.show_connection().await?;
        self.change_the_spec().await?;
        self.drift().await?;
        self.show_sight().await?;
        self.show_object().await?;
        self.lose_the_queue().await?;
        self.apply_database().await?;
        self.show_secret().await?;
        self.change_storage().await?;
        self.kill_the_leader().await?;
        self.stop_the_leader().await?;
        self.delete().await
    }

    async fn install(&mut self) -> Result<()> {
        self.screen.step("Install the kinds SQSQueue, RDSInstance and AWSAccount, and the operator's permissions");
        command("kubectl apply --server-side -f deploy/crds -f deploy/rbac.yaml");
        self.stage.install().await
    }

    async fn run_operator(&mut self) -> Result<()> {
        self.screen.step("Run the operator: three replicas, of which one leads");
        command(&format!(
            "RECONCILE_FREQUENCY_SECONDS={SECONDS} FAIRLEAD_COUNT_INTERVAL={SECONDS} FAIRLEAD_ALLOW_ADOPTION='default/*' \
             FAIRLEAD_ALLOW_OBSERVE='default/*' FAIRLEAD_NAMESPACE={NAMESPACE} fairlead run   # three times"
        ));
        self.stage.start_replicas(REPLICAS, DEADLINE).await?;
        say("They act as the ServiceAccount of deploy/rbac.yaml and have no other rights.");
        say("The first two settings make them look at every queue, and report message counts, once a second.");
        say("Without them that is every 30 and 60 s. The next two allow objects of `default` to adopt and observe.");
        let leader = self.stage.leader(None, DEADLINE).await?;
        self.show_lease().await?;
        say(&format!("{leader} leads. The other two stand by: they have every object in memory, and change nothing."));
        Ok(())
    }

    async fn apply_samples(&mut self) -> Result<()> {
        self.screen.step("Apply three queues: one, its dead-letter queue, and a FIFO queue");
        let files = ["queue", "dead-letter-queue", "fifo-queue"].map(|name| format!("samples/{name}.yaml"));
        let args: Vec<_> = files.iter().flat_map(|file| ["-f".to_owned(), self.stage.deploy(file)]).collect();
        let sample = std::fs::read_to_string(self.stage.deploy("samples/queue.yaml"))?;
        command("cat deploy/samples/queue.yaml");
        output(&sample);
        let typed: Vec<_> = files.iter().map(|file| format!("-f deploy/{file}")).collect();
        let args: Vec<_> = ["apply"].into_iter().chain(args.iter().map(String::as_str)).collect();
        output(&self.stage.kubectl(&format!("apply {}", typed.join(" ")), &args).await?);
        command("kubectl get sqs -w");
        let in_sync = |rows: &[Row]| rows.len() == 3 && rows.iter().all(Row::is_in_sync);
        self.table.until("all queues to be in sync", DEADLINE, in_sync).await?;
        Ok(())
    }

    async fn count_messages(&mut self) -> Result<()> {
        self.screen.step("Send messages, and receive some of them");
        let url = self.url().await?;
        command(&format!("aws sqs send-message --queue-url {url} --message-body 'order 1'   # and so on, to 5"));
        for number in 1..=5 {
            self.stage.sqs.send_message().queue_url(&url).message_body(format!("order {number}")).send().await?;
        }
        self.orders("5 messages to be counted", |orders| orders.messages() == Some(5)).await?;
        command(&format!("aws sqs receive-message --queue-url {url} --max-number-of-messages 2"));
        self.stage.sqs.receive_message().queue_url(&url).max_number_of_messages(2).send().await?;
        self.orders("3 messages to be counted", |orders| orders.messages() == Some(3)).await?;
        say("The other two are in flight: `kubectl get sqs -o wide` shows those as well.");
        Ok(())
    }

    async fn show_connection(&mut self) -> Result<()> {
        self.screen.step("What an application needs is in a ConfigMap, for envFrom");
        let map =
            self.stage.kubectl("get configmap orders -o yaml", &["get", "configmap", "orders", "-o", "yaml"]).await?;
        let data: Vec<_> =
            map.lines().skip_while(|line| *line != "data:").take_while(|line| *line != "kind: ConfigMap").collect();
        ensure!(data.iter().any(|line| line.contains("queueURL: http")), "the ConfigMap has no queueURL: {map}");
        output(&data.join("\n"));
        Ok(())
    }

    async fn change_the_spec(&mut self) -> Result<()> {
        self.screen.step("Change the spec");
        let patch = r#"{"spec":{"visibilityTimeout":120}}"#;
        let args = ["patch", "sqs", "orders", "--type", "merge", "-p", patch];
        output(&self.stage.kubectl(&format!("patch sqs orders --type merge -p '{patch}'"), &args).await?);
        let changed = |orders: &Row| orders.is_in_sync() && mentions(orders, "60 → 120");
        self.orders("the change to be applied", changed).await?;
        self.show_synced().await?;
        self.show_timeout("120").await
    }

    async fn drift(&mut self) -> Result<()> {
        self.screen.step("Somebody changes the queue behind the operator's back");
        let url = self.url().await?;
        command(&format!("aws sqs set-queue-attributes --queue-url {url} --attributes VisibilityTimeout=5"));
        self.stage.sqs.set_queue_attributes().queue_url(&url).attributes(VisibilityTimeout, "5").send().await?;
        let corrected = |orders: &Row| orders.is_in_sync() && mentions(orders, "5 → 120");
        self.orders("the drift to be corrected", corrected).await?;
        self.show_synced().await?;
        self.show_timeout("120").await?;
        self.show_event("DriftCorrected").await
    }

    async fn lose_the_queue(&mut self) -> Result<()> {
        self.screen.step("Somebody deletes the queue behind the operator's back");
        let url = self.url().await?;
        command(&format!("aws sqs delete-queue --queue-url {url}"));
        self.stage.sqs.delete_queue().queue_url(&url).send().await?;
        let again = |orders: &Row| orders.is_in_sync() && orders.messages() == Some(0);
        self.orders("the queue to be created again", again).await?;
        self.show_timeout("120").await?;
        self.show_event("Recreated").await?;
        say("Its messages are lost, of course; its name, attributes, tags and dead-letter queue are as before.");
        Ok(())
    }

    async fn delete(&mut self) -> Result<()> {
        self.screen.step("Delete the objects");
        let samples = self.stage.deploy("samples");
        output(&self.stage.kubectl("delete -f deploy/samples", &["delete", "-f", &samples, "--timeout=60s"]).await?);
        output(&self.stage.kubectl("delete sqs --all", &["delete", "sqs", "--all", "--timeout=60s"]).await?);
        command("aws sqs list-queues");
        let left = self.stage.sqs.list_queues().send().await?.queue_urls.unwrap_or_default();
        ensure!(left.is_empty(), "these queues are left in AWS: {left:?}");
        say("(none)");
        self.show_snapshot().await?;
        say("An object is gone only after its resource is: with `deletionPolicy: Retain` it stays.");
        println!();
        Ok(())
    }

    /// The queue `orders`, once it `fits`; what changes meanwhile is printed.
    async fn orders(&mut self, what: &str, fits: impl Fn(&Row) -> bool) -> Result<Row> {
        let orders = |row: &Row| row.name == "orders" && fits(row);
        let rows = self.table.until(what, DEADLINE, |rows| rows.iter().any(orders)).await?;
        rows.into_iter().find(|row| row.name == "orders").context("there is no queue orders")
    }

    async fn url(&mut self) -> Result<String> {
        let orders = self.orders("the queue's URL", |orders| orders.url().is_some()).await?;
        Ok(orders.url().unwrap_or_default().to_owned())
    }

    async fn show_synced(&self) -> Result<()> {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Synced")].message}"#;
        let typed = format!("get sqs orders -o '{path}'");
        output(&self.stage.kubectl(&typed, &["get", "sqs", "orders", "-o", path]).await?);
        Ok(())
    }

    /// What AWS itself says.
    async fn show_timeout(&mut self, expected: &str) -> Result<()> {
        let url = self.url().await?;
        command(&format!("aws sqs get-queue-attributes --queue-url {url} --attribute-names VisibilityTimeout"));
        let ask = self.stage.sqs.get_queue_attributes().queue_url(&url).attribute_names(VisibilityTimeout);
        let attributes = ask.send().await?.attributes.unwrap_or_default();
        let actual = attributes.get(&VisibilityTimeout).map_or("nothing", String::as_str);
        ensure!(actual == expected, "AWS has the visibility timeout {actual}, not {expected}");
        say(&format!("VisibilityTimeout: {actual}"));
        Ok(())
    }

    /// The event about the queue, once there is one of `reason`.
    async fn show_event(&self, reason: &str) -> Result<()> {
        command(&format!("kubectl events --for sqs/orders | grep {reason}"));
        let event = async || {
            let events = self.stage.cluster.kubectl(&["events", "--for", "sqs/orders"]).await;
            let events = events.map_err(|error| format!("{error:#}"))?;
            match events.lines().find(|line| line.contains(reason)) {
                Some(event) => Ok(event.to_owned()),
                None => Err(events),
            }
        };
        output(&eventually(&format!("an event {reason}"), DEADLINE, event).await?);
        Ok(())
    }

    /// Stops the replicas as Kubernetes would, and sees whether they end well.
    async fn stop(self) -> Result<()> {
        let replicas = &self.stage.replicas;
        replicas.iter().try_for_each(|replica| replica.operator.terminate())?;
        for replica in replicas {
            let code = replica.operator.exit_code(DEADLINE).await?;
            ensure!(code == 0, "{} ended with exit code {code}", replica.name);
        }
        Ok(())
    }

    fn invite(&self) -> Result<()> {
        println!("\nIn another terminal, in this directory:\n");
        for line in self.stage.environment()? {
            println!("  {line}");
        }
        println!("{TO_TRY}");
        self.introduce();
        Ok(())
    }
}

const TO_TRY: &str = r#"
Things to try:

  kubectl apply -f deploy/samples
  kubectl get sqs -w
  kubectl explain sqs.spec
  kubectl describe sqs orders
  kubectl patch sqs orders --type merge -p '{"spec":{"delaySeconds":901}}'                # refused
  kubectl annotate sqs orders aws.fairlead.dev/paused=true
  kubectl annotate sqs orders aws.fairlead.dev/paused-
  kubectl delete configmap orders                                                         # comes back
  kubectl get rds -w
  kubectl explain rds.spec
  kubectl delete secret shop                                                              # comes back, with the same password
  kubectl annotate rds shop aws.fairlead.dev/rotate-password=1                            # another password, in both Secrets
  fairlead explain sqsqueue/orders                                                        # one object on one screen
  fairlead plan -f deploy/samples                                                         # what applying it would change
  fairlead metrics                                                                        # what Prometheus sees
  fairlead orphans
  curl "$AWS_ENDPOINT_URL_RDS/?Action=DescribeDBInstances&Version=2014-10-31"             # or: aws rds describe-db-instances
  curl "$AWS_ENDPOINT_URL/?Action=ListQueues"                                             # or: aws --endpoint-url "$AWS_ENDPOINT_URL" sqs list-queues
  curl "$AWS_ENDPOINT_URL/000000000000/orders?Action=SendMessage&MessageBody=hello"
  curl "$AWS_ENDPOINT_URL/000000000000/orders?Action=DeleteQueue"                         # comes back
  curl "$AWS_ENDPOINT_URL/?Action=CreateQueue&QueueName=legacy"                           # then take it over:
  kubectl create -f - <<< '{"apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue", "metadata": {"name": "legacy"}, "spec": {"adoption": "Adopt"}}'
  kubectl -n fairlead-system get leases                                                   # who leads
  fairlead status                                                                         # the same, and more in a cluster

Kill one, and see what follows (a replica that ends is replaced):
"#;

fn mentions(orders: &Row, change: &str) -> bool {
    orders.says("Synced").is_some_and(|message| message.contains(change))
}

//! The lines of the catalogue, by what they tell of. A kind's own total is in its folder.
#![allow(missing_docs, reason = "the help of each line says what it is")]

use super::catalog::Metric;

/// From a fast call to one that times out.
const CALL: &[f64] = &[0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// From at once to a poll interval and more.
const WAIT: &[f64] = &[0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0];
/// As few as tell enough of each of a hundred flows.
const FLOW: &[f64] = &[0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];
/// From a queue to a large database.
const READY: &[f64] =
    &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0];

const NONE: &[&str] = &[];
const CONTROLLER: &[&str] = &["controller"];
const KIND: &[&str] = &["kind"];
const NAME: &[&str] = &["name"];
const FLOW_LABELS: &[&str] = &["account", "region", "service"];
const LANE_LABELS: &[&str] = &["account", "region", "service", "priority"];
/// What `name` is in the metrics of the queue.
const QUEUE: &str = "`name` is `fairlead`";
/// What processes without `/proc` do not show.
const PROC: &str = "Absent where `/proc` can't be read";
const TRACED: &str = "Only where traces are on";
const PRIORITIES: &str = "`priority` is `change`, `progress`, `poll` or `startup`";

pub static RECONCILES: Metric =
    Metric::counter("controller_runtime_reconcile_total", &["controller", "result"], "Reconciles by result")
        .note("`result` is `success`, `requeue`, `requeue_after` or `error`. 0 from the start");
pub static RECONCILE_ERRORS: Metric =
    Metric::counter("controller_runtime_reconcile_errors_total", CONTROLLER, "Reconciles that failed")
        .note("0 from the start");
pub static RECONCILE_TIME: Metric =
    Metric::times("controller_runtime_reconcile_time_seconds", CALL, CONTROLLER, "How long reconciles take")
        .note("Where traces are on, buckets have exemplars with a `trace_id`");
pub static ACTIVE_WORKERS: Metric =
    Metric::gauge("controller_runtime_active_workers", CONTROLLER, "Reconciles and sweeps that run");
pub static MAX_WORKERS: Metric =
    Metric::gauge("controller_runtime_max_concurrent_reconciles", CONTROLLER, "How many reconciles may run at once")
        .note("All kinds together: `FAIRLEAD_CONCURRENCY`");
pub static FAILURES: Metric =
    Metric::counter("fairlead_reconcile_failures_total", &["kind", "reason"], "Reconciles that failed, by reason")
        .note(
            "`reason` is that of the object's condition, from a fixed set: `AccessDenied`, `AWSError`, `InvalidSpec` and \
             so on; `Conflict` where somebody else wrote the object at the same time. Waiting for another object, or for \
             a resource to appear, is no failure",
        );

pub static QUEUE_DEPTH: Metric = Metric::gauge("workqueue_depth", NAME, "Keys that are due and do not run").note(QUEUE);
pub static QUEUE_ADDS: Metric =
    Metric::counter("workqueue_adds_total", NAME, "How often a key was asked for").note(QUEUE);
pub static QUEUE_RETRIES: Metric =
    Metric::counter("workqueue_retries_total", NAME, "How often a key was put back after a failure").note(QUEUE);
pub static QUEUE_WAITED: Metric = Metric::times(
    "workqueue_queue_duration_seconds",
    WAIT,
    &["name", "priority"],
    "How long keys were due before they ran",
)
.note(QUEUE);
pub static QUEUE_WORKED: Metric =
    Metric::times("workqueue_work_duration_seconds", CALL, NAME, "How long keys ran").note(QUEUE);
pub static QUEUE_UNFINISHED: Metric =
    Metric::gauge("workqueue_unfinished_work_seconds", NAME, "How long what runs has run, added up")
        .of("seconds")
        .note(QUEUE);
pub static QUEUE_LONGEST: Metric =
    Metric::gauge("workqueue_longest_running_processor_seconds", NAME, "How long the longest run has run")
        .of("seconds")
        .note(QUEUE);

pub static FLOW_RUNNING: Metric = Metric::gauge("fairlead_flow_running", FLOW_LABELS, "Keys of the flow that run");
pub static FLOW_READY: Metric =
    Metric::gauge("fairlead_flow_ready", LANE_LABELS, "Keys of the flow that are due").note(PRIORITIES);
pub static FLOW_OLDEST: Metric = Metric::gauge(
    "fairlead_flow_oldest_seconds",
    LANE_LABELS,
    "For how long the key of the flow that has been due longest has been due",
)
.of("seconds")
.note("0 where none is");
pub static FLOW_WAIT: Metric = Metric::times(
    "fairlead_flow_wait_seconds",
    FLOW,
    LANE_LABELS,
    "How long keys of the flow were due before they ran",
);
pub static FLOW_WORK: Metric =
    Metric::times("fairlead_flow_work_seconds", FLOW, FLOW_LABELS, "How long keys of the flow ran");
pub static FLOW_RATE: Metric =
    Metric::gauge("fairlead_flow_rate", FLOW_LABELS, "Calls a second that the flow may make").of("calls/second");
pub static FLOW_CEILING: Metric =
    Metric::gauge("fairlead_flow_rate_ceiling", FLOW_LABELS, "Calls a second that the flow may make at most")
        .of("calls/second");
pub static FLOW_OPEN: Metric =
    Metric::gauge("fairlead_flow_circuit_open", FLOW_LABELS, "1 while AWS does not answer in the flow");
pub static FLOW_OPENINGS: Metric =
    Metric::counter("fairlead_flow_circuit_openings_total", FLOW_LABELS, "How often AWS ceased to answer in the flow")
        .note("0 from the flow's first run on");
pub static FLOW_STRETCH: Metric =
    Metric::gauge("fairlead_flow_poll_stretch", FLOW_LABELS, "By how much polls are stretched to fit the ceiling")
        .of("factor");
pub static FLOW_THROTTLES: Metric = Metric::counter(
    "fairlead_flow_throttles_total",
    FLOW_LABELS,
    "Calls in the flow that AWS throttled, or asked to pause after",
)
.note("0 from the flow's first run on");

pub static CALLS: Metric = Metric::counter(
    "fairlead_aws_calls_total",
    &["service", "operation", "region", "outcome"],
    "Calls to AWS by outcome",
)
.note(
    "`outcome` is `ok`, or the class of the error: `throttle`, `denied`, `credentials`, `no_answer`, `server_error`, \
     `rejected`, `conflict`, `not_found`, `dependency`, `later`",
);
pub static CALL_TIME: Metric = Metric::times(
    "fairlead_aws_call_duration_seconds",
    CALL,
    &["service", "operation", "region"],
    "How long calls to AWS take",
);

pub static KUBE_REQUESTS: Metric = Metric::counter(
    "rest_client_requests_total",
    &["code", "method", "host"],
    "Requests to the API server by the answer's HTTP code",
)
.note("`code` is `<error>` where there was no answer. Those for Leases and for watches count");
pub static KUBE_TIME: Metric = Metric::times(
    "rest_client_request_duration_seconds",
    CALL,
    &["verb", "host"],
    "How long the API server takes until its answer begins",
)
.note("Without watches");
pub static WATCH_AGE: Metric = Metric::gauge(
    "fairlead_watch_age_seconds",
    &["resource", "namespace"],
    "How long ago the API server last granted the watch",
)
.of("seconds")
.note("A watch asks anew at least every 45 s; an answer that is an error does not count. `namespace` is empty for all; there is a series for each of `FAIRLEAD_WATCH_NAMESPACES`");

pub static LEADER: Metric =
    Metric::gauge("leader_election_master_status", NAME, "1 where this replica leads the shard of the Lease")
        .note("`name` is the Lease's: `fairlead-shard-0` and so on");
pub static SHARDS: Metric =
    Metric::gauge("fairlead_shards", NONE, "Shards that objects are divided into").note("`FAIRLEAD_SHARDS`");
pub static SHARDS_LED: Metric = Metric::gauge("fairlead_shards_led", NONE, "Shards that this replica leads");
pub static TURNS: Metric =
    Metric::counter("fairlead_shard_transitions_total", &["shard", "reason"], "Leaderships that began or ended")
        .note("`reason` is `acquired` or `expired-taken`, `released` or `lost`");
pub static HANDOVER: Metric = Metric::times(
    "fairlead_handover_seconds",
    CALL,
    NONE,
    "From seeing that a Lease is free or has expired to holding it",
);
pub static LEASE_AGE: Metric =
    Metric::gauge("fairlead_lease_age_seconds", NAME, "How long ago, as seen here, the shard's Lease was last written")
        .of("seconds")
        .note("Its holder renews it every `FAIRLEAD_LEASE_RENEW_INTERVAL`. None before it was first seen");
pub static LEASE_WRITTEN: Metric =
    Metric::times("fairlead_lease_write_seconds", CALL, NONE, "How long writes to Leases take");
pub static PERMITS_GRANTED: Metric =
    Metric::counter("fairlead_permits_granted_total", NONE, "Reconciles that began with a permit");
pub static PERMITS_OUT: Metric = Metric::gauge("fairlead_permits_outstanding", NONE, "Permits that are out");
pub static PERMITS_REFUSED: Metric = Metric::counter(
    "fairlead_permits_refused_total",
    NONE,
    "Reconciles and calls that did not begin since the leadership had run out",
);
pub static PERMITS_CUT_OFF: Metric =
    Metric::counter("fairlead_permits_cut_off_total", NONE, "Calls that were cut off when the leadership ran out");

pub static OBJECTS: Metric =
    Metric::gauge("fairlead_objects", &["kind", "ready"], "Objects by kind, and whether their condition Ready is true")
        .note("`ready` is `false`, too, while an object is being deleted");
pub static OBJECTS_BY_CONDITION: Metric = Metric::gauge(
    "fairlead_objects_by_condition",
    &["kind", "condition", "status"],
    "Objects by what a condition says",
)
.note(
    "`condition` is `Ready`, `Synced`, `Reconciling` or `Stalled`; `status` is `True`, `False`, `Unknown` or \
             `absent`",
);
pub static UNREADY_OLDEST: Metric = Metric::gauge(
    "fairlead_object_unready_oldest_seconds",
    KIND,
    "For how long the object that has been not Ready longest has been so",
)
.of("seconds")
.note(
    "0 where none is. Objects that are paused or only observe do not count, nor does one whose resource was stopped by \
     somebody (Ready is False and Synced is True)",
);
pub static TIME_TO_READY: Metric =
    Metric::times("fairlead_time_to_ready_seconds", READY, KIND, "From an object's creation to its first Ready").note(
        "Once for each object: where its status says that it was never Ready before. Creation times are whole seconds, so \
         that a value is up to 1 s too high. An object that was paused or Stalled before it was Ready, as far as it was \
         looked at meanwhile, does not count: it waited for people. One that waited for another object does, all of that \
         time. An object whose status was lost counts again; one that was not Ready yet under a version of Fairlead that \
         did not measure this does not count. 0 from the start for each kind",
    );
pub static DRIFT: Metric = Metric::counter(
    "fairlead_drift_corrections_total",
    &["kind", "field"],
    "Fields that were changed outside of Fairlead, and corrected",
)
.note("`field` is a field of the spec; all tags are `tags`");
pub static MESSAGES: Metric = Metric::gauge(
    "fairlead_sqs_messages",
    &["namespace", "name", "state"],
    "Messages of a queue, as last seen",
)
.note(
    "Off by default: `FAIRLEAD_MESSAGE_METRICS` is how many queues a replica shows at most, each with three series. They \
     are those that it saw first; one that is deleted, gone, or led by another replica from then on makes room for the \
     next that is looked at. `state` is `visible`, `in_flight` or `delayed`",
);

pub static SWEEPS: Metric = Metric::counter(
    "fairlead_sweeps_total",
    &["kind", "result"],
    "Looks at many resources with one call",
)
.note(
    "`result` is `ok` or the class of the error, as in `fairlead_aws_calls_total`, or `circuit_open` where nothing was \
         called",
);
pub static SWEEP_TIME: Metric = Metric::times("fairlead_sweep_duration_seconds", CALL, KIND, "How long sweeps take");
pub static SWEEP_OBJECTS: Metric =
    Metric::counter("fairlead_sweep_objects_total", KIND, "Resources that sweeps were to see, added up");

pub static SPANS_EXPORTED: Metric =
    Metric::counter("fairlead_spans_exported_total", NONE, "Spans that the collector took");
pub static SPANS_DROPPED: Metric = Metric::counter("fairlead_spans_dropped_total", &["reason"], "Spans that were lost")
    .note("`reason` is `queue_full`, `export_failed` or `rejected`");
pub static SPAN_QUEUE: Metric =
    Metric::gauge("fairlead_span_queue", NONE, "Spans that wait for their export").note(TRACED);
pub static SPAN_QUEUE_CAPACITY: Metric =
    Metric::gauge("fairlead_span_queue_capacity", NONE, "How many spans may wait for their export").note(TRACED);

pub static BUILD_INFO: Metric =
    Metric::gauge("fairlead_build_info", &["version"], "The version that runs").note("Always 1");
pub static CPU: Metric =
    Metric::counter("process_cpu_seconds_total", NONE, "Time on the CPU, of the user and of the system")
        .of("seconds")
        .note(PROC);
pub static RESIDENT: Metric =
    Metric::gauge("process_resident_memory_bytes", NONE, "Resident memory").of("bytes").note(PROC);
pub static VIRTUAL: Metric =
    Metric::gauge("process_virtual_memory_bytes", NONE, "Virtual memory").of("bytes").note(PROC);
pub static OPEN_FDS: Metric = Metric::gauge("process_open_fds", NONE, "Open file descriptors").note(PROC);
pub static MAX_FDS: Metric = Metric::gauge("process_max_fds", NONE, "How many file descriptors may be open")
    .note("Absent where there is no limit, or `/proc` can't be read");
pub static STARTED: Metric =
    Metric::gauge("process_start_time_seconds", NONE, "When the process started, since 1970").of("seconds").note(PROC);
pub static THREADS: Metric = Metric::gauge("process_threads", NONE, "Threads of the process").note(PROC);
pub static WORKERS: Metric = Metric::gauge("tokio_workers", NONE, "Threads that run the process's tasks")
    .note("Leases are kept on a thread beside them");
pub static TASKS: Metric = Metric::gauge("tokio_alive_tasks", NONE, "Tasks that have not ended");
pub static GLOBAL_QUEUE: Metric =
    Metric::gauge("tokio_global_queue_depth", NONE, "Tasks that wait in the queue that all workers share");
pub static BUSY: Metric =
    Metric::counter("tokio_worker_busy_seconds_total", NONE, "For how long workers were busy, added up").of("seconds");

/// All of them.
pub(super) static ALL: &[&Metric] = &[
    &RECONCILES,
    &RECONCILE_ERRORS,
    &RECONCILE_TIME,
    &ACTIVE_WORKERS,
    &MAX_WORKERS,
    &FAILURES,
    &QUEUE_DEPTH,
    &QUEUE_ADDS,
    &QUEUE_RETRIES,
    &QUEUE_WAITED,
    &QUEUE_WORKED,
    &QUEUE_UNFINISHED,
    &QUEUE_LONGEST,
    &FLOW_RUNNING,
    &FLOW_READY,
    &FLOW_OLDEST,
    &FLOW_WAIT,
    &FLOW_WORK,
    &FLOW_RATE,
    &FLOW_CEILING,
    &FLOW_OPEN,
    &FLOW_OPENINGS,
    &FLOW_STRETCH,
    &FLOW_THROTTLES,
    &CALLS,
    &CALL_TIME,
    &KUBE_REQUESTS,
    &KUBE_TIME,
    &WATCH_AGE,
    &LEADER,
    &SHARDS,
    &SHARDS_LED,
    &TURNS,
    &HANDOVER,
    &LEASE_AGE,
    &LEASE_WRITTEN,
    &PERMITS_GRANTED,
    &PERMITS_OUT,
    &PERMITS_REFUSED,
    &PERMITS_CUT_OFF,
    &OBJECTS,
    &OBJECTS_BY_CONDITION,
    &UNREADY_OLDEST,
    &TIME_TO_READY,
    &DRIFT,
    &MESSAGES,
    &SWEEPS,
    &SWEEP_TIME,
    &SWEEP_OBJECTS,
    &SPANS_EXPORTED,
    &SPANS_DROPPED,
    &SPAN_QUEUE,
    &SPAN_QUEUE_CAPACITY,
    &BUILD_INFO,
    &CPU,
    &RESIDENT,
    &VIRTUAL,
    &OPEN_FDS,
    &MAX_FDS,
    &STARTED,
    &THREADS,
    &WORKERS,
    &TASKS,
    &GLOBAL_QUEUE,
    &BUSY,
];

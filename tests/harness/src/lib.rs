//! What Fairlead's tests and demo run on; development only, never shipped.
//!
//! | Module | What it gives |
//! |---|---|
//! | [`tools`] | the pinned programs, built or installed once into a cache |
//! | [`cluster`] | a real Kubernetes control plane on loopback |
//! | [`emulator`] | AWS emulators |
//! | [`fake_aws`] | a fast fake of AWS: its own clock, limits, troubles, old reads, and a log of every call |
//! | [`aws_proxy`] | a proxy before an emulator: a log of every call, and faults |
//! | [`operator`] | `fairlead run` as a child process |
//! | [`otlp`] | a collector of traces, good or bad |
//! | [`process`] | child processes that never outlive the run |
//! | [`postgres`] | a PostgreSQL server, and psql to ask it by a connection URL |
//! | [`prometheus`] | a Prometheus that scrapes operators and judges rules, and promtool |
//! | [`replicas`] | several operators, each cut off from the rest at will; who held which Lease, and who changed what |
//! | [`site`] | many queues on the fake, for load tests and benchmarks |
//! | [`sqs`] | AWS clients that share nothing with the operator's |
//! | [`tcp_proxy`] | a proxy for any TCP connection: refuses, swallows, freezes, delays, cuts |
//! | [`conditions`] | what an object's status says |
//! | [`kstatus`] | what kubectl-side tools make of an object |
//! | [`wait`] | polling with a deadline and a reason |

mod aws_http;
pub mod aws_proxy;
pub mod cluster;
pub mod conditions;
pub mod emulator;
pub mod fake_aws;
mod http;
pub mod kstatus;
pub mod operator;
pub mod otlp;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod replicas;
mod run;
pub mod site;
pub mod sqs;
pub mod tcp_proxy;
pub mod tools;
pub mod wait;

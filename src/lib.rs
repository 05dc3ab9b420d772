//! Fairlead, a Kubernetes operator that manages AWS resources from custom resources.
//!
//! A change travels: watch event → store → queue → reconcile → AWS and Kubernetes writes → status,
//! ConfigMap, event → next due time. Where things are:
//!
//! - [`cli`]: the subcommands; [`settings`]: every variable; [`app`]: the wiring of `fairlead run`
//! - [`accounts`]: which AWS account an object is of, and what it allows
//! - [`engine`]: the reconcile that every kind shares; [`kinds`]: a folder a kind
//! - [`queue`]: what runs when; [`shard`]: who may act
//! - [`aws`]: clients, calls, errors, names, tags; [`crd`]: the API's common part
//! - [`telemetry`]: logs and health

pub mod accounts;
pub mod app;
pub mod aws;
pub mod cli;
pub mod crd;
pub mod engine;
pub mod kinds;
pub mod queue;
pub mod settings;
pub mod shard;
pub mod telemetry;

//! The reconcile that every kind shares. A kind says what it wants and how it calls AWS
//! ([`kind::Kind`]); all else is here.
//!
//! Deciding, without client, clock or random source:
//! - [`lifecycle`]: what is to be done with an object, and whose its resource is
//! - [`identity`]: what its resource is
//! - [`status`]: the conditions and the status that follow from what was done
//! - [`faults`]: what an error means for conditions and for the next attempt
//! - [`memory`]: what a replica remembers of an object between two reconciles
//! - `shown`: objects as Prometheus sees them; `counts`: what a reconcile tells the metrics
//!
//! Doing:
//! - [`controller`]: the watches of a kind, and which event asks for a reconcile
//! - [`reconcile`]: the steps, in order; [`converge`]: those that bring a resource in line;
//!   [`dispose`]: those of a deletion; [`subject`]: what they know of their object
//! - [`preview`]: the same steps, without doing anything
//! - [`watch`]: one watch, for ever; `vanished`: objects that are gone without having been let go
//! - [`last`]: what is kept of the last reconciles, and told of an object
//! - [`leadership`]: what follows from leading a shard; [`api_server`]: the client, replaced where it is dead
//! - [`objects`]: reading and writing objects; [`publish`]: connection ConfigMaps; [`events`]

pub mod api_server;
pub mod controller;
pub mod converge;
mod counts;
pub mod credentials;
pub mod dispose;
pub mod events;
pub mod faults;
pub mod identity;
pub mod kind;
pub mod last;
pub mod leadership;
pub mod lifecycle;
pub mod memory;
pub mod objects;
pub mod owned;
pub mod password;
pub mod preview;
pub mod publish;
pub mod reconcile;
pub mod secrets;
pub(crate) mod shown;
pub mod status;
pub mod subject;
pub mod sweep;
pub mod traced;
mod vanished;
pub mod watch;

//! AWS accounts: which one an object's resource is in, and what is known of it.
//!
//! The process's own credentials are one account; every `AWSAccount` object is one more, by a role
//! that these credentials assume. Only administrators write AWSAccounts: they are cluster-scoped.
//!
//! - [`api`]: the API of an `AWSAccount`
//! - [`choice`]: which account an object is of. Pure
//! - [`account`]: one account, and what it allows. Pure
//! - [`entry`]: what is known of one AWSAccount. Pure
//! - [`registry`]: what is known of every account, and which objects use it
//! - [`report`]: what an AWSAccount's status says. Pure
//! - [`controller`]: the watch of AWSAccounts, and who attends to each

pub mod account;
pub mod api;
pub mod choice;
pub mod controller;
pub(crate) mod entry;
pub mod registry;
pub mod report;

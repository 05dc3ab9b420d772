//! The API as the real API server takes it: every range, enumeration, pattern and rule of the CRDs'
//! schemas, accepted and refused with its message, and what kubectl shows.
//!
//! - [`cases`]: the kinds, and the helper that asks the API server
//! - [`common`]: the fields of every kind
//! - [`numbers`], [`words`], [`rules`], [`transitions`]: those of an SQSQueue
//! - [`rds`]: those of an RDSInstance
//! - [`accounts`]: those of an AWSAccount
//! - [`objects`], [`kubectl`], [`manifest`], [`coverage`]: what holds for every kind

mod accounts;
mod cases;
mod common;
mod coverage;
mod kubectl;
mod manifest;
mod numbers;
mod objects;
mod rds;
mod rules;
mod transitions;
mod words;

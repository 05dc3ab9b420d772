//! End to end: a real API server, AWS emulators over HTTP, and the operator as a process of its own.

mod account_steps;
mod accounts;
mod adoption;
mod appliers;
mod attributes;
mod conditions;
mod connection;
mod crashes;
mod dead_letter;
mod deletion;
mod errors;
mod lifecycle;
mod management;
mod messages;
mod metrics;
mod moto;
mod names;
mod ownership;
mod policies;
mod regions;
mod scene;
mod vanished;
mod world;
mod young_queues;

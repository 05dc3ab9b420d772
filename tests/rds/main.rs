//! Databases, end to end: a real API server, a fake of RDS with a clock that can be set (and the emulators),
//! and the operator as a process of its own.

mod batches;
mod canary;
mod crashes;
mod credentials;
mod deletion;
mod emulators;
mod fields;
mod gone;
mod hand;
mod life;
mod orphans;
mod postgres;
mod secrets;
mod steps;
mod storage;
mod versions;
mod world;

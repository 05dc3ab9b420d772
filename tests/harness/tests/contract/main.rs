//! The fake answers as AWS documents it, and the emulators say the same or are known not to.

mod checks;
mod databases;
mod fake;
mod instance_changes;
mod instance_checks;
mod instances;
mod queues;
mod target;

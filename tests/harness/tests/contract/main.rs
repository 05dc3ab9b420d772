//! The fake answers as AWS documents it, and the emulators say the same or are known not to.

mod checks;
mod fake;
mod queues;
mod target;

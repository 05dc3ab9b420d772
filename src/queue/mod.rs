//! What runs when. Deciding is pure and told the time; the dispatcher alone runs things.
//!
//! - [`flow`]: flows, priorities, and what a run costs
//! - [`scheduler`]: every key's entry, and which one runs next: fair between flows, by priority in one
//!   ([`scheduler::view`]: how one key stands)
//! - [`flows`]: what the scheduler keeps of each flow, and whose turn it is
//! - [`lanes`]: the ready keys of one flow, by priority
//! - [`slots`]: how many may run at once
//! - [`limiter`]: how fast a flow may call AWS, as AWS's throttles teach
//! - [`circuit`]: whether a flow is called at all, while AWS does not answer
//! - [`spread`]: when polls are due, so that they never come as a herd
//! - [`backoff`]: how long a key that fails waits
//! - [`token`]: what a run holds to call AWS with, and how calls are charged
//! - [`dispatcher`]: runs what is due; `shown` says what there is to read of it

pub mod backoff;
pub mod circuit;
pub mod dispatcher;
pub mod flow;
pub mod flows;
pub mod lanes;
pub mod limiter;
pub mod scheduler;
mod shown;
pub mod slots;
pub mod spread;
pub mod token;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod throttle_tests;

//! The work queue: one entry an object, its priority and due time, and who runs next.
//!
//! - [`scheduler`]: which entry runs when. Pure: state in, time in, decisions out
//! - [`dispatcher`]: the task that runs what is due, at most so many at once

pub mod dispatcher;
pub mod scheduler;

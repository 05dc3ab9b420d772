//! What the process says of itself: logs, and the health endpoint.

pub mod health;
pub mod logs;

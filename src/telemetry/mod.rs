//! What the process says of itself: logs, metrics, and the endpoints that serve them.

pub mod endpoint;
pub mod health;
pub mod logs;
pub mod metrics;
pub mod object_status;
pub mod pulse;
pub mod statusz;
pub mod thinned;
pub mod traces;

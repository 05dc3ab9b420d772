//! What the proxy and the fake share of AWS over HTTP.
//!
//! | Module | What it gives |
//! |---|---|
//! | [`request`] | what a request asks for, in either protocol |
//! | [`answer`] | AWS's answers in either protocol, errors above all |
//! | [`faults`] | what is to go wrong, by operation and occurrence |
//! | [`log`] | every call |

pub(crate) mod answer;
pub(crate) mod faults;
pub(crate) mod log;
pub(crate) mod request;

pub use faults::{Effect, Fault};
pub use log::Call;

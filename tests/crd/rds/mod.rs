//! What an RDSInstance takes and refuses.

pub mod rules;
pub mod transitions;
pub mod values;

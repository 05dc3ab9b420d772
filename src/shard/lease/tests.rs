//! The rules of the step, one by one.

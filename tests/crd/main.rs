//! The API as the real API server takes it: every range, enumeration, pattern and rule of the
//! SQSQueue's and the AWSAccount's schema, accepted and refused with its message, and what kubectl shows.

mod accounts;
mod cases;
mod coverage;
mod kubectl;
mod manifest;
mod numbers;
mod objects;
mod rules;
mod transitions;
mod words;

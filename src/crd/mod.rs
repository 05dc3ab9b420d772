//! What every kind's API has in common: the shared parts of spec and status, the names of
//! annotations and finalizer, and the finishing touches of the generated CRDs.
//!
//! - [`spec`]: the fields that every kind's spec begins with
//! - [`status`]: the fields that every kind's status begins with, and its conditions
//! - [`generate`]: a derived CRD made complete (rules, columns' defaults, annotations), as YAML

pub mod generate;
pub mod spec;
pub mod status;

/// The API group of all kinds.
pub const GROUP: &str = "aws.fairlead.dev";
/// The API version of all kinds.
pub const VERSION: &str = "v1alpha1";
/// The finalizer that Fairlead puts on an object before it creates anything in AWS for it.
pub const FINALIZER: &str = "aws.fairlead.dev/finalizer";
/// Annotation: `"true"` pauses an object, a deletion included.
pub const PAUSED: &str = "aws.fairlead.dev/paused";
/// Annotation: a changed value asks for a reconcile now, as a changed spec would.
pub const RECONCILE_AT: &str = "aws.fairlead.dev/reconcile-at";
/// Annotation: how many seconds lie between two looks at the resource of this object while it is in sync.
pub const POLL_INTERVAL: &str = "aws.fairlead.dev/poll-interval-seconds";
/// The annotation of an event with the id of the trace in which it happened.
pub const TRACE_ID: &str = "aws.fairlead.dev/trace-id";
/// Annotation: the identity of the object's resource, as JSON. Fairlead's own.
pub const IDENTITY: &str = "aws.fairlead.dev/identity";
/// Annotation: the object's own uid lets a resource be created again that is gone for good, once.
pub const RECREATE: &str = "aws.fairlead.dev/recreate";
/// Annotation: a changed value asks for a new generated password.
pub const ROTATE_PASSWORD: &str = "aws.fairlead.dev/rotate-password";
/// Annotation on the Secret of a generated password: `Kind/name` of the object that it belongs to.
pub const PASSWORD_OF: &str = "aws.fairlead.dev/password-of";
/// Annotation on a published ConfigMap or Secret: `Kind/name` of the object that it belongs to.
pub const CONNECTION_OF: &str = "aws.fairlead.dev/connection-of";
/// Label on what is published, so that one narrow watch sees all ConfigMaps.
pub const CONNECTION_LABEL: &str = "aws.fairlead.dev/connection";

//! Everything that is AWS and no kind's own: clients, the one way to call, errors, names, tags.
//!
//! - [`call`]: the choke point that every AWS call goes through
//! - [`clients`]: clients by session and region, made on demand; [`pool`]: how they are kept
//! - [`session`]: with whose credentials a call is made
//! - [`account`]: whose the process's own credentials are, and whether AWS answers
//! - [`errors`]: what went wrong, and what class of wrong it is
//! - [`identity`]: partitions, ARNs, and what a resource is
//! - [`tags`]: the owner tags, and what they say about whose a resource is

pub mod account;
pub mod call;
pub mod clients;
pub mod errors;
pub mod identity;
pub mod pool;
pub mod session;
pub mod tags;
pub mod wire;

/// An AWS service, by the prefix of its IAM actions and ARNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Service(pub &'static str);

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

//! Which replica may act. One replica runs, so its permit is granted for the process's life.

pub mod assignment;

/// Proof that this replica may change things, in AWS and in Kubernetes. Every mutating call takes
/// one; only [`Permits`] makes them.
#[derive(Debug)]
pub struct Permit {
    _private: (),
}

/// Grants permits to this replica.
#[derive(Debug, Default)]
pub struct Permits;

impl Permits {
    /// A permit for one reconcile.
    pub fn grant(&self) -> Permit {
        Permit { _private: () }
    }
}

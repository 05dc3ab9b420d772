//! What goes wrong, told once.

use std::collections::BTreeMap;

use tracing::{info, warn};

/// What goes wrong with the Leases, told once until it is over or another thing is wrong.
#[derive(Default)]
pub(super) struct Troubles(BTreeMap<&'static str, String>);

impl Troubles {
    pub(super) fn tell(&mut self, what: &'static str, error: &impl std::fmt::Display) {
        let error = error.to_string();
        if self.0.get(what) != Some(&error) {
            warn!(what, %error, "trouble with the Leases");
            self.0.insert(what, error);
        }
    }

    pub(super) fn over(&mut self, what: &'static str) {
        if self.0.remove(what).is_some() {
            info!(what, "no trouble with the Leases any more");
        }
    }
}

//! Metrics for Prometheus. Names are controller-runtime's and client-go's where those have one, so that
//! existing dashboards fit; ours begin with `fairlead_`. No label holds the name of an object, but where that is
//! asked for, and what tenants may write into a spec makes no series without bound.
//!
//! - [`catalog`]: what a metric is, and how the catalogue is printed; [`table`]: its lines
//! - [`Metrics`]: what is told when something happens ([`recording`](self)); [`Reading`]: what is read when
//!   Prometheus asks
//! - [`process`]: the process and its runtime

mod bounds;
pub mod catalog;
mod messages;
pub mod process;
mod reading;
mod recording;
mod series;
pub mod table;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{encoding::text::encode, registry::Registry};

pub(crate) use self::recording::QUEUE;
pub use self::{
    reading::Reading,
    recording::{Active, KubeRequest},
    series::Value,
};
use self::{reading::Sources, recording::Recorders};

/// All metrics of the process.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Mutex<Registry>,
    sources: Sources,
    recorders: Recorders,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let recorders = Recorders::new(&mut registry);
        let sources = Sources::default();
        registry.register_collector(Box::new(sources.clone()));
        let messages = recorders.messages.clone();
        sources.add(Box::new(move || messages.readings()));
        let version = [env!("CARGO_PKG_VERSION").into()];
        sources.add(Box::new(move || vec![Reading::new(&table::BUILD_INFO, version.clone(), 1.0)]));
        Self(Arc::new(Inner { registry: Mutex::new(registry), sources, recorders }))
    }
}

impl Metrics {
    /// Adds what is read when Prometheus asks.
    pub fn read(&self, readings: impl Fn() -> Vec<Reading> + Send + Sync + 'static) {
        self.0.sources.add(Box::new(readings));
    }

    /// All metrics, as OpenMetrics text.
    ///
    /// # Errors
    /// Where they can't be written, which would be a bug.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

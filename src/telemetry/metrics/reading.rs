//! What is read when Prometheus asks.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, LabelSetEncoder},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::{
    catalog::{Form, Metric},
    series::{Value, write_labels},
};

/// A value that was read.
#[derive(Clone, Debug)]
pub struct Reading {
    of: &'static Metric,
    labels: Vec<Value>,
    value: f64,
}

impl Reading {
    /// Of a gauge, or of a counter that somebody else keeps; the values of its labels are in the order of the
    /// catalogue.
    pub fn new<const N: usize>(of: &'static Metric, labels: [Value; N], value: f64) -> Self {
        Self { of, labels: labels.into(), value }
    }

    /// The same of a number of things.
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn count<const N: usize>(of: &'static Metric, labels: [Value; N], count: usize) -> Self {
        Self::new(of, labels, count as f64)
    }
}

#[cfg(test)]
impl Reading {
    /// The metric's name, the values of its labels and the value.
    pub(crate) fn parts(&self) -> (&'static str, Vec<&str>, f64) {
        (self.of.name, self.labels.iter().map(Value::as_str).collect(), self.value)
    }
}

impl EncodeLabelSet for Reading {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        write_labels(self.of, &self.labels, encoder)
    }
}

type Source = Box<dyn Fn() -> Vec<Reading> + Send + Sync>;

/// Those who are asked.
#[derive(Clone, Default)]
pub(super) struct Sources(Arc<Mutex<Vec<Source>>>);

impl Sources {
    pub(super) fn add(&self, source: Source) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut readings: Vec<_> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().flat_map(|source| source()).collect();
        // All of one name stand together, whoever has read them.
        readings.sort_by_key(|reading| reading.of.name);
        for same in readings.chunk_by(|a, b| a.of.name == b.of.name) {
            let Some(Reading { of, .. }) = same.first() else { continue };
            let (help, counts) = (format!("{}.", of.help), of.form == Form::Counter);
            let form = if counts { MetricType::Counter } else { MetricType::Gauge };
            let mut encoder = encoder.encode_descriptor(of.stem(), &help, None, form)?;
            for reading in same {
                let encoder = encoder.encode_family(reading)?;
                match counts {
                    true => ConstCounter::new(reading.value).encode(encoder)?,
                    false => ConstGauge::new(reading.value).encode(encoder)?,
                }
            }
        }
        Ok(())
    }
}

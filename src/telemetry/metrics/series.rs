//! Series with labels: what is written into when something happens. Names, labels, buckets and help are those
//! of the catalogue.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use prometheus_client::{
    encoding::{EncodeLabel as _, EncodeLabelSet, EncodeMetric, LabelSetEncoder},
    metrics::{
        TypedMetric,
        counter::Counter,
        exemplar::HistogramWithExemplars,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Metric as Registered, Registry},
};

use super::catalog::{Form, Metric};

/// A label's value.
#[derive(Clone, Debug)]
pub enum Value {
    /// One of a fixed set.
    Fixed(&'static str),
    /// Any other.
    Shared(Arc<str>),
}

impl Value {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

/// The values of a metric's labels, in its order.
#[derive(Clone, Debug)]
pub(super) struct Labels<const N: usize> {
    of: &'static Metric,
    values: [Value; N],
}

impl<const N: usize> PartialEq for Labels<N> {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl<const N: usize> Eq for Labels<N> {}

impl<const N: usize> Hash for Labels<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.values.hash(state);
    }
}

impl<const N: usize> EncodeLabelSet for Labels<N> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        write_labels(self.of, &self.values, encoder)
    }
}

/// Writes the labels of a series.
pub(super) fn write_labels(of: &Metric, values: &[Value], encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
    of.labels.iter().zip(values).try_for_each(|(name, value)| (*name, value.as_str()).encode(encoder.encode_label()))
}

/// The trace that an exemplar points to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Trace(pub(super) String);

impl EncodeLabelSet for Trace {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        ("trace_id", self.0.as_str()).encode(encoder.encode_label())
    }
}

/// Makes series of a metric.
#[derive(Clone, Copy)]
pub(super) struct Maker(&'static Metric);

impl Maker {
    fn buckets(self) -> impl Iterator<Item = f64> {
        match self.0.form {
            Form::Histogram(buckets) => buckets.iter().copied(),
            Form::Counter | Form::Gauge => [].iter().copied(),
        }
    }
}

impl MetricConstructor<Counter> for Maker {
    fn new_metric(&self) -> Counter {
        Counter::default()
    }
}

impl MetricConstructor<Gauge> for Maker {
    fn new_metric(&self) -> Gauge {
        Gauge::default()
    }
}

impl MetricConstructor<Histogram> for Maker {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.buckets())
    }
}

impl MetricConstructor<HistogramWithExemplars<Trace>> for Maker {
    fn new_metric(&self) -> HistogramWithExemplars<Trace> {
        HistogramWithExemplars::new(self.buckets())
    }
}

/// All series of a metric, by the values of its `N` labels.
pub(super) struct Group<M, const N: usize> {
    of: &'static Metric,
    family: Family<Labels<N>, M, Maker>,
}

impl<M, const N: usize> Group<M, N>
where
    M: TypedMetric + EncodeMetric + Clone + fmt::Debug + Send + Sync + 'static,
    Maker: MetricConstructor<M>,
{
    /// No series yet.
    pub(super) fn new(registry: &mut Registry, of: &'static Metric) -> Self {
        let family = Family::new_with_constructor(Maker(of));
        register(registry, of, family.clone());
        Self { of, family }
    }

    /// The series with these values, which is there from now on.
    pub(super) fn at(&self, values: [Value; N]) -> M {
        self.family.get_or_create_owned(&Labels { of: self.of, values })
    }
}

/// The one series of a metric without labels.
pub(super) fn single<M>(registry: &mut Registry, of: &'static Metric) -> M
where
    M: TypedMetric + EncodeMetric + Clone + fmt::Debug + Send + Sync + 'static,
    Maker: MetricConstructor<M>,
{
    let metric: M = Maker(of).new_metric();
    register(registry, of, metric.clone());
    metric
}

fn register(registry: &mut Registry, of: &'static Metric, metric: impl Registered) {
    registry.register(of.stem(), of.help, metric);
}

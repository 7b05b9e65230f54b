//! Figures in the OpenMetrics format.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Labels of the reconcile counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// `success` or `error`.
    pub result: &'static str,
}

/// All figures, and what the health endpoints judge by.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    reconciles: Family<ResultLabel, Counter>,
    seconds: Histogram,
    lateness: Histogram,
    active: Gauge,
    collected: Counter,
    warnings: Counter,
    started: Mutex<std::collections::BTreeMap<u64, Instant>>,
    next: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("developerspace");
        let metrics = Self {
            registry: Mutex::default(),
            reconciles: Family::default(),
            seconds: Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0]),
            lateness: Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 60.0, 3_600.0]),
            active: Gauge::default(),
            collected: Counter::default(),
            warnings: Counter::default(),
            started: Mutex::default(),
            next: AtomicU64::default(),
        };
        registry.register("reconciles", "Reconciles of DeveloperSpaces, by result", metrics.reconciles.clone());
        registry.register("reconcile_seconds", "How long a reconcile takes", metrics.seconds.clone());
        registry.register("expiry_lateness_seconds", "Between a space's expiry and the DELETE of its namespace", metrics.lateness.clone());
        registry.register("active_workers", "Reconciles under way", metrics.active.clone());
        registry.register("namespaces_collected", "Namespaces deleted because their time was up", metrics.collected.clone());
        registry.register("expiry_warnings", "Warnings of a coming expiry", metrics.warnings.clone());
        *metrics.registry.lock().unwrap_or_else(PoisonError::into_inner) = registry;
        metrics
    }
}

impl Metrics {
    /// The text that a scrape gets.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }

    /// A reconcile begins; it ends when the guard goes.
    pub fn begin(&self) -> Running<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let since = Instant::now();
        self.started.lock().unwrap_or_else(PoisonError::into_inner).insert(number, since);
        self.active.inc();
        Running { metrics: self, number, since }
    }

    /// How long the oldest reconcile has been under way.
    pub fn oldest_reconcile(&self) -> Option<Duration> {
        let started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.values().min().map(Instant::elapsed)
    }

    /// A reconcile ended.
    pub fn count(&self, result: &'static str) {
        self.reconciles.get_or_create(&ResultLabel { result }).inc();
    }

    /// The namespace of an expired space was deleted, so long after its expiry.
    pub fn collected(&self, lateness: chrono::TimeDelta) {
        self.collected.inc();
        self.lateness.observe(lateness.as_seconds_f64());
    }

    /// A warning was given.
    pub fn warned(&self) {
        self.warnings.inc();
    }
}

/// A reconcile under way.
#[derive(Debug)]
pub struct Running<'a> {
    metrics: &'a Metrics,
    number: u64,
    since: Instant,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.metrics.active.dec();
        self.metrics.seconds.observe(self.since.elapsed().as_secs_f64());
        self.metrics.started.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

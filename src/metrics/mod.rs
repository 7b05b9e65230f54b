//! The metrics, in the OpenMetrics format.

mod noncompliant;

use std::{
    sync::{Mutex, atomic::AtomicU64},
    time::Instant,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use self::noncompliant::Noncompliant;
use crate::{lock::IgnorePoison, runtime::watchdog::Ages};

/// Labels of the reconcile counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ResultLabel {
    /// `success` or `error`.
    pub result: &'static str,
}

/// Labels of the request counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    /// `GET`, `POST`, `PUT`, `PATCH`, `DELETE`.
    pub method: String,
    /// The HTTP status.
    pub code: u16,
}

/// Labels of the counter of requests without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct MethodLabel {
    /// `GET`, `POST`, `PUT`, `PATCH`, `DELETE`.
    pub method: String,
}

type Seconds = Gauge<f64, AtomicU64>;

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    /// The spaces that do not comply with a rule.
    pub noncompliant: Noncompliant,
    registry: Mutex<Registry>,
    reconciles: Family<ResultLabel, Counter>,
    requests: Family<RequestLabels, Counter>,
    seconds: Histogram,
    lateness: Histogram,
    active: Gauge,
    collected: Counter,
    warnings: Counter,
    braked: Counter,
    failures: Family<MethodLabel, Counter>,
    failing: Gauge,
    failing_classes: Gauge,
    silence: Seconds,
    oldest_watch: Seconds,
    last_reconcile: Seconds,
    overdue: Seconds,
    orphans: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("developerspace");
        let metrics = Self {
            noncompliant: Noncompliant::default(),
            registry: Mutex::default(),
            reconciles: Family::default(),
            requests: Family::default(),
            seconds: Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0]),
            lateness: Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 60.0, 3_600.0]),
            active: Gauge::default(),
            collected: Counter::default(),
            warnings: Counter::default(),
            braked: Counter::default(),
            failures: Family::default(),
            failing: Gauge::default(),
            failing_classes: Gauge::default(),
            silence: Seconds::default(),
            oldest_watch: Seconds::default(),
            last_reconcile: Seconds::default(),
            overdue: Seconds::default(),
            orphans: Gauge::default(),
        };
        metrics.register_with(&mut registry);
        *metrics.registry.lock().ignore_poison() = registry;
        metrics
    }
}

impl Metrics {
    fn register_with(&self, registry: &mut Registry) {
        registry.register("reconciles", "Reconciles of DeveloperSpaces, by result", self.reconciles.clone());
        registry.register(
            "api_requests",
            "Requests that the API server answered, by method and status",
            self.requests.clone(),
        );
        registry.register("reconcile_seconds", "Duration of reconciles", self.seconds.clone());
        registry.register(
            "expiry_lateness_seconds",
            "Time between an expiry and the DELETE of its namespace",
            self.lateness.clone(),
        );
        registry.register("active_workers", "Reconciles in progress", self.active.clone());
        registry.register(
            "namespaces_collected",
            "Namespaces deleted because their DeveloperSpace expired",
            self.collected.clone(),
        );
        registry.register("expiry_warnings", "Warnings before an expiry", self.warnings.clone());
        registry.register(
            "looks_braked",
            "Reconciles delayed because of frequent writes for the DeveloperSpace",
            self.braked.clone(),
        );
        registry.register(
            "api_failures",
            "Requests that the API server did not answer, by method",
            self.failures.clone(),
        );
        registry.register(
            "failing_spaces",
            "DeveloperSpaces whose last reconcile failed with an error that persists",
            self.failing.clone(),
        );
        registry.register(
            "failing_classes",
            "SpaceClasses whose last validation failed with an error that persists",
            self.failing_classes.clone(),
        );
        registry.register(
            "api_silence_seconds",
            "Time since the last response of the API server",
            self.silence.clone(),
        );
        registry.register("oldest_watch_seconds", "Age of the oldest watch", self.oldest_watch.clone());
        registry.register(
            "last_reconcile_age_seconds",
            "Time since the last reconcile ended",
            self.last_reconcile.clone(),
        );
        registry.register(
            "expiry_overdue_seconds",
            "Time for which the oldest expiry has been overdue",
            self.overdue.clone(),
        );
        registry.register(
            "orphan_namespaces",
            "Namespaces that were created for a DeveloperSpace that no longer exists",
            self.orphans.clone(),
        );
        registry.register(
            "noncompliant_spaces",
            "DeveloperSpaces that violate a rule by which a new one would be refused, by rule",
            self.noncompliant.gauge.clone(),
        );
    }

    /// Returns the text for a scrape.
    pub fn render(&self) -> String {
        self.noncompliant.count();
        let mut text = String::new();
        let registry = self.registry.lock().ignore_poison();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }

    /// Records the start of a reconcile, which ends when the guard is dropped.
    pub fn begin(&self) -> ActiveReconcile<'_> {
        self.active.inc();
        ActiveReconcile { metrics: self, since: Instant::now() }
    }

    /// Sets the gauges of ages.
    pub(crate) fn set_ages(&self, ages: &Ages) {
        let Ages {
            silence,
            heard: _,
            oldest_watch,
            last_reconcile,
            oldest_reconcile: _,
            overdue,
            unprocessed: _,
            failing,
            process,
        } = ages;
        self.silence.set(silence.as_secs_f64());
        // The age of an event that never occurred is that of the process: a zero would look healthy.
        self.oldest_watch.set(oldest_watch.as_ref().map_or(*process, |(_, age)| *age).as_secs_f64());
        self.last_reconcile.set(last_reconcile.unwrap_or(*process).as_secs_f64());
        self.failing.set(i64::try_from(*failing).unwrap_or(i64::MAX));
        self.overdue.set(overdue.as_secs_f64());
    }

    /// Sets the number of classes that are not validated because of an error that lasts.
    pub fn set_failing_classes(&self, number: usize) {
        self.failing_classes.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Sets the number of namespaces that were created for a space that no longer exists.
    pub(crate) fn set_orphans(&self, number: usize) {
        self.orphans.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Counts a reconcile that ended.
    pub fn count(&self, result: &'static str) {
        self.reconciles.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts a response of the API server.
    pub fn answered(&self, method: &str, code: u16) {
        self.requests.get_or_create(&RequestLabels { method: method.to_owned(), code }).inc();
    }

    /// Counts a request that the API server did not answer.
    pub fn unanswered(&self, method: &str) {
        self.failures.get_or_create(&MethodLabel { method: method.to_owned() }).inc();
    }

    /// Counts a reconcile that was deferred because of many recent writes for the space.
    pub(crate) fn braked(&self) {
        self.braked.inc();
    }

    /// Counts the deletion of the namespace of an expired space, and observes the time since the expiry.
    pub fn collected(&self, lateness: chrono::TimeDelta) {
        self.collected.inc();
        self.lateness.observe(lateness.as_seconds_f64());
    }

    /// Counts a warning.
    pub fn warned(&self) {
        self.warnings.inc();
    }
}

/// A reconcile under way.
#[derive(Debug)]
pub struct ActiveReconcile<'a> {
    metrics: &'a Metrics,
    since: Instant,
}

impl Drop for ActiveReconcile<'_> {
    fn drop(&mut self) {
        self.metrics.active.dec();
        self.metrics.seconds.observe(self.since.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn says(metrics: &Metrics, line: &str) -> bool {
        metrics.render().lines().any(|rendered| rendered == line)
    }

    #[test]
    fn what_never_was_is_as_old_as_the_process() {
        let (metrics, seconds) = (Metrics::default(), Duration::from_secs);
        metrics.set_ages(&Ages { process: seconds(90), silence: seconds(80), ..Ages::default() });
        for line in [
            "developerspace_oldest_watch_seconds 90.0",
            "developerspace_last_reconcile_age_seconds 90.0",
            "developerspace_api_silence_seconds 80.0",
        ] {
            assert!(says(&metrics, line), "{line} is not in {}", metrics.render());
        }
        let watch = Some(("/api/v1/namespaces".to_owned(), seconds(7)));
        metrics.set_ages(&Ages {
            process: seconds(95),
            oldest_watch: watch,
            last_reconcile: Some(seconds(3)),
            ..Ages::default()
        });
        for line in ["developerspace_oldest_watch_seconds 7.0", "developerspace_last_reconcile_age_seconds 3.0"] {
            assert!(says(&metrics, line), "{line} is not in {}", metrics.render());
        }
    }
}

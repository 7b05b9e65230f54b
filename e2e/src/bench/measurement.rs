//! Owns measurements: the measured values, the values to compare them with, and their bounds.

use serde::{Deserialize, Serialize};

/// Repeated measurements of the same quantity.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    /// The median.
    pub fn median(&self) -> f64 {
        self.quantile(50)
    }

    /// The sample at the given percentile.
    pub fn quantile(&self, hundredths: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let place = (sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1));
        sorted.get(place).copied().unwrap_or(f64::NAN)
    }

    /// Each sample divided by the sample of the same run in `other`.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect())
    }

    /// Appends the samples of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Formats the samples as `median (least to most)`.
    pub fn line(&self) -> String {
        match self.0.len() {
            0 => "-".to_owned(),
            1 => short(self.0[0]),
            _ => format!("{} ({} to {})", short(self.median()), short(self.quantile(0)), short(self.quantile(100))),
        }
    }
}

impl From<Vec<f64>> for Samples {
    fn from(all: Vec<f64>) -> Self {
        Self(all)
    }
}

impl From<f64> for Samples {
    fn from(one: f64) -> Self {
        Self(vec![one])
    }
}

/// Formats a value with about three significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 || small == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// A bound on a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Bound {
    /// At least this value.
    AtLeast(f64),
    /// At most this value.
    AtMost(f64),
}

impl Bound {
    /// Returns true if `value` is within the bound.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    /// The bound as text for the table.
    pub fn line(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("\u{2265} {bound}"),
            Self::AtMost(bound) => format!("\u{2264} {bound}"),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// `B1` to `B8`.
    pub id: String,
    /// The measured quantity, and its unit.
    pub what: String,
    /// The samples of the operator.
    #[serde(rename = "ours")]
    pub operator: Samples,
    /// The samples of a client that makes the same calls and decides nothing, and of others.
    #[serde(rename = "beside")]
    pub others: Vec<(String, Samples)>,
    /// The samples that the bounds apply to: the operator's over those of the first other contestant, or the operator's
    /// alone.
    #[serde(rename = "judged")]
    pub checked: Samples,
    /// The bound that the measurement must meet.
    #[serde(rename = "least")]
    pub required: Option<Bound>,
    /// The bound that the measurement should meet.
    pub aim: Option<Bound>,
}

impl Measurement {
    /// A measurement of the operator and the raw client. The bounds apply to their ratio.
    pub fn ratio(id: &str, what: &str, operator: Samples, raw: Samples) -> Self {
        let checked = operator.over(&raw);
        Self { checked, ..Self::alone(id, what, operator).and("raw client", raw) }
    }

    /// A measurement of the operator alone.
    pub fn alone(id: &str, what: &str, operator: Samples) -> Self {
        let (id, what) = (id.to_owned(), what.to_owned());
        Self { id, what, checked: operator.clone(), operator, others: vec![], required: None, aim: None }
    }

    /// Adds the samples of another contestant.
    #[must_use]
    pub fn and(mut self, who: &str, samples: Samples) -> Self {
        self.others.push((who.to_owned(), samples));
        self
    }

    /// Sets the required bound and the aim.
    #[must_use]
    pub fn with_bounds(self, required: Bound, aim: Bound) -> Self {
        Self { required: Some(required), aim: Some(aim), ..self }
    }

    /// Sets the required bound and the aim if there were `enough` spaces for them.
    #[must_use]
    pub fn with_bounds_if(self, enough: bool, required: Bound, aim: Bound) -> Self {
        if enough { self.with_bounds(required, aim) } else { self }
    }

    /// Returns true if the measurement meets its required bound, or has none.
    pub fn holds(&self) -> bool {
        self.required.is_none_or(|bound| bound.holds(self.checked.median()))
    }
}

/// A distribution, one line for each contestant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// The ID of the measurement that it belongs to.
    pub id: String,
    /// The measured quantity, and its unit.
    pub what: String,
    /// The name and all samples of each contestant.
    pub lines: Vec<(String, Samples)>,
}

impl Curve {
    /// A distribution with the given lines.
    pub fn new(id: &str, what: &str, lines: &[(&str, &Samples)]) -> Self {
        let lines = lines.iter().map(|(who, samples)| ((*who).to_owned(), (*samples).clone())).collect();
        Self { id: id.to_owned(), what: what.to_owned(), lines }
    }
}

/// The results of one part of the benchmark.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BenchmarkResults {
    /// The lines of the table.
    #[serde(rename = "figures")]
    pub measurements: Vec<Measurement>,
    /// The distributions to draw.
    pub curves: Vec<Curve>,
    /// The measurements that failed, with their errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

impl BenchmarkResults {
    /// Adds the results of another part.
    pub fn add(&mut self, other: Self) {
        let Self { measurements, curves, failures } = other;
        self.measurements.extend(measurements);
        self.curves.extend(curves);
        self.failures.extend(failures);
    }

    /// Adds the results of another part or, if it failed, its error: a failure does not discard the results of the
    /// other parts.
    pub fn add_or_record_failure(&mut self, part: &str, other: anyhow::Result<Self>) {
        match other {
            Ok(other) => self.add(other),
            Err(error) => self.failures.push(format!("{part}: {error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_median_and_the_spread() {
        let samples = Samples(vec![3.0, 1.0, 2.0]);
        assert_eq!(samples.line(), "2.00 (1.00 to 3.00)");
        assert_eq!(Samples::default().line(), "-");
        assert_eq!(Samples::from(1234.5).line(), "1234");
    }

    #[test]
    fn a_ratio_is_computed_for_each_run() {
        let measurement = Measurement::ratio("B1", "spaces/s", Samples(vec![8.0, 18.0]), Samples(vec![10.0, 20.0]));
        assert_eq!(measurement.checked.0, [0.8, 0.9]);
        assert!(measurement.clone().with_bounds(Bound::AtLeast(0.9), Bound::AtLeast(0.95)).holds());
        assert!(!measurement.with_bounds(Bound::AtMost(0.8), Bound::AtMost(0.5)).holds());
    }
}

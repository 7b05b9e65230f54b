//! Owns B8: rate and latency in an empty, a half full and a full cluster, each compared with the raw client on an
//! equally full cluster.

use anyhow::Result;

use super::{
    contestants::Contestants,
    environment::names,
    latency,
    measurement::{BenchmarkResults, Bound, Curve, Measurement, Samples},
    onboarding::{rate_on, raw_rate_on},
};

/// The number of spaces that the raw client creates concurrently: its best in B1.
pub const RAW_CLIENT_CONCURRENCY: usize = 32;

/// The samples, one level of fullness after another.
#[derive(Default)]
pub struct Invariance {
    /// The number of existing spaces of each level.
    existing: Vec<usize>,
    rates: Pairs,
    latencies: Pairs,
}

/// The samples of the operator and of the raw client for each level, round by round.
#[derive(Default)]
struct Pairs(Vec<(Samples, Samples)>);

/// The work at each level.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// The number of rounds.
    pub count: usize,
    /// The number of spaces that are created at once in each round.
    pub spaces_at_once: usize,
    /// The number of spaces that are created one after another in each round.
    pub sequential_spaces: usize,
}

impl Invariance {
    /// Measures with `existing` existing spaces. The contestants take turns, so that a machine that is slower for a
    /// while is slower for both.
    pub async fn measure(&mut self, contestants: Contestants<'_>, existing: usize, rounds: Rounds) -> Result<()> {
        let Contestants { operator_environment, raw_environment, raw_client } = contestants;
        let (mut rates, mut latencies) =
            ((Samples::default(), Samples::default()), (Samples::default(), Samples::default()));
        for round in 1..=rounds.count {
            let prefix = format!("with-{existing}-{round}");
            let raw_names = names(&prefix, rounds.spaces_at_once);
            rates.1.extend(raw_rate_on(raw_environment, raw_client, &raw_names, RAW_CLIENT_CONCURRENCY).await?.into());
            raw_environment.until_idle().await?;
            rates.0.extend(rate_on(operator_environment, &prefix, rounds.spaces_at_once).await?.into());
            operator_environment.until_idle().await?;
            let (operator, raw) =
                latency::alternate(contestants, &format!("alone-{prefix}"), rounds.sequential_spaces).await?;
            latencies.0.extend(operator);
            latencies.1.extend(raw);
        }
        self.existing.push(existing);
        self.rates.0.push(rates);
        self.latencies.0.push(latencies);
        Ok(())
    }

    /// The resulting measurements and curve.
    pub fn results(self, is_full_scale: bool) -> BenchmarkResults {
        let Self { existing, rates, latencies } = self;
        if existing.is_empty() {
            return BenchmarkResults::default();
        }
        let lines: Vec<(String, Samples)> = existing
            .iter()
            .zip(&latencies.0)
            .flat_map(|(existing, (operator, raw))| {
                [
                    (format!("{existing} there"), operator.clone()),
                    (format!("{existing} there, raw client"), raw.clone()),
                ]
            })
            .collect();
        let lines: Vec<(&str, &Samples)> = lines.iter().map(|(who, samples)| (who.as_str(), samples)).collect();
        let existing = existing.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let rate = rates.measurement(&format!("spaces/s with {existing} there; change of the share"), f64::min);
        let latency = latencies
            .measurement(&format!("apply to Ready with {existing} there, median ms; change of the share"), f64::max);
        let measurements = vec![
            rate.with_bounds_if(is_full_scale, Bound::AtLeast(0.9), Bound::AtLeast(1.0)),
            latency.with_bounds_if(is_full_scale, Bound::AtMost(1.1), Bound::AtMost(1.0)),
        ];
        BenchmarkResults {
            measurements,
            curves: vec![Curve::new("B8", "from apply to Ready, ms", &lines)],
            ..BenchmarkResults::default()
        }
    }
}

impl Pairs {
    /// The medians of each level. The bound applies to the change of the operator's share of the raw client's median
    /// since the first level: a fuller cluster is slower for any client.
    fn measurement(&self, what: &str, worst: fn(f64, f64) -> f64) -> Measurement {
        let (operator, raw) = self.0.iter().map(|(operator, raw)| (operator.median(), raw.median())).unzip();
        let measurement = Measurement::ratio("B8", what, Samples(operator), Samples(raw));
        let shares = &measurement.checked.0;
        let changes = shares.iter().skip(1).map(|share| share / shares[0]);
        Measurement { checked: changes.reduce(worst).into_iter().collect::<Vec<f64>>().into(), ..measurement }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_applies_to_the_worst_change_of_the_share() {
        let pair = |operator: f64, raw: f64| (Samples::from(operator), Samples::from(raw));
        let pairs = Pairs(vec![pair(8.0, 10.0), pair(6.0, 10.0), pair(5.0, 5.0)]);
        assert_eq!(pairs.measurement("spaces/s", f64::min).checked.0, [0.6 / 0.8]);
        assert_eq!(pairs.measurement("ms", f64::max).checked.0, [1.0 / 0.8]);
    }
}

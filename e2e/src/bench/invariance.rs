//! B8: rate and latency with no spaces, with half of the crowd, and with all of it, each compared with the raw client on an equally full cluster.

use anyhow::Result;

use super::{
    environment::{Stage, names},
    latency,
    measurement::{Bound, Curve, Figure, Measured, Samples},
    onboarding::{rate_on, raw_rate_on},
    raw_client::Recipe,
};

/// The number of spaces that the raw client creates concurrently: its best in B1.
pub const MANY: usize = 32;

/// The measurements, one level of fullness after another.
#[derive(Default)]
pub struct Flat {
    there: Vec<usize>,
    rates: Pairs,
    latencies: Pairs,
}

/// The samples of the operator and of the raw client for each level, round by round.
#[derive(Default)]
struct Pairs(Vec<(Samples, Samples)>);

impl Flat {
    /// Measures with `there` existing spaces, in `rounds` rounds of `some` spaces at once and `alone` spaces one by one. The contestants take turns,
    /// so that a machine that is slower for a while is slower for both.
    pub async fn measure(
        &mut self,
        (stage, bare): (&Stage, &Stage),
        recipe: &Recipe,
        there: usize,
        (rounds, some, alone): (usize, usize, usize),
    ) -> Result<()> {
        let (mut rates, mut latencies) = ((Samples::default(), Samples::default()), (Samples::default(), Samples::default()));
        for round in 1..=rounds {
            let prefix = format!("with-{there}-{round}");
            rates.1.extend(raw_rate_on(bare, recipe, &names(&prefix, some), MANY).await?.into());
            bare.settle().await?;
            rates.0.extend(rate_on(stage, &prefix, some).await?.into());
            stage.settle().await?;
            let (ours, raw) = latency::in_turn((stage, bare), recipe, &format!("alone-{prefix}"), alone).await?;
            latencies.0.extend(ours);
            latencies.1.extend(raw);
        }
        self.there.push(there);
        self.rates.0.push(rates);
        self.latencies.0.push(latencies);
        Ok(())
    }

    /// The resulting figures and curve.
    pub fn told(self, is_crowded: bool) -> Measured {
        let Self { there, rates, latencies } = self;
        if there.is_empty() {
            return Measured::default();
        }
        let lines: Vec<(String, Samples)> = there
            .iter()
            .zip(&latencies.0)
            .flat_map(|(there, (ours, raw))| {
                [(format!("{there} there"), ours.clone()), (format!("{there} there, raw client"), raw.clone())]
            })
            .collect();
        let lines: Vec<(&str, &Samples)> = lines.iter().map(|(who, taken)| (who.as_str(), taken)).collect();
        let there = there.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let rate = rates.figure(&format!("spaces/s with {there} there; change of the share"), f64::min);
        let latency = latencies.figure(&format!("apply to Ready with {there} there, median ms; change of the share"), f64::max);
        let figures = vec![
            rate.should_with(is_crowded, Bound::AtLeast(0.9), Bound::AtLeast(1.0)),
            latency.should_with(is_crowded, Bound::AtMost(1.1), Bound::AtMost(1.0)),
        ];
        Measured { figures, curves: vec![Curve::new("B8", "from apply to Ready, ms", &lines)], ..Measured::default() }
    }
}

impl Pairs {
    /// The medians of each level. The bound applies to the change of the operator's share of the raw client's median since the first level: a fuller
    /// cluster is slower for any client.
    fn figure(&self, what: &str, worst: fn(f64, f64) -> f64) -> Figure {
        let (ours, raw) = self.0.iter().map(|(ours, raw)| (ours.median(), raw.median())).unzip();
        let figure = Figure::ratio("B8", what, Samples(ours), Samples(raw));
        let shares = &figure.judged.0;
        let changes = shares.iter().skip(1).map(|share| share / shares[0]);
        Figure { judged: changes.reduce(worst).into_iter().collect::<Vec<f64>>().into(), ..figure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_change_of_the_share_is_judged() {
        let of = |ours: f64, raw: f64| (Samples::from(ours), Samples::from(raw));
        let pairs = Pairs(vec![of(8.0, 10.0), of(6.0, 10.0), of(5.0, 5.0)]);
        assert_eq!(pairs.figure("spaces/s", f64::min).judged.0, [0.6 / 0.8]);
        assert_eq!(pairs.figure("ms", f64::max).judged.0, [1.0 / 0.8]);
    }
}

//! The number of spaces that do not comply with each rule, as of the last reconcile of each space.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
};

use crate::{desired::noncompliance::Rule, lock::IgnorePoison};

/// Labels of the gauge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RuleLabel {
    rule: &'static str,
}

/// The spaces that do not comply, and the gauge that counts them.
#[derive(Debug, Default)]
pub struct Noncompliant {
    pub(super) gauge: Family<RuleLabel, Gauge>,
    spaces: Mutex<HashMap<u64, Vec<Rule>>>,
}

impl Noncompliant {
    /// Records the rules that the space of that key does not comply with.
    pub fn record(&self, space: u64, broken: Vec<Rule>) {
        if broken.is_empty() {
            self.lock().remove(&space);
        } else {
            self.lock().insert(space, broken);
        }
    }

    /// Forgets the spaces that were not in a list.
    pub(crate) fn retain(&self, listed: &HashSet<u64>) {
        self.lock().retain(|space, _| listed.contains(space));
    }

    /// Sets the gauge for each rule, zeros included.
    pub(super) fn count(&self) {
        let spaces = self.lock();
        for rule in Rule::ALL {
            let number = spaces.values().filter(|broken| broken.contains(&rule)).count();
            self.gauge.get_or_create(&RuleLabel { rule: rule.as_str() }).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Vec<Rule>>> {
        self.spaces.lock().ignore_poison()
    }
}

#[cfg(test)]
mod tests {
    use crate::{desired::noncompliance::Rule, metrics::Metrics};

    fn said(metrics: &Metrics) -> Vec<String> {
        let text = metrics.render();
        let lines = text.lines().filter(|line| line.starts_with("developerspace_noncompliant_spaces{"));
        let mut lines: Vec<String> = lines.map(|line| line.replace("developerspace_noncompliant_spaces", "")).collect();
        lines.sort();
        lines
    }

    fn counts([contact, name, never, protected, retain, size]: [u32; 6]) -> Vec<String> {
        let rules = [
            ("contact", contact),
            ("name", name),
            ("never", never),
            ("protected", protected),
            ("retain", retain),
            ("size", size),
        ];
        rules.map(|(rule, number)| format!("{{rule=\"{rule}\"}} {number}")).to_vec()
    }

    #[test]
    fn a_space_counts_for_each_rule_that_it_broke_at_its_last_reconcile() {
        let metrics = Metrics::default();
        assert_eq!(said(&metrics), counts([0; 6]));
        metrics.noncompliant.record(1, vec![Rule::Protected, Rule::Contact]);
        metrics.noncompliant.record(2, vec![Rule::Contact, Rule::Name, Rule::Never, Rule::Retain, Rule::Size]);
        assert_eq!(said(&metrics), counts([2, 1, 1, 1, 1, 1]));
        metrics.noncompliant.record(1, vec![Rule::Protected]);
        assert_eq!(said(&metrics), counts([1, 1, 1, 1, 1, 1]));
        metrics.noncompliant.record(2, vec![]);
        metrics.noncompliant.record(3, vec![Rule::Size]);
        metrics.noncompliant.retain(&[1].into());
        assert_eq!(said(&metrics), counts([0, 0, 0, 1, 0, 0]));
    }
}

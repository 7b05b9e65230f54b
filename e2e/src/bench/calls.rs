//! Owns B2: the requests of the operator to the API server, as its audit log records them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};

use super::{
    environment::{Environment, names},
    measurement::{BenchmarkResults, Bound, Measurement, Samples},
    options::BenchmarkOptions,
    progress::BenchmarkProgress,
    raw_client::RawClient,
};
use crate::{
    audit::{Audit, AuditEntry},
    operator,
};

/// The time after a restart within which all spaces have been reconciled.
const START_TIME: Duration = Duration::from_secs(15);

/// Measures B2.
#[allow(clippy::cast_precision_loss, reason = "counts of calls are small")]
pub async fn measure(
    options: &BenchmarkOptions,
    raw_client: &RawClient,
    progress: &BenchmarkProgress,
) -> Result<BenchmarkResults> {
    let count = options.spaces_at_once() / 10;
    progress.step(&format!("B2: calls for {count} spaces, at rest and after a restart"));
    let mut environment = Environment::with_operator().await?;
    let calls = calls_during(&environment, environment.create_ready_spaces(&names("counted", count))).await?;
    let quiet = calls_at_rest(&environment, options.idle_time()).await?;
    let (counted, logged) = writes_counted(&environment).await?;
    environment.stop_operator().await?;
    let mut audit = environment.cluster.audit_from_now()?;
    environment.start_operator().await?;
    tokio::time::sleep(START_TIME).await;
    let restart = Calls::from_entries(&audit.read()?);
    let each = |calls: usize| Samples::from(calls as f64 / count as f64);
    let floor = Samples::from(raw_client.write_count() as f64);
    let must_be_zero = |measurement: Measurement| measurement.with_bounds(Bound::AtMost(0.0), Bound::AtMost(0.0));
    let measurements = vec![
        Measurement::ratio(
            "B2",
            "writes for each space at its creation, Events apart",
            each(calls.writes.values().sum()),
            floor,
        )
        .with_bounds(Bound::AtMost(1.0), Bound::AtMost(1.0)),
        Measurement::alone("B2", "Events for each space at its creation", each(calls.events)),
        must_be_zero(Measurement::alone(
            "B2",
            "reads of single objects for each space at its creation",
            each(calls.gets),
        )),
        must_be_zero(Measurement::alone(
            "B2",
            &format!("writes in {} s in which nothing happens", options.idle_time().as_secs()),
            Samples::from(quiet.mutating() as f64),
        )),
        must_be_zero(Measurement::alone(
            "B2",
            &format!("writes at a restart with {count} spaces"),
            Samples::from(restart.mutating() as f64),
        )),
        count_agreement("B2", "writes since its start, as the operator counts them", counted, logged),
    ];
    Ok(BenchmarkResults { measurements, ..BenchmarkResults::default() })
}

/// Compares a count of the operator's own with that of the audit log. The bound applies to their difference.
#[allow(clippy::cast_precision_loss, reason = "counts of calls are small")]
pub fn count_agreement(id: &str, what: &str, counted: usize, logged: usize) -> Measurement {
    let difference = Samples::from(counted.abs_diff(logged) as f64);
    let measurement =
        Measurement::alone(id, what, Samples::from(counted as f64)).and("audit log", Samples::from(logged as f64));
    Measurement { checked: difference, ..measurement }.with_bounds(Bound::AtMost(0.0), Bound::AtMost(0.0))
}

/// The number of writes that the operator counts since its start, and the number in the audit log. The lease is renewed
/// meanwhile, so both are read again until they agree.
async fn writes_counted(environment: &Environment) -> Result<(usize, usize)> {
    let mut audit = environment.cluster.audit();
    let (mut counted, mut logged) = (0, 0);
    for _ in 0..10 {
        // The operator counts by method, so reviews of its own rights are included.
        let is_write = |entry: &&AuditEntry| {
            entry.user == operator::USER && !matches!(entry.verb.as_str(), "get" | "list" | "watch")
        };
        logged += audit.read()?.iter().filter(is_write).count();
        counted = operator_counter(environment, "developerspace_api_requests_total{", |labels| {
            !labels.contains("method=\"GET\"")
        })
        .await?;
        let since = audit.read()?.iter().filter(is_write).count();
        if since == 0 && counted == logged {
            break;
        }
        logged += since;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    Ok((counted, logged))
}

/// The sum of one of the operator's own counters, over the series whose labels are `wanted`.
pub async fn operator_counter(environment: &Environment, name: &str, wanted: impl Fn(&str) -> bool) -> Result<usize> {
    let text = environment.operator()?.metrics().await?;
    let series = text.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| wanted(rest));
    series
        .map(|rest| {
            rest.rsplit(' ').next().context("a series has a value")?.parse::<usize>().context("a count is a number")
        })
        .sum()
}

/// The calls of the operator, by kind.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// Writes by verb and resource, without Events and the lease.
    pub writes: BTreeMap<String, usize>,
    /// Events.
    pub events: usize,
    /// Reads of one object.
    pub gets: usize,
}

impl Calls {
    fn from_entries(entries: &[AuditEntry]) -> Self {
        let mut calls = Self::default();
        for entry in entries.iter().filter(|entry| entry.user == operator::USER && entry.resource != "leases") {
            match (entry.mutates(), entry.resource.as_str(), entry.verb.as_str()) {
                // The operator reads these periodically, regardless of the number of spaces.
                (_, "selfsubjectaccessreviews", _) | (false, "clusterroles" | "customresourcedefinitions", _) => {}
                (true, "events", _) => calls.events += 1,
                (true, resource, verb) => {
                    *calls.writes.entry(format!("{verb} {resource}{}", entry.subresource)).or_default() += 1;
                }
                (false, _, "get") => calls.gets += 1,
                (false, ..) => {}
            }
        }
        calls
    }

    /// The number of writes, including Events.
    pub fn mutating(&self) -> usize {
        self.writes.values().sum::<usize>() + self.events
    }
}

/// Performs `act`, and returns the calls of the operator until the operator has written nothing for some seconds.
async fn calls_during(environment: &Environment, act: impl Future<Output = Result<()>>) -> Result<Calls> {
    let mut audit = environment.cluster.audit_from_now()?;
    act.await?;
    let mut entries = audit.read()?;
    let mut quiet = 0;
    while quiet < 3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let more = audit.read()?;
        quiet =
            if more.iter().any(|entry| entry.user == operator::USER && entry.mutates() && entry.resource != "leases") {
                0
            } else {
                quiet + 1
            };
        entries.extend(more);
    }
    Ok(Calls::from_entries(&entries))
}

/// Returns the calls of the operator in a time in which nothing else happens.
async fn calls_at_rest(environment: &Environment, duration: Duration) -> Result<Calls> {
    let mut audit: Audit = environment.cluster.audit_from_now()?;
    tokio::time::sleep(duration).await;
    Ok(Calls::from_entries(&audit.read()?))
}

//! B2: the requests of the operator to the API server, as its audit log records them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};

use super::{
    environment::{Stage, names},
    measurement::{Bound, Figure, Measured, Samples},
    options::Options,
    progress::Progress,
    raw_client::Recipe,
};
use crate::{
    audit::{Audit, Entry},
    operator,
};

/// The time after a restart within which all spaces have been reconciled.
const STARTED: Duration = Duration::from_secs(15);

/// Measures B2.
#[allow(clippy::cast_precision_loss, reason = "counts of calls are small")]
pub async fn measure(options: &Options, recipe: &Recipe, progress: &Progress) -> Result<Measured> {
    let count = options.onboarded() / 10;
    progress.step(&format!("B2: calls for {count} spaces, at rest and after a restart"));
    let mut stage = Stage::with_operator().await?;
    let calls = during(&stage, stage.ask(&names("counted", count))).await?;
    let quiet = at_rest(&stage, options.still()).await?;
    let (told, logged) = writes_counted(&stage).await?;
    stage.stop().await?;
    let mut audit = stage.cluster.audit_from_now()?;
    stage.start().await?;
    tokio::time::sleep(STARTED).await;
    let restart = Calls::of(&audit.read()?);
    let each = |calls: usize| Samples::from(calls as f64 / count as f64);
    let floor = Samples::from(recipe.writes() as f64);
    let none = |figure: Figure| figure.should(Bound::AtMost(0.0), Bound::AtMost(0.0));
    let figures = vec![
        Figure::ratio("B2", "writes for each space at its creation, Events apart", each(calls.writes.values().sum()), floor)
            .should(Bound::AtMost(1.0), Bound::AtMost(1.0)),
        Figure::alone("B2", "Events for each space at its creation", each(calls.events)),
        none(Figure::alone("B2", "reads of single objects for each space at its creation", each(calls.gets))),
        none(Figure::alone(
            "B2",
            &format!("writes in {} s in which nothing happens", options.still().as_secs()),
            Samples::from(quiet.mutating() as f64),
        )),
        none(Figure::alone("B2", &format!("writes at a restart with {count} spaces"), Samples::from(restart.mutating() as f64))),
        agreement("B2", "writes since its start, as the operator counts them", told, logged),
    ];
    Ok(Measured { figures, ..Measured::default() })
}

/// Compares a count of the operator's own with that of the audit log. The bound applies to their difference.
#[allow(clippy::cast_precision_loss, reason = "counts of calls are small")]
pub fn agreement(id: &str, what: &str, told: usize, logged: usize) -> Figure {
    let apart = Samples::from(told.abs_diff(logged) as f64);
    let figure = Figure::alone(id, what, Samples::from(told as f64)).and("audit log", Samples::from(logged as f64));
    Figure { judged: apart, ..figure }.should(Bound::AtMost(0.0), Bound::AtMost(0.0))
}

/// The number of writes that the operator counts since its start, and the number in the audit log. The lease is renewed meanwhile, so both are read
/// again until they agree.
async fn writes_counted(stage: &Stage) -> Result<(usize, usize)> {
    let mut audit = stage.cluster.audit();
    let (mut told, mut logged) = (0, 0);
    for _ in 0..10 {
        // The operator counts by method, so reviews of its own rights are included.
        let is_write = |entry: &&Entry| entry.user == operator::USER && !matches!(entry.verb.as_str(), "get" | "list" | "watch");
        logged += audit.read()?.iter().filter(is_write).count();
        told = counted(stage, "developerspace_api_requests_total{", |labels| !labels.contains("method=\"GET\"")).await?;
        let since = audit.read()?.iter().filter(is_write).count();
        if since == 0 && told == logged {
            break;
        }
        logged += since;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    Ok((told, logged))
}

/// The sum of one of the operator's own counters, over the series whose labels are `wanted`.
pub async fn counted(stage: &Stage, name: &str, wanted: impl Fn(&str) -> bool) -> Result<usize> {
    let text = stage.operator()?.metrics().await?;
    let series = text.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| wanted(rest));
    series.map(|rest| rest.rsplit(' ').next().context("a series has a value")?.parse::<usize>().context("a count is a number")).sum()
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
    fn of(entries: &[Entry]) -> Self {
        let mut calls = Self::default();
        for entry in entries.iter().filter(|entry| entry.user == operator::USER && entry.resource != "leases") {
            match (entry.mutates(), entry.resource.as_str(), entry.verb.as_str()) {
                // The operator reads these periodically, regardless of the number of spaces.
                (_, "selfsubjectaccessreviews", _) | (false, "clusterroles" | "customresourcedefinitions", _) => {}
                (true, "events", _) => calls.events += 1,
                (true, resource, verb) => *calls.writes.entry(format!("{verb} {resource}{}", entry.subresource)).or_default() += 1,
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

/// The calls of the operator that `act` causes, until the operator has written nothing for some seconds.
async fn during(stage: &Stage, act: impl Future<Output = Result<()>>) -> Result<Calls> {
    let mut audit = stage.cluster.audit_from_now()?;
    act.await?;
    let mut entries = audit.read()?;
    let mut quiet = 0;
    while quiet < 3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let more = audit.read()?;
        quiet = if more.iter().any(|entry| entry.user == operator::USER && entry.mutates() && entry.resource != "leases") {
            0
        } else {
            quiet + 1
        };
        entries.extend(more);
    }
    Ok(Calls::of(&entries))
}

/// The calls of the operator while nothing happens.
async fn at_rest(stage: &Stage, for_so_long: Duration) -> Result<Calls> {
    let mut audit: Audit = stage.cluster.audit_from_now()?;
    tokio::time::sleep(for_so_long).await;
    Ok(Calls::of(&audit.read()?))
}

//! B4: how late namespaces of spaces whose time is up are deleted, and how fast when it is up for many at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::figure::{Bound, Curve, Figure, Measured, Samples};
use super::options::Options;
use super::progress::Progress;
use super::recipe::Recipe;
use super::stage::{ASKING, PATIENCE, Stage, names};
use crate::audit::Audit;
use crate::fixtures::{a_space, now};
use crate::operator;
use crate::wait::eventually;

/// B4, those that end one by one.
pub async fn measure(options: &Options, progress: &Progress) -> Result<Measured> {
    let (count, window) = options.spread();
    progress.step(&format!("B4: {count} spaces end within {} s", window.as_secs()));
    let stage = Stage::with_operator().await?;
    let names = names("spread", count);
    stage.ask(&names).await?;
    let late = lateness(&stage, &names, window).await?;
    let what = format!("DELETE after the end, {count} spread over {} s, ms", window.as_secs());
    let figures = vec![
        Figure::alone("B4", &format!("{what}, p99"), late.quantile(99).into()).should(Bound::AtMost(100.0), Bound::AtMost(20.0)),
        Figure::alone("B4", &format!("{what}, median"), late.median().into()),
        Figure::alone("B4", &format!("{what}, latest"), late.quantile(100).into()),
        Figure::alone("B4", &format!("{what}, earliest"), late.quantile(0).into()).should(Bound::AtLeast(0.0), Bound::AtLeast(0.0)),
    ];
    Ok(Measured { figures, curves: vec![Curve::new("B4", &what, &[("operator", &late)])] })
}

/// Milliseconds from the end of each space to the moment at which the API server has the DELETE of its namespace, with the ends spread
/// evenly over `window`.
async fn lateness(stage: &Stage, names: &[String], window: Duration) -> Result<Samples> {
    let first = now() + TimeDelta::seconds(30);
    let span = i64::try_from(window.as_secs())?;
    let count = i64::try_from(names.len())?;
    let ends: Vec<DateTime<Utc>> = (0..count).map(|number| (first + TimeDelta::seconds(span * number / count)).trunc_subsecs(0)).collect();
    let deleted = end_at(stage, names, &ends).await?;
    names
        .iter()
        .zip(&ends)
        .map(|(name, end)| {
            let at = deleted.get(name).with_context(|| format!("{name} was not collected"))?;
            Ok(milliseconds(*at - *end))
        })
        .collect::<Result<Vec<f64>>>()
        .map(Samples)
}

/// DELETEs per second when the time is up for all at the same second.
pub async fn burst(stage: &Stage, names: &[String]) -> Result<f64> {
    let end = (now() + TimeDelta::seconds(20 + i64::try_from(names.len())? / 50)).trunc_subsecs(0);
    let deleted = end_at(stage, names, &vec![end; names.len()]).await?;
    let last = deleted.values().max().context("nothing was collected")?;
    ensure!(deleted.values().all(|at| *at >= end), "something was collected early");
    #[allow(clippy::cast_precision_loss, reason = "counts of spaces are small")]
    let count = names.len() as f64;
    Ok(count / (milliseconds(*last - end) / 1000.0))
}

/// The same of the raw client: a seal and a DELETE each.
pub async fn raw_burst(stage: &Stage, names: &[String], concurrency: usize) -> Result<f64> {
    let begun = Instant::now();
    let ending = stream::iter(names).map(|name| Recipe::end(&stage.client, name)).buffer_unordered(concurrency);
    ending.try_collect::<Vec<()>>().await?;
    #[allow(clippy::cast_precision_loss, reason = "counts of spaces are small")]
    let count = names.len() as f64;
    Ok(count / begun.elapsed().as_secs_f64())
}

/// Sets the ends and waits until all namespaces were asked to go; when that was, by name.
async fn end_at(stage: &Stage, names: &[String], ends: &[DateTime<Utc>]) -> Result<HashMap<String, DateTime<Utc>>> {
    let audit = tokio::sync::Mutex::new((stage.cluster.audit_from_now()?, HashMap::new()));
    let setting = stream::iter(names.iter().zip(ends)).map(|(name, end)| async move {
        let end = json!({"spec": {"expiresAt": end.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)}});
        stage.admin.patch(a_space(name), end).await
    });
    setting.buffer_unordered(ASKING).try_collect::<Vec<_>>().await?;
    eventually("all namespaces to be deleted", PATIENCE, || async {
        let (audit, deleted): &mut (Audit, HashMap<String, DateTime<Utc>>) = &mut *audit.lock().await;
        for entry in audit.read()? {
            if entry.user == operator::USER && entry.verb == "delete" && entry.resource == "namespaces" && entry.code < 300 {
                deleted.entry(entry.name).or_insert(entry.request_received);
            }
        }
        ensure!(names.iter().all(|name| deleted.contains_key(name)), "{} of {}", deleted.len(), names.len());
        Ok(Some(()))
    })
    .await?;
    Ok(audit.into_inner().1)
}

#[allow(clippy::cast_precision_loss, reason = "spans are short")]
fn milliseconds(span: TimeDelta) -> f64 {
    span.num_microseconds().unwrap_or(i64::MAX) as f64 / 1000.0
}

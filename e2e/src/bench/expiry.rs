//! B4: the delay between the end of a space and the deletion of its namespace, with a quiet operator and during many creations, and the rate of
//! deletions when many spaces expire at once.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    calls::{agreement, counted},
    environment::{ADMIN, ASKING, PATIENCE, Stage, names},
    expiry_method::{ExpiryMethod, OPERATOR},
    kyverno,
    measurement::{Bound, Curve, Figure, Measured, Samples},
    options::Options,
    progress::Progress,
    raw_client::Recipe,
};
use crate::{audit::Audit, fixtures::now, wait::eventually};

/// The number of spaces that the raw client ends concurrently, as the operator does.
const ENDING: usize = 16;

/// The upper bound on the 99th percentile of the delay between an end and its DELETE, in milliseconds. The seal is written before the end.
const LATEST: Bound = Bound::AtMost(10.0);

/// The same bound while other spaces are created: the API server then has no idle processor, and answers each request with a corresponding delay.
const LATEST_IN_A_CROWD: Bound = Bound::AtMost(100.0);

/// The time from setting the ends to the first of them.
const LEAD: Duration = Duration::from_secs(30);

/// Measures B4 for spaces that end one by one.
pub async fn measure(options: &Options, progress: &Progress) -> Result<Measured> {
    let (count, window) = options.spread();
    let names = names("spread", count);
    progress.step(&format!("B4: {count} spaces end within {} s", window.as_secs()));
    let stage = Stage::with_operator().await?;
    stage.ask(&names).await?;
    let late = lateness(&stage, &OPERATOR, &names, window).await?;
    let collected = counted(&stage, "developerspace_namespaces_collected_total ", |_| true).await?;
    let crossing = while_others_come(&stage, options, progress).await?;
    drop(stage);
    let peer = if options.meets_peers() {
        progress.step(&format!("B4: {count} namespaces end by Kyverno within {} s", window.as_secs()));
        Some(of_kyverno(&names, window).await?)
    } else {
        None
    };
    let what = format!("DELETE after the end, {count} spread over {} s, ms", window.as_secs());
    let figure = |word: &str, hundredths: usize| {
        let ours = Figure::alone("B4", &format!("{what}, {word}"), late.quantile(hundredths).into());
        match &peer {
            Some(peer) => ours.and("Kyverno", peer.quantile(hundredths).into()),
            None => ours,
        }
    };
    let mut figures = vec![
        figure("p99", 99).should_with(options.is_spread(), LATEST, Bound::AtMost(5.0)),
        figure("median", 50),
        figure("latest", 100),
        figure("earliest", 0).should(Bound::AtLeast(0.0), Bound::AtLeast(0.0)),
        agreement("B4", "namespaces collected, as the operator counts them", collected, names.len()),
    ];
    figures.extend(crossing);
    let lines: Vec<(&str, &Samples)> = std::iter::once(("operator", &late)).chain(peer.as_ref().map(|peer| ("Kyverno", peer))).collect();
    Ok(Measured { figures, curves: vec![Curve::new("B4", &what, &lines)], ..Measured::default() })
}

/// Measures the same delay for spaces that end while others are created.
async fn while_others_come(stage: &Stage, options: &Options, progress: &Progress) -> Result<Vec<Figure>> {
    let (creations, ends, window) = options.crossing();
    progress.step(&format!("B4: {ends} spaces end while {creations} are being created"));
    let (ending, coming) = (names("crossing", ends), names("coming", creations));
    stage.ask(&ending).await?;
    let begin = async {
        tokio::time::sleep(LEAD.saturating_sub(Duration::from_secs(3))).await;
        stage.ask(&coming).await?;
        Ok(now())
    };
    let last = now() + TimeDelta::from_std(LEAD + window)?;
    let (late, created) = tokio::try_join!(lateness(stage, &OPERATOR, &ending, window), begin)?;
    ensure!(created >= last, "the {creations} spaces were there before the last end: they were to come at the same time");
    let what = format!("DELETE after the end, {ends} within {} s while {creations} spaces are created, ms", window.as_secs());
    let figure = |word: &str, hundredths: usize| Figure::alone("B4", &format!("{what}, {word}"), late.quantile(hundredths).into());
    Ok(vec![
        figure("p99", 99).should_with(options.is_spread(), LATEST_IN_A_CROWD, Bound::AtMost(20.0)),
        figure("median", 50),
        figure("latest", 100),
        figure("earliest", 0).should(Bound::AtLeast(0.0), Bound::AtLeast(0.0)),
    ])
}

/// Measures the same delay for Kyverno, which manages bare namespaces only.
async fn of_kyverno(names: &[String], window: Duration) -> Result<Samples> {
    let stage = Stage::set().await?;
    let kyverno = kyverno::start(&stage).await?;
    kyverno::make(&stage, names).await?;
    let late = lateness(&stage, &kyverno::METHOD, names, window).await;
    drop(kyverno);
    late
}

/// Milliseconds from the end of each space to the moment at which the API server has the DELETE of its namespace, with the ends spread
/// evenly over `window`.
async fn lateness(stage: &Stage, method: &ExpiryMethod, names: &[String], window: Duration) -> Result<Samples> {
    let first = now() + TimeDelta::from_std(LEAD)?;
    let span = i64::try_from(window.as_secs())?;
    let count = i64::try_from(names.len())?;
    let ends: Vec<DateTime<Utc>> = (0..count).map(|number| (first + TimeDelta::seconds(span * number / count)).trunc_subsecs(0)).collect();
    let deleted = end_at(stage, method, names, &ends).await?;
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

/// The DELETEs per second of the operator and of the raw client when all spaces of both expire in the same second. The raw client sends the same seal
/// and one DELETE for each space. Each contestant has its own cluster. Both run concurrently, so that a slow machine slows both. DELETEs are counted
/// until the first contestant has finished, since the other has the machine to itself from then on.
pub async fn burst(stage: &Stage, bare: &Stage, recipe: &Recipe, names: &[String]) -> Result<(f64, f64)> {
    let (audit, raw_audit) = (stage.cluster.audit_from_now()?, bare.cluster.audit_from_now()?);
    // No operator acts on the ends of the raw client's spaces.
    set_ends(bare, &OPERATOR, names, &vec![in_time(names.len())?; names.len()]).await?;
    bare.settle().await?;
    let end = in_time(names.len())?;
    set_ends(stage, &OPERATOR, names, &vec![end; names.len()]).await?;
    stage.settle().await?;
    let left = (end - now()).to_std().context("it took too long to say when the spaces end")?;
    let raw = async {
        tokio::time::sleep(left).await;
        let ending = stream::iter(names).map(|name| recipe.end(&bare.client, name)).buffer_unordered(ENDING);
        ending.try_collect::<Vec<()>>().await?;
        deletions(raw_audit, ADMIN, names).await
    };
    let (ours, raw) = tokio::try_join!(deletions(audit, OPERATOR.user, names), raw)?;
    ensure!(ours.values().all(|at| *at >= end), "something was collected early");
    let through = ours.values().max().min(raw.values().max()).context("nothing was collected")?;
    #[allow(clippy::cast_precision_loss, reason = "counts of spaces are small")]
    let rate = |deleted: &HashMap<String, DateTime<Utc>>| {
        let by_then = deleted.values().filter(|at| *at <= through).count();
        by_then as f64 / (milliseconds(*through - end) / 1000.0)
    };
    Ok((rate(&ours), rate(&raw)))
}

/// An end that leaves enough time to set it on `count` spaces and to complete the resulting work.
fn in_time(count: usize) -> Result<DateTime<Utc>> {
    Ok((now() + TimeDelta::seconds(30 + i64::try_from(count)? / 25)).trunc_subsecs(0))
}

/// Sets the ends, waits until the deletion of every namespace has been requested, and returns the time of each request by name.
async fn end_at(stage: &Stage, method: &ExpiryMethod, names: &[String], ends: &[DateTime<Utc>]) -> Result<HashMap<String, DateTime<Utc>>> {
    let audit = stage.cluster.audit_from_now()?;
    set_ends(stage, method, names, ends).await?;
    deletions(audit, method.user, names).await
}

/// Waits until `user` has requested the deletion of all these namespaces, and returns the time of each request by name.
async fn deletions(audit: Audit, user: &str, names: &[String]) -> Result<HashMap<String, DateTime<Utc>>> {
    let audit = tokio::sync::Mutex::new((audit, HashMap::new()));
    eventually("all namespaces to be deleted", PATIENCE, || async {
        let (audit, deleted): &mut (Audit, HashMap<String, DateTime<Utc>>) = &mut *audit.lock().await;
        for entry in audit.read()? {
            if entry.user == user && entry.verb == "delete" && entry.resource == "namespaces" && entry.code < 300 {
                deleted.entry(entry.name).or_insert(entry.request_received);
            }
        }
        ensure!(names.iter().all(|name| deleted.contains_key(name)), "{} of {}", deleted.len(), names.len());
        Ok(Some(()))
    })
    .await?;
    Ok(audit.into_inner().1)
}

/// Sets the end of each object.
async fn set_ends(stage: &Stage, method: &ExpiryMethod, names: &[String], ends: &[DateTime<Utc>]) -> Result<()> {
    let setting = stream::iter(names.iter().zip(ends)).map(|(name, end)| stage.admin.patch((method.object)(name), (method.patch)(*end)));
    setting.buffer_unordered(ASKING).try_collect::<Vec<_>>().await.map(drop)
}

#[allow(clippy::cast_precision_loss, reason = "spans are short")]
fn milliseconds(span: TimeDelta) -> f64 {
    span.num_microseconds().unwrap_or(i64::MAX) as f64 / 1000.0
}

//! Owns B4: the delay between the end of a space and the deletion of its namespace, with a quiet operator and during
//! many creations, and the rate of deletions when many spaces expire at once.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    calls::{count_agreement, operator_counter},
    contestants::Contestants,
    environment::{ADMIN, CONTESTANT_TIMEOUT, Environment, MAX_CONCURRENT_REQUESTS, names},
    expiry_method::{ExpiryMethod, OPERATOR},
    kyverno,
    measurement::{BenchmarkResults, Bound, Curve, Measurement, Samples},
    options::BenchmarkOptions,
    progress::BenchmarkProgress,
};
use crate::{audit::Audit, fixtures::now, wait::eventually};

/// The number of spaces that the raw client ends concurrently, as the operator does.
const MAX_CONCURRENT_EXPIRIES: usize = 16;

/// The upper bound on the 99th percentile of the delay between an end and its DELETE, in milliseconds. The seal is
/// written before the end.
const MAX_DELAY: Bound = Bound::AtMost(10.0);

/// The same bound while other spaces are created: the API server then has no idle processor, and answers each request
/// with a corresponding delay.
const MAX_DELAY_UNDER_LOAD: Bound = Bound::AtMost(100.0);

/// The time from setting the ends to the first of them.
const EXPIRY_LEAD: Duration = Duration::from_secs(30);

/// Measures B4 for spaces that end one by one.
pub async fn measure(options: &BenchmarkOptions, progress: &BenchmarkProgress) -> Result<BenchmarkResults> {
    let (count, window) = options.spread();
    let names = names("spread", count);
    progress.step(&format!("B4: {count} spaces end within {} s", window.as_secs()));
    let environment = Environment::with_operator().await?;
    environment.create_ready_spaces(&names).await?;
    let delays = deletion_delays(&environment, &OPERATOR, &names, window).await?;
    let counted = operator_counter(&environment, "developerspace_namespaces_collected_total ", |_| true).await?;
    let during_creations = measure_during_creations(&environment, options, progress).await?;
    drop(environment);
    let kyverno = if options.measures_peers() {
        progress.step(&format!("B4: {count} namespaces end by Kyverno within {} s", window.as_secs()));
        Some(kyverno_delays(&names, window).await?)
    } else {
        None
    };
    let what = format!("DELETE after the end, {count} spread over {} s, ms", window.as_secs());
    let measurement = |word: &str, hundredths: usize| {
        let operator = Measurement::alone("B4", &format!("{what}, {word}"), delays.quantile(hundredths).into());
        match &kyverno {
            Some(kyverno) => operator.and("Kyverno", kyverno.quantile(hundredths).into()),
            None => operator,
        }
    };
    let mut measurements = vec![
        measurement("p99", 99).with_bounds_if(options.is_fully_spread(), MAX_DELAY, Bound::AtMost(5.0)),
        measurement("median", 50),
        measurement("latest", 100),
        measurement("earliest", 0).with_bounds(Bound::AtLeast(0.0), Bound::AtLeast(0.0)),
        count_agreement("B4", "namespaces collected, as the operator counts them", counted, names.len()),
    ];
    measurements.extend(during_creations);
    let lines: Vec<(&str, &Samples)> =
        std::iter::once(("operator", &delays)).chain(kyverno.as_ref().map(|kyverno| ("Kyverno", kyverno))).collect();
    Ok(BenchmarkResults { measurements, curves: vec![Curve::new("B4", &what, &lines)], ..BenchmarkResults::default() })
}

/// Measures the same delay for spaces that end while other spaces are created.
async fn measure_during_creations(
    environment: &Environment,
    options: &BenchmarkOptions,
    progress: &BenchmarkProgress,
) -> Result<Vec<Measurement>> {
    let (creations, ends, window) = options.expiries_during_creations();
    progress.step(&format!("B4: {ends} spaces end while {creations} are being created"));
    let (ending, others) = (names("crossing", ends), names("coming", creations));
    environment.create_ready_spaces(&ending).await?;
    let creating_others = async {
        tokio::time::sleep(EXPIRY_LEAD.saturating_sub(Duration::from_secs(3))).await;
        environment.create_ready_spaces(&others).await?;
        Ok(now())
    };
    let last = now() + TimeDelta::from_std(EXPIRY_LEAD + window)?;
    let (delays, created) =
        tokio::try_join!(deletion_delays(environment, &OPERATOR, &ending, window), creating_others)?;
    ensure!(
        created >= last,
        "the {creations} spaces were there before the last end: they were to come at the same time"
    );
    let what =
        format!("DELETE after the end, {ends} within {} s while {creations} spaces are created, ms", window.as_secs());
    let measurement = |word: &str, hundredths: usize| {
        Measurement::alone("B4", &format!("{what}, {word}"), delays.quantile(hundredths).into())
    };
    Ok(vec![
        measurement("p99", 99).with_bounds_if(options.is_fully_spread(), MAX_DELAY_UNDER_LOAD, Bound::AtMost(20.0)),
        measurement("median", 50),
        measurement("latest", 100),
        measurement("earliest", 0).with_bounds(Bound::AtLeast(0.0), Bound::AtLeast(0.0)),
    ])
}

/// Measures the same delay for Kyverno, which manages bare namespaces only.
async fn kyverno_delays(names: &[String], window: Duration) -> Result<Samples> {
    let environment = Environment::without_operator().await?;
    let kyverno = kyverno::start(&environment).await?;
    kyverno::create_namespaces(&environment, names).await?;
    let delays = deletion_delays(&environment, &kyverno::METHOD, names, window).await;
    drop(kyverno);
    delays
}

/// Milliseconds from the end of each space to the moment at which the API server has the DELETE of its namespace, with
/// the ends spread evenly over `window`.
async fn deletion_delays(
    environment: &Environment,
    method: &ExpiryMethod,
    names: &[String],
    window: Duration,
) -> Result<Samples> {
    let first = now() + TimeDelta::from_std(EXPIRY_LEAD)?;
    let span = i64::try_from(window.as_secs())?;
    let count = i64::try_from(names.len())?;
    let ends: Vec<DateTime<Utc>> =
        (0..count).map(|number| (first + TimeDelta::seconds(span * number / count)).trunc_subsecs(0)).collect();
    let deleted = expire_and_observe(environment, method, names, &ends).await?;
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

/// The DELETEs per second of the operator and of the raw client when all spaces of both expire in the same second. The
/// raw client sends the same seal and one DELETE for each space. Each contestant has its own cluster. Both run
/// concurrently, so that a slow machine slows both. DELETEs are counted until the first contestant has finished, since
/// the other has the machine to itself from then on.
pub async fn burst(contestants: Contestants<'_>, names: &[String]) -> Result<(f64, f64)> {
    let Contestants { operator_environment, raw_environment, raw_client } = contestants;
    let (audit, raw_audit) =
        (operator_environment.cluster.audit_from_now()?, raw_environment.cluster.audit_from_now()?);
    // No operator acts on the ends of the raw client's spaces.
    set_expiries(raw_environment, &OPERATOR, names, &vec![upcoming_expiry(names.len())?; names.len()]).await?;
    raw_environment.until_idle().await?;
    let end = upcoming_expiry(names.len())?;
    set_expiries(operator_environment, &OPERATOR, names, &vec![end; names.len()]).await?;
    operator_environment.until_idle().await?;
    let left = (end - now()).to_std().context("it took too long to say when the spaces end")?;
    let raw = async {
        tokio::time::sleep(left).await;
        let ending = stream::iter(names)
            .map(|name| raw_client.expire(&raw_environment.client, name))
            .buffer_unordered(MAX_CONCURRENT_EXPIRIES);
        ending.try_collect::<Vec<()>>().await?;
        deletion_times(raw_audit, ADMIN, names).await
    };
    let (operator, raw) = tokio::try_join!(deletion_times(audit, OPERATOR.user, names), raw)?;
    ensure!(operator.values().all(|at| *at >= end), "something was collected early");
    let until = operator.values().max().min(raw.values().max()).context("nothing was collected")?;
    #[allow(clippy::cast_precision_loss, reason = "counts of spaces are small")]
    let rate = |deleted: &HashMap<String, DateTime<Utc>>| {
        let count = deleted.values().filter(|at| *at <= until).count();
        count as f64 / (milliseconds(*until - end) / 1000.0)
    };
    Ok((rate(&operator), rate(&raw)))
}

/// An end that leaves enough time to set it on `count` spaces and to complete the resulting work.
fn upcoming_expiry(count: usize) -> Result<DateTime<Utc>> {
    Ok((now() + TimeDelta::seconds(30 + i64::try_from(count)? / 25)).trunc_subsecs(0))
}

/// Sets the ends, waits until the deletion of every namespace has been requested, and returns the time of each request
/// by name.
async fn expire_and_observe(
    environment: &Environment,
    method: &ExpiryMethod,
    names: &[String],
    ends: &[DateTime<Utc>],
) -> Result<HashMap<String, DateTime<Utc>>> {
    let audit = environment.cluster.audit_from_now()?;
    set_expiries(environment, method, names, ends).await?;
    deletion_times(audit, method.user, names).await
}

/// Waits until `user` has requested the deletion of all these namespaces, and returns the time of each request by name.
async fn deletion_times(audit: Audit, user: &str, names: &[String]) -> Result<HashMap<String, DateTime<Utc>>> {
    let audit = tokio::sync::Mutex::new((audit, HashMap::new()));
    eventually("all namespaces to be deleted", CONTESTANT_TIMEOUT, || async {
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
async fn set_expiries(
    environment: &Environment,
    method: &ExpiryMethod,
    names: &[String],
    ends: &[DateTime<Utc>],
) -> Result<()> {
    let setting = stream::iter(names.iter().zip(ends))
        .map(|(name, end)| environment.admin.patch((method.object)(name), (method.patch)(*end)));
    setting.buffer_unordered(MAX_CONCURRENT_REQUESTS).try_collect::<Vec<_>>().await.map(drop)
}

#[allow(clippy::cast_precision_loss, reason = "spans are short")]
fn milliseconds(span: TimeDelta) -> f64 {
    span.num_microseconds().unwrap_or(i64::MAX) as f64 / 1000.0
}

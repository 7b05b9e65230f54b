//! Owns B3 and B5: memory, and the time from the start until the operator is ready, with many spaces. They are compared
//! with the size of the watched objects, and with the time that any client needs to list them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Request;
use kube::Client;
use serde::Deserialize;

use super::environment::{CONTESTANT_TIMEOUT, Environment};
use crate::process::memory_field;

/// The list requests for all objects that the operator watches, as the operator sends them.
const WATCHED: [&str; 7] = [
    "/apis/developerspace.dev/v1alpha1/developerspaces?limit=500",
    "/apis/developerspace.dev/v1alpha1/spaceclasses?limit=500",
    "/api/v1/namespaces?limit=500",
    "/api/v1/resourcequotas?limit=500&labelSelector=app.kubernetes.io%2Fmanaged-by%3Ddeveloperspace-operator",
    "/api/v1/limitranges?limit=500&labelSelector=app.kubernetes.io%2Fmanaged-by%3Ddeveloperspace-operator",
    "/apis/networking.k8s.io/v1/networkpolicies?limit=500",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings?limit=500&labelSelector=app.kubernetes.io%2Fmanaged-by%3Ddeveloperspace-operator",
];

/// The cost of listing all watched objects.
#[derive(Clone, Copy, Debug)]
pub struct ListCost {
    /// Seconds, with all kinds concurrently and the pages of each kind in sequence.
    pub seconds: f64,
    /// Bytes of JSON.
    pub bytes: usize,
    /// The number of spaces.
    pub spaces: usize,
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    items: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    more: String,
}

/// Lists all objects that the operator watches, and keeps none of them.
pub async fn list_watched_objects(client: &Client) -> Result<ListCost> {
    let begun = Instant::now();
    let sizes = futures::future::try_join_all(WATCHED.map(|path| pages(client, path))).await?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(ListCost {
        seconds,
        bytes: sizes.iter().map(|(bytes, _)| bytes).sum(),
        spaces: sizes.first().map_or(0, |(_, spaces)| *spaces),
    })
}

/// Returns the number of bytes and of objects.
async fn pages(client: &Client, path: &str) -> Result<(usize, usize)> {
    let (mut bytes, mut objects, mut more) = (0, 0, String::new());
    loop {
        let uri = if more.is_empty() { path.to_owned() } else { format!("{path}&continue={more}") };
        let body = client.request_text(Request::get(&uri).body(vec![])?).await.with_context(|| uri.clone())?;
        bytes += body.len();
        let Page { metadata, items } = serde_json::from_str(&body)?;
        objects += items.len();
        more = metadata.more;
        if more.is_empty() {
            return Ok((bytes, objects));
        }
    }
}

/// The interval of the readiness checks: short enough not to distort the measured time.
const READINESS_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Seconds from the start of the operator's process until it is ready.
pub async fn cold_start(environment: &mut Environment) -> Result<f64> {
    environment.spawn_operator(&[]).await?;
    let begun = Instant::now();
    while !environment.operator()?.readyz().await.is_ok_and(|status| status == 200) {
        ensure!(begun.elapsed() < CONTESTANT_TIMEOUT, "the operator did not become ready");
        tokio::time::sleep(READINESS_POLL_INTERVAL).await;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// The current resident memory of the operator and its peak, in KiB.
pub fn operator_memory(environment: &Environment) -> Result<(f64, f64)> {
    let pid = environment.operator()?.pid();
    let field = |name: &str| {
        let value = memory_field(pid, name).context("the operator's memory cannot be read")?;
        value.with_context(|| format!("the kernel does not tell {name}:"))?.parse::<f64>().context("memory is a number")
    };
    Ok((field("VmRSS")?, field("VmHWM")?))
}

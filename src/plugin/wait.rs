//! Waits until the operator has reconciled a space.

use std::{pin::pin, time::Duration};

use anyhow::anyhow;
use futures::StreamExt as _;
use kube::{
    Api, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};

use super::{
    api_error::{error_message, is_forbidden},
    cluster::Cluster,
    pages::PAGE_SIZE_OF_SPACES,
    progress::Progress,
    requests,
    spaces::{is_observed, is_true, ready},
};
use crate::{
    api::{
        DeveloperSpace,
        conditions::{Reason, types},
        without_managed_fields::WithoutManagedFields,
    },
    client::WATCH_TIMEOUT_SECONDS,
};

/// The polling interval for a space that the caller may not watch.
const STATUS_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Waits until a space is `Ready` for its current generation. A reason that the operator cannot resolve by itself ends
/// the wait at once.
pub(crate) async fn until_ready(
    cluster: &Cluster,
    name: &str,
    timeout: Duration,
    progress: &mut Progress,
) -> anyhow::Result<DeveloperSpace> {
    progress.step(&format!("waiting for {name} to be ready"));
    let mut last = "no status was received".to_owned();
    let ready_space = follow(requests::space_api(cluster), name, |space| {
        let Some(space) = space else {
            return Some(Err(deleted_error(name)));
        };
        let Some((_, reason, message)) = ready(space).filter(|_| is_observed(space)) else {
            "the operator has not reconciled it".clone_into(&mut last);
            return None;
        };
        if is_true(space, types::READY) {
            return Some(Ok(space.clone()));
        }
        last = format!("{reason}: {message}");
        progress.step(&format!("{name}: {last}"));
        let stuck = Reason::parse(reason).is_some_and(Reason::is_stalled) || reason == Reason::Terminating.as_str();
        stuck.then(|| {
            Err(anyhow!(
                "DeveloperSpace {name} cannot become ready: {last}; run `kubectl dspace doctor {name}` for details"
            ))
        })
    });
    let ended = tokio::time::timeout(timeout, ready_space).await;
    ended.unwrap_or_else(|_| {
        let waited = timeout.as_secs();
        Err(anyhow!("DeveloperSpace {name} is not ready after {waited}s ({last}): run `kubectl dspace doctor {name}` for details"))
    })
}

/// Waits until the operator has observed the current generation of a space, even if it refuses the spec.
pub(crate) async fn until_observed(
    cluster: &Cluster,
    name: &str,
    timeout: Duration,
    progress: &mut Progress,
) -> anyhow::Result<DeveloperSpace> {
    progress.step(&format!("waiting for the operator to reconcile {name}"));
    let observed = follow(requests::space_api(cluster), name, |space| {
        let Some(space) = space else { return Some(Err(deleted_error(name))) };
        is_observed(space).then(|| Ok(space.clone()))
    });
    let ended = tokio::time::timeout(timeout, observed).await;
    ended.unwrap_or_else(|_| {
        let waited = timeout.as_secs();
        Err(anyhow!(
            "DeveloperSpace {name} was changed, but the operator has not reconciled the change after {waited}s: \
            run `kubectl dspace doctor {name}` for details"
        ))
    })
}

fn deleted_error(name: &str) -> anyhow::Error {
    anyhow!("DeveloperSpace {name} no longer exists: it was deleted during the wait")
}

/// Waits until a space and its namespace no longer exist.
pub(crate) async fn until_gone(
    cluster: &Cluster,
    found: &DeveloperSpace,
    timeout: Duration,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let (name, uid) = (&found.name_any(), &found.metadata.uid);
    progress.step(&format!("waiting for {name} to be deleted"));
    let mut last = "no status was received".to_owned();
    let gone = follow(requests::space_api(cluster), name, |space| {
        // A space with another UID has since been created under the same name.
        let Some(space) = space.filter(|space| space.metadata.uid == *uid) else { return Some(Ok(())) };
        if let Some((_, reason, message)) = ready(space).filter(|_| space.metadata.deletion_timestamp.is_some()) {
            last = format!("{reason}: {message}");
            progress.step(&format!("{name}: {last}"));
        }
        None
    });
    let ended = tokio::time::timeout(timeout, gone).await;
    ended.unwrap_or_else(|_| {
        let waited = timeout.as_secs();
        Err(anyhow!("DeveloperSpace {name} still exists after {waited}s ({last}): run `kubectl dspace doctor {name}` for details"))
    })
}

/// Passes each state of a space to `evaluate`, and `None` if it does not exist, until `evaluate` returns a result.
/// Retries while the API server is unavailable.
async fn follow<T>(
    api: Api<WithoutManagedFields<DeveloperSpace>>,
    name: &str,
    mut evaluate: impl FnMut(Option<&DeveloperSpace>) -> Option<anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let config = watch_config().fields(&format!("metadata.name={name}"));
    let mut events = pin!(watcher(api.clone(), config).default_backoff());
    let mut seen = false;
    while let Some(event) = events.next().await {
        let result = match event {
            Ok(Event::Init) => {
                seen = false;
                None
            }
            Ok(Event::InitApply(space) | Event::Apply(space)) => {
                seen = true;
                evaluate(Some(&space))
            }
            Ok(Event::InitDone) if seen => None,
            Ok(Event::InitDone | Event::Delete(_)) => evaluate(None),
            Err(error) if kube_error(&error).is_some_and(is_forbidden) => return poll(&api, name, evaluate).await,
            Err(error) => final_error(&error).map(|why| Err(anyhow!("failed to watch DeveloperSpace {name}: {why}"))),
        };
        if let Some(result) = result {
            return result;
        }
    }
    Err(anyhow!("the watch of DeveloperSpace {name} ended"))
}

/// Same as [`follow`], for a caller who may read the space but not watch it, such as its owner.
async fn poll<T>(
    api: &Api<WithoutManagedFields<DeveloperSpace>>,
    name: &str,
    mut evaluate: impl FnMut(Option<&DeveloperSpace>) -> Option<anyhow::Result<T>>,
) -> anyhow::Result<T> {
    loop {
        let result = match api.get(name).await {
            Ok(space) => evaluate(Some(&space)),
            Err(error) if requests::is_not_found(&error, name) => evaluate(None),
            Err(error) => is_final(&error)
                .then(|| Err(anyhow!("failed to read DeveloperSpace {name}: {}", error_message(&error)))),
        };
        if let Some(result) = result {
            return result;
        }
        tokio::time::sleep(STATUS_POLL_INTERVAL).await;
    }
}

/// The message of an error that ends a watch permanently.
pub(crate) fn final_error(error: &watcher::Error) -> Option<String> {
    kube_error(error).filter(|error| is_final(error)).map(error_message)
}

fn kube_error(error: &watcher::Error) -> Option<&kube::Error> {
    match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => Some(source),
        _ => None,
    }
}

/// Returns true if a retry of the request would fail again.
fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404))
}

/// The configuration of a watch of spaces that does not fail while there are no changes.
pub(crate) fn watch_config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_TIMEOUT_SECONDS).page_size(PAGE_SIZE_OF_SPACES)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::{cluster::fake_cluster, fixtures::a_space};

    /// Waits for the deletion as an owner, who may not watch, and whose read is answered with 404 and `body`.
    async fn waited(body: Value) -> anyhow::Result<()> {
        let cluster = fake_cluster(move |request| {
            let is_list = request.uri().path().ends_with("/developerspaces");
            if is_list {
                (403, json!({"status": "Failure", "code": 403, "reason": "Forbidden"}))
            } else {
                (404, body.clone())
            }
        });
        until_gone(&cluster, &a_space(), Duration::from_secs(30), &mut Progress::new(&cluster.flags)).await
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_404_that_names_the_space_ends_the_wait_for_its_deletion() {
        let named = json!({"status": "Failure", "code": 404, "reason": "NotFound", "details": {"name": "orchid-lab"}});
        assert!(waited(named).await.is_ok());
        let error = waited(json!("a page of a gateway")).await.unwrap_err().to_string();
        assert!(
            error.starts_with("failed to read DeveloperSpace orchid-lab: this cluster does not know DeveloperSpaces"),
            "{error}"
        );
    }
}

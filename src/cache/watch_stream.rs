//! An endless watch. It is retried, restarts with a list when it has to and periodically, and checks the order of its
//! events.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt, future::ready};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt,
        utils::Backoff,
        watcher::{self, DefaultBackoff, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::relist::Relist;
use crate::{client::WATCH_TIMEOUT_SECONDS, desired::resource_version::version};

/// The configuration that all watches share.
pub(crate) fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_TIMEOUT_SECONDS)
}

/// The longest wait before a failed watch is retried. kube's own back-off goes up to a minute, including jitter, and
/// the cluster has to converge within a minute after the cause of a failure ends.
const MAX_WATCH_BACKOFF: Duration = Duration::from_secs(15);

/// kube's back-off, up to [`MAX_WATCH_BACKOFF`].
#[derive(Default)]
struct CappedBackoff(DefaultBackoff);

impl Iterator for CappedBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|wait| wait.min(MAX_WATCH_BACKOFF))
    }
}

impl Backoff for CappedBackoff {
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// The shortest time before a watch restarts with a list.
const MIN_WATCH_RESTART_DELAY: Duration = Duration::from_secs(1);

/// Watches one kind indefinitely. The watch restarts with a list by the schedule of its [`Relist`], and whenever the
/// API server no longer has the resourceVersion of the watch.
///
/// kube's watcher alone does neither: a watch that is refused with 410 when it opens is retried indefinitely with the
/// same resourceVersion, and an event that is lost stays lost. It also does not check the order of events.
fn watch_indefinitely<K>(
    api: Api<K>,
    config: watcher::Config,
    relist: Relist,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    K::DynamicType: Default,
{
    let kind = K::kind(&K::DynamicType::default()).into_owned();
    let one = move |number: u64| {
        let delay = if number == 0 { Duration::ZERO } else { MIN_WATCH_RESTART_DELAY };
        let begin = futures::stream::once(tokio::time::sleep(delay)).filter_map(|()| ready(None));
        let mut newest = 0;
        let trusted =
            move |event: &watcher::Result<Event<K>>| ready(!is_forgotten(event) && !goes_back(&mut newest, event));
        let watched = watcher(api.clone(), config.clone()).backoff(CappedBackoff::default()).take_while(trusted);
        let (relist, kind) = (relist.clone(), kind.clone());
        // The period begins at the end of the list: a list that takes longer than the period would never complete.
        let listed = Arc::new(Notify::new());
        let done = listed.clone();
        let watched = watched.inspect(move |event| {
            if matches!(event, Ok(Event::InitDone)) {
                listed.notify_one();
            }
        });
        let due = async move {
            done.notified().await;
            relist.wait_until_due(&kind, number).await;
        };
        begin.chain(watched.take_until(due))
    };
    futures::stream::iter(0..).map(one).flatten()
}

/// Returns true if the API server no longer has the resourceVersion from which a watch was to continue.
fn is_forgotten<T>(event: &watcher::Result<T>) -> bool {
    matches!(event, Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))) if status.code == 410)
}

/// Returns true if an older version is reported after a newer one. Within one resource, resourceVersions only grow
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>), so such a watch cannot be
/// trusted, and the cached objects may be wrong.
fn goes_back<K: Resource>(newest: &mut u64, event: &watcher::Result<Event<K>>) -> bool {
    match event {
        Ok(Event::Apply(object) | Event::Delete(object)) => {
            let received = version(object.meta());
            let back = received < *newest;
            if back {
                tracing::warn!(
                    object = object.meta().name,
                    received,
                    newest,
                    "a watch returned to an older resourceVersion; listing again"
                );
            }
            *newest = received.max(*newest);
            back
        }
        Ok(Event::Init) => {
            *newest = 0;
            false
        }
        Ok(Event::InitApply(_) | Event::InitDone) | Err(_) => false,
    }
}

/// The events of one kind. Errors are logged, and the watch backs off.
pub(crate) fn events<K>(api: Api<K>, config: watcher::Config, relist: Relist) -> impl Stream<Item = Event<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    K::DynamicType: Default,
{
    let kind = K::kind(&K::DynamicType::default()).into_owned();
    watch_indefinitely(api, config, relist).filter_map(move |event| {
        let event = event.inspect_err(|error| tracing::warn!(kind, %error, "a watch failed; retrying")).ok();
        ready(event)
    })
}

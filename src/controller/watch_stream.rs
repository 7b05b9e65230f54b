//! One watch for ever: it is tried again, begins with a list when it has to and from time to time, and minds the order of what it hears.

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
use crate::{client::WATCH_TIMEOUT_SECONDS, desired::children::version};

/// What all watches have in common.
pub fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_TIMEOUT_SECONDS)
}

/// The longest wait before a watch that failed is tried again. kube's own goes up to a minute, jitter included, and everything has to be
/// as it should within a minute of the end of whatever was wrong.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// kube's back-off, up to [`LONGEST_WAIT`].
#[derive(Default)]
struct Patience(DefaultBackoff);

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|wait| wait.min(LONGEST_WAIT))
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// How soon a watch begins with a list again, at the least.
const BREATH: Duration = Duration::from_secs(1);

/// Watches one kind for ever, beginning with a list again every [`Relist`] and whenever the server has forgotten where we were.
///
/// kube's watcher alone does neither: a watch that is refused with 410 when it opens is tried for ever with the same
/// resourceVersion, and an event that got lost is never made up for. Nor does it mind events that come in the wrong order.
fn watch_for_ever<K>(api: Api<K>, config: watcher::Config, relist: Relist) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    K::DynamicType: Default,
{
    let kind = K::kind(&K::DynamicType::default()).into_owned();
    let one = move |number: u64| {
        let breath = if number == 0 { Duration::ZERO } else { BREATH };
        let begin = futures::stream::once(tokio::time::sleep(breath)).filter_map(|()| ready(None));
        let mut newest = 0;
        let trusted = move |event: &watcher::Result<Event<K>>| ready(!is_forgotten(event) && !goes_back(&mut newest, event));
        let watched = watcher(api.clone(), config.clone()).backoff(Patience::default()).take_while(trusted);
        let (relist, kind) = (relist.clone(), kind.clone());
        // Counted from the end of the list: one that takes longer than the period would never come to an end.
        let listed = Arc::new(Notify::new());
        let done = listed.clone();
        let watched = watched.inspect(move |event| {
            if matches!(event, Ok(Event::InitDone)) {
                listed.notify_one();
            }
        });
        let due = async move {
            done.notified().await;
            relist.due(&kind, number).await;
        };
        begin.chain(watched.take_until(due))
    };
    futures::stream::iter(0..).map(one).flatten()
}

/// Whether the server does not know the resourceVersion any more from which a watch was to go on.
fn is_forgotten<T>(event: &watcher::Result<T>) -> bool {
    matches!(event, Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))) if status.code == 410)
}

/// Whether something older is told after something newer. Within one resource resourceVersions only grow
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>), so that such a watch is not to be
/// trusted, and what is kept may be wrong.
fn goes_back<K: Resource>(newest: &mut u64, event: &watcher::Result<Event<K>>) -> bool {
    match event {
        Ok(Event::Apply(object) | Event::Delete(object)) => {
            let told = version(object.meta());
            let back = told < *newest;
            if back {
                tracing::warn!(object = object.meta().name, told, newest, "a watch tells of older things after newer ones; listing again");
            }
            *newest = told.max(*newest);
            back
        }
        Ok(Event::Init) => {
            *newest = 0;
            false
        }
        Ok(Event::InitApply(_) | Event::InitDone) | Err(_) => false,
    }
}

/// The events of one kind; errors are logged and waited out.
pub fn events<K>(api: Api<K>, config: watcher::Config, relist: Relist) -> impl Stream<Item = Event<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    K::DynamicType: Default,
{
    let kind = K::kind(&K::DynamicType::default()).into_owned();
    watch_for_ever(api, config, relist).filter_map(move |event| {
        let event = event.inspect_err(|error| tracing::warn!(kind, %error, "a watch failed and is tried again")).ok();
        ready(event)
    })
}

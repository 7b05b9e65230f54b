//! Runs work in separate tasks. kube's controller is a single task that polls all of its futures whenever one of them
//! makes progress (`FutureHashMap` in `kube_runtime::controller`): each response and each event of a burst would wake
//! every reconcile under way.

use std::{future::Future, panic::resume_unwind, pin::pin};

use futures::{Stream, StreamExt, stream::BoxStream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// Runs `work` in a task that is aborted when this future is dropped. A panic of the task is resumed here.
pub(crate) async fn spawn_scoped<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    joined(AbortOnDropHandle::new(tokio::spawn(work.in_current_span()))).await
}

/// Returns the items of `stream`, which is polled in a task that is aborted when the result is dropped. A panic of the
/// task is resumed here.
pub(crate) fn spawn_stream<T: Send + 'static>(stream: impl Stream<Item = T> + Send + 'static) -> BoxStream<'static, T> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut stream = pin!(stream);
        while let Some(item) = stream.next().await {
            if sender.send(item).is_err() {
                break;
            }
        }
    }));
    let items = futures::stream::unfold((receiver, task), |(mut receiver, task)| async move {
        if let Some(item) = receiver.recv().await {
            return Some((item, (receiver, task)));
        }
        joined(task).await;
        None
    });
    items.boxed()
}

async fn joined<T>(task: AbortOnDropHandle<T>) -> T {
    match task.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => resume_unwind(panic),
        // Only the shutdown of the runtime cancels the task before its end.
        Err(Err(_)) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;

    #[tokio::test]
    async fn what_is_done_apart_comes_back() {
        assert_eq!(spawn_scoped(async { 7 }).await, 7);
        assert_eq!(spawn_stream(futures::stream::iter([1, 2, 3])).collect::<Vec<_>>().await, [1, 2, 3]);
    }

    #[tokio::test]
    async fn it_ends_with_who_asked_for_it() {
        let held = Arc::new(());
        let hold = |held: Arc<()>| async move {
            std::future::pending::<()>().await;
            drop(held);
        };
        let mut work = Box::pin(spawn_scoped(hold(held.clone())));
        assert!(futures::poll!(&mut work).is_pending());
        let stream = spawn_stream(futures::stream::once(hold(held.clone())));
        drop((work, stream));
        let ended = async {
            while Arc::strong_count(&held) > 1 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("both end");
    }

    #[tokio::test]
    #[should_panic(expected = "the work broke")]
    async fn a_panic_goes_on() {
        spawn_scoped(async { panic!("the work broke") }).await;
    }

    #[tokio::test]
    #[should_panic(expected = "the stream broke")]
    async fn a_panic_of_a_stream_goes_on() {
        let broken = futures::stream::once(async { panic!("the stream broke") });
        spawn_stream::<()>(broken).collect::<Vec<_>>().await;
    }
}

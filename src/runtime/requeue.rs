//! Requests further reconciles of spaces by name.

use futures::{StreamExt, stream::BoxStream};
use tokio::sync::mpsc;

/// Requeues spaces.
#[derive(Clone, Debug)]
pub struct RequeueSender(mpsc::UnboundedSender<String>);

impl RequeueSender {
    /// Returns a sender, and the stream of the requeued names.
    pub fn new() -> (Self, BoxStream<'static, String>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let stream = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|name| (name, receiver))
        });
        (Self(sender), stream.boxed())
    }

    /// Requeues the space of that name.
    pub fn requeue(&self, name: String) {
        // The receiver is missing only while the process ends, or in a one-shot run.
        let _ = self.0.send(name);
    }
}

//! Owns a world in memory: the whole controller on an API server in memory, with a clock that is moved by hand. A
//! sequence takes milliseconds here, and the same sequence always runs the same way.

mod contract;
mod objects;
mod schema;
mod server;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use developerspace_operator::{
    api::protected_namespaces::ProtectedNamespaces,
    clock::Clock,
    controller::{self, context::Context, io::Io},
    runtime::{events, requeue::RequeueSender, worker_slots::WorkerSlots},
};
use futures::future::LocalBoxFuture;
use kube::Client;
use tokio::task::JoinHandle;

use self::{contract::Caller, server::Server};
use super::world::World;
use crate::{fault_sweep::cluster_view::Objects, operator};

/// The shipped number of workers.
const WORKERS: u16 = 16;
/// The interval between relists: no event is lost here, so no relist is needed.
const RELIST: Duration = Duration::from_secs(100 * 24 * 60 * 60);
/// The time within which all consequences of a change are complete.
const SETTLE_TIME: Duration = Duration::from_secs(8);

/// The whole controller on an API server in memory.
pub(super) struct MemoryWorld {
    server: Server,
    operator: Mutex<Option<JoinHandle<()>>>,
}

impl MemoryWorld {
    /// Starts a cluster whose time begins at `epoch`, with an operator. The runtime must be single-threaded and paused.
    pub(super) fn new(epoch: DateTime<Utc>) -> Result<Self> {
        let world = Self { server: Server::new(epoch)?, operator: Mutex::default() };
        world.run_operator();
        Ok(world)
    }

    fn run_operator(&self) {
        let client = self.server.client(Caller::Operator);
        let (requeue, requeued) = RequeueSender::new();
        let slots = WorkerSlots::new(WORKERS);
        let (recorder, writing) = events::recorder(client.clone(), slots.clone(), "adversary");
        let (clock, protected) =
            (Arc::new(ServerTime(self.server.clone())), ProtectedNamespaces::new(operator::NAMESPACE, &[]));
        let ctx = Arc::new(Context { requeue, ..Context::new(Io::new(client, clock, protected, recorder), slots) });
        let running = tokio::spawn(async move {
            let working = controller::run(ctx, requeued, RELIST, std::future::pending());
            futures::future::join(working, writing).await;
        });
        let before = self.operator.lock().unwrap_or_else(PoisonError::into_inner).replace(running);
        if let Some(before) = before {
            before.abort();
        }
    }
}

impl Drop for MemoryWorld {
    fn drop(&mut self) {
        if let Some(operator) = self.operator.lock().unwrap_or_else(PoisonError::into_inner).take() {
            operator.abort();
        }
    }
}

struct ServerTime(Server);

impl Clock for ServerTime {
    fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }
}

impl World for MemoryWorld {
    fn client(&self) -> Client {
        self.server.client(Caller::Administrator)
    }

    fn objects_of(&self, name: &str) -> Objects {
        self.server.objects_of(name)
    }

    fn now(&self) -> DateTime<Utc> {
        self.server.now()
    }

    fn advance(&self, wait: TimeDelta) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move {
            tokio::time::sleep(wait.to_std()?).await;
            Ok(())
        })
    }

    fn wait_until_idle(&self) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async {
            tokio::time::sleep(SETTLE_TIME).await;
            Ok(())
        })
    }

    fn restart(&self) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.run_operator();
            Ok(())
        })
    }

    fn requeue<'a>(&'a self, _: &'a [String]) -> LocalBoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn is_real(&self) -> bool {
        false
    }

    fn lateness(&self) -> TimeDelta {
        TimeDelta::zero()
    }
}

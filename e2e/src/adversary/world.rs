//! Owns the interface of a world, so that the same sequences are played in memory and on a real API server.

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::LocalBoxFuture;
use kube::Client;

use crate::fault_sweep::cluster_view::Objects;

/// The header with which the administrator impersonates a user
/// (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation>).
pub(super) const IMPERSONATE: &str = "Impersonate-User";
/// The header that names a group of that user.
pub(super) const IMPERSONATE_GROUP: &str = "Impersonate-Group";
/// The group of all owners and members.
pub(super) const DEVELOPERS: &str = "developers";

/// A cluster with an operator.
pub(super) trait World: Send + Sync {
    /// The administrator's client, which may impersonate any user.
    fn client(&self) -> Client;

    /// The objects of the space or the class of that name. On a real API server they come from watches, which may be
    /// slightly behind.
    fn objects_of(&self, name: &str) -> Objects;

    /// The time that the operator uses.
    fn now(&self) -> DateTime<Utc>;

    /// Advances the time.
    fn advance(&self, wait: TimeDelta) -> LocalBoxFuture<'_, Result<()>>;

    /// Waits until the operator has done everything that follows from the current state.
    fn wait_until_idle(&self) -> LocalBoxFuture<'_, Result<()>>;

    /// Ends the operator abruptly and starts it again.
    fn restart(&self) -> LocalBoxFuture<'_, Result<()>>;

    /// Makes the operator reconcile the spaces of these names, if its timers do not follow the advanced time.
    fn requeue<'a>(&'a self, spaces: &'a [String]) -> LocalBoxFuture<'a, Result<()>>;

    /// Returns true if controllers take some time, so that a state that is wrong may become right.
    fn is_real(&self) -> bool;

    /// The additional delay until the operator learns that a moment has passed, compared with a clock that runs evenly.
    fn lateness(&self) -> TimeDelta;
}

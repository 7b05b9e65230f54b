//! Owns what a world must be able to do, so that the same sequences are played in memory and on a real API server.

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::LocalBoxFuture;
use kube::Client;

/// The header by which the administrator acts as somebody, and that of a group of theirs
/// (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation>).
pub const IMPERSONATE: &str = "Impersonate-User";
/// The header that names a group.
pub const IMPERSONATE_GROUP: &str = "Impersonate-Group";
/// The group of all owners and members.
pub const DEVELOPERS: &str = "developers";

/// A cluster with an operator.
pub trait World: Send + Sync {
    /// The administrator's client, who may act as anybody.
    fn client(&self) -> Client;

    /// The time by which the operator goes.
    fn now(&self) -> DateTime<Utc>;

    /// Lets time pass.
    fn pass(&self, wait: TimeDelta) -> LocalBoxFuture<'_, Result<()>>;

    /// Waits until the operator has done what follows from what is there.
    fn settle(&self) -> LocalBoxFuture<'_, Result<()>>;

    /// Ends the operator without notice and starts it again.
    fn restart(&self) -> LocalBoxFuture<'_, Result<()>>;

    /// Makes the operator look at the spaces of these names, where its timers do not follow the time that was let pass.
    fn wake<'a>(&'a self, spaces: &'a [String]) -> LocalBoxFuture<'a, Result<()>>;

    /// Returns true if controllers take their time, so that a state that is wrong may become right.
    fn is_real(&self) -> bool;

    /// By how much the operator may learn later that a moment has passed than it would from a clock that runs evenly.
    fn lateness(&self) -> TimeDelta;
}

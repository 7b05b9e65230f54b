//! The recent writes for each space, counted by the paths of the requests. A space with too many recent writes waits.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::{desired::write_limiter::WriteLimiter, lock::IgnorePoison};

/// The number of spaces above which those at rest are forgotten before the register grows.
const CLEANUP_THRESHOLD: usize = 1_024;

/// The register of recent writes.
#[derive(Debug)]
pub struct RecentWrites {
    started: Instant,
    brakes: Mutex<HashMap<String, WriteLimiter>>,
}

impl Default for RecentWrites {
    fn default() -> Self {
        Self { started: Instant::now(), brakes: Mutex::default() }
    }
}

impl RecentWrites {
    /// Records a write at that path.
    pub fn record(&self, path: &str) {
        let Some(space) = space_of(path) else { return };
        let (now, mut brakes) = (self.started.elapsed(), self.brakes.lock().ignore_poison());
        if brakes.len() >= CLEANUP_THRESHOLD && brakes.len() == brakes.capacity() {
            brakes.retain(|_, brake| !brake.is_idle(now));
        }
        match brakes.get_mut(space) {
            Some(brake) => brake.write(now),
            None => brakes.entry(space.to_owned()).or_default().write(now),
        }
    }

    /// The time for which the space of that name waits, if it does.
    pub fn wait(&self, space: &str) -> Option<Duration> {
        let brake = self.brakes.lock().ignore_poison().get(space).copied()?;
        Some(brake.wait(self.started.elapsed())).filter(|wait| !wait.is_zero())
    }
}

/// The space of a path: the segment that follows `namespaces` or `developerspaces`. Events are limited separately.
fn space_of(path: &str) -> Option<&str> {
    let mut parts = path.split('/').skip_while(|part| !["namespaces", "developerspaces"].contains(part));
    let name = parts.nth(1).filter(|name| !name.is_empty())?;
    (parts.next() != Some("events")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_which_space_it_is_about() {
        for (path, space) in [
            ("/api/v1/namespaces", None),
            ("/api/v1/namespaces/orchid-lab", Some("orchid-lab")),
            ("/api/v1/namespaces/orchid-lab/resourcequotas/developerspace", Some("orchid-lab")),
            ("/apis/rbac.authorization.k8s.io/v1/namespaces/orchid-lab/rolebindings", Some("orchid-lab")),
            ("/apis/developerspace.dev/v1alpha1/developerspaces/orchid-lab/status", Some("orchid-lab")),
            ("/apis/events.k8s.io/v1/namespaces/default/events", None),
            ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", None),
        ] {
            assert_eq!(space_of(path), space, "{path}");
        }
    }

    #[test]
    fn a_space_of_which_much_is_written_waits_and_no_other_does() {
        let writes = RecentWrites::default();
        for _ in 0..100 {
            writes.record("/api/v1/namespaces/fern-lab/resourcequotas/developerspace");
        }
        writes.record("/api/v1/namespaces/orchid-lab");
        assert!(
            writes.wait("fern-lab").is_some()
                && writes.wait("orchid-lab").is_none()
                && writes.wait("moss-lab").is_none()
        );
    }
}

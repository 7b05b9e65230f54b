//! Evaluates the ledger for a space with the contents of the store. Makes no request.

use chrono::{DateTime, Utc};
use kube::ResourceExt;

use super::io::Io;
use crate::{
    api::{DeveloperSpace, SpaceClassSpec},
    desired::{
        Ruling,
        ledger::{self, Surroundings},
        namespace::{Ownership, ownership},
        noncompliance::{self, Rule},
        space_name::{check_name, objection},
    },
};

/// The ruling of a class on a spec, its times and subjects included. The condition shows the first refusal.
pub fn ruling(space: &DeveloperSpace, io: &Io, class_name: &str, class: &SpaceClassSpec, now: DateTime<Utc>) -> Ruling {
    let name = space.name_any();
    let is_recorded = space.status.as_ref().is_some_and(|status| status.namespace.is_some());
    // A namespace that was created and not recorded yet, or that an administrator hands over.
    let is_there =
        || io.store.namespace(&name).is_some_and(|namespace| ownership(space, &namespace) != Ownership::Foreign);
    let around = Surroundings {
        now,
        protected: &io.protected,
        admitted: &io.store.reserved.admitted(),
        reservation: io.store.reserved.by(&name, &space.spec.owner),
        has_namespace: is_recorded || is_there(),
    };
    ledger::validate_spec(space, class_name, class, &around)
}

/// The rules that the space does not comply with under `class`, the spec in force of that name.
pub(crate) fn broken_rules(
    space: &DeveloperSpace,
    io: &Io,
    class_name: &str,
    class: Option<&SpaceClassSpec>,
) -> Vec<Rule> {
    let name = space.name_any();
    let reservation = io.store.reserved.by(&name, &space.spec.owner);
    let rules = class.and_then(|class| class.names.as_ref());
    let is_refused = check_name(&name, &io.protected).is_err()
        || objection(&name, class_name, rules, reservation.as_ref()).is_some();
    noncompliance::broken(space, class, is_refused)
}

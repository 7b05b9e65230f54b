//! Asks the ledger about a space with what the store knows. Makes no request.

use chrono::{DateTime, Utc};
use kube::ResourceExt;

use super::context::Context;
use crate::{
    api::{DeveloperSpace, SpaceClassSpec},
    desired::{
        Ruling,
        ledger::{self, Surroundings},
        namespace::{Ownership, ownership},
    },
};

/// Everything that a class says of a spec, its times and subjects included. The first refusal is the one that is shown.
pub fn judge(space: &DeveloperSpace, ctx: &Context, (class_name, class): (&str, &SpaceClassSpec), now: DateTime<Utc>) -> Ruling {
    let name = space.name_any();
    let is_recorded = space.status.as_ref().is_some_and(|status| status.namespace.is_some());
    // One that was made and not recorded yet, or that an administrator hands over.
    let is_there = || ctx.store.namespace(&name).is_some_and(|namespace| ownership(space, &namespace) != Ownership::Foreign);
    let around = Surroundings {
        now,
        protected: &ctx.protected,
        admitted: &ctx.store.reserved.admitted(),
        reservation: ctx.store.reserved.by(&name, &space.spec.owner),
        has_namespace: is_recorded || is_there(),
    };
    ledger::judge(space, class_name, class, &around)
}

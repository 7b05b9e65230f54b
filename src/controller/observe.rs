//! Reads the observed state of one space from the cache. Makes no request, and changes nothing.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use kube::ResourceExt;

use super::{io::Io, ledger::ruling};
use crate::{
    api::{DeveloperSpace, SpaceClass},
    cache::{owner_limit::is_live, store::Store},
    desired::{
        lifetime::{
            inputs::{is_sealed, lifetime_inputs, rules_of, terms},
            outlook::{Outlook, outlook},
            rules::LifetimeRules,
            stage::Stage,
        },
        namespace::{Ownership, SeenNamespace, ownership},
        plan::{ClassVerdict, MissingClass, Observed, class_verdict, recorded_namespace},
        standing::{Standing, standing},
        status::InForceStatus,
    },
};

/// The class and the owner under which a space is observed.
struct Place {
    /// The class that the space names, or else the default class.
    wanted: Option<String>,
    /// The class that applies to the space.
    class_name: Option<String>,
    standing: Option<Standing>,
    /// True if the space was admitted to the class that it wants with the owner that it names, or to none.
    is_wanted: bool,
}

/// Observes a space under the class in force, or under the wanted class before it is admitted to any.
pub fn observe(space: &DeveloperSpace, io: &Io) -> Observed {
    let wanted = class_name(space, &io.store);
    let standing = standing(space);
    let class_name = standing.as_ref().map(|standing| standing.class_name.clone()).or_else(|| wanted.clone());
    let is_wanted = standing
        .as_ref()
        .is_none_or(|standing| standing.owner == space.spec.owner && Some(&standing.class_name) == wanted.as_ref());
    observe_in(space, io, Place { wanted, class_name, standing, is_wanted })
}

/// Observes the same space under `class_name`, to which it has just been admitted with its current spec.
pub(crate) fn observe_admitted(space: &DeveloperSpace, io: &Io, class_name: &str) -> Observed {
    let standing = Some(Standing { class_name: class_name.to_owned(), owner: space.spec.owner.clone() });
    let name = Some(class_name.to_owned());
    observe_in(space, io, Place { wanted: name.clone(), class_name: name, standing, is_wanted: true })
}

fn observe_in(space: &DeveloperSpace, io: &Io, place: Place) -> Observed {
    let Place { wanted, class_name, standing, is_wanted } = place;
    let (name, now) = (space.name_any(), io.clock.now());
    let class_of = |name: Option<&str>| name.and_then(|name| io.store.class(name));
    let class = class_of(class_name.as_deref());
    let spec = class.as_ref().and_then(|class| class.in_force());
    let rules = rules_of(space, spec);
    let own_name = class_name.as_deref().unwrap_or_default();
    let own_ruling = spec.map(|spec| Arc::new(ruling(space, io, own_name, spec, now)));
    let (wanted_class, wanted_ruling) = if wanted == class_name {
        (class.clone(), own_ruling.clone())
    } else {
        let class = class_of(wanted.as_deref());
        let (name, spec) = (wanted.as_deref().unwrap_or_default(), class.as_ref().and_then(|class| class.in_force()));
        let ruling = spec.map(|spec| Arc::new(ruling(space, io, name, spec, now)));
        (class, ruling)
    };
    let wanted_class = wanted_class.ok_or_else(|| missing_class(wanted.as_deref(), &io.store));
    let is_accepted = is_wanted && own_ruling.as_ref().is_some_and(|ruling| ruling.refusals.is_empty());
    let namespace = io.store.namespace(&name);
    let accepted = outlook(&lifetime_inputs(space, rules.as_ref(), is_accepted, now), now);
    let held = match &class {
        Some(class) => held(space, io, class, is_wanted, (&accepted, now)),
        None => removed_class(class_name.as_deref(), io).and_then(|(class, left)| {
            let held = held(space, io, &class, is_wanted, (&accepted, now))?;
            Some(Outlook { wake: held.wake.into_iter().chain([now + left]).min(), ..held })
        }),
    };
    let (is_seal_held, outlook) = (held.is_some(), held.unwrap_or(accepted));
    let candidate =
        namespace.as_ref().filter(|seen| !io.protected.contains(&name) || keeps(space, seen, outlook.stage));
    let ownership = candidate.map_or(Ownership::Foreign, |namespace| ownership(space, namespace));
    let in_force = standing.as_ref().map_or_else(InForceStatus::default, |standing| InForceStatus {
        class_name: Some(standing.class_name.clone()),
        owner: Some((&standing.owner).into()),
        // Without terms (after an upgrade) and with a refused spec, the expiry in the status and `protected` stay
        // authoritative.
        terms: spec.filter(|_| is_accepted || has_terms(space)).map(|spec| terms(space, spec, is_accepted)),
    });
    let children = io.store.children(&name);
    Observed {
        now,
        validation_error: wanted.as_deref().and_then(|name| io.store.validation_error(name)),
        wanted,
        wanted_class,
        wanted_ruling,
        class_name,
        class,
        standing,
        in_force,
        ruling: own_ruling,
        is_accepted,
        rules,
        namespace,
        ownership,
        children,
        outlook,
        is_seal_held,
    }
}

/// The outlook of a space that is due under the spec of `class` that was accepted last, and not under the current one,
/// which was not validated yet: an administrator may have corrected the lifetime while no operator ran. `None` for any
/// other space. A lifetime that cannot be read is certain to be refused, and changes nothing. A spec that may be
/// refused for another reason holds the seal back until then, because the deletion cannot be undone.
fn held(
    space: &DeveloperSpace,
    io: &Io,
    class: &SpaceClass,
    is_wanted: bool,
    (accepted, now): (&Outlook, DateTime<Utc>),
) -> Option<Outlook> {
    if accepted.stage != Stage::Due || is_sealed(space) || class_verdict(class) != ClassVerdict::Pending {
        return None;
    }
    let rules = LifetimeRules::from_class(&class.spec).ok()?;
    let is_accepted = is_wanted && ruling(space, io, &class.name_any(), &class.spec, now).refusals.is_empty();
    accepted.held(&lifetime_inputs(space, Some(&rules), is_accepted, now), now)
}

/// The class of that name, if it was removed recently with a spec that was not validated, and the time for which it
/// still holds seals back: it may be created again.
fn removed_class(name: Option<&str>, io: &Io) -> Option<(Arc<SpaceClass>, Duration)> {
    name.and_then(|name| io.store.removed_class(name))
}

fn missing_class(wanted: Option<&str>, store: &Store) -> MissingClass {
    let mut known = store.class_names();
    known.sort();
    MissingClass { is_unreadable: wanted.is_some_and(|name| store.is_unreadable_class(name)), known }
}

/// Returns true if the space had its namespace before the name was protected, and is alive: it keeps the namespace,
/// which is not deleted when the space expires.
fn keeps(space: &DeveloperSpace, namespace: &SeenNamespace, stage: Stage) -> bool {
    let is_recorded = recorded_namespace(space).is_some_and(|recorded| namespace.uid == *recorded.uid);
    is_recorded && is_live(space) && stage != Stage::Due
}

fn has_terms(space: &DeveloperSpace) -> bool {
    space.status.as_ref().is_some_and(|status| status.terms.is_some())
}

/// The class that a space names, or else the default class. While several classes are annotated as the default, a space
/// keeps its own: a copy of a class, with its annotations, moves no space. A space also keeps a class that no longer
/// exists, and its own class while there is no default.
pub fn class_name(space: &DeveloperSpace, store: &Store) -> Option<String> {
    let had = || space.status.as_ref().and_then(|status| status.class_name.clone());
    let kept = || had().filter(|had| store.is_default_class(had) || !store.class_names().contains(had));
    space.spec.class_name.clone().or_else(kept).or_else(|| store.default_class()).or_else(had)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::names::ANNOTATION_DEFAULT_CLASS;

    fn object<T: serde::de::DeserializeOwned>(kind: &str, metadata: &Value, spec: &Value, status: &Value) -> T {
        let object = json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec, "status": status});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn who_names_no_class_has_the_default() {
        let store = Store::default();
        let space = |class: Option<&str>| -> DeveloperSpace {
            let spec = json!({"owner": {"kind": "User", "name": "alice@example.com"}, "className": class});
            object(
                "DeveloperSpace",
                &json!({"name": "alice-payments"}),
                &spec,
                &json!({"className": "small", "conditions": []}),
            )
        };
        assert_eq!(
            class_name(&space(None), &store).as_deref(),
            Some("small"),
            "without a default it keeps what it has"
        );
        store.put_class(object("SpaceClass", &json!({"name": "small"}), &json!({}), &json!({})));
        let metadata = json!({"name": "standard", "annotations": {(ANNOTATION_DEFAULT_CLASS): "true"}});
        store.put_class(object("SpaceClass", &metadata, &json!({}), &json!({})));
        assert_eq!(class_name(&space(None), &store).as_deref(), Some("standard"));
        let copied = json!({"name": "small", "annotations": {(ANNOTATION_DEFAULT_CLASS): "true"}});
        store.put_class(object("SpaceClass", &copied, &json!({}), &json!({})));
        assert_eq!(
            class_name(&space(None), &store).as_deref(),
            Some("small"),
            "of two defaults it keeps the one that it has"
        );
        assert_eq!(class_name(&space(Some("large")), &store).as_deref(), Some("large"));
        store.remove_class("small");
        assert_eq!(
            class_name(&space(None), &store).as_deref(),
            Some("small"),
            "a class that is deleted moves no space"
        );
    }
}

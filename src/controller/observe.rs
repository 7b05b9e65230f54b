//! The observed state of one space and of everything that belongs to it, at one time.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, Utc};
use kube::ResourceExt;

use super::{context::Context, ledger::judge};
use crate::{
    api::{
        DeveloperSpace, NamespaceRef, SpaceClass, SpaceClassSpec,
        conditions::{self, Reason, types},
    },
    cache::{owner_limit::is_live, store::Store},
    desired::{
        SeenChild, SpecRefusal,
        lifetime::{
            inputs::{lifetime_inputs, rules_of, terms},
            outlook::{Outlook, outlook},
            rules::LifetimeRules,
            stage::Stage,
        },
        namespace::{Ownership, SeenNamespace, ownership},
        resolve::Ruling,
        standing::{Standing, standing},
        status::InForceStatus,
    },
};

/// The observed state.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The time of the observation.
    pub now: DateTime<Utc>,
    /// The class that the space names, or else the default class. It may not exist.
    pub wanted: Option<String>,
    /// The class that applies to the space: the class in force, or the wanted class before the space is admitted to any.
    pub class_name: Option<String>,
    /// That class, if it exists.
    pub class: Option<Arc<SpaceClass>>,
    /// The class and the owner that the space was admitted with, if it was.
    pub standing: Option<Standing>,
    /// The part of the status that records the admission.
    pub in_force: InForceStatus,
    /// The resources that the space may have under that class, if the class has a spec in force.
    pub ruling: Option<Ruling>,
    /// True if the current spec is accepted under that class and for that owner.
    pub is_accepted: bool,
    /// The lifetime in force: the class's, or the terms last accepted.
    pub rules: Option<LifetimeRules>,
    /// The namespace with the name of the space, regardless of its owner.
    pub namespace: Option<SeenNamespace>,
    /// The owner of that namespace; foreign if there is none.
    pub ownership: Ownership,
    /// The operator's objects in that namespace.
    pub children: Vec<SeenChild>,
    /// The expiry of the space, the stage of its life, and the time of its next reconcile.
    pub outlook: Outlook,
    /// Resources that are limited by another class, to which the space asks to be moved. They are added to the quota, which counts them first.
    pub to_count: BTreeSet<String>,
}

/// The result that the operator has recorded for a class in its current generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassVerdict {
    /// There is no result yet.
    Pending,
    /// Spaces may use it.
    Accepted,
    /// Spaces may not use it: the reason and the message.
    Refused(String, String),
}

/// Reads the state of a space from the store. Makes no request.
pub fn observe(space: &DeveloperSpace, ctx: &Context) -> Observed {
    let wanted = class_name(space, &ctx.store);
    let standing = standing(space);
    let class_name = standing.as_ref().map(|standing| standing.class_name.clone()).or_else(|| wanted.clone());
    let is_where_it_wants =
        standing.as_ref().is_none_or(|standing| standing.owner == space.spec.owner && Some(&standing.class_name) == wanted.as_ref());
    observe_under(space, ctx, (wanted, class_name), standing, is_where_it_wants)
}

/// The state of the same space under `class_name`, to which it has just been admitted with its current spec.
pub fn observe_admitted(space: &DeveloperSpace, ctx: &Context, class_name: &str) -> Observed {
    let standing = Standing { class_name: class_name.to_owned(), owner: space.spec.owner.clone() };
    let name = Some(class_name.to_owned());
    observe_under(space, ctx, (name.clone(), name), Some(standing), true)
}

fn observe_under(
    space: &DeveloperSpace,
    ctx: &Context,
    (wanted, class_name): (Option<String>, Option<String>),
    standing: Option<Standing>,
    is_where_it_wants: bool,
) -> Observed {
    let (name, now) = (space.name_any(), ctx.clock.now());
    let class = class_name.as_deref().and_then(|name| ctx.store.class(name));
    let spec = class.as_ref().and_then(|class| class.in_force());
    let rules = rules_of(space, spec);
    let ruling = spec.map(|spec| judge(space, ctx, (class_name.as_deref().unwrap_or_default(), spec), now));
    let is_accepted = is_where_it_wants && ruling.as_ref().is_some_and(|ruling| ruling.refusals.is_empty());
    let namespace = ctx.store.namespace(&name);
    let outlook = outlook(&lifetime_inputs(space, rules.as_ref(), is_accepted, now), now);
    let candidate = namespace.as_ref().filter(|seen| !ctx.protected.contains(&name) || keeps(space, seen, outlook.stage));
    let ownership = candidate.map_or(Ownership::Foreign, |namespace| ownership(space, namespace));
    let in_force = standing.as_ref().map_or_else(InForceStatus::default, |standing| InForceStatus {
        class_name: Some(standing.class_name.clone()),
        owner: Some((&standing.owner).into()),
        // Without terms (after an upgrade) and with a refused spec, the expiry in the status and `protected` stay authoritative.
        terms: spec.filter(|_| is_accepted || has_terms(space)).map(|spec| terms(space, spec, is_accepted)),
    });
    let children = ctx.store.children(&name);
    Observed {
        now,
        wanted,
        class_name,
        class,
        standing,
        in_force,
        ruling,
        is_accepted,
        rules,
        namespace,
        ownership,
        children,
        outlook,
        to_count: BTreeSet::new(),
    }
}

impl Observed {
    /// Schedules the next reconcile for `at`, unless it is scheduled for an earlier time.
    pub fn wakes_by(&mut self, at: DateTime<Utc>) {
        self.outlook.wake = Some(self.outlook.wake.map_or(at, |wake| wake.min(at)));
    }

    /// The spec in force of the class that applies to the space.
    pub fn class_spec(&self) -> Option<&SpaceClassSpec> {
        self.class.as_ref().and_then(|class| class.in_force())
    }

    /// Returns true if the class that the space wants enforces isolation: the namespace is marked before the space is admitted to it.
    pub fn wants_isolation(&self, ctx: &Context) -> bool {
        let wanted = self.wanted.as_deref().and_then(|name| ctx.store.class(name));
        wanted.as_ref().and_then(|class| class.in_force()).is_some_and(|spec| spec.network.enforced)
    }

    /// Returns the refusal to report. While the class in force is missing, that is the reason, regardless of other errors, since admission depends on
    /// it.
    pub fn beside_a_missing_class(&self, refusal: SpecRefusal) -> SpecRefusal {
        match &self.standing {
            Some(standing) if self.class.is_none() && refusal.reason != Reason::ClassNotFound => {
                let message =
                    format!("SpaceClass {}, which is in force, does not exist or cannot be read; {}", standing.class_name, refusal.message);
                SpecRefusal::new(Reason::ClassNotFound, message)
            }
            _ => refusal,
        }
    }

    /// The namespace, if it belongs to the space.
    pub fn own_namespace(&self) -> Option<&SeenNamespace> {
        self.namespace.as_ref().filter(|_| self.ownership == Ownership::Ours)
    }

    /// The namespace of the space. A namespace that was deleted stays recorded, so that its re-creation can be reported.
    pub fn known_namespace(&self, space: &DeveloperSpace) -> Option<NamespaceRef> {
        self.standing_namespace(space).or_else(|| recorded(space).cloned())
    }

    /// The namespace, if it belongs to the space or is recorded as such: a name that is protected for a while must not permanently cost the space its
    /// namespace.
    pub fn standing_namespace(&self, space: &DeveloperSpace) -> Option<NamespaceRef> {
        let stands = |recorded: &&NamespaceRef| self.namespace.as_ref().is_some_and(|namespace| namespace.uid == *recorded.uid);
        self.namespace_ref(&space.name_any()).or_else(|| recorded(space).filter(stands).cloned())
    }

    /// The reference to the namespace for the status, if the namespace belongs to the space.
    pub fn namespace_ref(&self, name: &str) -> Option<NamespaceRef> {
        self.own_namespace().map(|namespace| NamespaceRef { name: name.to_owned(), uid: namespace.uid.to_string() })
    }
}

/// Returns true if the space had its namespace before the name was protected, and is alive: it keeps the namespace, which is not deleted when the
/// space expires.
fn keeps(space: &DeveloperSpace, namespace: &SeenNamespace, stage: Stage) -> bool {
    let is_recorded = recorded(space).is_some_and(|recorded| namespace.uid == *recorded.uid);
    is_recorded && is_live(space) && stage != Stage::Due
}

fn has_terms(space: &DeveloperSpace) -> bool {
    space.status.as_ref().is_some_and(|status| status.terms.is_some())
}

fn recorded(space: &DeveloperSpace) -> Option<&NamespaceRef> {
    space.status.as_ref()?.namespace.as_ref()
}

/// The class that a space names, or else the default class. While several classes are annotated as the default, a space keeps its own: a copy of a
/// class, with its annotations, moves no space. A space also keeps a class that no longer exists, and its own class while there is no default.
pub fn class_name(space: &DeveloperSpace, store: &Store) -> Option<String> {
    let had = || space.status.as_ref().and_then(|status| status.class_name.clone());
    let kept = || had().filter(|had| store.is_default_class(had) || !store.class_names().contains(had));
    space.spec.class_name.clone().or_else(kept).or_else(|| store.default_class()).or_else(had)
}

/// The result that the status of a class contains for its current generation.
pub fn class_verdict(class: &SpaceClass) -> ClassVerdict {
    let Some(status) = &class.status else {
        return ClassVerdict::Pending;
    };
    match conditions::find(&status.conditions, types::ACCEPTED) {
        Some(accepted) if accepted.observed_generation == class.metadata.generation => match accepted.status.as_str() {
            "True" => ClassVerdict::Accepted,
            _ => ClassVerdict::Refused(accepted.reason.clone(), accepted.message.clone()),
        },
        _ => ClassVerdict::Pending,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::names::ANNOTATION_DEFAULT_CLASS;

    fn object<T: serde::de::DeserializeOwned>(kind: &str, metadata: &Value, spec: &Value, status: &Value) -> T {
        let object =
            json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec, "status": status});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn who_names_no_class_has_the_default() {
        let store = Store::default();
        let space = |class: Option<&str>| -> DeveloperSpace {
            let spec = json!({"owner": {"kind": "User", "name": "alice@example.com"}, "className": class});
            object("DeveloperSpace", &json!({"name": "alice-payments"}), &spec, &json!({"className": "small", "conditions": []}))
        };
        assert_eq!(class_name(&space(None), &store).as_deref(), Some("small"), "without a default it keeps what it has");
        store.put_class(object("SpaceClass", &json!({"name": "small"}), &json!({}), &json!({})));
        let metadata = json!({"name": "standard", "annotations": {(ANNOTATION_DEFAULT_CLASS): "true"}});
        store.put_class(object("SpaceClass", &metadata, &json!({}), &json!({})));
        assert_eq!(class_name(&space(None), &store).as_deref(), Some("standard"));
        let copied = json!({"name": "small", "annotations": {(ANNOTATION_DEFAULT_CLASS): "true"}});
        store.put_class(object("SpaceClass", &copied, &json!({}), &json!({})));
        assert_eq!(class_name(&space(None), &store).as_deref(), Some("small"), "of two defaults it keeps the one that it has");
        assert_eq!(class_name(&space(Some("large")), &store).as_deref(), Some("large"));
        store.remove_class("small");
        assert_eq!(class_name(&space(None), &store).as_deref(), Some("small"), "a class that is deleted moves no space");
    }
}

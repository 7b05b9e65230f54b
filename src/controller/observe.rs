//! What is known of one space and everything that belongs to it, at one moment.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use kube::ResourceExt;

use super::{
    context::Context,
    store::{Store, is_default},
};
use crate::{
    api::{DeveloperSpace, NamespaceRef, SpaceClass, conditions, conditions::types},
    desired::{
        SeenChild,
        lifetime::{Outlook, outlook},
        namespace::{Ownership, SeenNamespace, ownership},
        term::{Rules, term},
    },
};

/// What was found.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The moment.
    pub now: DateTime<Utc>,
    /// Name of the class in force, whether it exists or not; none if there is no default either.
    pub class_name: Option<String>,
    /// The class, if it exists.
    pub class: Option<Arc<SpaceClass>>,
    /// The class's lifetime, if it can be read.
    pub rules: Option<Rules>,
    /// The namespace of the space's name, whosever it is.
    pub namespace: Option<SeenNamespace>,
    /// Whose it is; foreign where there is none.
    pub ownership: Ownership,
    /// Our objects in it.
    pub children: Vec<SeenChild>,
    /// Where the space stands in time.
    pub outlook: Outlook,
}

/// What the operator has said of a class in its present generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassVerdict {
    /// Nothing yet.
    Pending,
    /// Spaces may use it.
    Accepted,
    /// They may not: reason and sentence.
    Refused(String, String),
}

/// Looks everything up; asks nobody.
pub fn observe(space: &DeveloperSpace, ctx: &Context) -> Observed {
    let (name, now) = (space.name_any(), ctx.clock.now());
    let class_name = class_name(space, &ctx.store);
    let class = class_name.as_deref().and_then(|name| ctx.store.class(name));
    let rules = class.as_ref().and_then(|class| Rules::of(&class.spec).ok());
    let namespace = ctx.store.namespace(&name);
    // A protected name is nobody's, whatever was recorded before it was put on the list.
    let candidate = namespace.as_ref().filter(|_| !ctx.protected.contains(&name));
    let ownership = candidate.map_or(Ownership::Foreign, |namespace| ownership(space, namespace));
    let outlook = outlook(&term(space, rules.as_ref(), now), now);
    Observed { now, class_name, class, rules, ownership, children: ctx.store.children(&name), namespace, outlook }
}

impl Observed {
    /// The namespace, if it is the space's.
    pub fn own_namespace(&self) -> Option<&SeenNamespace> {
        self.namespace.as_ref().filter(|_| self.ownership == Ownership::Ours)
    }

    /// The space's namespace. One that vanished stays recorded, so that making it again can be reported.
    pub fn known_namespace(&self, space: &DeveloperSpace) -> Option<NamespaceRef> {
        self.standing_namespace(space).or_else(|| recorded(space).filter(|_| self.namespace.is_none()).cloned())
    }

    /// The namespace, if it is the space's or is recorded as such: a name that is protected for a while must not cost the space its
    /// namespace for good.
    pub fn standing_namespace(&self, space: &DeveloperSpace) -> Option<NamespaceRef> {
        let stands = |recorded: &&NamespaceRef| self.namespace.as_ref().is_some_and(|namespace| namespace.uid == *recorded.uid);
        self.namespace_ref(&space.name_any()).or_else(|| recorded(space).filter(stands).cloned())
    }

    /// The namespace as status names it, if it is the space's.
    pub fn namespace_ref(&self, name: &str) -> Option<NamespaceRef> {
        self.own_namespace().map(|namespace| NamespaceRef { name: name.to_owned(), uid: namespace.uid.to_string() })
    }
}

fn recorded(space: &DeveloperSpace) -> Option<&NamespaceRef> {
    space.status.as_ref()?.namespace.as_ref()
}

/// The class that a space names; else the default. Of several that are annotated as such a space keeps the one that it has, so that a copy
/// of a class, annotation and all, moves nobody; and while there is none it keeps whichever it has had.
pub fn class_name(space: &DeveloperSpace, store: &Store) -> Option<String> {
    let had = || space.status.as_ref().and_then(|status| status.class_name.clone());
    let kept = || had().filter(|had| store.class(had).is_some_and(|class| is_default(&class)));
    space.spec.class_name.clone().or_else(kept).or_else(|| store.default_class()).or_else(had)
}

/// What stands in a class's status.
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
        let metadata = json!({"name": "standard", "annotations": {(ANNOTATION_DEFAULT_CLASS): "true"}});
        store.put_class(object("SpaceClass", &metadata, &json!({}), &json!({})));
        assert_eq!(class_name(&space(None), &store).as_deref(), Some("standard"));
        let copied = json!({"name": "small", "annotations": {(ANNOTATION_DEFAULT_CLASS): "true"}});
        store.put_class(object("SpaceClass", &copied, &json!({}), &json!({})));
        assert_eq!(class_name(&space(None), &store).as_deref(), Some("small"), "of two defaults it keeps the one that it has");
        assert_eq!(class_name(&space(Some("large")), &store).as_deref(), Some("large"));
    }
}

//! The names that are reserved although no namespace has them: names that classes admit, and names of namespaces whose
//! ServiceAccounts the spaces of other owners name. The watches of classes and spaces maintain the index. It makes no
//! decision.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, RwLock},
};

use serde_json::Value;

use crate::{
    api::{SpaceClass, Subject, SubjectKind},
    desired::{admitted::Admitted, space_name::Reservation},
    lock::IgnorePoison,
};

/// The index of reserved names.
#[derive(Debug, Default)]
pub struct Reserved {
    admitted: RwLock<Arc<Admitted>>,
    accounts: Mutex<Accounts>,
}

impl Reserved {
    /// Reads all classes again: the namespaces that each admits by its current spec and by the spec last accepted.
    /// Returns the affected spaces.
    pub(crate) fn read_classes(&self, classes: &[Arc<SpaceClass>]) -> Freed {
        let specs = classes.iter().flat_map(|class| {
            let name = class.metadata.name.as_deref().unwrap_or_default();
            let accepted = class.status.as_ref().and_then(|status| status.accepted.as_ref());
            std::iter::once(&class.spec).chain(accepted).map(move |spec| (name, spec))
        });
        let after = Arc::new(Admitted::from_classes(specs));
        let before = std::mem::replace(&mut *self.admitted.write().ignore_poison(), after.clone());
        let names = before.namespaces_beyond(&after).map(str::to_owned).collect();
        if before.selects_as(&after) { Freed::Names(names) } else { Freed::All }
    }

    /// The namespaces and label keys that the network rules of all classes rely on.
    pub(crate) fn admitted(&self) -> Arc<Admitted> {
        self.admitted.read().ignore_poison().clone()
    }

    /// The reservation because of which a space of `owner` may not have that name, if there is one.
    pub(crate) fn by(&self, name: &str, owner: &Subject) -> Option<Reservation> {
        let admitting = self.admitted().admitting(name).map(str::to_owned);
        admitting.map(|class| Reservation::Admitted { class }).or_else(|| {
            let space = self.accounts().naming(name, &owner.to_string())?;
            Some(Reservation::Account { space })
        })
    }

    /// Records the accounts that the space of that name names. Returns the names that the space may no longer reserve.
    pub(crate) fn put_space(&self, space: &str, named: Option<&NamedAccounts>) -> Vec<String> {
        self.accounts().put(space, named)
    }

    /// After a list: forgets the spaces that were not in it. Returns the names that they may no longer reserve.
    pub(crate) fn retain_spaces(&self, listed: &HashSet<&str>) -> Vec<String> {
        let mut accounts = self.accounts();
        let gone: Vec<String> =
            accounts.spaces.keys().filter(|space| !listed.contains(space.as_str())).cloned().collect();
        gone.iter().flat_map(|space| accounts.put(space, None)).collect()
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().ignore_poison()
    }
}

/// The spaces that may be validated differently since the classes were read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    /// The spaces of these names, which no class admits any longer.
    Names(Vec<String>),
    /// All spaces: the classes select by other labels.
    All,
}

/// The namespaces whose ServiceAccounts a space names as owner or members, and the owner of the space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedAccounts {
    owner: Arc<str>,
    namespaces: Vec<String>,
}

impl NamedAccounts {
    /// Reads the accounts of a stored space. Returns `None` if it names no ServiceAccount, or has no namespace: a space
    /// that was never admitted gives no account access, and would reserve names at no cost.
    pub(crate) fn of(space: &Value) -> Option<Self> {
        space.pointer("/status/namespace").filter(|namespace| namespace.is_object())?;
        let owner: Subject = serde_json::from_value(space.pointer("/spec/owner")?.clone()).ok()?;
        let members = space.pointer("/spec/members").and_then(Value::as_array).into_iter().flatten();
        let of_members = members.filter(|member| member["kind"] == SubjectKind::ServiceAccount.as_str());
        let of_members = of_members.filter_map(|member| member["namespace"].as_str().map(str::to_owned));
        let namespaces: Vec<String> = owner.namespace.iter().cloned().chain(of_members).collect();
        (!namespaces.is_empty()).then(|| Self { owner: owner.to_string().into(), namespaces })
    }
}

/// The spaces that name accounts, and, for each namespace, the spaces that name its accounts, with their owners.
#[derive(Debug, Default)]
struct Accounts {
    spaces: HashMap<String, NamedAccounts>,
    namespaces: HashMap<String, BTreeMap<String, Arc<str>>>,
}

impl Accounts {
    fn put(&mut self, space: &str, named: Option<&NamedAccounts>) -> Vec<String> {
        let old = self.spaces.remove(space);
        for namespace in old.iter().flat_map(|old| &old.namespaces) {
            if let Some(spaces) = self.namespaces.get_mut(namespace) {
                spaces.remove(space);
            }
        }
        if let Some(named) = named {
            for namespace in &named.namespaces {
                self.namespaces.entry(namespace.clone()).or_default().insert(space.to_owned(), named.owner.clone());
            }
            self.spaces.insert(space.to_owned(), named.clone());
        }
        let freed = old.filter(|old| Some(old) != named).map(|old| old.namespaces).unwrap_or_default();
        for namespace in &freed {
            if self.namespaces.get(namespace).is_some_and(BTreeMap::is_empty) {
                self.namespaces.remove(namespace);
            }
        }
        freed
    }

    fn naming(&self, namespace: &str, owner: &str) -> Option<String> {
        self.namespaces.get(namespace)?.iter().find(|(_, other)| ***other != *owner).map(|(space, _)| space.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn subject(kind: &str, name: &str) -> Subject {
        serde_json::from_value(json!({"kind": kind, "name": name})).unwrap()
    }

    #[test]
    fn what_a_class_admits_now_or_admitted_last_is_taken_until_it_goes() {
        let reserved = Reserved::default();
        let bo = subject("User", "bo@example.com");
        let class = |now: &str, accepted: &str| -> Arc<SpaceClass> {
            let admits = |name: &str| json!({"network": {"allowFromNamespaces": [{"matchLabels": {"kubernetes.io/metadata.name": name}}]}});
            let class = json!({
                "apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass", "metadata": {"name": "greenhouse"},
                "spec": admits(now), "status": {"accepted": admits(accepted)},
            });
            Arc::new(serde_json::from_value(class).unwrap())
        };
        assert_eq!(reserved.read_classes(&[class("front-door", "back-door")]), Freed::All);
        let taken = Some(Reservation::Admitted { class: "greenhouse".into() });
        assert_eq!([reserved.by("front-door", &bo), reserved.by("back-door", &bo)], [taken.clone(), taken.clone()]);
        assert_eq!(reserved.read_classes(&[class("front-door", "front-door")]), Freed::Names(vec!["back-door".into()]));
        assert_eq!([reserved.by("front-door", &bo), reserved.by("back-door", &bo)], [taken, None]);
        assert_eq!(reserved.read_classes(&[]), Freed::All);
        assert_eq!(reserved.by("front-door", &bo), None);
    }

    #[test]
    fn a_namespace_whose_account_another_owners_space_names_is_taken() {
        let reserved = Reserved::default();
        let mut space = json!({"status": {"namespace": {"name": "orchid-lab", "uid": "ns-1"}}, "spec": {
            "owner": {"kind": "User", "name": "ada@example.com"},
            "members": [
                {"kind": "ServiceAccount", "name": "pot", "namespace": "ci-runs", "role": "helper"},
                {"kind": "Group", "name": "botany", "role": "helper"},
            ],
        }});
        let named = NamedAccounts::of(&space).unwrap();
        assert_eq!(reserved.put_space("orchid-lab", Some(&named)), [""; 0]);
        let (ada, bo) = (subject("User", "ada@example.com"), subject("User", "bo@example.com"));
        assert_eq!(reserved.by("ci-runs", &ada), None);
        assert_eq!(reserved.by("ci-runs", &bo), Some(Reservation::Account { space: "orchid-lab".into() }));
        assert_eq!(reserved.by("orchid-lab", &bo), None);
        assert_eq!(reserved.put_space("orchid-lab", None), ["ci-runs"]);
        assert_eq!(reserved.by("ci-runs", &bo), None);
        reserved.put_space("orchid-lab", Some(&named));
        assert_eq!(reserved.retain_spaces(&["fern-lab"].into()), ["ci-runs"]);
        space["spec"] = json!({"owner": {"kind": "User", "name": "ada@example.com"}});
        assert_eq!(NamedAccounts::of(&space), None);
        space["spec"] = json!({"owner": {"kind": "ServiceAccount", "name": "pot", "namespace": "ci-runs"}});
        assert_eq!(NamedAccounts::of(&space).unwrap().namespaces, ["ci-runs"]);
        space["status"] = json!({"conditions": []});
        assert_eq!(NamedAccounts::of(&space), None, "a space that has no namespace reserves none");
    }
}

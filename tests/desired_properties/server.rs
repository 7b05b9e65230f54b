//! A namespace on an in-memory API server, which carries out the changes from `diff` and rewrites quantities as the
//! real API server does.

use std::collections::BTreeSet;

use developerspace_operator::{
    api::names,
    desired::{
        Child, ChildKind, Desired, Grant, SeenChild, Uid,
        change::Change,
        diff::{Changes, diff},
        metadata::{SeenMetadata, WantedMetadata},
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

/// The namespace and the objects in it.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    namespace: Value,
    owned: BTreeSet<(&'static str, String)>,
    children: Vec<(ChildKind, Value)>,
    last_uid: u32,
}

/// A change that another client makes to one of the operator's objects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Drift {
    Delete,
    StripOurLabels,
    StripAllLabels,
    AddTheirs,
    EmptyTheSpec,
    TakeOverTheRole,
}

impl Server {
    /// An empty namespace that already has labels and annotations of other clients.
    pub(crate) fn new() -> Self {
        let metadata = json!({"uid": "ns-1", "labels": {"theirs": "x", "kubernetes.io/metadata.name": "alice"}, "annotations": {"theirs": "x"}});
        Self { namespace: metadata, owned: BTreeSet::new(), children: Vec::new(), last_uid: 0 }
    }

    /// The children as the operator sees them.
    pub(crate) fn seen(&self) -> Vec<SeenChild> {
        self.children.iter().map(|(kind, object)| child(*kind, object).seen()).collect()
    }

    /// Returns true if there is nothing to write.
    pub(crate) fn is_at_rest(&self, desired: &Desired) -> bool {
        diff(&desired.children, &self.seen(), Grant::Full).is_empty()
            && SeenMetadata::from_metadata(&self.metadata()).matches(&desired.namespace.clone().granted())
    }

    /// Runs one reconcile. Returns the number of writes.
    pub(crate) fn reconcile(&mut self, desired: &Desired) -> usize {
        let mut writes = 0;
        if !SeenMetadata::from_metadata(&self.metadata()).matches(&desired.namespace.clone().granted()) {
            self.patch_namespace(&desired.namespace.clone().granted());
            writes += 1;
        }
        let decide = |server: &Self| diff(&desired.children, &server.seen(), Grant::Full);
        let Changes { guards, withdrawals, .. } = decide(self);
        let first: Vec<Change> = guards.into_iter().chain(withdrawals).collect();
        writes += self.write_all(first);
        let grants = decide(self).grants;
        writes + self.write_all(grants)
    }

    fn write_all(&mut self, changes: Vec<Change>) -> usize {
        let writes = changes.len();
        for change in changes {
            self.write(change);
        }
        writes
    }

    /// The namespace and the children, without the UIDs of the children, which differ between two objects with the same
    /// content.
    pub(crate) fn state(&self) -> Value {
        let mut children: Vec<Value> = self.children.iter().map(|(_, object)| object.clone()).collect();
        for object in &mut children {
            object["metadata"].as_object_mut().unwrap().remove("uid");
        }
        children.sort_by_key(|object| format!("{}{}", object["kind"], object["metadata"]["name"]));
        json!([self.namespace, children])
    }

    /// Changes one child, as another client.
    pub(crate) fn meddle(&mut self, which: usize, drift: Drift) {
        if self.children.is_empty() {
            return;
        }
        let at = which % self.children.len();
        let (kind, object) = &mut self.children[at];
        match drift {
            Drift::Delete => drop(self.children.remove(at)),
            Drift::StripOurLabels => object["metadata"]["labels"] = json!({"theirs": "x"}),
            Drift::StripAllLabels => drop(object["metadata"].as_object_mut().unwrap().remove("labels")),
            Drift::AddTheirs => {
                object["metadata"]["labels"]["theirs"] = json!("x");
                object["metadata"]["annotations"] = json!({"theirs": "x"});
            }
            Drift::EmptyTheSpec if *kind == ChildKind::Binding => {
                drop(object.as_object_mut().unwrap().remove("subjects"));
            }
            Drift::EmptyTheSpec if *kind == ChildKind::Limits => object["spec"] = json!({"limits": []}),
            Drift::EmptyTheSpec => {
                object["spec"] = json!({"podSelector": {}, "policyTypes": [], "hard": {"pods": "1"}});
            }
            Drift::TakeOverTheRole if *kind == ChildKind::Binding => object["roleRef"]["name"] = json!("cluster-admin"),
            Drift::TakeOverTheRole => {}
        }
        if let Some((kind, object)) = self.children.get_mut(at).filter(|_| !matches!(drift, Drift::Delete)) {
            *object = stored(&child(*kind, object));
        }
    }

    /// Returns true if the namespace still has the labels and annotations of other clients.
    pub(crate) fn theirs_stay(&self) -> bool {
        ["labels", "annotations"].iter().all(|section| self.namespace[section]["theirs"] == "x")
            && self.namespace["labels"][names::LABEL_NAMESPACE_NAME] == "alice"
    }

    fn metadata(&self) -> ObjectMeta {
        let mut fields = json!({"f:labels": {}, "f:annotations": {}});
        for (section, key) in &self.owned {
            fields[format!("f:{section}")][format!("f:{key}")] = json!({});
        }
        let mut metadata = self.namespace.clone();
        metadata["managedFields"] =
            json!([{"manager": names::FIELD_MANAGER, "operation": "Update", "fieldsV1": {"f:metadata": fields}}]);
        serde_json::from_value(metadata).unwrap()
    }

    fn patch_namespace(&mut self, wanted: &WantedMetadata) {
        let patch = wanted.patch(&self.metadata());
        assert_eq!(patch["metadata"]["uid"], "ns-1");
        for section in ["labels", "annotations"] {
            for (key, value) in patch["metadata"][section].as_object().unwrap() {
                let entry = (section, key.clone());
                if value.is_null() {
                    self.owned.remove(&entry)
                } else {
                    self.owned.insert(entry)
                };
            }
        }
        json_patch::merge(&mut self.namespace, &patch["metadata"]);
    }

    fn write(&mut self, change: Change) {
        match change {
            Change::Create(child) => self.create(&child),
            Change::Repair { uid, child: wanted } => {
                let at = self.find(wanted.kind(), wanted.name(), &uid);
                let (kind, object) = &mut self.children[at];
                let labelled = object["metadata"].get("labels").is_some();
                let patch: json_patch::Patch = serde_json::from_value(wanted.repair(&uid, labelled)).unwrap();
                json_patch::patch(object, &patch).unwrap_or_else(|error| panic!("{error}: {object}"));
                *object = stored(&child(*kind, object));
            }
            Change::Replace { uid, child } => {
                let at = self.find(child.kind(), child.name(), &uid);
                self.children.remove(at);
                self.create(&child);
            }
            Change::Remove { kind, name, uid } => {
                let at = self.find(kind, &name, &uid);
                self.children.remove(at);
            }
            Change::Cut(..) | Change::Held { .. } => panic!("the spec is accepted, and nothing has a finalizer"),
        }
    }

    fn create(&mut self, child: &Child) {
        assert!(
            !self
                .children
                .iter()
                .any(|(kind, object)| *kind == child.kind() && object["metadata"]["name"] == child.name()),
            "409"
        );
        self.last_uid += 1;
        let mut object = stored(child);
        object["metadata"]["uid"] = json!(format!("uid-{}", self.last_uid));
        self.children.push((child.kind(), object));
    }

    fn find(&self, kind: ChildKind, name: &str, uid: &Uid) -> usize {
        let is = |(other, object): &(ChildKind, Value)| {
            *other == kind && object["metadata"]["name"] == name && object["metadata"]["uid"] == uid.to_string()
        };
        self.children.iter().position(is).expect("the object that the change names")
    }
}

fn child(kind: ChildKind, object: &Value) -> Child {
    let read = object.clone();
    match kind {
        ChildKind::Quota => Child::Quota(serde_json::from_value(read).unwrap()),
        ChildKind::Limits => Child::Limits(serde_json::from_value(read).unwrap()),
        ChildKind::Network => Child::Network(serde_json::from_value(read).unwrap()),
        ChildKind::Binding => Child::Binding(serde_json::from_value(read).unwrap()),
    }
}

/// The object as the API server stores it: decoded, and with every quantity in its canonical form.
fn stored(child: &Child) -> Value {
    let mut object = match child {
        Child::Quota(object) => json!(object),
        Child::Limits(object) => json!(object),
        Child::Network(object) => json!(object),
        Child::Binding(object) => json!(object),
    };
    if matches!(child, Child::Quota(_) | Child::Limits(_)) {
        canonicalise(&mut object["spec"]);
    }
    if matches!(child, Child::Quota(_)) {
        // As kube-controller-manager does.
        object["status"]["hard"] = object["spec"]["hard"].clone();
    }
    object
}

fn canonicalise(value: &mut Value) {
    match value {
        Value::String(text) => *text = canonical(text),
        Value::Array(items) => items.iter_mut().for_each(canonicalise),
        Value::Object(map) => map.values_mut().for_each(canonicalise),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `1000m` is `1`, `1024Mi` is `1Gi`: the largest unit that leaves a whole number, see `Quantity.CanonicalizeBytes`.
pub(crate) fn canonical(text: &str) -> String {
    const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [&str; 8] = ["m", "", "k", "M", "G", "T", "P", "E"];
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (Ok(mut number), suffix) = (text[..end].parse::<u64>(), &text[end..]) else { return text.to_owned() };
    let (units, step): (&[&str], u64) = if suffix.ends_with('i') { (&BINARY, 1024) } else { (&DECIMAL, 1000) };
    let Some(mut at) = units.iter().position(|unit| *unit == suffix) else { return text.to_owned() };
    while number > 0 && number % step == 0 && at + 1 < units.len() {
        (number, at) = (number / step, at + 1);
    }
    format!("{number}{}", units[at])
}

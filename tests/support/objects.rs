//! The objects of one space. Owner, team, members, class, roles and space have different names, so that no test can
//! confuse them.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) const SPACE: &str = "orchid-lab";
pub(crate) const NAMESPACE_UID: &str = "uid-of-the-namespace";

pub(crate) const CREATED: &str = "2026-03-02T08:00:00Z";
pub(crate) const MADE: &str = "2026-03-02T08:00:05Z";
pub(crate) const WARNED_A_DAY_BEFORE: &str = "2026-03-08T08:00:00Z";
pub(crate) const WARNED_AN_HOUR_BEFORE: &str = "2026-03-09T07:00:00Z";
pub(crate) const EXPIRES: &str = "2026-03-09T08:00:00Z";

/// The path of all spaces.
pub(crate) const SPACES: &str = "/apis/developerspace.dev/v1alpha1/developerspaces";

pub(crate) fn space_path() -> String {
    format!("{SPACES}/{SPACE}")
}

pub(crate) fn status_path() -> String {
    format!("{SPACES}/{SPACE}/status")
}

pub(crate) fn namespace_path() -> String {
    format!("/api/v1/namespaces/{SPACE}")
}

/// The path of all objects of that kind in the space's namespace.
pub(crate) fn children_path(kind: &str) -> String {
    let (prefix, plural) = match kind {
        "ResourceQuota" => ("/api/v1", "resourcequotas"),
        "LimitRange" => ("/api/v1", "limitranges"),
        "NetworkPolicy" => ("/apis/networking.k8s.io/v1", "networkpolicies"),
        "RoleBinding" => ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
        other => panic!("no child is a {other}"),
    };
    format!("{prefix}/namespaces/{SPACE}/{plural}")
}

/// The UID of the space of that name.
pub(crate) fn uid(space: &str) -> String {
    format!("uid-of-space-{space}")
}

pub(crate) fn read<T: DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error} in {object:#}"))
}

/// `base` with the merge patch (RFC 7386) applied.
pub(crate) fn merged(base: &Value, patch: &Value) -> Value {
    let Value::Object(fields) = patch else { return patch.clone() };
    let mut result = base.as_object().cloned().unwrap_or_default();
    for (key, value) in fields {
        if value.is_null() {
            result.remove(key);
        } else {
            let below = merged(result.get(key).unwrap_or(&Value::Null), value);
            result.insert(key.clone(), below);
        }
    }
    Value::Object(result)
}

/// The response to a merge patch: `base` with the patch applied, at that version.
pub(crate) fn patched(base: &Value, patch: &Value, version: u64) -> Value {
    merged(&merged(base, patch), &json!({"metadata": {"resourceVersion": version.to_string()}}))
}

/// `space` at the next version, after its managed fields and its `generateName` were removed.
pub(crate) fn without_managed_fields(space: &Value) -> Value {
    let version: u64 = space["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    patched(space, &json!({"metadata": {"managedFields": null, "generateName": null}}), version + 1)
}

/// The object that the API server stores after the operator created `made`.
pub(crate) fn stored(made: &Value, uid: &str, version: u64) -> Value {
    let mut object = made.clone();
    let is_namespace = made["kind"] == "Namespace";
    let name = made["metadata"]["name"].clone();
    if is_namespace {
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
        object["status"] = json!({"phase": "Active"});
    } else {
        object["metadata"]["namespace"] = json!(SPACE);
    }
    let owned = |map: &Value| {
        map.as_object().into_iter().flatten().map(|(key, _)| (format!("f:{key}"), json!({}))).collect::<Value>()
    };
    let fields = json!({"f:metadata": {"f:labels": owned(&object["metadata"]["labels"]), "f:annotations": owned(&object["metadata"]["annotations"])}});
    object["metadata"]["uid"] = json!(uid);
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    if made["kind"] == "ResourceQuota" {
        // As kube-controller-manager fills it in.
        object["status"] = json!({"hard": made["spec"]["hard"]});
    }
    object["metadata"]["creationTimestamp"] = json!(MADE);
    object["metadata"]["managedFields"] = json!([{
        "manager": "developerspace-operator", "operation": "Update", "apiVersion": made["apiVersion"], "time": MADE,
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    }]);
    object
}

/// A quota that kube-controller-manager has not seen yet.
pub(crate) fn uncounted(quota: &Value) -> Value {
    merged(quota, &json!({"status": null}))
}

/// `object` while it is being deleted.
pub(crate) fn going(object: &Value, since: &str) -> Value {
    merged(object, &json!({"metadata": {"deletionTimestamp": since}}))
}

pub(crate) fn class() -> Value {
    json!({
        "apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass",
        "metadata": {"name": "greenhouse", "uid": "uid-of-the-class", "generation": 4, "resourceVersion": "40", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "ownerRole": "grower",
            "roles": [{"name": "grower", "clusterRole": "edit"}, {"name": "helper", "clusterRole": "view"}],
            "quota": {"hard": {"requests.cpu": "4", "limits.memory": "8Gi", "pods": "20"}},
            "limitRange": [{"type": "Container", "default": {"cpu": "500m", "memory": "512Mi"}, "defaultRequest": {"cpu": "100m", "memory": "128Mi"}}],
            "network": {"isolation": "Namespace", "allowFromNamespaces": [{"matchLabels": {"kubernetes.io/metadata.name": "front-door"}}]},
            "podSecurity": {"enforce": "baseline", "warn": "restricted"},
            "lifetime": {"defaultTTL": "7d", "maxTTL": "14d", "allowProtected": true, "warnBefore": ["1d", "1h"], "retainExpired": "3d"},
            "metadata": {"labels": {"example.com/floor": "ground"}},
        },
        "status": {
            "observedGeneration": 4,
            "conditions": [{"type": "Accepted", "status": "True", "reason": "Valid", "message": "", "observedGeneration": 4, "lastTransitionTime": CREATED}],
        },
    })
}

/// The space as the API server stores it before its first reconcile.
pub(crate) fn fresh() -> Value {
    json!({
        "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace",
        "metadata": {"name": SPACE, "uid": uid(SPACE), "generation": 1, "resourceVersion": "100", "creationTimestamp": CREATED},
        "spec": {
            "className": "greenhouse",
            "owner": {"kind": "User", "name": "ada@example.com"},
            "members": [{"kind": "Group", "name": "gardeners", "role": "helper"}],
            "displayName": "Orchids",
            "description": "Where orchids grow",
            "contact": {"team": "botany", "email": "plants@example.com", "costCenter": "0815"},
            "protected": false,
            "deletionPolicy": "Delete",
        },
        "status": {
            "observedGeneration": -1,
            "conditions": [{"type": "Ready", "status": "Unknown", "reason": "Pending", "message": "waiting for the operator", "lastTransitionTime": "1970-01-01T00:00:00Z"}],
        },
    })
}

pub(crate) fn finalizer() -> Value {
    json!({"metadata": {"resourceVersion": "100", "finalizers": ["developerspace.dev/namespace"]}})
}

/// The space once it has its finalizer.
pub(crate) fn with_finalizer() -> Value {
    patched(&fresh(), &finalizer(), 101)
}

/// The space once it is provisioned.
pub(crate) fn converged() -> Value {
    merged(&with_finalizer(), &json!({"metadata": {"resourceVersion": "102"}, "status": provisioned()}))
}

/// The space a minute before its end, with both warnings given.
pub(crate) fn warned() -> Value {
    merged(&converged(), &json!({"metadata": {"resourceVersion": "110"}, "status": expiring()}))
}

/// The space after it has expired, as its status reports.
pub(crate) fn sealed() -> Value {
    merged(
        &warned(),
        &json!({"metadata": {"resourceVersion": "111"}, "status": expired(&being_deleted(), true, EXPIRES)}),
    )
}

/// A space after its owner edited it: another spec, and the next generation.
pub(crate) fn edited(space: &Value, spec: &Value, version: u64) -> Value {
    let generation = space["metadata"]["generation"].as_i64().unwrap() + 1;
    let metadata = json!({"generation": generation, "resourceVersion": version.to_string()});
    merged(space, &json!({"metadata": metadata, "spec": spec}))
}

fn labels() -> Value {
    json!({
        "app.kubernetes.io/managed-by": "developerspace-operator",
        "developerspace.dev/space": SPACE,
        "developerspace.dev/class": "greenhouse",
    })
}

pub(crate) fn namespace() -> Value {
    let more = json!({
        "developerspace.dev/team": "botany",
        "developerspace.dev/cost-center": "0815",
        "pod-security.kubernetes.io/enforce": "baseline",
        "pod-security.kubernetes.io/warn": "restricted",
        "example.com/floor": "ground",
    });
    let annotations = json!({
        "developerspace.dev/space-uid": uid(SPACE),
        "developerspace.dev/owner": "User:ada@example.com",
        "developerspace.dev/contact-team": "botany",
        "developerspace.dev/contact-email": "plants@example.com",
        "developerspace.dev/contact-cost-center": "0815",
        "developerspace.dev/expires-at": EXPIRES,
        "openshift.io/requester": "ada@example.com",
        "openshift.io/display-name": "Orchids",
        "openshift.io/description": "Where orchids grow",
    });
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE, "labels": merged(&labels(), &more), "annotations": annotations}})
}

pub(crate) fn stored_namespace() -> Value {
    stored(&namespace(), NAMESPACE_UID, 50)
}

/// A namespace with the space's name that belongs to another user.
pub(crate) fn foreign_namespace() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": SPACE, "uid": "uid-of-another-namespace", "resourceVersion": "30", "creationTimestamp": "2025-01-01T00:00:00Z",
            "labels": {"kubernetes.io/metadata.name": SPACE, "team": "zoology"}, "annotations": {"note": "do not touch"},
        },
        "status": {"phase": "Active"},
    })
}

pub(crate) fn quota() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "developerspace", "labels": labels()},
        "spec": {"hard": {"requests.cpu": "4", "limits.memory": "8Gi", "pods": "20"}},
    })
}

pub(crate) fn limits() -> Value {
    json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "developerspace", "labels": labels()},
        "spec": {"limits": [{"type": "Container", "default": {"cpu": "500m", "memory": "512Mi"}, "defaultRequest": {"cpu": "100m", "memory": "128Mi"}}]},
    })
}

pub(crate) fn network() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "developerspace-isolation", "labels": labels()},
        "spec": {
            "podSelector": {}, "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {}}, {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "front-door"}}}]}],
        },
    })
}

pub(crate) fn owner_binding() -> Value {
    binding(
        "developerspace-owner",
        "edit",
        &json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ada@example.com"}),
    )
}

pub(crate) fn member_binding() -> Value {
    binding(
        "developerspace-helper",
        "view",
        &json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "gardeners"}),
    )
}

pub(crate) fn binding(name: &str, role: &str, subject: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name, "labels": labels()},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}, "subjects": [subject],
    })
}

/// All objects that belong to the converged space, and its class.
pub(crate) fn everything() -> Vec<Value> {
    let mut objects = vec![class(), stored_namespace()];
    objects.extend(children());
    objects
}

/// The objects in the namespace of the converged space, as the API server and other clients leave them.
pub(crate) fn children() -> Vec<Value> {
    let mut quota = stored(&quota(), "uid-of-the-quota", 51);
    quota["spec"]["hard"]["limits.memory"] = json!("8192Mi");
    quota["metadata"]["annotations"] = json!({"seen-by": "somebody else"});
    vec![
        quota,
        stored(&limits(), "uid-of-the-limits", 52),
        stored(&network(), "uid-of-the-network-policy", 53),
        stored(&owner_binding(), "uid-of-the-owner-binding", 54),
        stored(&member_binding(), "uid-of-the-member-binding", 55),
    ]
}

/// [`everything`] but the object of that kind and name.
pub(crate) fn everything_but(kind: &str, name: &str) -> Vec<Value> {
    everything().into_iter().filter(|object| object["kind"] != kind || object["metadata"]["name"] != name).collect()
}

/// (status, reason, message, since) of Ready, Expiring, Expired, Reconciling and Stalled.
pub(crate) type Row<'a> = (bool, &'a str, &'a str, &'a str);

pub(crate) fn conditions(generation: i64, rows: &[Row<'_>; 5]) -> Value {
    let types = ["Ready", "Expiring", "Expired", "Reconciling", "Stalled"];
    let condition = |(type_, (status, reason, message, since)): (&str, &Row<'_>)| {
        json!({
            "type": type_, "status": if *status { "True" } else { "False" }, "reason": reason, "message": message,
            "observedGeneration": generation, "lastTransitionTime": since,
        })
    };
    types.into_iter().zip(rows).map(condition).collect()
}

pub(crate) fn ready_message() -> String {
    format!("namespace {SPACE} is ready for User:ada@example.com")
}

/// The status once the space is provisioned.
pub(crate) fn provisioned() -> Value {
    provisioned_in(1)
}

pub(crate) fn provisioned_in(generation: i64) -> Value {
    json!({
        "observedGeneration": generation,
        "className": "greenhouse",
        "owner": {"kind": "User", "name": "ada@example.com", "namespace": null},
        "terms": {
            "ttl": "7d", "expiresAt": null, "protected": null, "maxTTL": "14d", "maxLifetime": null, "allowNever": false,
            "allowProtected": true, "allowRetain": false, "warnBefore": ["1d", "1h"], "retainExpired": "3d",
        },
        "postponed": null,
        "lastNotice": null,
        "namespace": {"name": SPACE, "uid": NAMESPACE_UID},
        "expiresAt": EXPIRES,
        "renewals": 0,
        "lastRenewedAt": null,
        "lastWarning": null,
        "readyAt": MADE,
        "conditions": conditions(generation, &[
            (true, "Provisioned", &ready_message(), MADE),
            (false, "NotYet", "", MADE),
            (false, "NotYet", "", MADE),
            (false, "Provisioned", "", MADE),
            (false, "Provisioned", "", MADE),
        ]),
    })
}

/// The status of a space without namespace that was never admitted.
pub(crate) fn refused(reason: &str, message: &str) -> Value {
    let mut status = stalled(reason, message);
    for in_force in ["className", "owner", "terms"] {
        status[in_force] = Value::Null;
    }
    status
}

/// The status of a space without namespace that was admitted and is stalled.
pub(crate) fn stalled(reason: &str, message: &str) -> Value {
    let admitted = provisioned();
    json!({
        "observedGeneration": 1,
        "className": "greenhouse",
        "owner": admitted["owner"],
        "terms": admitted["terms"],
        "postponed": null,
        "lastNotice": null,
        "namespace": null,
        "expiresAt": EXPIRES,
        "renewals": 0,
        "lastRenewedAt": null,
        "lastWarning": null,
        "readyAt": null,
        "conditions": conditions(1, &[
            (false, reason, message, MADE),
            (false, "NotYet", "", MADE),
            (false, "NotYet", "", MADE),
            (false, reason, "", MADE),
            (true, reason, message, MADE),
        ]),
    })
}

fn expiring_message(before: &str) -> String {
    format!(
        "namespace {SPACE} and everything in it is deleted at {EXPIRES} (warned {before} before); to renew, set spec.renewedAt to the current time"
    )
}

/// The warning of a space whose end deletes no namespace.
pub(crate) fn expiring_alone(before: &str) -> String {
    format!(
        "this DeveloperSpace expires at {EXPIRES} (warned {before} before); to renew, set spec.renewedAt to the current time"
    )
}

/// The status after the warning of the threshold `before`. The first warning was given a day before the end.
pub(crate) fn warned_of(before: &str, at: &str) -> Value {
    let mut status = provisioned();
    status["lastWarning"] = json!({"at": at, "before": before, "expiresAt": EXPIRES});
    status["conditions"] = conditions(
        1,
        &[
            (true, "Provisioned", &ready_message(), MADE),
            (true, "WarningGiven", &expiring_message(before), WARNED_A_DAY_BEFORE),
            (false, "NotYet", "", MADE),
            (false, "Provisioned", "", MADE),
            (false, "Provisioned", "", MADE),
        ],
    );
    status
}

/// The status between the last warning and the end.
pub(crate) fn expiring() -> Value {
    warned_of("1h", WARNED_AN_HOUR_BEFORE)
}

pub(crate) fn being_deleted() -> String {
    format!("this DeveloperSpace has expired; namespace {SPACE} is being deleted")
}

/// The status of the expired space.
pub(crate) fn expired(message: &str, working: bool, since: &str) -> Value {
    let mut status = expiring();
    let up = format!("this DeveloperSpace expired at {EXPIRES}; create a new DeveloperSpace to continue");
    status["conditions"] = conditions(
        1,
        &[
            (false, "Expired", message, EXPIRES),
            (false, "NotYet", "", EXPIRES),
            (true, "TimeIsUp", &up, EXPIRES),
            (working, "Expired", if working { message } else { "" }, since),
            (!working, "Expired", if working { "" } else { message }, if working { MADE } else { since }),
        ],
    );
    status
}

/// The patch of the status of the space at that version.
pub(crate) fn status_body(version: u64, status: &Value) -> Value {
    let mut whole = if status["className"].is_null() {
        json!({})
    } else {
        json!({"owner": null, "terms": null, "postponed": null, "lastNotice": null})
    };
    whole.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    json!({"metadata": {"resourceVersion": version.to_string()}, "status": whole})
}

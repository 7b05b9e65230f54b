//! Owns parsing a request: the verb, the object, and the space that the request concerns.

use http::{Method, Uri};
use serde_json::Value;

/// The properties of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// The plural, such as `namespaces`; empty for a path outside the API.
    pub resource: String,
    /// The subresource, such as `status`, or empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name; for a create, the name in the body.
    pub name: String,
    /// The name of the space that the request concerns.
    pub space: Option<String>,
    /// The UID that a deletion or a merge patch requires.
    pub uid: Option<String>,
    /// The resourceVersion that a deletion or a merge patch requires.
    pub version: Option<String>,
    /// True if the request writes `Expired=True` into a status.
    pub seals: bool,
}

impl RequestInfo {
    /// Parses a request.
    pub fn parse(method: &Method, uri: &Uri, body: &[u8]) -> Self {
        let segments: Vec<&str> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut request_info = match segments.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => Self::from_path(rest),
            _ => Self::default(),
        };
        if request_info.name.is_empty() && *method == Method::POST {
            text(&body, "/metadata/name").unwrap_or_default().clone_into(&mut request_info.name);
        }
        request_info.verb = verb(method, uri, &request_info);
        request_info.space = request_info.concerned_space(&body);
        let precondition = |key: &str| {
            text(&body, &format!("/preconditions/{key}")).or_else(|| text(&body, &format!("/metadata/{key}")))
        };
        request_info.uid = precondition("uid").map(str::to_owned);
        request_info.version = precondition("resourceVersion").map(str::to_owned);
        let conditions = body.pointer("/status/conditions").and_then(Value::as_array);
        request_info.seals = conditions.is_some_and(|all| {
            all.iter().any(|condition| condition["type"] == "Expired" && condition["status"] == "True")
        });
        request_info
    }

    fn from_path(path: &[&str]) -> Self {
        let own = |text: &&str| (*text).to_owned();
        match path {
            // A subresource of the namespace itself, not a collection inside it.
            ["namespaces", name, subresource @ ("status" | "finalize")] => Self {
                resource: "namespaces".into(),
                name: own(name),
                subresource: own(subresource),
                ..Self::default()
            },
            ["namespaces", namespace, resource, rest @ ..] => {
                let inner = Self::from_path(&[&[*resource], rest].concat());
                Self { namespace: own(namespace), ..inner }
            }
            [resource, rest @ ..] => Self {
                resource: own(resource),
                name: rest.first().map(own).unwrap_or_default(),
                subresource: rest.get(1).map(own).unwrap_or_default(),
                ..Self::default()
            },
            [] => Self::default(),
        }
    }

    /// The name of the space that the request concerns.
    fn concerned_space(&self, body: &Value) -> Option<String> {
        let named = match self.resource.as_str() {
            "leases" | "selfsubjectaccessreviews" | "customresourcedefinitions" => "",
            "events" => text(body, "/regarding/name").unwrap_or_default(),
            "developerspaces" | "spaceclasses" | "namespaces" => &self.name,
            _ => &self.namespace,
        };
        Some(named).filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// Returns true if the request asks for a change.
    pub fn mutates(&self) -> bool {
        // An access review is a POST that stores nothing.
        !matches!(self.verb, "get" | "list" | "watch")
            && !self.resource.is_empty()
            && self.resource != "selfsubjectaccessreviews"
    }

    /// Returns true if the request is a write that the sweep numbers. Events and the lease are counted separately.
    pub fn is_numbered(&self) -> bool {
        self.mutates() && !matches!(self.resource.as_str(), "events" | "leases")
    }

    /// A signature of the request that is the same for every space: `create-rolebindings-view`,
    /// `patch-developerspaces.status`.
    pub fn signature(&self) -> String {
        let subresource = if self.subresource.is_empty() { String::new() } else { format!(".{}", self.subresource) };
        let own = self.name.strip_prefix("developerspace-").unwrap_or(&self.name);
        let is_implied_by_kind =
            self.namespace.is_empty() || self.name == "developerspace" || self.resource == "events";
        let name = if is_implied_by_kind { String::new() } else { format!("-{own}") };
        format!("{}-{}{subresource}{name}", self.verb, self.resource)
    }

    /// A one-line summary for messages.
    pub fn line(&self) -> String {
        let subresource = if self.subresource.is_empty() { String::new() } else { format!("/{}", self.subresource) };
        let place = if self.namespace.is_empty() { String::new() } else { format!("{}/", self.namespace) };
        format!("{} {}{subresource} {place}{}", self.verb, self.resource, self.name)
    }
}

fn verb(method: &Method, uri: &Uri, request_info: &RequestInfo) -> &'static str {
    let watches =
        uri.query().is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")));
    match method.as_str() {
        "GET" if watches => "watch",
        "GET" if request_info.name.is_empty() => "list",
        "GET" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if request_info.name.is_empty() => "deletecollection",
        _ => "delete",
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request_info(method: &Method, path: &str, body: &Value) -> RequestInfo {
        RequestInfo::parse(method, &path.parse().unwrap(), &serde_json::to_vec(body).unwrap())
    }

    #[test]
    fn requests_of_different_kinds_have_different_signatures() {
        for (method, path, body, signature, space) in [
            (
                Method::POST,
                "/api/v1/namespaces?x=y",
                json!({"metadata": {"name": "a"}}),
                "create-namespaces",
                Some("a"),
            ),
            (
                Method::PATCH,
                "/apis/developerspace.dev/v1alpha1/developerspaces/a/status",
                json!({}),
                "patch-developerspaces.status",
                Some("a"),
            ),
            (
                Method::POST,
                "/api/v1/namespaces/a/resourcequotas",
                json!({"metadata": {"name": "developerspace"}}),
                "create-resourcequotas",
                Some("a"),
            ),
            (
                Method::DELETE,
                "/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings/developerspace-view",
                json!({}),
                "delete-rolebindings-view",
                Some("a"),
            ),
            (Method::GET, "/api/v1/namespaces?watch=true", Value::Null, "watch-namespaces", None),
            (Method::GET, "/api/v1/namespaces/a", Value::Null, "get-namespaces", Some("a")),
            (Method::PUT, "/api/v1/namespaces/a/finalize", json!({}), "update-namespaces.finalize", Some("a")),
            (
                Method::POST,
                "/apis/events.k8s.io/v1/namespaces/default/events",
                json!({"metadata": {"name": "a.1"}, "regarding": {"name": "a"}}),
                "create-events",
                Some("a"),
            ),
        ] {
            let seen = request_info(&method, path, &body);
            assert_eq!((seen.signature().as_str(), seen.space.as_deref()), (signature, space), "{method} {path}");
        }
    }

    #[test]
    fn the_preconditions_of_a_write_are_read() {
        let delete = request_info(&Method::DELETE, "/api/v1/namespaces/a", &json!({"preconditions": {"uid": "u"}}));
        assert!(delete.mutates() && delete.uid.as_deref() == Some("u") && delete.version.is_none());
        let seal = json!({"metadata": {"resourceVersion": "7"}, "status": {"conditions": [{"type": "Expired", "status": "True"}]}});
        let seal = request_info(&Method::PATCH, "/apis/developerspace.dev/v1alpha1/developerspaces/a/status", &seal);
        assert!(seal.seals && seal.version.as_deref() == Some("7"));
    }
}

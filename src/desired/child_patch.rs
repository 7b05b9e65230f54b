//! The patch that repairs an existing child.

use serde_json::{Value, json};

use super::{child::Child, uid::Uid};

impl Child {
    /// The JSON patch (RFC 6902) that gives an existing object with that UID the content of this one; the API server
    /// refuses it for any other UID. Labels and annotations of other clients stay. An object that is not `labelled` has
    /// no map to add a label to, so the patch creates the map.
    pub fn repair(&self, uid: &Uid, labelled: bool) -> Value {
        let (path, content) = match self {
            Self::Quota(quota) => ("/spec/hard", json!(quota.spec.as_ref().and_then(|spec| spec.hard.as_ref()))),
            Self::Limits(limits) => ("/spec", json!(limits.spec)),
            Self::Network(network) => ("/spec", json!(network.spec)),
            Self::Binding(binding) => ("/subjects", json!(binding.subjects)),
        };
        let mut patch = vec![
            json!({"op": "test", "path": "/metadata/uid", "value": uid.to_string()}),
            json!({"op": "add", "path": path, "value": content}),
        ];
        if !labelled {
            patch.push(json!({"op": "add", "path": "/metadata/labels", "value": self.metadata().labels}));
            return Value::Array(patch);
        }
        for (key, value) in self.metadata().labels.iter().flatten() {
            let escaped = key.replace('~', "~0").replace('/', "~1");
            patch.push(json!({"op": "add", "path": format!("/metadata/labels/{escaped}"), "value": value}));
        }
        Value::Array(patch)
    }
}

//! Owns generating changes of every single property of a kind from its schema: valid, unusual, and invalid ones.

use serde_json::{Map, Value, json};

/// A change of one property.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation {
    /// The property and its new value, for messages.
    pub label: String,
    /// The change as a merge patch of the spec that it was generated for.
    pub patch: Value,
}

/// The values that are tried for every string: values that other fields accept, and values that no field accepts. There
/// is no time in the past, because an expired space cannot be restored.
const TEXTS: [&str; 18] = [
    "",
    "x",
    "edit",
    "view",
    "admin",
    "cluster-admin",
    "1h",
    "45d",
    "never",
    "0s",
    "-1h",
    "7",
    "5Gi",
    "alice@example.com",
    "https://example.com/a",
    "Ünï\u{202e}cödé 🦀",
    "two\nlines",
    "a.example.com/b",
];
const LONG_TEXT_CHARS: usize = 5000;
const MANY_ITEMS: usize = 200;

/// Returns all changes of `spec` that follow from `schema`. Each one changes a single property.
pub fn mutations(schema: &Value, spec: &Value) -> Vec<Mutation> {
    let mut found = vec![];
    for (property, inner) in properties(schema) {
        let present = spec.get(property).unwrap_or(&Value::Null);
        for Variant { path, patch, value } in variants(inner, present) {
            let label = format!("{property}{path} = {}", abbreviate(&value));
            found.push(Mutation { label, patch: json!({property: patch}) });
        }
    }
    found
}

fn abbreviate(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// One change of a property, or of a part of it.
struct Variant {
    /// The path below the property.
    path: String,
    /// The property's new value, as a merge patch.
    patch: Value,
    /// The changed value.
    value: Value,
}

fn variants(schema: &Value, present: &Value) -> Vec<Variant> {
    let whole_property = |value: Value| Variant { path: String::new(), patch: value.clone(), value };
    let mut found: Vec<Variant> = alternatives(schema, present).into_iter().map(whole_property).collect();
    match schema["type"].as_str() {
        Some("object") => {
            for (property, inner) in properties(schema) {
                for Variant { path, patch, value } in variants(inner, &present[property]) {
                    found.push(Variant { path: format!(".{property}{path}"), patch: json!({property: patch}), value });
                }
            }
        }
        Some("array") => {
            let first = present.get(0).cloned().unwrap_or_else(|| smallest_valid(&schema["items"]));
            for Variant { path, patch, value } in variants(&schema["items"], &first) {
                // A merge patch replaces a list as a whole.
                let mut items = present.as_array().cloned().unwrap_or_default();
                let mut changed = first.clone();
                merge(&mut changed, &patch);
                match items.first_mut() {
                    Some(item) => *item = changed,
                    None => items.push(changed),
                }
                found.push(Variant { path: format!("[0]{path}"), patch: Value::Array(items), value });
            }
        }
        _ => {}
    }
    found
}

/// The values that the node itself is changed to.
fn alternatives(schema: &Value, present: &Value) -> Vec<Value> {
    let mut all = vec![Value::Null];
    if schema["x-kubernetes-int-or-string"] == true {
        all.extend(["0", "1", "-1", "100m", "3Gi", "1e400", "abc", ""].map(Value::from));
        all.extend([json!(0), json!(3), json!(-1), json!(1.5), json!(true)]);
    }
    match schema["type"].as_str() {
        Some("string") => {
            all.extend(schema["enum"].as_array().into_iter().flatten().cloned());
            if schema["format"] == "date-time" {
                all.extend(
                    [
                        "2099-01-01T00:00:00Z",
                        "9999-12-31T23:59:59Z",
                        "9999-12-31T23:59:59-23:59",
                        "2099-01-01",
                        "tomorrow",
                        "2099-02-30T00:00:00Z",
                    ]
                    .map(Value::from),
                );
            } else {
                all.extend(TEXTS.map(Value::from));
            }
            all.extend([json!("a".repeat(LONG_TEXT_CHARS)), json!(7), json!({}), json!([])]);
        }
        Some("integer") => {
            all.extend([json!(0), json!(1), json!(-1), json!(i32::MAX), json!(i64::MAX), json!(1.5), json!("1")]);
        }
        Some("boolean") => all.extend([json!(true), json!(false), json!("true"), json!(1)]),
        Some("array") => {
            let item = present.get(0).cloned().unwrap_or_else(|| smallest_valid(&schema["items"]));
            let twice = [present.as_array().cloned().unwrap_or_default(), vec![item.clone()]].concat();
            all.extend([
                json!([]),
                json!([item.clone()]),
                Value::Array(twice),
                json!([{}]),
                json!([null]),
                json!("text"),
                json!({}),
            ]);
            all.push(Value::Array(vec![item; MANY_ITEMS]));
        }
        Some("object") => {
            all.extend([json!({}), json!("text"), json!([]), json!({"no-such-property": "x"})]);
            if !schema["additionalProperties"].is_null() {
                let pairs = [
                    ("example.com/x", "1"),
                    ("requests.cpu", "1"),
                    ("requests.cpu", "-1"),
                    ("limits.memory", "1e400"),
                    ("cpu", "50m"),
                    ("bad key!", "x"),
                    ("developerspace.dev/space", "forged"),
                    ("kubernetes.io/metadata.name", "forged"),
                    ("pods", "many"),
                ];
                all.extend(pairs.map(|(key, value)| json!({key: value})));
                all.push(
                    (0..MANY_ITEMS)
                        .map(|number| (format!("example.com/k{number}"), json!("1")))
                        .collect::<Map<_, _>>()
                        .into(),
                );
            }
        }
        _ => {}
    }
    all.retain(|value| value != present);
    all
}

/// The smallest valid value.
fn smallest_valid(schema: &Value) -> Value {
    match schema["type"].as_str() {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            required
                .map(|property| (property.to_owned(), smallest_valid(&schema["properties"][property])))
                .collect::<Map<_, _>>()
                .into()
        }
        Some("array") => json!([]),
        Some("integer") => json!(1),
        Some("boolean") => json!(false),
        _ => schema["enum"].get(0).cloned().unwrap_or_else(|| json!("a")),
    }
}

/// Applies a merge patch (RFC 7386).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, change) in changes {
        match (change, target.as_object_mut()) {
            (Value::Null, Some(map)) => drop(map.remove(key)),
            _ => merge(&mut target[key], change),
        }
    }
}

/// Returns the merge patch that turns `from` into `to`.
pub fn reverse_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(present), Value::Object(wanted)) = (from, to) else { return to.clone() };
    let mut patch = Map::new();
    for (key, value) in wanted {
        match present.get(key) {
            Some(same) if same == value => {}
            Some(other) => drop(patch.insert(key.clone(), reverse_patch(other, value))),
            None => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    for key in present.keys().filter(|key| !wanted.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    patch.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({"type": "object", "properties": {
            "name": {"type": "string"}, "count": {"type": "integer"},
            "members": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "role": {"type": "string"}}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "contact": {"type": "object", "properties": {"team": {"type": "string"}}},
        }})
    }

    #[test]
    fn every_property_is_changed_and_nothing_else() {
        let spec =
            json!({"name": "a", "members": [{"name": "bob"}, {"name": "carol"}], "contact": {"team": "payments"}});
        let all = mutations(&schema(), &spec);
        for place in [
            "name =",
            "count =",
            "members =",
            "members[0].name =",
            "members[0].role =",
            "labels =",
            "contact =",
            "contact.team =",
        ] {
            assert!(all.iter().any(|mutation| mutation.label.starts_with(place)), "{place}");
        }
        for mutation in &all {
            let mut changed = spec.clone();
            merge(&mut changed, &mutation.patch);
            assert_ne!(changed, json!({}), "{}", mutation.label);
            let touched: Vec<&String> = mutation.patch.as_object().unwrap().keys().collect();
            assert_eq!(touched.len(), 1, "{}", mutation.label);
        }
        let renamed = all.iter().find(|mutation| mutation.label == "members[0].name = \"x\"").unwrap();
        assert_eq!(renamed.patch, json!({"members": [{"name": "x"}, {"name": "carol"}]}));
    }

    #[test]
    fn reverse_patch_restores_the_spec() {
        let spec = json!({"name": "a", "members": [{"name": "bob"}], "contact": {"team": "payments"}, "count": 2});
        for mutation in mutations(&schema(), &spec) {
            let mut changed = spec.clone();
            merge(&mut changed, &mutation.patch);
            let mut restored = changed.clone();
            merge(&mut restored, &reverse_patch(&changed, &spec));
            assert_eq!(restored, spec, "{}", mutation.label);
        }
    }
}

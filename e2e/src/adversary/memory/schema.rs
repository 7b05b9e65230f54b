//! Owns the defaults of the CRDs, which the API server fills in.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

/// The schemas of the operator's kinds, by plural.
pub(super) struct Defaults(BTreeMap<String, Value>);

impl Defaults {
    /// Reads the schemas from the types.
    pub(super) fn load() -> Result<Self> {
        let schemas = developerspace_operator::api::crd::crds().into_iter().map(|crd| {
            let plural = crd.spec.names.plural.clone();
            let version = crd.spec.versions.into_iter().next().context("a CRD has no version")?;
            Ok((plural, serde_json::to_value(version.schema.and_then(|schema| schema.open_api_v3_schema))?))
        });
        Ok(Self(schemas.collect::<Result<_>>()?))
    }

    /// Sets the defaults of the fields that `object` lacks.
    pub(super) fn fill(&self, resource: &str, object: &mut Value) {
        if let Some(schema) = self.0.get(resource) {
            fill(schema, object);
        }
    }
}

fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(default) = inner.get("default").filter(|default| !default.is_null()) {
                    let field = fields.entry(name.clone()).or_insert(Value::Null);
                    if field.is_null() {
                        *field = default.clone();
                    }
                }
                if let Some(field) = fields.get_mut(name) {
                    fill(inner, field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(&schema["items"], item)),
        _ => {}
    }
}

//! Schema fragments that derives cannot express. Everything is bounded: the API server's CEL cost estimate needs it,
//! see
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#resource-use-by-validation-functions>.

use schemars::{Schema, SchemaGenerator, json_schema};

/// RFC 3339, in addition to the format date-time: the API server's parser also accepts a decimal comma and a zone
/// offset of a day, which other parsers refuse.
pub(super) const TIME: &str =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$";

/// A map from resource name to quantity, at most 32 keys of at most 128 characters.
pub(super) fn resource_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 32,
        },
        "x-kubernetes-validations": [
            {
                "rule": "self.all(k, k.size() <= 128)",
                "message": "a resource name has at most 128 characters, for example requests.cpu or count/deployments.apps",
            },
            {
                "rule": "self.all(k, isQuantity(string(self[k])) && !quantity(string(self[k])).isLessThan(quantity('0')))",
                "message": "each value must be a Kubernetes quantity of zero or more, for example 500m, 2, \"4\" or 10Gi",
            },
        ],
    })
}

/// A resource list inside a `LimitRangeItem`: at most 8 keys of at most 128 characters. A pattern validates the values,
/// since quantities in nested maps exceed CEL's cost budget.
pub(super) fn limit_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 8,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "minimum": 0,
            "maxLength": 32,
            "pattern": "^[+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$",
        },
        "x-kubernetes-validations": [{
            "rule": "self.all(k, k.size() <= 128)",
            "message": "a resource name has at most 128 characters, for example cpu or ephemeral-storage",
        }],
    })
}

/// Labels: at most 64, values of at most 63 characters that the API server accepts as label values.
pub(super) fn label_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"},
    })
}

/// Annotations: at most 64, values of at most 4096 characters.
pub(super) fn annotation_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}

/// A duration of the grammar of `ttl`, `never` excluded.
pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 40,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^([0-9]{1,4}w)?([0-9]{1,5}d)?([0-9]{1,6}h)?([0-9]{1,8}m)?([0-9]{1,9}s)?$') && self.matches('[1-9]')",
            "message": "write a duration with units, largest first, more than zero: 30m, 7d, 1d12h or 2w",
        }],
    })
}

/// A duration, or `never`.
pub(super) fn ttl(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 40,
        "x-kubernetes-validations": [{
            "rule": "self in ['never', 'forever'] || (self.matches('^([0-9]{1,4}w)?([0-9]{1,5}d)?([0-9]{1,6}h)?([0-9]{1,8}m)?([0-9]{1,9}s)?$') && self.matches('[1-9]'))",
            "message": "write a duration with units, largest first, more than zero: 30m, 7d, 1d12h or 2w; or never, if the class allows it",
        }],
    })
}

/// The list of warning thresholds: at most 8 durations.
pub(super) fn durations(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 8, "items": duration(generator)})
}

/// A list of label selectors, bounded.
pub(super) fn selectors(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": {
            "type": "object",
            "properties": {
                "matchLabels": {
                    "description": "Labels that a namespace must have, for example kubernetes.io/metadata.name: ingress-nginx.",
                    "type": "object",
                    "maxProperties": 16,
                    "additionalProperties": {"type": "string", "maxLength": 63},
                },
                "matchExpressions": {
                    "description": "Label requirements that a namespace must meet, as in a NetworkPolicy's namespaceSelector.",
                    "type": "array",
                    "maxItems": 16,
                    "items": {
                        "type": "object",
                        "required": ["key", "operator"],
                        "properties": {
                            "key": {"description": "The label's key.", "type": "string", "maxLength": 317},
                            "operator": {"description": "Relation of the label's value to values.", "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                            "values": {
                                "description": "The values for In and NotIn.",
                                "type": "array",
                                "maxItems": 32,
                                "items": {"type": "string", "maxLength": 63},
                            },
                        },
                    },
                },
            },
        },
    })
}

/// An object that only the operator writes and the API server does not validate.
pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

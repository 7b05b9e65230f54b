//! Values that are read only if they fit into a bounded amount of memory.
//!
//! The size of an object in etcd bounds its text, and not the memory of its parts: a peer of a NetworkPolicy takes four
//! bytes there, about twenty as JSON, and more than 600 as a map.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, json};

/// The most memory that one field takes. The largest NetworkPolicy that a class can describe takes half of it.
const MAX_FIELD_BYTES: usize = 8 * 1_024 * 1_024;

/// The estimated memory of a value without its text: the value itself, unused capacity of its list or map, and the
/// allocation of its text.
const VALUE_BYTES: usize = 128;

/// The estimated memory of a map with at least one entry. A B-tree allocates room for eleven.
const MAP_BYTES: usize = 640;

/// The memory that is left for a field.
pub(super) struct Room(usize);

impl Room {
    /// The memory of a field of which nothing was read yet.
    pub(super) fn of_a_field() -> Self {
        Self(MAX_FIELD_BYTES)
    }

    /// Returns true if `bytes` are left, and takes them. Otherwise nothing is left.
    fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or_default();
        left.is_some()
    }
}

/// Reads a value. The result is `None` if it does not fit; the rest of it is skipped.
pub(super) struct Bounded<'a>(pub(super) &'a mut Room);

impl Bounded<'_> {
    fn scalar(self, value: impl Into<Value>) -> Option<Value> {
        self.0.take(VALUE_BYTES).then(|| value.into())
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> Result<Option<Value>, E> {
        Ok(self.scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Option<Value>, E> {
        Ok(self.scalar(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Option<Value>, E> {
        Ok(self.scalar(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Option<Value>, E> {
        Ok(self.scalar(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Option<Value>, E> {
        Ok(self.scalar(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<Value>, E> {
        let fits = self.0.take(VALUE_BYTES + text.len());
        Ok(fits.then(|| text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Option<Value>, A::Error> {
        let Self(room) = self;
        let mut fits = room.take(VALUE_BYTES);
        let mut items = Vec::new();
        while fits {
            match access.next_element_seed(Bounded(room))? {
                Some(Some(item)) => items.push(item),
                Some(None) => fits = false,
                None => return Ok(Some(Value::Array(items))),
            }
        }
        drop(items);
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Option<Value>, A::Error> {
        let Self(room) = self;
        let mut fits = room.take(VALUE_BYTES);
        let mut fields = Map::new();
        while fits {
            let Some(key) = access.next_key::<String>()? else { return Ok(Some(Value::Object(fields))) };
            let map = if fields.is_empty() { MAP_BYTES } else { 0 };
            fits = room.take(map + key.len());
            match access.next_value_seed(Bounded(room))? {
                Some(value) if fits => {
                    fields.insert(key, value);
                }
                _ => fits = false,
            }
        }
        drop(fields);
        while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Reads the first elements of a list.
pub(super) struct First {
    /// The number of elements that are read.
    pub(super) number: usize,
    /// True for a map with the elements (`first`) and the number of the others (`others`) instead of a list.
    pub(super) counts_others: bool,
}

impl<'de> DeserializeSeed<'de> for First {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for First {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(if self.counts_others { json!({}) } else { Value::Null })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let (mut room, mut first, mut others) = (Room::of_a_field(), Vec::new(), 0_usize);
        while first.len() < self.number {
            let Some(element) = access.next_element_seed(Bounded(&mut room))? else { break };
            first.push(element.unwrap_or_else(|| json!({})));
        }
        if first.len() == self.number {
            while access.next_element::<IgnoredAny>()?.is_some() {
                others += 1;
            }
        }
        let first = Value::Array(first);
        Ok(if self.counts_others { [("first", first), ("others", others.into())].into_iter().collect() } else { first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(text: &str) -> Option<Value> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = Bounded(&mut Room::of_a_field()).deserialize(&mut deserializer).unwrap();
        deserializer.end().unwrap();
        read
    }

    fn first(text: &str, counts_others: bool) -> Value {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = First { number: 2, counts_others }.deserialize(&mut deserializer).unwrap();
        deserializer.end().unwrap();
        read
    }

    #[test]
    fn a_value_that_fits_is_read_unchanged() {
        let value =
            json!({"a": [1, -1, 1.5, true, null, "Ünï\n\"x\""], "b": {}, "c": [], "d": {"e": {"f": [[], [{}]]}}});
        assert_eq!(bounded(&value.to_string()), Some(value.clone()));
        assert_eq!(Bounded(&mut Room::of_a_field()).deserialize(value.clone()).unwrap(), Some(value));
    }

    #[test]
    fn a_value_that_does_not_fit_is_skipped_to_its_end() {
        let many = |element: &str| vec![element; 100_000].join(",");
        let long = "x".repeat(MAX_FIELD_BYTES);
        for text in [
            format!("[{}]", many("{}")),
            format!("[{}]", many(r#"{"podSelector":{}}"#)),
            format!(r#"{{"ingress":[{{"from":[{}]}}],"egress":[{{}}]}}"#, many(r#"{"podSelector":{}}"#)),
            format!("{{{}}}", (0..100_000).map(|number| format!(r#""k{number}":"""#)).collect::<Vec<_>>().join(",")),
            format!("[{}]", many(r#""""#)),
            format!(r#"["{long}", 7]"#),
            format!(r#"{{"{long}": 7, "a": {{}}}}"#),
        ] {
            assert_eq!(bounded(&text), None, "{text:.60}");
        }
    }

    #[test]
    fn the_first_elements_are_read_and_the_others_are_counted() {
        let user = |name: &str| json!({"kind": "User", "name": name});
        let three = json!([user("lea"), user("max"), user("kim")]).to_string();
        assert_eq!(first(&three, false), json!([user("lea"), user("max")]));
        assert_eq!(first(&three, true), json!({"first": [user("lea"), user("max")], "others": 1}));
        for (text, read, counted) in [
            ("[]", json!([]), json!({"first": [], "others": 0})),
            (r#"["a/b"]"#, json!(["a/b"]), json!({"first": ["a/b"], "others": 0})),
            ("[1,2]", json!([1, 2]), json!({"first": [1, 2], "others": 0})),
            ("null", Value::Null, json!({})),
        ] {
            assert_eq!((first(text, false), first(text, true)), (read, counted), "{text}");
        }
    }

    #[test]
    fn an_element_that_does_not_fit_is_an_empty_map() {
        let long = json!([{"name": "x".repeat(MAX_FIELD_BYTES)}, {"name": "max"}]).to_string();
        assert_eq!(first(&long, false), json!([{}, {}]));
    }
}

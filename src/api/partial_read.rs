//! Objects of which only some fields are read; the others are skipped, whatever they contain.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{
    bounded_read::{Bounded, First, Room},
    own_entries::OwnEntries,
};

/// The part of a field that is read.
pub enum Reading {
    /// All of it. Only for a text, and for a field whose number of values is bounded by the CRD or chosen by trusted
    /// clients.
    Whole,
    /// All of it, if it fits into a few MiB of memory. Otherwise the object counts as one without this field.
    Bounded,
    /// The same in an object of that name; nothing in any other object.
    BoundedIn(&'static str),
    /// A list: that number of its first elements. An element that does not fit into a few MiB of memory together with
    /// those before it is read as an empty map.
    First(usize),
    /// A list: a map of its first elements (`first`) and the number of the others (`others`).
    Counted(usize),
    /// A map: the function decides which part of each of its fields is read.
    Part(fn(&str) -> Self),
    /// A list of managed fields: the entries of the operator's field manager.
    OwnEntries,
    /// Nothing: the field is skipped, whatever it contains.
    Nothing,
}

/// Reads a map. The function decides which part of each field is read.
pub struct Fields(pub fn(&str) -> Reading);

impl<'de> DeserializeSeed<'de> for Fields {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of the Kubernetes API")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let reading = match self.0(&key) {
                Reading::BoundedIn(name) if may_have_name(&fields, name) => Reading::Bounded,
                Reading::BoundedIn(_) => Reading::Nothing,
                other => other,
            };
            let value = match reading {
                Reading::Whole => Some(access.next_value()?),
                Reading::Bounded => access.next_value_seed(Bounded(&mut Room::of_a_field()))?,
                Reading::First(number) => Some(access.next_value_seed(First { number, counts_others: false })?),
                Reading::Counted(number) => Some(access.next_value_seed(First { number, counts_others: true })?),
                Reading::Part(read) => Some(access.next_value_seed(Self(read))?),
                Reading::OwnEntries => Some(access.next_value_seed(OwnEntries)?),
                Reading::BoundedIn(_) | Reading::Nothing => {
                    access.next_value::<IgnoredAny>()?;
                    None
                }
            };
            fields.extend(value.map(|value| (key, value)));
        }
        Ok(Value::Object(fields))
    }
}

/// Returns false if the object, of which these fields were read, has another name. The API server writes the metadata
/// before the content.
fn may_have_name(fields: &Map<String, Value>, name: &str) -> bool {
    fields.get("metadata").and_then(|metadata| metadata.get("name")).is_none_or(|found| found == name)
}

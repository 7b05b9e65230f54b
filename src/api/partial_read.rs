//! Objects of which only some fields are read; the others are skipped, whatever they contain.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::own_entries::OwnEntries;

/// The part of a field that is read.
pub enum Reading {
    /// All of it.
    Whole,
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
            let value = match self.0(&key) {
                Reading::Whole => access.next_value()?,
                Reading::Part(read) => access.next_value_seed(Self(read))?,
                Reading::OwnEntries => access.next_value_seed(OwnEntries)?,
                Reading::Nothing => {
                    access.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

//! The form of UIDs in memory. The API server generates UUIDs (RFC 9562), which take 16 bytes instead of 36 on the
//! heap, and the operator keeps about a dozen of them for each space. A UID that is not a UUID is kept as text, since
//! UIDs are opaque (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#uids>).

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use uuid::{Uuid, fmt::Hyphenated};

/// A UID.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(Form);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Form {
    Uuid(Uuid),
    Other(Box<str>),
}

impl Uid {
    /// The UID of an object; empty before the API server has stored the object.
    pub fn from_metadata(metadata: &ObjectMeta) -> Self {
        metadata.uid.as_deref().map(Self::from).unwrap_or_default()
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        // Only text that the UUID writes back unchanged. Capitals and braces, for example, would be lost.
        let uuid = Uuid::try_parse(text)
            .ok()
            .filter(|uuid| uuid.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]) == text);
        Self(uuid.map_or_else(|| Form::Other(text.into()), Form::Uuid))
    }
}

impl Default for Uid {
    fn default() -> Self {
        Self::from("")
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Uuid(uuid) => uuid.hyphenated().fmt(formatter),
            Form::Other(text) => formatter.write_str(text),
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl PartialEq<str> for Uid {
    fn eq(&self, text: &str) -> bool {
        match &self.0 {
            Form::Uuid(uuid) => uuid.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]) == text,
            Form::Other(other) => **other == *text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_uid_is_kept_unchanged() {
        let uuids = ["2f9e0c5a-7d3b-4a52-9d0e-5b1c9a6f3e21", "00000000-0000-0000-0000-000000000000"];
        let others = [
            "",
            "ns-1",
            "2F9E0C5A-7D3B-4A52-9D0E-5B1C9A6F3E21",
            "2f9e0c5a7d3b4a529d0e5b1c9a6f3e21",
            "{2f9e0c5a-7d3b-4a52-9d0e-5b1c9a6f3e21}",
            "urn:uuid:2f9e0c5a-7d3b-4a52-9d0e-5b1c9a6f3e21",
        ];
        for (texts, packed) in [(&uuids[..], true), (&others, false)] {
            for text in texts {
                let uid = Uid::from(*text);
                assert_eq!((uid.to_string().as_str(), matches!(uid.0, Form::Uuid(_))), (*text, packed));
                assert!(uid == **text && uid != *"ns-2");
            }
        }
    }

    #[test]
    fn uuids_are_in_the_order_of_their_text() {
        let mut uids = ["b0000000-0000-4000-8000-000000000000", "9fffffff-0000-4000-8000-000000000000"].map(Uid::from);
        uids.sort();
        assert_eq!(uids[0].to_string(), "9fffffff-0000-4000-8000-000000000000");
    }
}

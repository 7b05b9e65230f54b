//! The result of reading an object or a list that the caller may not be allowed to read.

use crate::plugin::{
    api_error::{error_message, is_forbidden},
    lenient_list::LenientList,
};

/// The result of reading an object or a list.
#[derive(Clone, Debug, Default)]
pub(super) enum Fetched<T> {
    /// It was not read, because it was not needed.
    #[default]
    NotNeeded,
    /// It was read.
    Found(T),
    /// A part of it was read.
    Partial(T, Unreadable),
    /// It could not be read.
    Unreadable(Unreadable),
}

/// An object, or a list or a part of one, that could not be read, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// `get` or `list`.
    pub(super) verb: &'static str,
    /// `Namespace orchid-lab`, `pods`.
    pub(super) what: String,
    /// The namespace of a list.
    pub(super) namespace: Option<String>,
    /// The error; `None` if the request was forbidden.
    pub(super) error: Option<String>,
}

impl Unreadable {
    /// The reason why a list could not be read.
    pub(super) fn reason(&self) -> String {
        self.error.clone().unwrap_or_else(|| format!("you do not have permission to {} them", self.verb))
    }
}

impl<T> Fetched<T> {
    /// The result, as far as it was read.
    pub(super) fn value(&self) -> Option<&T> {
        match self {
            Self::Found(value) | Self::Partial(value, _) => Some(value),
            Self::NotNeeded | Self::Unreadable(_) => None,
        }
    }

    /// The part that could not be read.
    pub(super) fn unreadable(&self) -> Option<&Unreadable> {
        match self {
            Self::Unreadable(gap) | Self::Partial(_, gap) => Some(gap),
            Self::NotNeeded | Self::Found(_) => None,
        }
    }

    /// The result of a request.
    pub(super) fn from_result(
        found: Result<T, kube::Error>,
        verb: &'static str,
        what: String,
        namespace: Option<&str>,
    ) -> Self {
        found.map_or_else(
            |error| {
                let why = (!is_forbidden(&error)).then(|| error_message(&error));
                Self::Unreadable(Unreadable { verb, what, namespace: namespace.map(ToOwned::to_owned), error: why })
            },
            Self::Found,
        )
    }
}

impl<T> Fetched<Option<T>> {
    /// The object, if it was read and exists.
    pub(super) fn object(&self) -> Option<&T> {
        self.value()?.as_ref()
    }

    /// Returns true if the object is known not to exist.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Found(None))
    }
}

impl<T> Fetched<Vec<T>> {
    /// The objects of the list; empty if it was not read.
    pub(super) fn items(&self) -> &[T] {
        self.value().map(Vec::as_slice).unwrap_or_default()
    }

    /// The objects of a list, and the first error of those that could not be parsed.
    pub(super) fn from_list(found: Result<LenientList<T>, kube::Error>, what: String, namespace: &str) -> Self {
        let LenientList { objects, errors } = match found {
            Ok(found) => found,
            Err(error) => return Self::from_result(Err(error), "list", what, Some(namespace)),
        };
        let Some(error) = errors.first() else { return Self::Found(objects) };
        let what = format!("{} of {} {what}", errors.len(), errors.len() + objects.len());
        let gap = Unreadable { verb: "list", what, namespace: Some(namespace.to_owned()), error: Some(error.clone()) };
        Self::Partial(objects, gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_was_read_partially_has_an_unreadable_part() {
        let read = |errors: &[&str]| {
            let errors = errors.iter().map(|error| (*error).to_owned()).collect();
            Fetched::from_list(
                Ok(LenientList { objects: vec!["web", "db"], errors }),
                "replicasets".to_owned(),
                "orchid-lab",
            )
        };
        let whole = read(&[]);
        assert_eq!((whole.items(), whole.unreadable()), (&["web", "db"][..], None));
        let partial = read(&["a time out of range"]);
        let gap = Unreadable {
            verb: "list",
            what: "1 of 3 replicasets".to_owned(),
            namespace: Some("orchid-lab".to_owned()),
            error: Some("a time out of range".to_owned()),
        };
        assert_eq!((partial.items(), partial.unreadable()), (&["web", "db"][..], Some(&gap)));
    }
}

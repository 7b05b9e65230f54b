//! The spec of a SpaceClass that applies to its spaces, and the class that applies to spaces that name none.

use crate::api::{Access, SpaceClass, SpaceClassSpec, is_default_class};

/// The name of a class and its spec in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassInForce<'a> {
    /// The name of the class.
    pub(crate) name: &'a str,
    /// The spec in force, or the current spec if none is in force.
    pub(crate) spec: &'a SpaceClassSpec,
}

impl<'a> ClassInForce<'a> {
    /// The name and the spec in force of a class.
    pub(crate) fn new(class: &'a SpaceClass) -> Self {
        Self { name: class.metadata.name.as_deref().unwrap_or_default(), spec: class.in_force().unwrap_or(&class.spec) }
    }

    /// The settings for access to the spaces of the class.
    pub(crate) fn access(self) -> Option<&'a Access> {
        self.spec.access.as_ref()
    }
}

/// The default class: the oldest class that is marked as default.
pub(crate) fn default_class(classes: &[SpaceClass]) -> Option<&SpaceClass> {
    let age = |class: &&SpaceClass| (class.metadata.creation_timestamp.clone(), class.metadata.name.clone());
    classes.iter().filter(|class| is_default_class(&class.metadata)).min_by_key(age)
}

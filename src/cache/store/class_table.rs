//! The table of `SpaceClass`es, of the ClusterRoles that they name, and of the errors of their validation.

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::time::Instant;

use crate::api::SpaceClass;

/// The classes, the ClusterRoles and the errors.
#[derive(Debug, Default)]
pub(super) struct ClassTable {
    /// The classes that can be read, by name.
    pub(super) readable: HashMap<String, Arc<SpaceClass>>,
    /// The classes that were removed recently and whose specs were not validated, by name, and the times of their
    /// removal.
    pub(super) removed: HashMap<String, (Arc<SpaceClass>, Instant)>,
    /// The metadata of the other classes, by name.
    pub(super) unreadable: HashMap<String, ObjectMeta>,
    /// True for a ClusterRole that exists. A ClusterRole without an entry was not looked up.
    pub(super) roles: HashMap<String, bool>,
    /// The error that lasts, by the name of the class that is not validated because of it.
    pub(super) validation_errors: HashMap<String, Arc<str>>,
}

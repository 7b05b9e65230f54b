//! What is kept of an object that is watched. It is reduced while it is read, so that not even a page of a list is ever there whole:
//! managed fields alone would be most of it.

use std::borrow::Cow;

use k8s_openapi::{
    api::{
        core::v1::{LimitRange, Namespace, ResourceQuota},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Resource,
    core::{DeserializeGuard, error_boundary::InvalidObject},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::{
    packed::{Guarded, Packed},
    unadorned::Unadorned,
};
use crate::{
    api::{DeveloperSpace, own_fields::OwnFields, unmanaged::Unmanaged},
    desired::{
        Child, SeenChild,
        isolation::{Policy, policy},
        namespace::SeenNamespace,
    },
};

/// A kind that is watched.
pub trait Watched: Resource<DynamicType = ()> + 'static {
    /// What is read.
    type Read: DeserializeOwned;
    /// What is kept of it.
    type Kept: Clone + std::fmt::Debug + Send + Sync + 'static;

    /// Keeps what is needed, and says which object it is; the error tells why it cannot be told.
    fn keep(read: Self::Read) -> Result<(ObjectMeta, Self::Kept), serde_json::Error>;
}

/// An object of which only that is kept.
#[derive(Clone, Debug)]
pub struct Slim<K: Watched> {
    metadata: ObjectMeta,
    /// What is kept.
    pub kept: K::Kept,
}

impl<K: Watched> Slim<K> {
    /// Keeps what is needed.
    pub fn of(read: K::Read) -> Result<Self, serde_json::Error> {
        let (metadata, kept) = K::keep(read)?;
        // Which object it is, and in which version: all that a watch minds.
        let ObjectMeta { name, namespace, uid, resource_version, .. } = metadata;
        Ok(Self { metadata: ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() }, kept })
    }

    /// Without UID and version, which are of no more use in a map by name.
    #[must_use]
    pub fn by_name(&self) -> Self {
        Self { metadata: ObjectMeta { name: self.metadata.name.clone(), ..ObjectMeta::default() }, kept: self.kept.clone() }
    }
}

impl Slim<DeveloperSpace> {
    /// The space, readable or not.
    pub fn unpack(&self) -> Guarded {
        self.kept
            .unpack()
            .unwrap_or_else(|error| DeserializeGuard(Err(InvalidObject { error: error.to_string(), metadata: self.metadata.clone() })))
    }
}

impl<'de, K: Watched> Deserialize<'de> for Slim<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(K::Read::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<K: Watched> Resource for Slim<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Watched for DeveloperSpace {
    type Read = Unadorned;
    type Kept = Packed;

    fn keep(Unadorned(read): Unadorned) -> Result<(ObjectMeta, Packed), serde_json::Error> {
        Ok((ObjectMeta::deserialize(&read["metadata"])?, Packed::of(&read)))
    }
}

impl Watched for Namespace {
    type Read = OwnFields<Self>;
    type Kept = SeenNamespace;

    fn keep(OwnFields(read): OwnFields<Self>) -> Result<(ObjectMeta, SeenNamespace), serde_json::Error> {
        let seen = SeenNamespace::of(&read);
        Ok((read.metadata, seen))
    }
}

macro_rules! children {
    ($($kind:ty),*) => {$(
        impl Watched for $kind {
            type Read = Unmanaged<Self>;
            type Kept = SeenChild;

            fn keep(Unmanaged(read): Unmanaged<Self>) -> Result<(ObjectMeta, SeenChild), serde_json::Error> {
                let child = Child::from(read);
                Ok((child.metadata().clone(), child.seen()))
            }
        }
    )*};
}

children!(ResourceQuota, LimitRange, RoleBinding);

/// What is kept of a `NetworkPolicy`: all of them are watched, since what others make can open what ours shuts.
#[derive(Clone, Debug)]
pub enum SeenPolicy {
    /// Ours.
    Ours(SeenChild),
    /// Another; whether it counts as one of others.
    Other {
        /// Whether it does.
        is_foreign: bool,
    },
}

impl Watched for NetworkPolicy {
    type Read = Unmanaged<Self>;
    type Kept = SeenPolicy;

    fn keep(Unmanaged(read): Unmanaged<Self>) -> Result<(ObjectMeta, SeenPolicy), serde_json::Error> {
        let whose = policy(&read.metadata);
        if whose == Policy::Ours {
            let child = Child::from(read);
            return Ok((child.metadata().clone(), SeenPolicy::Ours(child.seen())));
        }
        Ok((read.metadata, SeenPolicy::Other { is_foreign: whose == Policy::Foreign }))
    }
}

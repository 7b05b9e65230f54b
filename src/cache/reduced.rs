//! The part of a watched object that is kept. An object is reduced while it is read, so that not even one page of a
//! list is completely in memory: managed fields alone would be most of it. Of an object that tenants can write, only an
//! [`Excerpt`] is read.

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
    compressed::{CompressedSpace, Guarded},
    trimmed::Trimmed,
};
use crate::{
    api::{DeveloperSpace, excerpt::Excerpt, own_fields::OwnFields},
    desired::{
        Child, SeenChild,
        isolation::{PolicyOwner, policy_owner},
        namespace::SeenNamespace,
    },
};

/// A kind that is watched.
pub trait Watched: Resource<DynamicType = ()> + 'static {
    /// The type that is read.
    type Read: DeserializeOwned;
    /// The type that is kept.
    type Kept: Clone + std::fmt::Debug + Send + Sync + 'static;

    /// Returns the metadata and the part that is kept. The error means that the metadata cannot be read.
    fn reduce(read: Self::Read) -> Result<(ObjectMeta, Self::Kept), serde_json::Error>;
}

/// A watched object of which only the needed part is kept.
#[derive(Clone, Debug)]
pub struct Reduced<K: Watched> {
    metadata: ObjectMeta,
    /// The part that is kept.
    pub kept: K::Kept,
}

impl<K: Watched> Reduced<K> {
    /// Keeps the needed part of an object.
    pub fn reduce(read: K::Read) -> Result<Self, serde_json::Error> {
        let (metadata, kept) = K::reduce(read)?;
        // The identity and the version of the object: a watch needs nothing else.
        let ObjectMeta { name, namespace, uid, resource_version, .. } = metadata;
        Ok(Self { metadata: ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() }, kept })
    }

    /// Returns a copy without UID and version, which a map by name does not need.
    #[must_use]
    pub fn by_name(&self) -> Self {
        Self {
            metadata: ObjectMeta { name: self.metadata.name.clone(), ..ObjectMeta::default() },
            kept: self.kept.clone(),
        }
    }
}

impl Reduced<DeveloperSpace> {
    /// Returns the space, readable or not.
    pub fn unpack(&self) -> Guarded {
        self.kept.unpack().unwrap_or_else(|error| {
            DeserializeGuard(Err(InvalidObject { error: error.to_string(), metadata: self.metadata.clone() }))
        })
    }
}

impl<'de, K: Watched> Deserialize<'de> for Reduced<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::reduce(K::Read::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<K: Watched> Resource for Reduced<K> {
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
    type Read = Trimmed;
    type Kept = CompressedSpace;

    fn reduce(Trimmed(read): Trimmed) -> Result<(ObjectMeta, CompressedSpace), serde_json::Error> {
        Ok((ObjectMeta::deserialize(&read["metadata"])?, CompressedSpace::compress(&read)))
    }
}

impl Watched for Namespace {
    type Read = OwnFields<Self>;
    type Kept = SeenNamespace;

    fn reduce(OwnFields(read): OwnFields<Self>) -> Result<(ObjectMeta, SeenNamespace), serde_json::Error> {
        let seen = SeenNamespace::from_namespace(&read);
        Ok((read.metadata, seen))
    }
}

macro_rules! children {
    ($($kind:ty),*) => {$(
        impl Watched for $kind {
            type Read = Excerpt<Self>;
            type Kept = SeenChild;

            fn reduce(Excerpt(read): Excerpt<Self>) -> Result<(ObjectMeta, SeenChild), serde_json::Error> {
                let child = Child::from(read);
                Ok((child.metadata().clone(), child.seen()))
            }
        }
    )*};
}

children!(ResourceQuota, LimitRange, RoleBinding);

/// The part of a `NetworkPolicy` that is kept. All policies are watched, since a foreign policy can allow traffic that
/// the operator's policy denies.
#[derive(Clone, Debug)]
pub enum SeenPolicy {
    /// A policy of the operator.
    Ours(SeenChild),
    /// Another policy.
    Other {
        /// True if the policy counts as foreign.
        is_foreign: bool,
    },
}

impl Watched for NetworkPolicy {
    type Read = Excerpt<Self>;
    type Kept = SeenPolicy;

    fn reduce(Excerpt(read): Excerpt<Self>) -> Result<(ObjectMeta, SeenPolicy), serde_json::Error> {
        let whose = policy_owner(&read.metadata);
        if whose == PolicyOwner::Ours {
            let child = Child::from(read);
            return Ok((child.metadata().clone(), SeenPolicy::Ours(child.seen())));
        }
        Ok((read.metadata, SeenPolicy::Other { is_foreign: whose == PolicyOwner::Foreign }))
    }
}

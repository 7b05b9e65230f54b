//! The API types and the grammar of their values. No I/O.
//!
//! [`crd::crds`] is the source of `crds/*.yaml`.

#![allow(unreachable_pub, reason = "the derives of kube and schemars generate public items that are not reachable")]

pub mod conditions;
pub mod crd;
pub mod duration;
pub mod excerpt;
pub mod names;
pub mod own_fields;
pub mod partial_read;
pub mod pattern;
pub mod protected_namespaces;
pub mod quantity;
pub mod syntax;
pub mod text;
pub mod time;
pub mod without_managed_fields;

mod access;
#[cfg(test)]
mod bad_input_tests;
mod bounded_read;
mod class_metadata;
mod developer_space;
mod own_entries;
mod resource_wrapper;
mod schema;
mod space_class;
mod space_status;
mod subject;

pub use access::*;
pub use class_metadata::*;
pub use developer_space::*;
pub use space_class::*;
pub use space_status::*;
pub use subject::*;

//! The API types and the grammar of their values. No I/O.
//!
//! [`crds`] is the source of `crds/*.yaml`.

pub mod conditions;
pub mod duration;
pub mod names;
pub mod own_fields;
pub mod quantity;
pub mod text;
pub mod time;
pub mod without_managed_fields;

mod access;
#[cfg(test)]
mod bad_input_tests;
mod class_metadata;
mod crd;
mod developer_space;
mod schema;
mod space_class;
mod space_status;

pub use access::*;
pub use class_metadata::*;
pub use crd::crds;
pub use developer_space::*;
pub use space_class::*;
pub use space_status::*;

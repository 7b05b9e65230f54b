//! Owns the pair of contestants that are measured in turn: the operator and the raw client.

use super::{environment::Environment, raw_client::RawClient};

/// The operator and the raw client, each with a cluster of its own.
#[derive(Clone, Copy)]
pub struct Contestants<'a> {
    /// The cluster with the operator.
    pub operator_environment: &'a Environment,
    /// The cluster without the operator, for the raw client.
    pub raw_environment: &'a Environment,
    /// The raw client.
    pub raw_client: &'a RawClient,
}

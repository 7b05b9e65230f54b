//! Owns a run of all mutations of one kind: the queue that concurrent workers share, and the counts of the outcomes.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    fixtures::{Actor, cluster_wide},
    mutations::{Mutation, mutations},
};

/// The outcome of a mutation without a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MutationOutcome {
    /// The API server rejected it with a message.
    Rejected,
    /// The space is ready.
    Applied,
    /// A condition reports the reason.
    Reported,
}

/// The number of mutations with each outcome.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutcomeCounts {
    /// Rejected by the API server.
    pub rejected: usize,
    /// Applied by the operator.
    pub applied: usize,
    /// Reported in a condition.
    pub reported: usize,
}

/// All mutations of one kind, and the outcomes of those that were tried.
#[derive(Debug)]
pub struct MutationRun {
    total: usize,
    pending: RefCell<VecDeque<Mutation>>,
    counts: Cell<OutcomeCounts>,
    failures: RefCell<Vec<String>>,
}

impl MutationRun {
    /// Generates all mutations of `spec` from the schema of the kind with this plural.
    pub async fn new(admin: &Actor, plural: &str, spec: &Value) -> Result<Self> {
        let crd = admin.get(cluster_wide("CustomResourceDefinition", &format!("{plural}.developerspace.dev"))).await?;
        let schema =
            crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").context("the kind has no schema")?;
        let pending: VecDeque<Mutation> = mutations(schema, spec).into();
        Ok(Self {
            total: pending.len(),
            pending: RefCell::new(pending),
            counts: Cell::default(),
            failures: RefCell::default(),
        })
    }

    /// The number of mutations, tried or not.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Takes the next mutation out of the queue.
    pub fn take(&self) -> Option<Mutation> {
        self.pending.borrow_mut().pop_front()
    }

    /// Counts the outcome of a mutation. An error is recorded as a failure.
    pub fn record(&self, mutation: &Mutation, outcome: Result<MutationOutcome>) {
        let mut counts = self.counts.get();
        match outcome {
            Ok(MutationOutcome::Rejected) => counts.rejected += 1,
            Ok(MutationOutcome::Applied) => counts.applied += 1,
            Ok(MutationOutcome::Reported) => counts.reported += 1,
            Err(error) => self.failures.borrow_mut().push(format!("{}: {error:#}", mutation.label)),
        }
        self.counts.set(counts);
    }

    /// The outcomes so far.
    pub fn counts(&self) -> OutcomeCounts {
        self.counts.get()
    }

    /// The failures so far, one line each.
    pub fn failures(&self) -> Vec<String> {
        self.failures.borrow().clone()
    }
}

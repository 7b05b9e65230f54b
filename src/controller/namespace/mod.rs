//! The namespace of a space: every request of the controller that reads, creates, changes or deletes one is sent here.
//!
//! A write to an existing namespace has the UID of the decision as its precondition, so that it fails for another
//! namespace of the same name. A DELETE also has the resourceVersion of the decision. A namespace with a protected name
//! is never deleted. This module carries out decisions, and makes none about the space.

mod api;
mod create;
mod delete;
mod metadata;
mod rehearse;
mod release;

pub(crate) use self::{
    api::{confirm, read},
    create::create,
    delete::{PROTECTED_STAYS, delete, delete_unrecorded},
    metadata::{adopt, end_offer, follow_expiry, is_marked_enforced, keep, mark_enforced},
    rehearse::rehearse,
    release::{hand_back, release},
};

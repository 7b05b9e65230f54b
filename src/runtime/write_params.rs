//! The parameters that all writes of the operator share.

use kube::api::{DeleteParams, PatchParams, PostParams, Preconditions};

use crate::{api::names, desired::Uid};

/// Parameters of a POST with the operator's field manager.
pub(crate) fn post_params() -> PostParams {
    PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// Parameters of a PATCH with the operator's field manager.
pub(crate) fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Parameters of a DELETE with that UID as precondition: the API server refuses to delete another object of the same
/// name, with 409. With `version` it also refuses to delete an object that has changed since that version.
pub(crate) fn delete_params(uid: &Uid, version: Option<u64>) -> DeleteParams {
    let resource_version = version.map(|version| version.to_string());
    DeleteParams::default().preconditions(Preconditions { uid: Some(uid.to_string()), resource_version })
}

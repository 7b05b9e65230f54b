//! Reads a space of which only a part is kept, see [`crate::cache::compressed`].

use kube::{
    Resource, ResourceExt,
    api::GetParams,
    core::{DeserializeGuard, Request, error_boundary::InvalidObject},
};

use super::context::Context;
use crate::{
    api::DeveloperSpace,
    cache::{compressed::Guarded, trimmed::Trimmed, watches::CachedSpace},
    runtime::error::Error,
};

/// The whole space: from the store, or, if the store has only a part of it, from the API server. `None` if it no longer
/// exists.
pub(crate) async fn whole(kept: &CachedSpace, ctx: &Context) -> Result<Option<Guarded>, Error> {
    // While the CRDs are incomplete, no space is reconciled, and the part is not used.
    if !kept.kept.is_cut || ctx.io.installed.has_problem() {
        return Ok(Some(kept.unpack()));
    }
    let name = kept.name_any();
    let failed = || Error::api(format!("read DeveloperSpace {name}"));
    let request = Request::new(DeveloperSpace::url_path(&(), None)).get(&name, &GetParams::default());
    let request = request.map_err(|error| failed()(kube::Error::BuildRequest(error)))?;
    match ctx.io.client.request::<Trimmed>(request).await {
        Ok(Trimmed(live)) => Ok(Some(serde_json::from_value(live).unwrap_or_else(|error| unreadable(kept, &error)))),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(failed()(error)),
    }
}

fn unreadable(kept: &CachedSpace, error: &serde_json::Error) -> Guarded {
    DeserializeGuard(Err(InvalidObject { error: error.to_string(), metadata: kept.meta().clone() }))
}

//! The spaces that the caller can read without a name: all spaces, or the space of the current namespace if the caller
//! may not list spaces.

use anyhow::bail;

use super::{
    api_error::{ApiContext as _, error_message, is_forbidden},
    cluster::Cluster,
    progress::print_stderr,
    requests,
};
use crate::api::DeveloperSpace;

/// The spaces that the caller can read without a name.
pub(crate) struct VisibleSpaces {
    /// All spaces, or the space of the current namespace.
    pub(crate) spaces: Vec<DeveloperSpace>,
    /// True if the caller may list spaces.
    pub(crate) is_complete: bool,
}

/// All spaces that match `selector`. If the caller may not list spaces, returns the space of the current namespace and
/// prints a note on standard error.
pub(crate) async fn list(cluster: &Cluster, selector: Option<&str>) -> anyhow::Result<VisibleSpaces> {
    match requests::list_spaces(cluster, selector).await {
        // The API server evaluates label selectors, so a selector requires a list.
        Err(error) if is_forbidden(&error) && selector.is_none() => space_of_current_namespace(cluster, &error)
            .await
            .map(|space| VisibleSpaces { spaces: vec![space], is_complete: false }),
        found => found
            .map(|spaces| VisibleSpaces { spaces, is_complete: true })
            .context_api(|| "list DeveloperSpaces".to_owned()),
    }
}

async fn space_of_current_namespace(cluster: &Cluster, refused: &kube::Error) -> anyhow::Result<DeveloperSpace> {
    let name = &cluster.namespace;
    let space = match requests::try_find_space(cluster, name).await {
        Err(error) if is_forbidden(&error) => None,
        found => found.context_api(|| format!("read DeveloperSpace {name}"))?,
    };
    let Some(space) = space else {
        bail!(
            "failed to list DeveloperSpaces: {}; specify a space, or use a context whose namespace is a space: {name} is not a space that \
            you can read",
            error_message(refused)
        );
    };
    print_stderr(&format!(
        "You cannot list DeveloperSpaces: the result contains only the space of the current namespace, {name}. \
        Specify other spaces by name."
    ));
    Ok(space)
}

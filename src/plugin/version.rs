//! `version`: prints the version of the plugin, and of the server if it can be reached.

use super::{api_error::ApiContext, args::KubectlArgs, cluster::Cluster, flags::Flags, output, progress};

pub(crate) async fn run(kubectl: &KubectlArgs) -> anyhow::Result<()> {
    output::print(&format!("kubectl-dspace {}", env!("CARGO_PKG_VERSION")))?;
    match server(kubectl).await {
        Ok(version) => output::print(&format!("Server         {version}")),
        // The version of the plugin has been printed. The version of the server is optional.
        Err(error) => {
            progress::print_stderr(&Flags::new(kubectl).add_to(&format!("warning: {error:#}")));
            Ok(())
        }
    }
}

async fn server(kubectl: &KubectlArgs) -> anyhow::Result<String> {
    let cluster = Cluster::connect(kubectl).await?;
    let version =
        cluster.client.apiserver_version().await.context_api(|| "get the version of the server".to_owned())?;
    Ok(version.git_version)
}

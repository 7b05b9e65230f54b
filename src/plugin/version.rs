//! `version`: of the plugin, and of the server if it can be asked.

use super::{args::KubectlArgs, cluster::Cluster, output, progress, told::Told};

pub(crate) async fn run(kubectl: &KubectlArgs) -> anyhow::Result<()> {
    output::print(&format!("kubectl-dspace {}", env!("CARGO_PKG_VERSION")))?;
    match server(kubectl).await {
        Ok(version) => output::print(&format!("Server         {version}")),
        // What was asked for is told; the server's is an extra.
        Err(error) => {
            progress::note(&format!("warning: {error:#}"));
            Ok(())
        }
    }
}

async fn server(kubectl: &KubectlArgs) -> anyhow::Result<String> {
    let cluster = Cluster::connect(kubectl).await?;
    let version = cluster.client.apiserver_version().await.told(|| "ask the server for its version".to_owned())?;
    Ok(version.git_version)
}

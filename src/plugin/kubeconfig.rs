//! `kubeconfig`: writes a kubeconfig for an existing space.

use clap::Args;

use super::{
    args::Span,
    cluster::Cluster,
    issue::{self, IssueArgs},
    onboard,
    progress::Progress,
    spaces,
    subject::{self, SubjectArg},
    wait,
};

/// Arguments of `kubeconfig`.
#[derive(Clone, Debug, Args)]
pub struct KubeconfigArgs {
    /// The space
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The user of the kubeconfig: the owner or a member of the space [default: you]
    #[arg(long = "for", value_name = "USER")]
    pub who: Option<SubjectArg>,

    /// The credential and the file.
    #[command(flatten)]
    pub issue: IssueArgs,
}

pub(crate) async fn run(cluster: &Cluster, args: &KubeconfigArgs) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    let space = spaces::get(cluster, &args.name).await?;
    let subject = match &args.who {
        Some(SubjectArg(subject)) => subject.clone(),
        // The caller may have access through a group, so the space need not name them.
        None => subject::of_username(&cluster.whoami().await?.username.unwrap_or_default()),
    };
    if args.who.is_some() {
        onboard::lets_in(&space, &subject)?;
    }
    let Span(patience) = args.issue.timeout;
    let space = wait::until_ready(cluster, &args.name, patience, &mut progress).await?;
    issue::issue(cluster, &space, &subject, &args.issue, &mut progress).await
}

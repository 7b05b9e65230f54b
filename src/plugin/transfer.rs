//! `transfer`: changes the owner of a space.

use clap::Args;
use serde_json::{Value, json};

use super::{
    args::{DryRun, WriteArgs},
    cluster::Cluster,
    output,
    progress::Progress,
    requests,
    subject::SubjectArg,
    wait,
};

/// Arguments of `transfer`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The class must allow transfers (spec.allowTransfer), or you need the verb assign on developerspaces.\n\n\
    Tokens that the previous owner created for ServiceAccounts of the namespace stay valid, and so do RoleBindings that the \
    operator does not manage. The Event Transferred names these RoleBindings: kubectl dspace events NAME"
)]
pub struct TransferArgs {
    /// The space
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The new owner: a user's name, Group:NAME or ServiceAccount:NAMESPACE/NAME
    #[arg(value_name = "SUBJECT")]
    pub subject: SubjectArg,

    /// The dry run, the wait and the output format.
    #[command(flatten)]
    pub write: WriteArgs,
}

pub(crate) async fn run(cluster: &Cluster, args: &TransferArgs) -> anyhow::Result<()> {
    let SubjectArg(subject) = &args.subject;
    let dry_run = args.write.dry_run.dry_run;
    let mut space = requests::get_space(cluster, &args.name).await?;
    if dry_run == DryRun::Client {
        space.spec.owner = subject.clone();
    } else {
        // A merge patch keeps fields that it does not contain, so null removes the namespace of the previous owner.
        let mut owner = serde_json::to_value(subject)?;
        if subject.namespace.is_none() {
            owner["namespace"] = Value::Null;
        }
        space = requests::patch_space(
            cluster,
            &args.name,
            &json!({"metadata": {"uid": space.metadata.uid}, "spec": {"owner": owner}}),
            dry_run,
        )
        .await?;
        if let Some(timeout) = args.write.wait_timeout() {
            space = wait::until_ready(cluster, &args.name, timeout, &mut Progress::new(&cluster.flags)).await?;
        }
    }
    let message = format!("{} transferred to {subject}{}", output::qualified_name(&space), dry_run.note());
    output::print_object(&args.write.output.output, &space, || message)
}

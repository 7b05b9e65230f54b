//! `members`: lists and changes the members of a space.

use anyhow::{bail, ensure};
use clap::{Args, Subcommand};
use kube::ResourceExt as _;
use serde_json::json;

use super::{
    args::{DryRun, OutputArgs, WriteArgs},
    cluster::Cluster,
    output,
    progress::Progress,
    requests,
    subject::SubjectArg,
    wait,
};
use crate::api::{DeveloperSpace, Member, Subject};

/// Arguments of `members`.
#[derive(Clone, Debug, Args)]
pub struct MembersArgs {
    /// The subcommand.
    #[command(subcommand)]
    pub command: MembersCommand,
}

/// The subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum MembersCommand {
    /// Add a member to a space
    Add(ChangeArgs),
    /// Remove a member from a space
    Remove(ChangeArgs),
    /// Show the owner and the members
    List {
        /// The space
        #[arg(value_name = "NAME")]
        name: String,
        /// The output format.
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Arguments of `members add` and `members remove`.
#[derive(Clone, Debug, Args)]
pub struct ChangeArgs {
    /// The space
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The member: a user's name, Group:NAME or ServiceAccount:NAMESPACE/NAME
    #[arg(value_name = "SUBJECT")]
    pub subject: SubjectArg,

    /// The role, one of the roles of the class [default: view to add, all roles to remove]
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,

    /// The dry run, the wait and the output format.
    #[command(flatten)]
    pub write: WriteArgs,
}

/// The result of a change of the members of a space.
struct Edited {
    /// False if the members already were as requested.
    is_changed: bool,
    /// The space after the change.
    space: DeveloperSpace,
}

/// The number of attempts at a change that conflicts with other changes.
const MAX_ATTEMPTS: u32 = 5;

pub(crate) async fn run(cluster: &Cluster, args: &MembersArgs) -> anyhow::Result<()> {
    match &args.command {
        MembersCommand::Add(change) => {
            let role = change.role.clone().unwrap_or_else(|| "view".to_owned());
            let SubjectArg(Subject { kind, name, namespace }) = change.subject.clone();
            let wanted = Member { kind, name, namespace, role };
            let edited =
                edit(cluster, &change.name, change.write.dry_run.dry_run, |members| added(members, &wanted)).await?;
            finish(cluster, change, edited, "added").await
        }
        MembersCommand::Remove(change) => {
            let SubjectArg(subject) = &change.subject;
            let role = change.role.as_deref();
            let edited =
                edit(cluster, &change.name, change.write.dry_run.dry_run, |members| removed(members, subject, role))
                    .await?;
            if !edited.is_changed {
                bail!(
                    "{subject} is not a member of DeveloperSpace {}{}",
                    change.name,
                    role.map(|role| format!(" with role {role}")).unwrap_or_default()
                );
            }
            finish(cluster, change, edited, "removed").await
        }
        MembersCommand::List { name, output } => {
            let space = requests::get_space(cluster, name).await?;
            output::print_object(&output.output, &space, || table(&space))
        }
    }
}

/// Waits for the change and prints it.
async fn finish(cluster: &Cluster, args: &ChangeArgs, edited: Edited, action: &str) -> anyhow::Result<()> {
    let Edited { is_changed, mut space } = edited;
    let dry_run = args.write.dry_run.dry_run;
    if let Some(timeout) = args.write.wait_timeout() {
        space = wait::until_ready(cluster, &args.name, timeout, &mut Progress::new(&cluster.flags)).await?;
    }
    let SubjectArg(subject) = &args.subject;
    let message = if is_changed { format!("{subject} {action}{}", dry_run.note()) } else { "unchanged".to_owned() };
    output::print_object(&args.write.output.output, &space, || format!("{} {message}", output::qualified_name(&space)))
}

/// Adds a member to a space, unless it already is a member. Returns true if the space was changed.
pub(crate) async fn add(cluster: &Cluster, name: &str, member: &Member) -> anyhow::Result<bool> {
    edit(cluster, name, DryRun::None, |members| added(members, member)).await.map(|edited| edited.is_changed)
}

fn added(members: &[Member], wanted: &Member) -> Option<Vec<Member>> {
    (!members.contains(wanted)).then(|| members.iter().chain([wanted]).cloned().collect())
}

fn removed(members: &[Member], subject: &Subject, role: Option<&str>) -> Option<Vec<Member>> {
    let is_removed = |member: &Member| member.subject() == *subject && role.is_none_or(|role| member.role == role);
    members.iter().any(is_removed).then(|| members.iter().filter(|member| !is_removed(member)).cloned().collect())
}

/// Replaces the members with the result of `change`. Retries on a conflict, so that concurrent changes are not lost.
async fn edit(
    cluster: &Cluster,
    name: &str,
    dry_run: DryRun,
    change: impl Fn(&[Member]) -> Option<Vec<Member>>,
) -> anyhow::Result<Edited> {
    for last in (0..MAX_ATTEMPTS).map(|round| round + 1 == MAX_ATTEMPTS) {
        let mut space = requests::get_space(cluster, name).await?;
        let Some(members) = change(&space.spec.members) else { return Ok(Edited { is_changed: false, space }) };
        ensure!(
            members.len() <= 100,
            "DeveloperSpace {name} has 100 members, which is the maximum: add a group instead of individual users"
        );
        if dry_run == DryRun::Client {
            space.spec.members = members;
            return Ok(Edited { is_changed: true, space });
        }
        let patch = json!({"metadata": {"resourceVersion": space.resource_version()}, "spec": {"members": members}});
        match requests::patch_space(cluster, name, &patch, dry_run).await {
            Err(error) if !last && error.to_string().contains("the object has been modified") => {}
            patched => return patched.map(|space| Edited { is_changed: true, space }),
        }
    }
    bail!("DeveloperSpace {name} is being changed by other clients at the same time: try again")
}

fn table(space: &DeveloperSpace) -> String {
    let owner = [space.spec.owner.to_string(), "(owner)".to_owned()];
    let members = space.spec.members.iter().map(|member| [member.subject().to_string(), member.role.clone()]);
    output::table(["SUBJECT", "ROLE"], std::iter::once(owner).chain(members), false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SubjectKind;

    fn member(name: &str, role: &str) -> Member {
        Member { kind: SubjectKind::Group, name: name.into(), namespace: None, role: role.into() }
    }

    #[test]
    fn members_are_added_and_removed_individually() {
        let (botany, zoology) = (member("botany", "view"), member("zoology", "edit"));
        let both = added(std::slice::from_ref(&botany), &zoology).unwrap();
        assert_eq!(both, [botany.clone(), zoology.clone()]);
        assert_eq!(added(&both, &botany), None);
        assert_eq!(removed(&both, &botany.subject(), None), Some(vec![zoology]));
        assert_eq!(removed(&both, &botany.subject(), Some("edit")), None);
        assert_eq!(removed(&both, &member("physics", "view").subject(), None), None);
    }
}

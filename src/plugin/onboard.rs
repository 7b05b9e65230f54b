//! `onboard`: creates a space and a working kubeconfig for a user. Each step reuses the results of an interrupted run, so the command can be
//! run again.

use anyhow::bail;
use clap::Args;
use kube::ResourceExt as _;

use super::{
    cluster::Cluster,
    contact::ContactArgs,
    create,
    credentials::{self, IssueArgs},
    format,
    holder::Holder,
    list,
    naming::{self, Classes},
    progress::Progress,
    spaces, spelling,
    subject::SubjectArg,
    wait,
};
use crate::api::{DeveloperSpace, DeveloperSpaceSpec, Subject, duration::Period};

/// Arguments of `onboard`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
If the command is interrupted, run it again: it uses a space that exists, and replaces a kubeconfig that it wrote.

A certificate cannot be revoked: it is valid until it expires. An Event about the space records its serial number and its expiry.")]
pub struct OnboardArgs {
    /// The owner: a user's name in the cluster, with the prefix of the identity provider if there is one, Group:NAME or
    /// ServiceAccount:NAMESPACE/NAME
    #[arg(value_name = "USER")]
    pub who: SubjectArg,

    /// The name of the space (default: derived from the user's name, as the class allows: alice-dev for alice@example.com)
    #[arg(long, value_name = "NAME", value_parser = naming::parse)]
    pub name: Option<String>,

    /// The class of the space, if it is created [default: the cluster's default class]
    #[arg(long, value_name = "NAME")]
    pub class: Option<String>,

    /// The ttl of the space, if it is created: 30m, 7d, 1d12h [default: the default of the class]
    #[arg(long, value_name = "DURATION")]
    pub ttl: Option<String>,

    /// The contact of the space, if it is created.
    #[command(flatten)]
    pub contact: ContactArgs,

    /// The credential and the kubeconfig.
    #[command(flatten)]
    pub issue: IssueArgs,
}

pub(crate) async fn run(cluster: &Cluster, args: &OnboardArgs) -> anyhow::Result<()> {
    let mut progress = Progress::new(&cluster.flags);
    let SubjectArg(subject) = &args.who;
    let classes = Classes::read(cluster, args.class.as_deref()).await;
    let (name, found) = match &args.name {
        Some(name) => (name.clone(), spaces::find(cluster, name).await?),
        None => find(cluster, subject, &classes).await?,
    };
    let class = match &found {
        Some(space) => list::class_of(space).map(ToOwned::to_owned),
        None => args.class.clone(),
    };
    let class = match spaces::class_or_default(cluster, class.as_deref()).await? {
        Some(class) => Some(class),
        None if found.is_none() => bail!("{}", no_class(class.as_deref())),
        None => None,
    };
    let holder = Holder::owner(subject.clone());
    credentials::foresee(&cluster.endpoint, (&name, &holder), class.as_ref().map(spaces::in_force), &args.issue)?;
    match found {
        Some(space) => fits(&space, subject, args.class.as_deref())?,
        None => make(cluster, &name, args, &classes, &mut progress).await?,
    }
    let Period(patience) = args.issue.timeout;
    let space = wait::until_ready(cluster, &name, patience, &mut progress).await?;
    credentials::issue(cluster, &space, &holder, &args.issue, &mut progress).await
}

/// The space of a user if no name is given: the space with the proposed name, or the user's space with the name that earlier versions gave.
async fn find(cluster: &Cluster, subject: &Subject, classes: &Classes) -> anyhow::Result<(String, Option<DeveloperSpace>)> {
    let name = classes.proposal(subject)?;
    let found = spaces::find(cluster, &name).await?;
    if let (None, Some(former)) = (&found, classes.former(subject)) {
        let older = spaces::find(cluster, &former).await?.filter(|space| space.spec.owner == *subject);
        if older.is_some() {
            return Ok((former, older));
        }
    }
    Ok((name, found))
}

fn no_class(class: Option<&str>) -> String {
    let list = "`kubectl dspace classes` lists the available classes";
    match class {
        Some(class) => format!("there is no SpaceClass {class}: {list}"),
        None => format!("there is no default SpaceClass: specify one with --class; {list}"),
    }
}

async fn make(cluster: &Cluster, name: &str, args: &OnboardArgs, classes: &Classes, progress: &mut Progress) -> anyhow::Result<()> {
    classes.ensure(name)?;
    let SubjectArg(subject) = &args.who;
    let contact = args.contact.of(subject, classes.class())?;
    if let Some(remark) = spelling::remark(&subject.to_string()) {
        progress.say(&format!("warning: {remark}"));
    }
    progress.now(&format!("creating DeveloperSpace {name}"));
    let spec = DeveloperSpaceSpec { class_name: args.class.clone(), ttl: args.ttl.clone(), contact, ..create::spec(subject.clone()) };
    create::send(cluster, &DeveloperSpace::new(name, spec), super::args::DryRun::None).await.map(drop)
}

/// Returns an error if an existing space does not fit: the subject must be its owner, it must have the given class, and it must not be terminating.
fn fits(space: &DeveloperSpace, subject: &Subject, class: Option<&str>) -> anyhow::Result<()> {
    let name = space.name_any();
    is_staying(space)?;
    let owner = &space.spec.owner;
    if owner != subject {
        if is_member(space, subject) {
            bail!(
                "DeveloperSpace {name} belongs to {owner}, and {subject} is a member of it: to give the member access, run \
                `kubectl dspace kubeconfig {name} --for {} -o FILE`; to create another space, set another --name",
                format::shell(&subject.to_string())
            );
        }
        bail!("DeveloperSpace {name} belongs to {owner}, not to {subject}: set another --name");
    }
    match (class, list::class_of(space)) {
        (Some(wanted), Some(found)) if wanted != found => {
            bail!("DeveloperSpace {name} already exists with SpaceClass {found}, not {wanted}: omit --class, or set another --name")
        }
        _ => Ok(()),
    }
}

/// Returns an error if the subject is neither the owner nor a member of the space by name, or if the space is being deleted.
pub(crate) fn lets_in(space: &DeveloperSpace, subject: &Subject) -> anyhow::Result<()> {
    let name = space.name_any();
    is_staying(space)?;
    if !names(space, subject) {
        bail!(
            "DeveloperSpace {name} belongs to {}, and {subject} is not a member of it: add the member with \
            `kubectl dspace members add {name} {} --role ROLE`",
            space.spec.owner,
            format::shell(&subject.to_string())
        );
    }
    Ok(())
}

/// Returns true if the subject is the owner or a member of the space by name.
pub(crate) fn names(space: &DeveloperSpace, subject: &Subject) -> bool {
    space.spec.owner == *subject || is_member(space, subject)
}

fn is_member(space: &DeveloperSpace, subject: &Subject) -> bool {
    space.spec.members.iter().any(|member| member.subject() == *subject)
}

fn is_staying(space: &DeveloperSpace) -> anyhow::Result<()> {
    let name = space.name_any();
    if space.metadata.deletion_timestamp.is_some() {
        bail!("DeveloperSpace {name} is being deleted: run this command again after the deletion, or set another --name");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Member, SubjectKind};

    fn user(name: &str) -> Subject {
        Subject { kind: SubjectKind::User, name: name.into(), namespace: None }
    }

    #[test]
    fn somebody_elses_space_is_not_taken() {
        let mut space = DeveloperSpace::new("orchid-lab", create::spec(user("nadia@example.com")));
        space.spec.class_name = Some("large".into());
        assert!(fits(&space, &user("nadia@example.com"), None).is_ok());
        assert!(fits(&space, &user("nadia@example.com"), Some("large")).is_ok());
        let other = fits(&space, &user("nadia@example.com"), Some("small")).unwrap_err();
        assert_eq!(
            other.to_string(),
            "DeveloperSpace orchid-lab already exists with SpaceClass large, not small: omit --class, or set another --name"
        );
        let stranger = fits(&space, &user("omar@example.com"), None).unwrap_err().to_string();
        assert_eq!(
            stranger,
            "DeveloperSpace orchid-lab belongs to User:nadia@example.com, not to User:omar@example.com: set another --name"
        );
    }

    #[test]
    fn a_member_is_not_onboarded_into_a_space_of_somebody_else() {
        let mut space = DeveloperSpace::new("orchid-lab", create::spec(user("nadia@example.com")));
        space.spec.members.push(Member { kind: SubjectKind::User, name: "omar@example.com".into(), namespace: None, role: "edit".into() });
        let member = fits(&space, &user("omar@example.com"), None).unwrap_err().to_string();
        assert_eq!(
            member,
            "DeveloperSpace orchid-lab belongs to User:nadia@example.com, and User:omar@example.com is a member of it: to give the member \
            access, run `kubectl dspace kubeconfig orchid-lab --for User:omar@example.com -o FILE`; to create another space, set another \
            --name"
        );
        assert!(lets_in(&space, &user("omar@example.com")).is_ok());
        assert!(lets_in(&space, &user("petra@example.com")).is_err());
    }
}

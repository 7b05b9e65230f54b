//! `onboard`: from nothing to a working kubectl. Each step finds what an interrupted run has left, so it can be run again.

use anyhow::bail;
use clap::Args;
use kube::ResourceExt as _;

use super::{
    args::Span,
    cluster::Cluster,
    create,
    issue::{self, IssueArgs},
    progress::Progress,
    spaces,
    subject::SubjectArg,
    wait,
};
use crate::api::{DeveloperSpace, DeveloperSpaceSpec, Subject};

/// Arguments of `onboard`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Run again, it goes on where it was interrupted: a space that is there is used, and a kubeconfig that it wrote is replaced.

A certificate cannot be revoked: it works until it ends. Its serial number and its end are kept in an Event about the space.")]
pub struct OnboardArgs {
    /// Who: a user's name as the cluster knows it, with the prefix of the identity provider if there is one; or Group:NAME, ServiceAccount:NAMESPACE/NAME
    #[arg(value_name = "USER")]
    pub who: SubjectArg,

    /// The space's name [default: the user's, without the domain]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// The class of the space, if it has to be made [default: the cluster's default class]
    #[arg(long, value_name = "NAME")]
    pub class: Option<String>,

    /// How long the space is to live, if it has to be made: 30m, 7d, 1d12h [default: what the class says]
    #[arg(long, value_name = "DURATION")]
    pub ttl: Option<String>,

    /// The credential and the kubeconfig.
    #[command(flatten)]
    pub issue: IssueArgs,
}

pub(crate) async fn run(cluster: &Cluster, args: &OnboardArgs) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    let SubjectArg(subject) = &args.who;
    let name = args.name.clone().unwrap_or_else(|| name_for(subject));
    if name.is_empty() {
        bail!("no name for a space can be made of {:?}: give one with --name", subject.name);
    }
    let found = spaces::find(cluster, &name).await?;
    let class = match &found {
        Some(space) => space.status.as_ref().and_then(|status| status.class_name.clone()).or_else(|| space.spec.class_name.clone()),
        None => args.class.clone(),
    };
    let class = match spaces::class(cluster, class.as_deref()).await? {
        Some(class) => Some(class),
        None if found.is_none() => bail!("{}", no_class(class.as_deref())),
        None => None,
    };
    issue::foresee(cluster, (&name, subject), class.as_ref(), &args.issue)?;
    match found {
        Some(space) => fits(&space, subject, args.class.as_deref())?,
        None => make(cluster, &name, subject, args, &mut progress).await?,
    }
    let Span(patience) = args.issue.timeout;
    let space = wait::until_ready(cluster, &name, patience, &mut progress).await?;
    issue::issue(cluster, &space, subject, &args.issue, &mut progress).await
}

fn no_class(class: Option<&str>) -> String {
    let list = "`kubectl dspace classes` lists those that there are";
    match class {
        Some(class) => format!("there is no SpaceClass {class}: {list}"),
        None => format!("there is no default SpaceClass: name one with --class; {list}"),
    }
}

async fn make(cluster: &Cluster, name: &str, subject: &Subject, args: &OnboardArgs, progress: &mut Progress) -> anyhow::Result<()> {
    progress.now(&format!("asking for DeveloperSpace {name}"));
    let spec = DeveloperSpaceSpec { class_name: args.class.clone(), ttl: args.ttl.clone(), ..create::spec(subject.clone()) };
    create::send(cluster, &DeveloperSpace::new(name, spec), super::args::DryRun::None).await.map(drop)
}

/// Whether a space that is there is the one that is meant.
pub(crate) fn fits(space: &DeveloperSpace, subject: &Subject, class: Option<&str>) -> anyhow::Result<()> {
    let name = space.name_any();
    if space.metadata.deletion_timestamp.is_some() {
        bail!("DeveloperSpace {name} is being deleted: run this again when it is gone, or give another --name");
    }
    if space.spec.owner != *subject && !space.spec.members.iter().any(|member| member.subject() == *subject) {
        bail!(
            "DeveloperSpace {name} belongs to {} and {subject} is no member of it: give another --name, or `kubectl dspace members add {name} {subject} --role ROLE`",
            space.spec.owner
        );
    }
    let in_force = space.spec.class_name.as_deref().or_else(|| space.status.as_ref().and_then(|status| status.class_name.as_deref()));
    match (class, in_force) {
        (Some(wanted), Some(found)) if wanted != found => {
            bail!("DeveloperSpace {name} is there and of SpaceClass {found}, not {wanted}: leave --class out, or give another --name")
        }
        _ => Ok(()),
    }
}

/// A DNS-1123 label made of a user's name: `oidc:Alice.B@example.com` is `alice-b`.
fn name_for(subject: &Subject) -> String {
    let bare = subject.name.rsplit(':').next().unwrap_or_default();
    let person = bare.split('@').next().unwrap_or_default().to_lowercase();
    let label: String = person.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).take(63).collect();
    label.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SubjectKind;

    fn user(name: &str) -> Subject {
        Subject { kind: SubjectKind::User, name: name.into(), namespace: None }
    }

    #[test]
    fn a_space_is_named_after_its_user() {
        for (name, label) in
            [("alice@example.com", "alice"), ("oidc:Alice.B@example.com", "alice-b"), ("_x_", "x"), ("@", ""), ("日本", "")]
        {
            assert_eq!(name_for(&user(name)), label, "{name}");
        }
        assert_eq!(name_for(&user(&"a".repeat(80))).len(), 63);
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
            "DeveloperSpace orchid-lab is there and of SpaceClass large, not small: leave --class out, or give another --name"
        );
        let stranger = fits(&space, &user("omar@example.com"), None).unwrap_err().to_string();
        assert!(stranger.starts_with("DeveloperSpace orchid-lab belongs to User:nadia@example.com and User:omar@example.com is no member"));
    }
}

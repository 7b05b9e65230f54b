//! `onboard`: creates a space and a working kubeconfig for a user. Each step reuses the results of an interrupted run,
//! so the command can be run again.

use anyhow::bail;
use clap::Args;

use super::{
    args::DryRun,
    class_in_force::ClassInForce,
    cluster::Cluster,
    contact::ContactArgs,
    create,
    credentials::{self, args::IssueArgs, holder::Holder, request::CredentialRequest, validate::validate},
    membership,
    naming::{self, NamingRules},
    progress::Progress,
    requests, spaces, spelling,
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
    pub subject: SubjectArg,

    /// The name of the space (default: derived from the user's name, as the class allows: alice-dev for
    /// alice@example.com)
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
    let SubjectArg(subject) = &args.subject;
    let rules = NamingRules::read(cluster, args.class.as_deref()).await;
    let (name, found) = match &args.name {
        Some(name) => (name.clone(), requests::find_space(cluster, name).await?),
        None => find_space(cluster, subject, &rules).await?,
    };
    let class = match &found {
        Some(space) => spaces::class_name(space).map(ToOwned::to_owned),
        None => args.class.clone(),
    };
    let class = match requests::find_class_or_default(cluster, class.as_deref()).await? {
        Some(class) => Some(class),
        None if found.is_none() => bail!("{}", missing_class_message(class.as_deref())),
        None => None,
    };
    let holder = Holder::owner(subject.clone());
    let request = CredentialRequest {
        space: &name,
        class: class.as_ref().map(ClassInForce::new),
        holder: &holder,
        args: &args.issue,
    };
    validate(&request, &cluster.endpoint)?;
    match found {
        Some(space) => membership::ensure_fits(&space, subject, args.class.as_deref())?,
        None => create_missing_space(cluster, &name, args, &rules, &mut progress).await?,
    }
    let Period(timeout) = args.issue.timeout;
    let space = wait::until_ready(cluster, &name, timeout, &mut progress).await?;
    credentials::issue(cluster, &space, &holder, &args.issue, &mut progress).await
}

/// The space of a user if no name is given: the space with the proposed name, or the user's space with the name that
/// earlier versions gave.
async fn find_space(
    cluster: &Cluster,
    subject: &Subject,
    rules: &NamingRules,
) -> anyhow::Result<(String, Option<DeveloperSpace>)> {
    let name = rules.propose(subject)?;
    let found = requests::find_space(cluster, &name).await?;
    if let (None, Some(former)) = (&found, rules.former_name(subject)) {
        let older = requests::find_space(cluster, &former).await?.filter(|space| space.spec.owner == *subject);
        if older.is_some() {
            return Ok((former, older));
        }
    }
    Ok((name, found))
}

fn missing_class_message(class: Option<&str>) -> String {
    let list = "`kubectl dspace classes` lists the available classes";
    match class {
        Some(class) => format!("there is no SpaceClass {class}: {list}"),
        None => format!("there is no default SpaceClass: specify one with --class; {list}"),
    }
}

async fn create_missing_space(
    cluster: &Cluster,
    name: &str,
    args: &OnboardArgs,
    rules: &NamingRules,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    rules.ensure(name)?;
    let SubjectArg(subject) = &args.subject;
    let contact = args.contact.contact(subject, rules.class())?;
    if let Some(warning) = spelling::combining_characters_warning(&subject.to_string()) {
        progress.print(&format!("warning: {warning}"));
    }
    progress.step(&format!("creating DeveloperSpace {name}"));
    let spec = DeveloperSpaceSpec {
        class_name: args.class.clone(),
        ttl: args.ttl.clone(),
        contact,
        ..create::minimal_spec(subject.clone())
    };
    requests::create_space(cluster, &DeveloperSpace::new(name, spec), DryRun::None).await.map(drop)
}

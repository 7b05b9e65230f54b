//! `create`: creates a space.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clap::Args;

use super::{
    args::{DryRun, WriteArgs},
    cluster::Cluster,
    contact::ContactArgs,
    naming::{self, NamingRules},
    output,
    progress::{self, Progress},
    requests, spelling,
    subject::{self, SubjectArg},
    wait,
};
use crate::api::{Contact, DeletionPolicy, DeveloperSpace, DeveloperSpaceSpec, Member, Subject, quantity::Quantity};

/// Arguments of `create`.
#[derive(Clone, Debug, Args)]
pub struct CreateArgs {
    /// The name of the space and of its namespace; it must contain a dash, unless the class lists it
    #[arg(value_name = "NAME", value_parser = naming::parse)]
    pub name: String,

    /// The accountable owner: a user's name, Group:NAME or ServiceAccount:NAMESPACE/NAME [default: you]
    #[arg(long, value_name = "SUBJECT")]
    pub owner: Option<SubjectArg>,

    /// The class [default: the cluster's default class]
    #[arg(long, value_name = "NAME")]
    pub class: Option<String>,

    /// The ttl of the space: 30m, 7d, 1d12h, never [default: the default of the class]
    #[arg(long, value_name = "DURATION", conflicts_with = "expires_at")]
    pub ttl: Option<String>,

    /// The time at which the space expires: 2026-12-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub expires_at: Option<DateTime<Utc>>,

    /// A member, who also has access: ROLE=SUBJECT; can be repeated
    #[arg(long = "member", value_name = "ROLE=SUBJECT", value_parser = member)]
    pub members: Vec<Member>,

    /// An override of the quota of the class: requests.cpu=4; can be repeated
    #[arg(long = "quota", value_name = "RESOURCE=AMOUNT", value_parser = pair)]
    pub quota: Vec<(String, String)>,

    /// A label of the namespace; can be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,

    /// An annotation of the namespace; can be repeated
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = pair)]
    pub annotations: Vec<(String, String)>,

    /// A human-readable name
    #[arg(long, value_name = "TEXT")]
    pub display_name: Option<String>,

    /// The purpose of the space
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,

    /// The contact of the space.
    #[command(flatten)]
    pub contact: ContactArgs,

    /// Protect the space: it does not expire, and is not deleted until spec.protected is false; the class must allow it
    #[arg(long)]
    pub protected: bool,

    /// Keep the namespace when the space is deleted; the class must allow it
    #[arg(long)]
    pub retain: bool,

    /// The dry run, the wait and the output format.
    #[command(flatten)]
    pub write: WriteArgs,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}

fn member(text: &str) -> Result<Member, String> {
    let (role, subject) = pair(text).map_err(|_| "must be ROLE=SUBJECT, for example view=Group:payments".to_owned())?;
    let SubjectArg(Subject { kind, name, namespace }) = subject.parse()?;
    Ok(Member { kind, name, namespace, role })
}

pub(crate) async fn run(cluster: &Cluster, args: &CreateArgs) -> anyhow::Result<()> {
    let owner = match &args.owner {
        Some(SubjectArg(owner)) => owner.clone(),
        None => subject::from_username(&cluster.whoami().await?.username.unwrap_or_default()),
    };
    let dry_run = args.write.dry_run.dry_run;
    let contact = match dry_run {
        DryRun::Client => args.contact.contact(&owner, None)?,
        DryRun::None | DryRun::Server => {
            let rules = NamingRules::read(cluster, args.class.as_deref()).await;
            rules.ensure(&args.name)?;
            args.contact.contact(&owner, rules.class())?
        }
    };
    for subject in
        std::iter::once(owner.to_string()).chain(args.members.iter().map(|member| member.subject().to_string()))
    {
        if let Some(warning) = spelling::combining_characters_warning(&subject) {
            progress::print_stderr(&cluster.flags.add_to(&format!("warning: {warning}")));
        }
    }
    let space = DeveloperSpace::new(&args.name, requested_spec(args, owner, contact));
    let mut space = requests::create_space(cluster, &space, dry_run).await?;
    let message = format!("{} created{}", output::qualified_name(&space), dry_run.note());
    if let Some(timeout) = args.write.wait_timeout() {
        // Print this before the wait: the space exists even if the wait fails.
        progress::print_stderr(&message);
        space = wait::until_ready(cluster, &args.name, timeout, &mut Progress::new(&cluster.flags)).await?;
        let ready = || {
            cluster.flags.add_to(&format!(
                "{} is ready: kubectl -n {} get all",
                output::qualified_name(&space),
                args.name
            ))
        };
        return output::print_object(&args.write.output.output, &space, ready);
    }
    output::print_object(&args.write.output.output, &space, || message)
}

/// A spec that sets only the owner.
pub(crate) fn minimal_spec(owner: Subject) -> DeveloperSpaceSpec {
    DeveloperSpaceSpec {
        class_name: None,
        owner,
        members: vec![],
        display_name: None,
        description: None,
        contact: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        ttl: None,
        expires_at: None,
        renewed_at: None,
        quota: BTreeMap::new(),
        limit_range: vec![],
        protected: false,
        deletion_policy: DeletionPolicy::Delete,
    }
}

fn requested_spec(args: &CreateArgs, owner: Subject, contact: Option<Contact>) -> DeveloperSpaceSpec {
    DeveloperSpaceSpec {
        class_name: args.class.clone(),
        members: args.members.clone(),
        display_name: args.display_name.clone(),
        description: args.description.clone(),
        contact,
        labels: args.labels.iter().cloned().collect(),
        annotations: args.annotations.iter().cloned().collect(),
        ttl: args.ttl.clone(),
        expires_at: args.expires_at,
        quota: args.quota.iter().map(|(resource, amount)| (resource.clone(), Quantity(amount.clone()))).collect(),
        protected: args.protected,
        deletion_policy: if args.retain { DeletionPolicy::Retain } else { DeletionPolicy::Delete },
        ..minimal_spec(owner)
    }
}

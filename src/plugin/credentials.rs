//! Gives a subject access to a space that is ready: issues a credential, composes a kubeconfig, and checks it with real requests before the
//! kubeconfig is written.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{ArgAction, Args, ValueEnum};
use kube::{ResourceExt as _, config::Cluster as Endpoint};
use serde_json::Value;

use super::{
    api_error::sentence, args::Span, certificate_event, class_in_force::ClassInForce, cluster::Cluster, format, holder::Holder, output,
    progress::Progress, requests, service_account, verify,
};
use crate::{
    access::{self, Terms, certificate, kubeconfig, kubeconfig::Credential, oidc, token::ACCOUNT},
    api::{Access, AccessMethod, DeveloperSpace, Subject, time::rfc3339},
};

#[cfg(test)]
pub(crate) use self::tests::issue_args;

/// The credential, and the kubeconfig that contains it.
#[derive(Clone, Debug, Args)]
pub struct IssueArgs {
    /// The authentication method: a certificate, a login at the identity provider, or a token of a ServiceAccount in the space (for CI)
    /// [default: oidc if the class configures it, otherwise cert, or, for the owner only, token if the class allows neither]
    #[arg(long, value_enum, value_name = "WAY")]
    pub auth: Option<Auth>,

    /// The kubeconfig to write, readable only by you; - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// Add to FILE if it exists, and set the space as its current context
    #[arg(long)]
    pub merge: bool,

    /// The validity of a certificate or a token: at most the remaining lifetime of the space and the maximum of the class [default: the
    /// maximum]
    #[arg(long, value_name = "DURATION")]
    pub duration: Option<Span>,

    /// With --auth token: the role of the ServiceAccount, one of the roles of the class [default: the role of the user of the kubeconfig;
    /// required for the owner if the class has no role with the ClusterRole of the owner]
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,

    /// Test the kubeconfig before it is written [default: true, except for oidc, which would open a browser]
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    #[arg(default_missing_value = "true")]
    pub check: Option<bool>,

    /// With --auth oidc: the issuer, instead of that of the class
    #[arg(long, value_name = "URL")]
    pub oidc_issuer_url: Option<String>,

    /// With --auth oidc: the client ID, instead of that of the class
    #[arg(long, value_name = "ID")]
    pub oidc_client_id: Option<String>,

    /// With --auth oidc: the prefix of user names in the API server, instead of that of the class
    #[arg(long, value_name = "PREFIX")]
    pub oidc_username_prefix: Option<String>,

    /// With --auth oidc: the prefix of group names in the API server, instead of that of the class
    #[arg(long, value_name = "PREFIX")]
    pub oidc_groups_prefix: Option<String>,

    /// The maximum time to wait for the space, and then for the certificate: 30s, 5m
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub timeout: Span,
}

/// An authentication method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// A client certificate from the cluster's certificate authority
    Cert,
    /// A login at the identity provider that the API server trusts
    Oidc,
    /// A token of the ServiceAccount ci in the space
    Token,
}

impl IssueArgs {
    /// The method of --auth, or the first one that the class allows and that gives the holder access. A token belongs to the ServiceAccount of the
    /// space, so it is a default for the owner only.
    fn method(&self, class: Option<ClassInForce<'_>>, holder: &Holder) -> anyhow::Result<AccessMethod> {
        let access = access_of(class);
        let usable = |method| access::allowed("", access, method).is_ok();
        Ok(match self.auth {
            Some(Auth::Cert) => AccessMethod::Certificate,
            Some(Auth::Oidc) => AccessMethod::Oidc,
            Some(Auth::Token) => AccessMethod::Token,
            None if access.is_some_and(|access| access.oidc.is_some()) && usable(AccessMethod::Oidc) => AccessMethod::Oidc,
            None if usable(AccessMethod::Certificate) && (holder.by_name || !usable(AccessMethod::Token)) => AccessMethod::Certificate,
            None if holder.is_owner() || !usable(AccessMethod::Token) => AccessMethod::Token,
            None => {
                let subject = &holder.subject;
                let why = if usable(AccessMethod::Certificate) {
                    format!("{subject} has access only through a group, so no certificate can be issued")
                } else {
                    format!("SpaceClass {} allows access by token only", name_of(class))
                };
                bail!(
                    "{why}, and a token belongs to ServiceAccount {ACCOUNT} of the space, not to {subject}: to get one with the role of \
                    that member, set --auth token, and --role for another role, or ask the owner to run this command with --for"
                )
            }
        })
    }

    fn existing(&self) -> kubeconfig::Existing {
        if self.merge { kubeconfig::Existing::Merge } else { kubeconfig::Existing::Replace }
    }

    /// The file to write; `None` for standard output.
    fn file(&self) -> Option<&Path> {
        (self.output.as_os_str() != "-").then_some(self.output.as_path())
    }
}

/// Validates the arguments before any object is created and any credential is issued: the class must allow the method, and the file must be
/// writable.
pub(crate) fn foresee(
    endpoint: &Endpoint,
    (space, holder): (&str, &Holder),
    class: Option<ClassInForce<'_>>,
    args: &IssueArgs,
) -> anyhow::Result<AccessMethod> {
    let (name, access, subject) = (name_of(class), access_of(class), &holder.subject);
    let method = args.method(class, holder)?;
    access::allowed(name, access, method)?;
    match method {
        AccessMethod::Certificate => holder.can_use_a_certificate(space)?,
        AccessMethod::Oidc => drop(oidc::parameters(name, access.and_then(|access| access.oidc.as_ref()), &overrides(args))?),
        AccessMethod::Token => drop(service_account::role(space, class, (holder, args))?),
    }
    let shortest = access::SHORTEST.to_std().unwrap_or_default();
    ensure!(
        args.duration.is_none_or(|Span(wanted)| wanted >= shortest),
        "--duration is less than 10m, the minimum that the API server issues"
    );
    if let Some(file) = args.file() {
        let entry = kubeconfig::cluster(endpoint, access.and_then(|access| access.server.as_ref()))?;
        let user = user_name(space, subject, method);
        let blank = kubeconfig::document(kubeconfig::Owner { space, user: &user }, &entry, &Credential::Token(String::new()));
        kubeconfig::compose(file, &blank, args.existing())?;
        kubeconfig::check_writable(file)?;
    }
    Ok(method)
}

/// The name of the class; empty if there is none.
fn name_of(class: Option<ClassInForce<'_>>) -> &str {
    class.map_or("", |class| class.name)
}

pub(crate) fn access_of(class: Option<ClassInForce<'_>>) -> Option<&Access> {
    class.and_then(ClassInForce::access)
}

/// The name by which the cluster knows the holder of the credential.
fn user_name(space: &str, subject: &Subject, method: AccessMethod) -> String {
    match method {
        AccessMethod::Token => service_account::user_name(space),
        AccessMethod::Certificate | AccessMethod::Oidc => subject.name.clone(),
    }
}

/// An issued credential.
pub(crate) struct Issued {
    /// The credential.
    pub(crate) credential: Credential,
    /// The time at which the credential expires; `None` if that is not known.
    pub(crate) ends: Option<DateTime<Utc>>,
}

/// Issues the credential, checks the kubeconfig, and writes it.
pub(crate) async fn issue(
    cluster: &Cluster,
    space: &DeveloperSpace,
    holder: &Holder,
    args: &IssueArgs,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let class_name = space.status.as_ref().and_then(|status| status.class_name.clone());
    let class = match &class_name {
        Some(name) => requests::find_class(cluster, name).await?,
        None => None,
    };
    let class = class.as_ref().map(ClassInForce::new);
    let (name, subject) = (space.name_any(), &holder.subject);
    let method = foresee(&cluster.endpoint, (&name, holder), class, args)?;
    let access = access_of(class);
    let issued = match method {
        AccessMethod::Certificate => certificate(cluster, space, class, (subject, args), progress).await?,
        AccessMethod::Oidc => login(space, class, (subject, args), progress)?,
        AccessMethod::Token => Box::pin(service_account::issue(cluster, space, class, (holder, args), progress)).await?,
    };
    let entry = kubeconfig::cluster(&cluster.endpoint, access.and_then(|access| access.server.as_ref()))?;
    if kubeconfig::is_loopback(&entry) {
        progress.say(&local_only(&entry, class_name.as_deref()));
    }
    let user = user_name(&name, subject, method);
    let document = kubeconfig::document(kubeconfig::Owner { space: &name, user: &user }, &entry, &issued.credential);
    let mut can_create = true;
    if args.check.unwrap_or(method != AccessMethod::Oidc) {
        let is_owner = method != AccessMethod::Token && space.spec.owner == *subject;
        can_create = Box::pin(verify::works(&document, &name, (&user, is_owner), progress)).await?;
    }
    hand_over(args, &document)?;
    if let Some(ends) = issued.ends {
        progress.say(&format!("The credential expires {} ({}).", format::from_now(cluster.now(), ends), rfc3339(ends)));
    }
    args.file().map_or(Ok(()), |file| output::print(&next_steps(file, method, can_create)))
}

/// The warning that a kubeconfig works on this machine only.
fn local_only(entry: &Value, class: Option<&str>) -> String {
    format!(
        "warning: server {} is reachable only from this machine; for access from other machines, an administrator must set \
        spec.access.server.url of SpaceClass {}",
        entry["server"].as_str().unwrap_or_default(),
        class.unwrap_or("CLASS")
    )
}

fn hand_over(args: &IssueArgs, document: &Value) -> anyhow::Result<()> {
    match args.file() {
        Some(file) => Ok(kubeconfig::write(file, &kubeconfig::compose(file, document, args.existing())?)?),
        None => output::print_raw(&kubeconfig::text(document)?),
    }
}

/// The commands to run next.
fn next_steps(file: &Path, method: AccessMethod, can_create: bool) -> String {
    let login = if method == AccessMethod::Oidc { "      # opens a browser to log in" } else { "" };
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let export = format!("export KUBECONFIG={}", format::shell(&file.display().to_string()));
    if can_create {
        format!("{export}\nkubectl create deployment hello --image=nginx{login}\nkubectl get pods")
    } else {
        format!("{export}\nkubectl get pods{login}")
    }
}

/// The lifetime of the credential: at most `max_duration`, the maximum of the class, and the remaining lifetime of the space.
pub(crate) fn lifetime(
    cluster: &Cluster,
    space: &DeveloperSpace,
    class: Option<ClassInForce<'_>>,
    (max_duration, args): (Option<&str>, &IssueArgs),
) -> anyhow::Result<TimeDelta> {
    let terms = Terms {
        space: &space.name_any(),
        expires_at: space.status.as_ref().and_then(|status| status.expires_at),
        class: name_of(class),
        max_duration,
    };
    // The lifetime counts from the time of issue, which may be as late as the end of the timeout.
    let patience = TimeDelta::from_std(args.timeout.0).unwrap_or(TimeDelta::zero());
    let sooner = Terms { expires_at: terms.expires_at.map(|at| at - patience), ..terms };
    let most = access::lifetime(sooner, cluster.now()).or_else(|_| access::lifetime(terms, cluster.now()))?;
    let Some(Span(wanted)) = args.duration else { return Ok(most) };
    let wanted = TimeDelta::from_std(wanted).unwrap_or(TimeDelta::MAX);
    ensure!(wanted <= most, "--duration exceeds {}, the maximum that the class and the expiry of the space allow", format::span(most));
    Ok(wanted)
}

async fn certificate(
    cluster: &Cluster,
    space: &DeveloperSpace,
    class: Option<ClassInForce<'_>>,
    (subject, args): (&Subject, &IssueArgs),
    progress: &mut Progress,
) -> anyhow::Result<Issued> {
    let name = space.name_any();
    let terms = access_of(class).and_then(|access| access.certificate.as_ref());
    let max = terms.and_then(|terms| terms.max_duration.as_deref());
    let organizations = terms.map(|terms| terms.organizations.as_slice()).unwrap_or_default();
    let lifetime = lifetime(cluster, space, class, (max, args))?;
    let wish = certificate::CertificateRequest { user: &subject.name, organizations, space: &name, lifetime, patience: args.timeout.0 };
    progress.now(&format!("requesting a certificate for {}", subject.name));
    let issued = certificate::obtain(&cluster.client, &wish, |what| progress.now(&what)).await.map_err(plain)?;
    let certificate::Issued { certificate, key, serial, not_after } = issued;
    let note = format!("a certificate was issued for {}: serial {serial}, valid until {}", subject.name, rfc3339(not_after));
    if let Err(error) = certificate_event::certificate(cluster, space, &note).await {
        progress.say(&format!("warning: {note}; this could not be recorded in an Event ({}), so keep this line", sentence(&error)));
    }
    Ok(Issued { credential: Credential::Certificate { certificate, key }, ends: Some(not_after) })
}

/// Replaces kube's error message with that of the API server.
fn plain(error: certificate::Error) -> anyhow::Error {
    match error {
        certificate::Error::Api(action, source) => anyhow!("failed to {action}: {}", sentence(&source)),
        other => other.into(),
    }
}

fn login(
    space: &DeveloperSpace,
    class: Option<ClassInForce<'_>>,
    (subject, args): (&Subject, &IssueArgs),
    progress: &Progress,
) -> anyhow::Result<Issued> {
    let parameters = oidc::parameters(name_of(class), access_of(class).and_then(|access| access.oidc.as_ref()), &overrides(args))?;
    if let Some(warning) = oidc::warning(subject, &parameters) {
        progress.say(&format!("warning: {warning}"));
    }
    let ends = space.status.as_ref().and_then(|status| status.expires_at);
    if let Some(ends) = ends {
        progress
            .say(&format!("The login works as long as the identity provider accepts the user; the space expires at {}.", rfc3339(ends)));
    }
    Ok(Issued { credential: Credential::Exec(oidc::exec(&parameters)), ends: None })
}

fn overrides(args: &IssueArgs) -> oidc::Overrides {
    oidc::Overrides {
        issuer_url: args.oidc_issuer_url.clone(),
        client_id: args.oidc_client_id.clone(),
        username_prefix: args.oidc_username_prefix.clone(),
        groups_prefix: args.oidc_groups_prefix.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::{SpaceClass, SubjectKind},
        plugin::{cluster::fake_cluster, fixtures::a_space},
    };

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: IssueArgs,
    }

    pub(crate) fn issue_args(words: &str) -> IssueArgs {
        <Line as clap::Parser>::try_parse_from(format!("issue {words}").split_whitespace()).unwrap().args
    }

    fn user(name: &str) -> Subject {
        Subject { kind: SubjectKind::User, name: name.to_owned(), namespace: None }
    }

    fn class(spec: Value) -> SpaceClass {
        SpaceClass::new("greenhouse", serde_json::from_value(spec).unwrap())
    }

    #[tokio::test]
    async fn a_spec_of_a_class_that_is_not_accepted_changes_nothing() {
        let mut class = class(json!({"access": {"methods": ["Token"]}}));
        class.metadata.generation = Some(2);
        let refused = json!({
            "type": "Accepted", "status": "False", "reason": "InvalidClass", "message": "", "lastTransitionTime": "2026-11-24T08:00:00Z",
            "observedGeneration": 2,
        });
        let status = json!({"accepted": {"access": {"methods": ["Certificate", "OIDC"]}}, "conditions": [refused]});
        class.status = serde_json::from_value(status).unwrap();
        let class = serde_json::to_value(class).unwrap();
        let cluster = fake_cluster(move |_| (200, class.clone()));
        let owner = Holder::owner(user("nadia@example.com"));
        let error = issue(&cluster, &a_space(), &owner, &issue_args("--auth token -o -"), &mut Progress::new(&cluster.flags)).await;
        let expected = "SpaceClass greenhouse does not allow access by token: it allows cert, oidc";
        assert_eq!(error.unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_user_entry_for_another_server_is_found_before_a_credential_is_issued() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let elsewhere = json!({"server": "https://10.0.0.9:6443"});
        let owner = kubeconfig::Owner { space: "fern-lab", user: "omar@example.com" };
        let mut other = kubeconfig::document(owner, &elsewhere, &Credential::Token("secret-9".to_owned()));
        other["contexts"][0]["name"] = "renamed".into();
        kubeconfig::write(&file, &other).unwrap();
        let endpoint = Endpoint { server: Some("https://10.0.0.1:6443".to_owned()), ..Endpoint::default() };
        let args = issue_args(&format!("--auth cert --merge -o {}", file.display()));
        let foreseen = |name: &str| foresee(&endpoint, ("fern-lab", &Holder::owner(user(name))), None, &args);
        let error = foreseen("omar@example.com").unwrap_err().to_string();
        assert!(error.contains(r#"already contains a different user "fern-lab/omar@example.com""#), "{error}");
        assert!(foreseen("petra@example.com").is_ok());
    }

    #[test]
    fn the_next_steps_are_commands_that_the_user_can_run() {
        let file = Path::new("/home/omar/my config");
        let expected = "export KUBECONFIG='/home/omar/my config'\nkubectl create deployment hello --image=nginx\nkubectl get pods";
        assert_eq!(next_steps(file, AccessMethod::Certificate, true), expected);
        assert_eq!(next_steps(file, AccessMethod::Token, false), "export KUBECONFIG='/home/omar/my config'\nkubectl get pods");
        let login = "kubectl get pods      # opens a browser to log in";
        assert!(next_steps(file, AccessMethod::Oidc, false).ends_with(login));
    }

    #[test]
    fn a_token_is_the_default_of_the_owner_only() {
        let space = a_space();
        let owner = Holder::owner(space.spec.owner.clone());
        let member = Holder::named(&space, &space.spec.members[0].subject()).unwrap();
        let oidc = json!({"issuerURL": "https://login.example.com", "clientID": "kubectl"});
        for (access, asked, owners, members) in [
            (json!({"oidc": oidc}), "", Some(AccessMethod::Oidc), Some(AccessMethod::Oidc)),
            (json!({}), "", Some(AccessMethod::Certificate), Some(AccessMethod::Certificate)),
            (json!({"methods": ["Token"]}), "", Some(AccessMethod::Token), None),
            (json!({"methods": ["Token"]}), "--auth token", Some(AccessMethod::Token), Some(AccessMethod::Token)),
            (json!({"methods": ["Token"]}), "--auth cert", Some(AccessMethod::Certificate), Some(AccessMethod::Certificate)),
        ] {
            let class = class(json!({"access": access}));
            let args = issue_args(&format!("{asked} -o -"));
            let chosen = |holder| args.method(Some(ClassInForce::new(&class)), holder).ok();
            assert_eq!((chosen(&owner), chosen(&member)), (owners, members), "{access} {asked}");
        }
    }

    #[test]
    fn a_certificate_is_no_default_for_access_through_a_group() {
        let space = a_space();
        let mut member = Holder::named(&space, &space.spec.members[0].subject()).unwrap();
        let mut owner = Holder::owner(user("omar@example.com"));
        (member.by_name, owner.by_name) = (false, false);
        let oidc = json!({"issuerURL": "https://login.example.com", "clientID": "kubectl"});
        for (access, owners, members) in [
            (json!({"oidc": oidc}), Some(AccessMethod::Oidc), Some(AccessMethod::Oidc)),
            (json!({}), Some(AccessMethod::Token), None),
            // The error then reports that the access is through a group.
            (json!({"methods": ["Certificate"]}), Some(AccessMethod::Certificate), Some(AccessMethod::Certificate)),
        ] {
            let class = class(json!({"access": access}));
            let args = issue_args("-o -");
            let chosen = |holder| args.method(Some(ClassInForce::new(&class)), holder).ok();
            assert_eq!((chosen(&owner), chosen(&member)), (owners, members), "{access}");
        }
        let error = issue_args("-o -").method(None, &member).unwrap_err().to_string();
        let expected = "Group:zoology has access only through a group, so no certificate can be issued, and a token belongs to \
            ServiceAccount ci of the space, not to Group:zoology: to get one with the role of that member, set --auth token, and --role \
            for another role, or ask the owner to run this command with --for";
        assert_eq!(error, expected);
        let endpoint = Endpoint { server: Some("https://10.0.0.1:6443".to_owned()), ..Endpoint::default() };
        let error = foresee(&endpoint, ("orchid-lab", &owner), None, &issue_args("--auth cert -o -")).unwrap_err().to_string();
        assert!(error.starts_with("User:omar@example.com has access to DeveloperSpace orchid-lab only through a group"), "{error}");
    }
}

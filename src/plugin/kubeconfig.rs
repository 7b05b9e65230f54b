//! `kubeconfig`: writes a kubeconfig for an existing space.

use clap::Args;
use k8s_openapi::api::authentication::v1::UserInfo;

use super::{
    cluster::Cluster,
    credentials::{self, args::IssueArgs, holder::Holder},
    progress::Progress,
    requests,
    subject::SubjectArg,
    wait,
};
use crate::api::{DeveloperSpace, duration::Period};

/// Arguments of `kubeconfig`.
#[derive(Clone, Debug, Args)]
pub struct KubeconfigArgs {
    /// The space
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The user of the kubeconfig: the owner or a member of the space [default: you]
    #[arg(long = "for", value_name = "USER")]
    pub subject: Option<SubjectArg>,

    /// The credential and the file.
    #[command(flatten)]
    pub issue: IssueArgs,
}

pub(crate) async fn run(cluster: &Cluster, args: &KubeconfigArgs) -> anyhow::Result<()> {
    let mut progress = Progress::new(&cluster.flags);
    let space = requests::get_space(cluster, &args.name).await?;
    let me = if args.subject.is_none() { cluster.whoami().await? } else { UserInfo::default() };
    let holder = |space: &DeveloperSpace| match &args.subject {
        Some(SubjectArg(subject)) => Holder::named(space, subject),
        None => Holder::caller(space, &me),
    };
    holder(&space)?;
    let Period(timeout) = args.issue.timeout;
    let space = wait::until_ready(cluster, &args.name, timeout, &mut progress).await?;
    credentials::issue(cluster, &space, &holder(&space)?, &args.issue, &mut progress).await
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::{cluster::fake_cluster, fixtures::a_space};

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: KubeconfigArgs,
    }

    fn of(version: &str, kind: &str, mut object: Value) -> Value {
        object["apiVersion"] = version.into();
        object["kind"] = kind.into();
        object
    }

    /// The error of the command for the space orchid-lab, whose class allows only tokens, and the requests that would
    /// change an object. The caller is an administrator who is not a member.
    async fn refused(words: &str) -> (String, Vec<String>) {
        let changes = Arc::new(Mutex::new(Vec::new()));
        let record = changes.clone();
        let cluster = fake_cluster(move |request| {
            let (method, path) = (request.method().as_str(), request.uri().path());
            match (method, path.rsplit('/').next().unwrap_or_default()) {
                ("POST", "selfsubjectreviews") => {
                    let status = json!({"userInfo": {"username": "ines@example.com", "groups": ["system:masters"]}});
                    (
                        201,
                        of("authentication.k8s.io/v1", "SelfSubjectReview", json!({"metadata": {}, "status": status})),
                    )
                }
                ("GET", "developerspaces") => {
                    let list = json!({"metadata": {"resourceVersion": "7"}, "items": [a_space()]});
                    (200, of("developerspace.dev/v1alpha1", "DeveloperSpaceList", list))
                }
                ("GET", "orchid-lab") => (200, json!(a_space())),
                ("GET", "standard") => {
                    let spec =
                        json!({"access": {"methods": ["Token"]}, "roles": [{"name": "view", "clusterRole": "view"}]});
                    (
                        200,
                        of(
                            "developerspace.dev/v1alpha1",
                            "SpaceClass",
                            json!({"metadata": {"name": "standard"}, "spec": spec}),
                        ),
                    )
                }
                _ => {
                    record.lock().unwrap().push(format!("{method} {path}"));
                    (500, Value::Null)
                }
            }
        });
        let line =
            <Line as clap::Parser>::try_parse_from(format!("kubeconfig orchid-lab -o - {words}").split_whitespace())
                .unwrap();
        let error = run(&cluster, &line.args).await.unwrap_err().to_string();
        let changes = changes.lock().unwrap().clone();
        (error, changes)
    }

    #[tokio::test]
    async fn a_caller_who_is_not_a_member_must_name_the_user() {
        let (error, changes) = refused("").await;
        assert!(
            error.starts_with(
                "you are User:ines@example.com, neither the owner nor a member of DeveloperSpace orchid-lab"
            ),
            "{error}"
        );
        assert!(changes.is_empty(), "{changes:?}");
    }

    #[tokio::test]
    async fn a_member_gets_no_token_by_default() {
        let (error, changes) = refused("--for Group:zoology").await;
        let expected = "SpaceClass standard allows access by token only, and a token belongs to ServiceAccount ci of the space, not to \
            Group:zoology: to get one with the role of that member, set --auth token, and --role for another role, or ask the owner to run \
            this command with --for";
        assert_eq!(error, expected);
        assert!(changes.is_empty(), "{changes:?}");
    }
}

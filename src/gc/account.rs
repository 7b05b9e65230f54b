//! Checks the account that is to delete namespaces that were not created for a space. The operator's account is refused: the cluster's policies
//! restrict it to namespaces of spaces.

use k8s_openapi::api::{authentication::v1::SelfSubjectReview, authorization::v1::ResourceAttributes};
use kube::{Api, Client, api::PostParams};

use crate::{api::names, cli::GcArgs, controller::rights::may};

/// Returns the reason why this account may not run the sweep of `args`, if the account is known.
pub async fn refusal(client: &Client, args: &GcArgs) -> Option<String> {
    if !args.include_annotated {
        return None;
    }
    let review = Api::<SelfSubjectReview>::all(client.clone()).create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let review = review.inspect_err(|error| tracing::warn!(%error, "failed to determine the account of this sweep")).ok()?;
    let user = review.status?.user_info?.username?;
    let is_operator = is_named_operator(&user) || (holds(client, "operate").await && !holds(client, "assign").await);
    is_operator.then(|| {
        format!(
            "--include-annotated may not run as {user}: the operator's account is confined to namespaces of DeveloperSpaces; \
             run it as an administrator or with a ServiceAccount of its own, see docs/gc.md"
        )
    })
}

/// Returns true if this account has that verb on developerspaces. The policies recognize the operator by `operate` without `assign`, regardless of
/// its name.
async fn holds(client: &Client, verb: &str) -> bool {
    let attributes = ResourceAttributes {
        group: Some(names::GROUP.into()),
        resource: Some("developerspaces".into()),
        verb: Some(verb.into()),
        ..ResourceAttributes::default()
    };
    let answer = may(client, attributes).await;
    answer.inspect_err(|error| tracing::warn!(error = error.sentence(), "failed to check permissions of this account")).unwrap_or_default()
}

/// Returns true for the operator's ServiceAccount, in any namespace.
fn is_named_operator(user: &str) -> bool {
    user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')).is_some_and(|(_, name)| name == names::OPERATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_operators_account_is_refused() {
        for (user, expected) in [
            ("system:serviceaccount:developerspace-system:developerspace-operator", true),
            ("system:serviceaccount:platform:developerspace-operator", true),
            ("system:serviceaccount:developerspace-system:developerspace-gc-annotated", false),
            ("system:serviceaccount:developerspace-operator:default", false),
            ("developerspace-operator", false),
            ("ines@example.com", false),
        ] {
            assert_eq!(is_named_operator(user), expected, "{user}");
        }
    }
}

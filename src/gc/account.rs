//! Checks the account that is to delete namespaces that were not created for a space. The operator's account is
//! refused: the cluster's policies restrict it to namespaces of spaces.

use k8s_openapi::api::{authentication::v1::SelfSubjectReview, authorization::v1::ResourceAttributes};
use kube::{Api, Client, api::PostParams};

use crate::{
    api::names,
    cli::GcArgs,
    runtime::{error::Error, permissions::may},
};

/// Returns the reason why this account may not run the sweep of `args`. An account that cannot be determined may be the
/// operator's.
pub async fn refusal(client: &Client, args: &GcArgs) -> Option<String> {
    if !args.include_annotated {
        return None;
    }
    match operator(client).await {
        Ok(None) => None,
        Ok(Some(user)) => Some(format!(
            "--include-annotated may not run as {user}: the operator's account is confined to namespaces of DeveloperSpaces; \
             run it as an administrator or with a ServiceAccount of its own, see docs/gc.md"
        )),
        Err(why) => Some(format!(
            "--include-annotated may not run as the operator's account, and the account of this sweep is unknown: {why}; run the sweep again, or \
             without --include-annotated"
        )),
    }
}

/// Returns the name of this account if it is the operator's. The error is the reason why the account is unknown.
async fn operator(client: &Client) -> Result<Option<String>, String> {
    let review = Api::<SelfSubjectReview>::all(client.clone())
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await;
    let review = review.map_err(Error::api("create a SelfSubjectReview")).map_err(|error| error.sentence())?;
    let user = review.status.and_then(|status| status.user_info).and_then(|info| info.username);
    let user = user.ok_or("the API server returned a SelfSubjectReview without a user name")?;
    let is_operator = is_named_operator(&user) || (holds(client, "operate").await? && !holds(client, "assign").await?);
    Ok(is_operator.then_some(user))
}

/// Returns true if this account has that verb on developerspaces. The policies recognize the operator by `operate`
/// without `assign`, regardless of its name.
async fn holds(client: &Client, verb: &str) -> Result<bool, String> {
    let attributes = ResourceAttributes {
        group: Some(names::GROUP.into()),
        resource: Some("developerspaces".into()),
        verb: Some(verb.into()),
        ..ResourceAttributes::default()
    };
    may(client, attributes).await.map_err(|error| error.sentence())
}

/// Returns true for the operator's ServiceAccount, in any namespace.
fn is_named_operator(user: &str) -> bool {
    user.strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'))
        .is_some_and(|(_, name)| name == names::OPERATOR)
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

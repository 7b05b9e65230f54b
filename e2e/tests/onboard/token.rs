//! By token: a ServiceAccount of the space's own, for pipelines. Its token expires no later than the space, and is
//! rejected once the account is deleted.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use e2e::{
    eventually,
    fixtures::{Actor, SOON, a_space, at, code, expires_at, now, uid_of, user},
    kubeconfig,
};
use serde_json::{Value, json};

use crate::{
    newcomer::Newcomer,
    people::{RITA, TILDA},
    results::{check_kubeconfig, ensure_nothing_written, error_sentence},
    setup::OnboardingSetup,
};

/// The claims of a token, which the API server confirms when the token is used.
fn claims(user: &Value) -> Result<Value> {
    ensure!(user["client-certificate-data"].is_null() && user["exec"].is_null(), "the user has something else");
    let token = user["token"].as_str().context("the user has no token")?;
    let payload = token.split('.').nth(1).context("the token has no payload")?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?).context("the token's payload is no JSON")
}

/// The pipeline deploys into its space and nowhere else, as long as its account exists.
pub(crate) async fn a_pipeline_gets_a_token_that_expires(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "anvil-works";
    let file = setup.kubeconfig_path("petra")?;
    let arguments = [
        "onboard",
        "petra@example.com",
        "--class",
        "foundry",
        "--name",
        SPACE,
        "--ttl",
        "1h",
        "--auth",
        "token",
        "-o",
        &file,
    ];
    let output = setup.dspace(TILDA, &arguments).await?.ok()?;
    ensure!(output.contains(&format!("export KUBECONFIG={file}")), "it does not say what comes next: {output}");
    let space = setup.admin.get(a_space(SPACE)).await?;
    let claims = claims(&check_kubeconfig(&file, SPACE)?)?;
    ensure!(claims["sub"] == format!("system:serviceaccount:{SPACE}:ci"), "the token is for {}", claims["sub"]);
    let end =
        claims["exp"].as_i64().and_then(|end| DateTime::from_timestamp(end, 0)).context("the token has no end")?;
    let space_end = expires_at(&space)?;
    ensure!(now() < end && end <= space_end, "it ends at {end}, and the space at {space_end}");
    ensure!(claims["kubernetes.io"]["serviceaccount"]["name"] == "ci", "it is bound to {}", claims["kubernetes.io"]);
    let bindings = setup.admin.list("RoleBinding", SPACE).await?;
    let account = json!({"kind": "ServiceAccount", "name": "ci", "namespace": SPACE});
    let bound = bindings
        .iter()
        .find(|binding| binding["subjects"].as_array().is_some_and(|subjects| subjects.contains(&account)));
    ensure!(bound.is_some_and(|binding| binding["roleRef"]["name"] == "edit"), "the account is bound by {bound:?}");
    Newcomer::new(setup, &file).ensure_access_only_to(SPACE).await?;

    // A second run gets another token of the same account.
    let first = fs::read_to_string(&file)?;
    setup.dspace(TILDA, &arguments).await?.ok()?;
    ensure!(fs::read_to_string(&file)? != first, "there is no new token");
    let found = setup.admin.get(a_space(SPACE)).await?;
    ensure!(uid_of(&found) == uid_of(&space) && found["spec"] == space["spec"], "the space is another: {found}");
    // Without its account the token is rejected.
    setup.admin.delete(at("ServiceAccount", SPACE, "ci")).await?;
    eventually("the token to be refused", SOON, || async {
        let pipeline = Actor::new(kubeconfig::client(file.as_ref()).await?);
        match pipeline.list("Pod", SPACE).await {
            Ok(_) => bail!("it still works"),
            Err(error) => Ok((code(&error) == Some(401)).then_some(())),
        }
    })
    .await
}

/// The right to create spaces for others does not include the right to get tokens in them.
pub(crate) async fn a_token_requires_rights_in_the_space(setup: &OnboardingSetup) -> Result<()> {
    let file = setup.kubeconfig_path("quentin")?;
    let arguments = [
        "onboard",
        "quentin@example.com",
        "--class",
        "foundry",
        "--name",
        "bellows-works",
        "--auth",
        "token",
        "-o",
        &file,
    ];
    let sentence = error_sentence(&setup.dspace(RITA, &arguments).await?)?;
    ensure!(sentence.contains("forbidden") && sentence.contains("serviceaccounts"), "{sentence}");
    ensure_nothing_written(&file)
}

/// A member gets a token only if it is asked for. The token has the role of the member, and none that its account has
/// in addition.
pub(crate) async fn a_token_for_a_member_has_the_role_of_the_member(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "chisel-works";
    let bruno = json!({"kind": "User", "name": "bruno@example.com", "role": "view"});
    let spec = json!({"className": "foundry", "owner": user("oona@example.com"), "members": [bruno]});
    setup.create_ready_space(SPACE, spec).await?;
    let file = setup.kubeconfig_path("bruno")?;
    let arguments = ["kubeconfig", SPACE, "--for", "bruno@example.com", "-o", &file];
    let sentence = error_sentence(&setup.dspace(TILDA, &arguments).await?)?;
    ensure!(sentence.contains("ServiceAccount ci") && sentence.contains("--auth token"), "{sentence}");
    ensure_nothing_written(&file)?;
    let space = setup.admin.get(a_space(SPACE)).await?;
    ensure!(space["spec"]["members"] == json!([bruno]), "its members are {}", space["spec"]["members"]);

    let output = setup.dspace(TILDA, &[&arguments[..], &["--auth", "token"]].concat()).await?;
    let printed = output.stderr.clone();
    output.ok()?;
    ensure!(
        printed.contains("a token of ServiceAccount ci with role view"),
        "the output does not name what was issued: {printed}"
    );
    check_kubeconfig(&file, SPACE)?;
    let space = setup.admin.get(a_space(SPACE)).await?;
    let account = json!({"kind": "ServiceAccount", "name": "ci", "namespace": SPACE, "role": "view"});
    ensure!(space["spec"]["members"] == json!([bruno, account]), "its members are {}", space["spec"]["members"]);
    let newcomer = Newcomer::new(setup, &file);
    newcomer.kubectl(&["get", "pods"]).await?.ok()?;
    newcomer.forbidden(&["create", "deployment", "hello", "--image=nginx"]).await?;
    newcomer.forbidden(&["get", "secrets"]).await?;

    // A token of the same account for the owner would give that role to the holder of this one.
    let owner_file = setup.kubeconfig_path("oona")?;
    let arguments = ["kubeconfig", SPACE, "--for", "oona@example.com", "--auth", "token", "-o", &owner_file];
    let sentence = error_sentence(&setup.dspace(TILDA, &arguments).await?)?;
    ensure!(
        sentence.contains("kubectl dspace members remove chisel-works ServiceAccount:chisel-works/ci --role view"),
        "{sentence}"
    );
    let unknown = [&arguments[..], &["--role", "wiev"]].concat();
    let sentence = error_sentence(&setup.dspace(TILDA, &unknown).await?)?;
    ensure!(sentence.contains("SpaceClass foundry has no role wiev"), "{sentence}");
    ensure_nothing_written(&owner_file)?;
    let found = setup.admin.get(a_space(SPACE)).await?;
    ensure!(found["spec"] == space["spec"], "the space is now {found}");
    Ok(())
}

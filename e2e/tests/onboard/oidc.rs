//! By OIDC: the file holds no credential. A real login at a real issuer yields a token, which the API server verifies and maps to a name.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    eventually,
    fixtures::{Actor, SOON, a_space, code, text},
    kubeconfig,
};
use serde_json::Value;

use crate::{
    judge::written,
    newcomer::Newcomer,
    people::{CLIENT, ERIN, FRIDA, GERDA, PREFIX, SVEN},
    stage::{Stage, warns_of_its_address_only},
};

const LOGIN: &str = include_str!("kubectl-oidc_login.sh");

/// Installs the replacement of kubelogin where a newcomer's kubectl finds it.
pub fn install_login(stage: &Stage) -> Result<()> {
    let program = stage.bin()?.join("kubectl-oidc_login");
    fs::write(&program, LOGIN).with_context(|| format!("{} could not be written", program.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("{} could not be made a program", program.display()))
}

/// Logs a user in, and returns the file with their token.
async fn log_in(stage: &Stage, name: &str, subject: &str) -> Result<PathBuf> {
    let file = stage.folder("id-tokens")?.join(name);
    fs::write(&file, stage.issuer.login(subject).await?).with_context(|| format!("{} could not be written", file.display()))?;
    Ok(file)
}

/// The file only describes the login. The login gives the owner access, under the name that the API server derives from it.
pub async fn a_login_gets_its_owner_in(stage: &Stage) -> Result<()> {
    const SPACE: &str = "comet-lab";
    let (file, owner) = (stage.file("erin")?, format!("{PREFIX}erin@example.com"));
    let arguments = ["onboard", &owner, "--class", "observatory", "--name", SPACE, "--auth", "oidc", "-o", &file];
    let output = stage.dspace(SVEN, &arguments).await?;
    ensure!(warns_of_its_address_only(&output.stderr), "it warns though nothing is wrong: {}", output.stderr);
    let told = output.ok()?;
    ensure!(told.contains(&format!("export KUBECONFIG={file}")), "it does not say what comes next: {told}");
    asks_for_a_login(&written(&file, SPACE)?, stage.issuer.url())?;
    ensure!(!fs::read_to_string(&file)?.contains("secret"), "{file} has a secret");

    let token = log_in(stage, "erin", ERIN).await?;
    let newcomer = Newcomer::new(stage, &file).logged_in(&token);
    newcomer.until_let_in().await?;
    let whoami =
        newcomer.kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo.groups}"]).await?.ok()?;
    ensure!(whoami.starts_with(&owner) && whoami.contains("oidc:astronomers"), "the API server takes Erin for {whoami}");
    newcomer.works_there_and_nowhere_else(SPACE).await?;
    let called = fs::read_to_string(format!("{}.arguments", token.display())).context("kubectl oidc-login was not called")?;
    for argument in ["get-token".to_owned(), format!("--oidc-issuer-url={}", stage.issuer.url()), format!("--oidc-client-id={CLIENT}")] {
        ensure!(called.lines().any(|line| line == argument), "kubectl oidc-login was called with {called}");
    }
    // Another user's login has no access with the same file.
    let other = log_in(stage, "frida-visits", FRIDA).await?;
    Newcomer::new(stage, &file).logged_in(&other).forbidden(&["get", "pods"]).await?;
    // A second run leaves the file unchanged.
    let before = fs::read_to_string(&file)?;
    stage.dspace(SVEN, &arguments).await?.ok()?;
    ensure!(fs::read_to_string(&file)? == before, "another file was written");
    Ok(())
}

/// Checks the entry of a user who has no credential and logs in with PKCE.
fn asks_for_a_login(user: &Value, issuer: &str) -> Result<()> {
    let keys: Vec<&String> = user.as_object().context("the user's entry is empty")?.keys().collect();
    ensure!(keys == ["exec"], "the user has {keys:?}");
    let exec = &user["exec"];
    ensure!(exec["apiVersion"] == "client.authentication.k8s.io/v1" && exec["command"] == "kubectl", "the program is {exec}");
    ensure!(exec["interactiveMode"] == "IfAvailable", "the program is {exec}");
    ensure!(text(exec, "/installHint").contains("oidc-login"), "the hint says {}", exec["installHint"]);
    let arguments: Vec<&str> = exec["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    ensure!(arguments.starts_with(&["oidc-login", "get-token"]), "its arguments are {arguments:?}");
    for wanted in [format!("--oidc-issuer-url={issuer}"), format!("--oidc-client-id={CLIENT}"), "--oidc-extra-scope=email".to_owned()] {
        ensure!(arguments.contains(&wanted.as_str()), "{wanted} is not among {arguments:?}");
    }
    ensure!(arguments.iter().any(|argument| argument.contains("pkce")), "there is no PKCE in {arguments:?}");
    Ok(())
}

/// A group of the issuer's owns a space, under the name that the API server derives from it; each of its members has access.
pub async fn a_login_gets_a_group_in(stage: &Stage) -> Result<()> {
    const SPACE: &str = "nebula-lab";
    let (file, owner) = (stage.file("astronomers")?, format!("Group:{PREFIX}astronomers"));
    stage.dspace(SVEN, &["onboard", &owner, "--class", "observatory", "--name", SPACE, "--auth", "oidc", "-o", &file]).await?.ok()?;
    written(&file, SPACE)?;
    let token = log_in(stage, "an-astronomer", ERIN).await?;
    let newcomer = Newcomer::new(stage, &file).logged_in(&token);
    newcomer.until_let_in().await?;
    newcomer.works_there_and_nowhere_else(SPACE).await?;
    let florist = log_in(stage, "a-florist", FRIDA).await?;
    Newcomer::new(stage, &file).logged_in(&florist).forbidden(&["get", "pods"]).await
}

/// The most common mistake: the owner's name lacks the prefix. The command warns of it, and the login has no access.
pub async fn a_name_without_its_prefix_is_warned_of(stage: &Stage) -> Result<()> {
    const SPACE: &str = "meadow-lab";
    let file = stage.file("frida")?;
    // The class names no issuer: the command line does.
    let arguments = [
        &["onboard", "frida@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "oidc", "-o", &file][..],
        &["--oidc-issuer-url", stage.issuer.url(), "--oidc-client-id", CLIENT, "--oidc-username-prefix", PREFIX],
    ]
    .concat();
    let output = stage.dspace(SVEN, &arguments).await?;
    let told = output.stderr.lines().filter(|line| line.starts_with("warning: ")).collect::<Vec<_>>().join("\n");
    ensure!(told.contains("oidc:frida@example.com"), "the warning is {told:?}, of: {}", output.stderr);
    output.ok()?;
    let token = log_in(stage, "frida", FRIDA).await?;
    let newcomer = Newcomer::new(stage, &file).logged_in(&token);
    let whoami = newcomer.kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]).await?.ok()?;
    ensure!(whoami == "oidc:frida@example.com", "the API server takes Frida for {whoami}");
    newcomer.forbidden(&["get", "pods"]).await?;
    newcomer.forbidden(&["create", "deployment", "hello", "--image=nginx"]).await?;
    // One command adds the right name as a member.
    let owner = stage.admin.get(a_space(SPACE)).await?["spec"]["owner"]["name"].clone();
    ensure!(owner == "frida@example.com", "the owner is {owner}");
    stage.dspace(SVEN, &["members", "add", SPACE, "oidc:frida@example.com", "--role", "edit"]).await?.ok()?;
    newcomer.until_let_in().await
}

/// The API server verifies tokens: it rejects a token that was tampered with, and one for an address that is not verified.
pub async fn a_login_that_is_no_good_is_refused(stage: &Stage) -> Result<()> {
    let (erin, frida) = (stage.issuer.login(ERIN).await?, stage.issuer.login(FRIDA).await?);
    let good = stage.with_token("erins-own", &erin)?;
    eventually("the API server to know the issuer", SOON, || async {
        let erin = Actor::new(kubeconfig::client(&good).await?);
        match erin.list("Pod", "default").await {
            Err(error) if code(&error) == Some(403) => Ok(Some(())),
            other => bail!("a login may {other:?}"),
        }
    })
    .await?;
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (erins, fridas) = (parts(&erin), parts(&frida));
    let swapped = format!("{}.{}.{}", erins[0], fridas[1], erins[2]);
    let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(br#"{"alg":"none","typ":"JWT"}"#), erins[1]);
    let unverified = stage.issuer.login(GERDA).await?;
    for (name, token) in [("swapped", swapped), ("unsigned", unsigned), ("unverified", unverified)] {
        let somebody = Actor::new(kubeconfig::client(&stage.with_token(name, &token)?).await?);
        match somebody.list("Pod", "default").await {
            Err(error) if code(&error) == Some(401) => {}
            other => bail!("{name}: a token that is no good may {other:?}"),
        }
    }
    Ok(())
}

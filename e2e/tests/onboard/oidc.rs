//! By OIDC: the file holds no credential. A real login at a real issuer yields a token, which the API server verifies
//! and maps to a name.

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
    newcomer::Newcomer,
    people::{CLIENT, ERIN, FRIDA, GERDA, PREFIX, SVEN},
    results::check_kubeconfig,
    setup::{OnboardingSetup, warns_only_of_the_address},
};

const LOGIN: &str = include_str!("kubectl-oidc_login.sh");

/// Installs the replacement of kubelogin where a newcomer's kubectl finds it.
pub(crate) fn install_login(setup: &OnboardingSetup) -> Result<()> {
    let program = setup.program_folder()?.join("kubectl-oidc_login");
    fs::write(&program, LOGIN).with_context(|| format!("{} could not be written", program.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("{} could not be made a program", program.display()))
}

/// Logs a user in, and returns the file with their token.
async fn log_in(setup: &OnboardingSetup, name: &str, subject: &str) -> Result<PathBuf> {
    let file = setup.folder("id-tokens")?.join(name);
    fs::write(&file, setup.issuer.login(subject).await?)
        .with_context(|| format!("{} could not be written", file.display()))?;
    Ok(file)
}

/// The file only describes the login. The login gives the owner access, under the name that the API server derives from
/// it.
pub(crate) async fn an_owner_has_access_after_a_login(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "comet-lab";
    let (file, owner) = (setup.kubeconfig_path("erin")?, format!("{PREFIX}erin@example.com"));
    let arguments = ["onboard", &owner, "--class", "observatory", "--name", SPACE, "--auth", "oidc", "-o", &file];
    let output = setup.dspace(SVEN, &arguments).await?;
    ensure!(warns_only_of_the_address(&output.stderr), "it warns though nothing is wrong: {}", output.stderr);
    let output_text = output.ok()?;
    ensure!(
        output_text.contains(&format!("export KUBECONFIG={file}")),
        "it does not say what comes next: {output_text}"
    );
    ensure_login_configuration(&check_kubeconfig(&file, SPACE)?, setup.issuer.url())?;
    ensure!(!fs::read_to_string(&file)?.contains("secret"), "{file} has a secret");

    let token = log_in(setup, "erin", ERIN).await?;
    let newcomer = Newcomer::new(setup, &file).logged_in(&token);
    newcomer.until_access().await?;
    let whoami = newcomer
        .kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo.groups}"])
        .await?
        .ok()?;
    ensure!(
        whoami.starts_with(&owner) && whoami.contains("oidc:astronomers"),
        "the API server takes Erin for {whoami}"
    );
    newcomer.ensure_access_only_to(SPACE).await?;
    let login_arguments =
        fs::read_to_string(format!("{}.arguments", token.display())).context("kubectl oidc-login was not called")?;
    for argument in [
        "get-token".to_owned(),
        format!("--oidc-issuer-url={}", setup.issuer.url()),
        format!("--oidc-client-id={CLIENT}"),
    ] {
        ensure!(
            login_arguments.lines().any(|line| line == argument),
            "kubectl oidc-login was called with {login_arguments}"
        );
    }
    // Another user's login has no access with the same file.
    let frida_token = log_in(setup, "frida-visits", FRIDA).await?;
    Newcomer::new(setup, &file).logged_in(&frida_token).forbidden(&["get", "pods"]).await?;
    // A second run leaves the file unchanged.
    let before = fs::read_to_string(&file)?;
    setup.dspace(SVEN, &arguments).await?.ok()?;
    ensure!(fs::read_to_string(&file)? == before, "another file was written");
    Ok(())
}

/// Checks the entry of a user who has no credential and logs in with PKCE.
fn ensure_login_configuration(user: &Value, issuer: &str) -> Result<()> {
    let keys: Vec<&String> = user.as_object().context("the user's entry is empty")?.keys().collect();
    ensure!(keys == ["exec"], "the user has {keys:?}");
    let exec = &user["exec"];
    ensure!(
        exec["apiVersion"] == "client.authentication.k8s.io/v1" && exec["command"] == "kubectl",
        "the program is {exec}"
    );
    ensure!(exec["interactiveMode"] == "IfAvailable", "the program is {exec}");
    ensure!(text(exec, "/installHint").contains("oidc-login"), "the hint says {}", exec["installHint"]);
    let arguments: Vec<&str> = exec["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    ensure!(arguments.starts_with(&["oidc-login", "get-token"]), "its arguments are {arguments:?}");
    for expected in [
        format!("--oidc-issuer-url={issuer}"),
        format!("--oidc-client-id={CLIENT}"),
        "--oidc-extra-scope=email".to_owned(),
    ] {
        ensure!(arguments.contains(&expected.as_str()), "{expected} is not among {arguments:?}");
    }
    ensure!(arguments.iter().any(|argument| argument.contains("pkce")), "there is no PKCE in {arguments:?}");
    Ok(())
}

/// A group of the issuer's owns a space, under the name that the API server derives from it; each of its members has
/// access.
pub(crate) async fn a_group_has_access_after_a_login(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "nebula-lab";
    let (file, owner) = (setup.kubeconfig_path("astronomers")?, format!("Group:{PREFIX}astronomers"));
    setup
        .dspace(SVEN, &["onboard", &owner, "--class", "observatory", "--name", SPACE, "--auth", "oidc", "-o", &file])
        .await?
        .ok()?;
    check_kubeconfig(&file, SPACE)?;
    let token = log_in(setup, "an-astronomer", ERIN).await?;
    let newcomer = Newcomer::new(setup, &file).logged_in(&token);
    newcomer.until_access().await?;
    newcomer.ensure_access_only_to(SPACE).await?;
    let florist = log_in(setup, "a-florist", FRIDA).await?;
    Newcomer::new(setup, &file).logged_in(&florist).forbidden(&["get", "pods"]).await
}

/// The most common mistake: the owner's name lacks the prefix. The command warns of it, and the login has no access.
pub(crate) async fn a_name_without_its_prefix_causes_a_warning(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "meadow-lab";
    let file = setup.kubeconfig_path("frida")?;
    // The class names no issuer: the command line does.
    let arguments = [
        &["onboard", "frida@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "oidc", "-o", &file][..],
        &["--oidc-issuer-url", setup.issuer.url(), "--oidc-client-id", CLIENT, "--oidc-username-prefix", PREFIX],
    ]
    .concat();
    let output = setup.dspace(SVEN, &arguments).await?;
    let warnings = output.stderr.lines().filter(|line| line.starts_with("warning: ")).collect::<Vec<_>>().join("\n");
    ensure!(warnings.contains("oidc:frida@example.com"), "the warning is {warnings:?}, of: {}", output.stderr);
    output.ok()?;
    let token = log_in(setup, "frida", FRIDA).await?;
    let newcomer = Newcomer::new(setup, &file).logged_in(&token);
    let whoami = newcomer.kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]).await?.ok()?;
    ensure!(whoami == "oidc:frida@example.com", "the API server takes Frida for {whoami}");
    newcomer.forbidden(&["get", "pods"]).await?;
    newcomer.forbidden(&["create", "deployment", "hello", "--image=nginx"]).await?;
    // One command adds the right name as a member.
    let owner = setup.admin.get(a_space(SPACE)).await?["spec"]["owner"]["name"].clone();
    ensure!(owner == "frida@example.com", "the owner is {owner}");
    setup.dspace(SVEN, &["members", "add", SPACE, "oidc:frida@example.com", "--role", "edit"]).await?.ok()?;
    newcomer.until_access().await
}

/// The API server verifies tokens: it rejects a token that was tampered with, and one for an address that is not
/// verified.
pub(crate) async fn an_invalid_token_is_refused(setup: &OnboardingSetup) -> Result<()> {
    let (erin, frida) = (setup.issuer.login(ERIN).await?, setup.issuer.login(FRIDA).await?);
    let valid_kubeconfig = setup.write_kubeconfig("erins-own", &erin)?;
    eventually("the API server to know the issuer", SOON, || async {
        let erin = Actor::new(kubeconfig::client(&valid_kubeconfig).await?);
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
    let unverified = setup.issuer.login(GERDA).await?;
    for (name, token) in [("swapped", swapped), ("unsigned", unsigned), ("unverified", unverified)] {
        let holder = Actor::new(kubeconfig::client(&setup.write_kubeconfig(name, &token)?).await?);
        match holder.list("Pod", "default").await {
            Err(error) if code(&error) == Some(401) => {}
            other => bail!("{name}: a token that is no good may {other:?}"),
        }
    }
    Ok(())
}

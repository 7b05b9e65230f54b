//! A command that is killed leaves nothing behind that blocks the same command.

use anyhow::{Context, Result, ensure};
use e2e::{
    eventually,
    fixtures::{SOON, a_space, uid_of},
};

use crate::{
    certificate::IssuedCertificate,
    newcomer::Newcomer,
    people::{RITA, SVEN},
    results::{check_kubeconfig, ensure_nothing_written},
    setup::OnboardingSetup,
};

/// The command is killed when the space is ready and the request is not approved yet.
pub(crate) async fn a_command_killed_while_waiting_for_a_certificate_can_be_repeated(
    setup: &OnboardingSetup,
) -> Result<()> {
    const SPACE: &str = "harbor-lab";
    let file = setup.kubeconfig_path("wanda")?;
    let arguments =
        ["onboard", "wanda@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "-o", &file];
    let mut process = setup.dspace_in_background(SVEN, &arguments)?;
    let abandoned = setup.until_open_request(SPACE, "").await?;
    process.check_alive()?;
    process.kill()?;
    ensure_nothing_written(&file)?;
    let before = setup.until_ready(SPACE).await?;

    let approved = async {
        let request = setup.until_open_request(SPACE, &abandoned).await?;
        setup.cluster.kubectl(&["certificate", "approve", &request]).await?.ok()
    };
    let (output, approved) = tokio::join!(setup.dspace(SVEN, &arguments), approved);
    let output = output?;
    approved.with_context(|| output.stderr.clone())?;
    output.ok()?;
    ensure_completed(setup, SPACE, &file, uid_of(&before)).await
}

/// The command is killed when only the space exists, which has not been reconciled yet. The operator is stopped, so no
/// other scenario may run meanwhile.
pub(crate) async fn a_command_killed_while_the_operator_is_stopped_can_be_repeated(
    setup: &OnboardingSetup,
) -> Result<()> {
    const SPACE: &str = "lagoon-lab";
    let file = setup.kubeconfig_path("xenia")?;
    let arguments =
        ["onboard", "xenia@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "-o", &file];
    setup.operator.signal("STOP")?;
    let killed = async {
        let mut process = setup.dspace_in_background(RITA, &arguments)?;
        let before = eventually("the space to be asked for", SOON, || setup.admin.find(a_space(SPACE))).await?;
        process.check_alive()?;
        process.kill()?;
        ensure_nothing_written(&file)?;
        Ok::<_, anyhow::Error>(before)
    };
    let killed = killed.await;
    setup.operator.signal("CONT")?;
    let before = killed?;

    setup.dspace(RITA, &arguments).await?.ok()?;
    ensure_completed(setup, SPACE, &file, uid_of(&before)).await
}

async fn ensure_completed(setup: &OnboardingSetup, space: &str, file: &str, uid: &str) -> Result<()> {
    let found = setup.admin.get(a_space(space)).await?;
    ensure!(uid_of(&found) == uid, "the space was made anew");
    IssuedCertificate::from_user(&check_kubeconfig(file, space)?)?;
    Newcomer::new(setup, file).ensure_access_only_to(space).await
}

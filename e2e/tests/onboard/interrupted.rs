//! A command that is killed leaves nothing behind that blocks the same command.

use anyhow::{Context, Result, ensure};
use e2e::{
    eventually,
    fixtures::{SOON, a_space, uid_of},
};

use crate::{
    certificate::IssuedCertificate,
    judge::{nothing_written, written},
    newcomer::Newcomer,
    people::{RITA, SVEN},
    stage::Stage,
};

/// The command is killed when the space is ready and the request is not approved yet.
pub async fn one_that_was_killed_while_it_waited_for_a_certificate_completes(stage: &Stage) -> Result<()> {
    const SPACE: &str = "harbor-lab";
    let file = stage.file("wanda")?;
    let arguments = ["onboard", "wanda@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "-o", &file];
    let mut process = stage.dspace_in_background(SVEN, &arguments)?;
    let abandoned = stage.open_request(SPACE, "").await?;
    process.check_alive()?;
    process.kill()?;
    nothing_written(&file)?;
    let before = stage.ready(SPACE).await?;

    let approved = async {
        let request = stage.open_request(SPACE, &abandoned).await?;
        stage.cluster.kubectl(&["certificate", "approve", &request]).await?.ok()
    };
    let (output, approved) = tokio::join!(stage.dspace(SVEN, &arguments), approved);
    let output = output?;
    approved.with_context(|| output.stderr.clone())?;
    output.ok()?;
    completed(stage, SPACE, &file, uid_of(&before)).await
}

/// The command is killed when only the space exists, which has not been reconciled yet. The operator is stopped, so no other scenario may run
/// meanwhile.
pub async fn one_that_was_killed_while_the_operator_was_away_completes(stage: &Stage) -> Result<()> {
    const SPACE: &str = "lagoon-lab";
    let file = stage.file("xenia")?;
    let arguments = ["onboard", "xenia@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "-o", &file];
    stage.operator.signal("STOP")?;
    let killed = async {
        let mut process = stage.dspace_in_background(RITA, &arguments)?;
        let before = eventually("the space to be asked for", SOON, || stage.admin.find(a_space(SPACE))).await?;
        process.check_alive()?;
        process.kill()?;
        nothing_written(&file)?;
        Ok::<_, anyhow::Error>(before)
    };
    let killed = killed.await;
    stage.operator.signal("CONT")?;
    let before = killed?;

    stage.dspace(RITA, &arguments).await?.ok()?;
    completed(stage, SPACE, &file, uid_of(&before)).await
}

async fn completed(stage: &Stage, space: &str, file: &str, uid: &str) -> Result<()> {
    let found = stage.admin.get(a_space(space)).await?;
    ensure!(uid_of(&found) == uid, "the space was made anew");
    IssuedCertificate::from_user(&written(file, space)?)?;
    Newcomer::new(stage, file).works_there_and_nowhere_else(space).await
}

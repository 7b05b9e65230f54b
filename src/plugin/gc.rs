//! `gc`: runs the operator's sweep with the caller's permissions.

use std::process::ExitCode;

use super::{args::KubectlArgs, cluster::Cluster, output};
use crate::{
    cli::{GcArgs, Output},
    gc::{self, SweepOutput},
    telemetry,
};

pub(crate) async fn run(kubectl: &KubectlArgs, args: &GcArgs) -> anyhow::Result<ExitCode> {
    telemetry::init(args.common.log_format);
    let cluster = Cluster::connect(kubectl).await?;
    let SweepOutput { text, code } = gc::run(cluster.client, cluster.clock, args).await?;
    match args.output {
        Output::Table => output::print(text.trim_end())?,
        Output::Json => output::print_raw(&text)?,
    }
    Ok(ExitCode::from(code))
}

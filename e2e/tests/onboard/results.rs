//! The required results of a command: one sentence and nothing else, or a valid kubeconfig.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context, Result, bail, ensure};
use e2e::command::Output;
use serde_json::Value;

/// Checks that a command failed as required: exit code 1, nothing on standard output, and one line that begins with
/// `error: `. Returns that line.
pub(crate) fn error_sentence(output: &Output) -> Result<String> {
    let all = format!("`{}` ended with {:?}:\n{}{}", output.command, output.code, output.stdout, output.stderr);
    ensure!(output.code == Some(1), "exit code 1 was expected; {all}");
    ensure!(!output.stderr.contains("panicked"), "it panicked; {all}");
    ensure!(output.stdout.is_empty(), "it printed a result though it failed; {all}");
    match output.stderr.lines().filter(|line| line.starts_with("error: ")).collect::<Vec<_>>().as_slice() {
        [only] => Ok((*only).to_owned()),
        _ => bail!("one line that begins with 'error: ' was expected; {all}"),
    }
}

/// Checks that nothing was written: no file, and no partial file in the same folder.
pub(crate) fn ensure_nothing_written(file: &str) -> Result<()> {
    let folder = Path::new(file).parent().context("the file is in no folder")?;
    let found: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    ensure!(found.is_empty(), "{} is not empty: {found:?}", folder.display());
    Ok(())
}

/// Checks a kubeconfig that was written: only its owner may read it, and its context has the space as its namespace.
/// Returns its user's entry.
pub(crate) fn check_kubeconfig(file: &str, space: &str) -> Result<Value> {
    let mode = fs::metadata(file).with_context(|| format!("{file} was not written"))?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "{file} has mode {mode:o}");
    let document: Value =
        serde_saphyr::from_str(&fs::read_to_string(file)?).with_context(|| format!("{file} is no YAML"))?;
    let current = &document["current-context"];
    let contexts = document["contexts"].as_array().context("there are no contexts")?;
    let context = contexts.iter().find(|context| context["name"] == *current).context("there is no current context")?;
    ensure!(context["context"]["namespace"] == space, "the context is {context}");
    let users = document["users"].as_array().context("there are no users")?;
    let found = users
        .iter()
        .find(|user| user["name"] == context["context"]["user"])
        .context("the context's user is not there")?;
    Ok(found["user"].clone())
}

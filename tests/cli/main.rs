//! The exact output of the command line, as in the transcripts in `tests/cmd`.
//!
//! `TRYCMD=overwrite cargo test --test cli` rewrites them; wildcards have to be restored by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod server;

#[test]
fn transcripts() {
    // Help texts are as wide as the terminal, and show values of environment variables.
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .env("POD_NAME", "")
        .env("POD_NAMESPACE", "")
        .case("tests/cmd/*.trycmd");
}

/// Output that requires a cluster: every table.
#[test]
fn tables() {
    let kubeconfig = server::start();
    trycmd::TestCases::new().env("KUBECONFIG", kubeconfig.path().to_str().unwrap()).case("tests/cmd/tables/*.trycmd");
}

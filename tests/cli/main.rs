//! What the command line says, word for word: the transcripts in `tests/cmd`.
//!
//! `TRYCMD=overwrite cargo test --test cli` writes them anew; wildcards have to be put back by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod server;

#[test]
fn transcripts() {
    // Help texts are as wide as the terminal is, and show what the environment says.
    trycmd::TestCases::new().env("COLUMNS", "100").env("POD_NAME", "").env("POD_NAMESPACE", "").case("tests/cmd/*.trycmd");
}

/// What a cluster has to be asked for: every table.
#[test]
fn tables() {
    let kubeconfig = server::start();
    trycmd::TestCases::new().env("KUBECONFIG", kubeconfig.path().to_str().unwrap()).case("tests/cmd/tables/*.trycmd");
}

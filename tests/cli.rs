//! What the command line says, word for word: the transcripts in `tests/cmd`.
//!
//! `TRYCMD=overwrite cargo test --test cli` writes them anew; wildcards have to be put back by hand.

#[test]
fn transcripts() {
    // Help texts are as wide as the terminal is, and show what the environment says.
    trycmd::TestCases::new().env("COLUMNS", "100").env("POD_NAME", "").env("POD_NAMESPACE", "").case("tests/cmd/*.trycmd");
}

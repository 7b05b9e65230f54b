//! The rules of this repository that neither the compiler nor a lint enforces.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The maximum number of lines of a file, without its unit tests.
const LONGEST: usize = 350;

struct Source {
    /// Relative to the repository.
    path: String,
    /// Without unit tests.
    code: Vec<String>,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let relative = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let mut code: Vec<String> = text.lines().map(str::to_owned).collect();
        let tests = code.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
        let tests = if relative.ends_with("_tests.rs") { Some(0) } else { tests };
        code.truncate(tests.unwrap_or(code.len()));
        Self { path: relative, code }
    }

    /// The lines that are not comments, with their numbers.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.code.iter().enumerate().map(|(at, line)| (at + 1, line.as_str()));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Returns `path:line: text` for each line for which `offends` returns true.
    fn find(&self, offends: impl Fn(&str) -> bool) -> Vec<String> {
        self.lines().filter(|(_, line)| offends(line)).map(|(at, line)| format!("{}:{at}: {}", self.path, line.trim())).collect()
    }
}

/// All source files of `src/`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let (below, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
        folders.extend(below);
        found.extend(files.iter().filter(|file| file.extension().is_some_and(|end| end == "rs")).map(|file| Source::read(root, file)));
    }
    assert!(found.len() > 30, "src/ was not found");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn below<'a>(sources: &'a [Source], folder: &'a str) -> impl Iterator<Item = &'a Source> {
    let files = sources.iter().filter(move |source| source.path.starts_with(folder));
    assert!(files.clone().count() > 0, "{folder} has no files");
    files
}

fn assert_none(offences: &[String], rule: &str) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

/// Returns true if `line` contains `word` as a whole word.
fn has_word(line: &str, word: &str) -> bool {
    let of_a_word = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (at.checked_sub(1).map(|at| line.as_bytes()[at]), line.as_bytes().get(at + word.len()).copied());
        !of_a_word(before) && !of_a_word(after)
    })
}

/// Returns the lines below `folder` that contain one of `words`.
fn using(folder: &str, words: &[&str]) -> Vec<String> {
    let sources = sources();
    let uses = |line: &str| words.iter().any(|word| if word.ends_with("::") { line.contains(word) } else { has_word(line, word) });
    below(&sources, folder).flat_map(|file| file.find(uses)).collect()
}

#[test]
fn decisions_are_pure() {
    let impure = [
        "Client",
        "Api",
        "async",
        "await",
        "tokio::",
        "std::env",
        "std::fs",
        "std::net",
        "Utc::now",
        "SystemTime",
        "Instant",
        "controller::",
        "gc::",
        "operator::",
    ];
    assert_none(&using("src/desired/", &impure), "src/desired/ takes plain data and `now`, and returns plain data");
}

#[test]
fn the_api_knows_nobody() {
    let above = [
        "Client",
        "Api",
        "async",
        "await",
        "tokio::",
        "std::env",
        "std::fs",
        "Utc::now",
        "SystemTime",
        "Instant",
        "controller::",
        "desired::",
        "gc::",
    ];
    assert_none(&using("src/api/", &above), "src/api/ is the bottom: types and their grammar");
}

#[test]
fn files_are_short() {
    let long = |source: &Source| (source.code.len() > LONGEST).then(|| format!("{}: {} lines", source.path, source.code.len()));
    let found: Vec<String> = sources().iter().filter_map(long).collect();
    assert_none(&found, &format!("a file has at most {LONGEST} lines beside its tests: divide it"));
}

#[test]
fn names_of_ours_are_spelled_once() {
    let sources = sources();
    let files = sources.iter().filter(|source| !source.path.starts_with("src/api/"));
    let found: Vec<String> = files.flat_map(|file| file.find(|line| line.contains("developerspace.dev/"))).collect();
    assert_none(&found, "labels, annotations and finalizers are constants of src/api/names.rs");
}

#[test]
fn each_file_says_what_it_is() {
    let silent = |source: &&Source| !source.code.is_empty() && !source.code[0].starts_with("//! ");
    let found: Vec<String> = sources().iter().filter(silent).map(|source| source.path.clone()).collect();
    assert_none(&found, "a file begins with what it owns and what it must not do");
}

#[test]
fn only_client_rs_builds_a_client() {
    let elsewhere = |source: &&Source| source.path != "src/client.rs";
    let builds = |line: &str| {
        ["Client::try_default", "Client::try_from", "Client::new", "ClientBuilder", "Config::infer"].iter().any(|word| line.contains(word))
    };
    let found: Vec<String> = sources().iter().filter(elsewhere).flat_map(|file| file.find(builds)).collect();
    assert_none(&found, "time-outs and retries are set in src/client.rs, so no other file builds a client");
}

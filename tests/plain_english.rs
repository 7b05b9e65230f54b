//! The wording rules of CONTRIBUTING.md ("How we write"), for comments, strings and documentation.
//!
//! A line that needs a banned word gives a reason: `plain-english: REASON` in a comment on the same line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper that fails fails its test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Banned words, and the words to use instead.
const WORDS: [(&str, &str); 38] = [
    ("told", "reports, records, contains"),
    ("tell", "report, show, print"),
    ("tells", "reports, shows, prints"),
    ("say", "report, contain, set"),
    ("says", "reports, contains, sets"),
    ("said", "reported, set"),
    ("anew", "again; recreate, restart"),
    ("beside", "in addition to, next to, compared with"),
    ("whoever", "users who, callers that"),
    ("whosever", "of any owner"),
    ("mend", "fix, correct, repair"),
    ("mends", "fixes, corrects, repairs"),
    ("mended", "fixed, corrected, repaired"),
    ("for ever", "indefinitely"),
    ("left out", "omitted; by default"),
    ("give way", "yield, defer"),
    ("gives way", "yields, defers"),
    ("goes away", "is terminating, is deleted"),
    ("going away", "terminating"),
    ("side by side", "concurrently"),
    ("so long", "name the duration"),
    ("so many", "name the number"),
    ("so much", "name the amount"),
    ("as it is", "unchanged, current"),
    ("time is up", "expired"),
    ("time was up", "expired"),
    ("stands in", "is in"),
    ("stands there", "exists"),
    ("stand in", "are in"),
    ("let go", "release"),
    ("lets go", "releases"),
    ("letting go", "releasing"),
    ("nobody", "no user, no other client"),
    ("somebody", "a user, another client"),
    ("anybody", "any user"),
    ("behind our back", "by another client"),
    ("in the way", "conflicting"),
    ("befalls", "affects"),
];

/// Openings of a comment that name a question instead of a thing.
const OPENINGS: [&str; 7] = ["What ", "Who ", "Whose ", "Whether ", "How ", "Where ", "When "];

/// The way out for one line.
const REASON: &str = "plain-english: ";

struct Line<'a> {
    number: usize,
    text: &'a str,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folders`, which may themselves be files. If `ends` is not empty, their names have one of those
/// ends.
fn files(folders: &[&str], ends: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if ends.is_empty() || path.extension().is_some_and(|end| ends.iter().any(|wanted| end == *wanted)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns true if `text` contains `word` as a whole word, in upper or lower case.
fn has_word(text: &str, word: &str) -> bool {
    let text = text.to_lowercase();
    let of_a_word =
        |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == '-');
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + word.len()..].chars().next());
        !of_a_word(before) && !of_a_word(after)
    })
}

/// The text of a line without code spans.
fn prose(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// A format string without its placeholders.
fn without_placeholders(text: &str) -> String {
    let parts = text.split('{').map(|part| part.split_once('}').map_or(part, |(_, after)| after));
    parts.collect::<Vec<_>>().join(" ")
}

/// The comment of a line of Rust, if the whole line is one.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start();
    ["//! ", "/// ", "// "].iter().find_map(|mark| text.strip_prefix(mark))
}

/// The string literals of a line of Rust that are sentences: with a space in them, and without the marks of JSON and of
/// paths.
fn sentences(line: &str) -> Vec<&str> {
    let is_sentence = |text: &&str| text.contains(' ') && !text.contains(['{', '$', '/', '=']) || text.contains("{}");
    line.split('"').skip(1).step_by(2).filter(is_sentence).collect()
}

fn offences(path: &Path, Line { number, text }: &Line<'_>, prose: &str) -> Vec<String> {
    let shown = path.strip_prefix(root()).unwrap().display();
    let banned = WORDS.iter().filter(|(word, _)| has_word(prose, word));
    banned.map(|(word, instead)| format!("{shown}:{number}: {word:?} -> {instead}: {}", text.trim())).collect()
}

/// The offences of one file; `take` returns the prose of a line.
fn judge(path: &Path, take: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().enumerate().map(|(at, text)| Line { number: at + 1, text });
    let lines = lines.filter(|line| !line.text.contains(REASON));
    lines
        .flat_map(|line| take(line.text).iter().flat_map(|prose| offences(path, &line, prose)).collect::<Vec<_>>())
        .collect()
}

fn assert_none(offences: &[String]) {
    assert!(
        offences.is_empty(),
        "{} lines break the wording rules of CONTRIBUTING.md:\n{}",
        offences.len(),
        offences.join("\n")
    );
}

/// This file contains the list.
fn is_this_file(path: &Path) -> bool {
    path.ends_with("tests/plain_english.rs")
}

const CODE: [&str; 4] = ["src", "tests", "e2e", "fuzz"];

fn code() -> Vec<PathBuf> {
    let all = files(&CODE, &["rs"]);
    assert!(all.len() > 200, "the code was not found");
    all.into_iter()
        .filter(|path| !is_this_file(path) && !path.components().any(|part| part.as_os_str() == "target"))
        .collect()
}

#[test]
fn comments_are_plain() {
    let found = code()
        .iter()
        .flat_map(|path| judge(path, |line| comment(line).map(prose).into_iter().collect()))
        .collect::<Vec<_>>();
    assert_none(&found);
}

#[test]
fn comments_open_with_a_thing_or_a_verb() {
    let mut found = Vec::new();
    for path in code() {
        let text = fs::read_to_string(&path).unwrap();
        let mut before = "";
        for (at, line) in text.lines().enumerate() {
            let opens = comment(line).filter(|text| OPENINGS.iter().any(|word| text.starts_with(word)));
            // A question word may continue a sentence of the line before.
            if opens.is_some() && comment(before).is_none() && !line.contains(REASON) {
                found.push(format!("{}:{}: {}", path.strip_prefix(root()).unwrap().display(), at + 1, line.trim()));
            }
            before = line;
        }
    }
    assert_none(&found);
}

#[test]
fn texts_for_users_are_plain() {
    let is_text = |path: &PathBuf| path.starts_with(root().join("src")) && !path.ends_with("bad_input_tests.rs");
    let texts = code().into_iter().filter(is_text);
    let strings = |line: &str| {
        if comment(line).is_some() {
            vec![]
        } else {
            sentences(line).into_iter().map(|text| prose(&without_placeholders(text))).collect()
        }
    };
    let found: Vec<String> = texts.flat_map(|path| judge(&path, strings)).collect();
    assert_none(&found);
}

#[test]
fn documentation_is_plain() {
    let pages = files(&["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "config", ".github"], &["md"]);
    assert!(pages.len() > 15, "the documentation was not found");
    let mut found = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let mut in_code = false;
        for (at, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            } else if !in_code && !line.contains(REASON) {
                found.extend(offences(&page, &Line { number: at + 1, text: line }, &prose(line)));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn comments_of_manifests_and_scripts_are_plain() {
    let mut manifests = files(&["config", ".github"], &["yaml", "yml"]);
    let scripts = files(
        &["Makefile", "Dockerfile", ".ci/run", ".ci/commit-messages", ".ci/lint-workflows", "e2e/mutants/run.sh"],
        &[],
    );
    assert!(manifests.len() > 20 && scripts.len() == 6, "the manifests and scripts were not found");
    manifests.extend(scripts);
    let hash = |line: &str| line.trim_start().strip_prefix("# ").map(prose).into_iter().collect();
    let found: Vec<String> = manifests.iter().flat_map(|path| judge(path, hash)).collect();
    assert_none(&found);
}

#[test]
fn the_check_sees_what_it_bans() {
    assert!(has_word("The operator tells the owner", "tells") && has_word("Told twice", "told"));
    assert!(!has_word("a foretold end", "told") && !has_word("besides", "beside"));
    assert_eq!(prose("the reason `told` is kept"), "the reason   is kept");
    assert_eq!(comment("    /// What it is").map(prose).as_deref(), Some("What it is"));
    assert_eq!(sentences(r#"status_patch("its time is up", "key")"#), ["its time is up"]);
}

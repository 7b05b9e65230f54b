//! The rules of this repository that neither the compiler nor a lint enforces.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod sources;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use sources::{Source, module_in, sources};

/// The maximum number of lines of a file, without its unit tests.
const MAX_LINES: usize = 375;

/// The page with the table of modules: which modules each of them may import.
const PAGE: &str = include_str!("../../docs/architecture.md");

/// The folders without a circle of imports between their files. Add a folder as soon as it has none.
const WITHOUT_CIRCLES: [&str; 10] =
    ["access", "api", "approver", "cache", "controller", "desired", "gc", "metrics", "plugin", "runtime"];

/// Words that pure code does not contain: it takes plain data and `now`, and returns plain data.
const IMPURE: [&str; 11] = [
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
];

/// The pure code: the types, the decisions, and the rules of the approver.
const PURE: [&str; 3] = ["src/api/", "src/desired/", "src/approver/policy.rs"];

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
        let (before, after) =
            (at.checked_sub(1).map(|at| line.as_bytes()[at]), line.as_bytes().get(at + word.len()).copied());
        !of_a_word(before) && !of_a_word(after)
    })
}

/// Returns the lines below `folder` that contain one of `words`.
fn using(folder: &str, words: &[&str]) -> Vec<String> {
    let sources = sources();
    let uses = |line: &str| {
        words.iter().any(|word| if word.ends_with("::") { line.contains(word) } else { has_word(line, word) })
    };
    below(&sources, folder).flat_map(|file| file.find(uses)).collect()
}

/// The modules at the top of the crate, and for each the modules that it imports, with one file that does.
fn arrows() -> BTreeMap<String, BTreeMap<String, String>> {
    let sources = sources();
    let modules: BTreeSet<Vec<String>> = sources.iter().map(|source| source.module.clone()).collect();
    let names: BTreeSet<&String> = sources.iter().filter_map(|source| source.module.first()).collect();
    let mut arrows: BTreeMap<String, BTreeMap<String, String>> =
        names.iter().map(|name| ((*name).clone(), BTreeMap::new())).collect();
    for source in sources.iter().filter(|source| !source.is_test) {
        let Some(from) = source.module.first() else { continue };
        let imported: Vec<String> =
            source.imports(&modules).into_iter().filter_map(|path| path.into_iter().next()).collect();
        let others = imported.into_iter().filter(|name| name != from && names.contains(name));
        arrows.entry(from.clone()).or_default().extend(others.map(|name| (name, source.path.clone())));
    }
    arrows
}

/// The rows of the table: a module, and the modules that it may import.
fn table() -> Vec<(String, BTreeSet<String>)> {
    let cells =
        |line: &str| -> Vec<String> { line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect() };
    let mut lines =
        PAGE.lines().skip_while(|line| !(line.starts_with('|') && cells(line).iter().any(|cell| cell == "may import")));
    let heads = cells(lines.next().expect("docs/architecture.md has a table with the columns module and may import"));
    let column = |name: &str| {
        heads.iter().position(|head| head == name).unwrap_or_else(|| panic!("the table has no column {name}"))
    };
    let (module, may_import) = (column("module"), column("may import"));
    let names = |cell: &str| -> BTreeSet<String> {
        cell.split(',').map(|name| name.trim().trim_matches('`').to_owned()).filter(|name| !name.is_empty()).collect()
    };
    let rows = lines.skip(1).take_while(|line| line.starts_with('|')).map(|line| {
        let cells = cells(line);
        (cells[module].trim_matches('`').to_owned(), names(&cells[may_import]))
    });
    rows.collect()
}

#[test]
fn modules_import_what_the_architecture_page_allows_and_nothing_else() {
    let (table, arrows): (BTreeMap<String, BTreeSet<String>>, _) = (table().into_iter().collect(), arrows());
    let mut offences = Vec::new();
    for (module, imported) in &arrows {
        let Some(allowed) = table.get(module) else {
            offences.push(format!("the table has no row for {module}"));
            continue;
        };
        let added = imported.iter().filter(|(name, _)| !allowed.contains(*name));
        offences
            .extend(added.map(|(name, path)| format!("{path} imports {name}: the row of {module} does not have it")));
        let stale = allowed.iter().filter(|name| !imported.contains_key(*name));
        offences.extend(stale.map(|name| format!("the row of {module} has {name}, which no file of {module} imports")));
    }
    let unknown = table.keys().filter(|module| !arrows.contains_key(*module));
    offences.extend(unknown.map(|module| format!("the table has a row for {module}, which does not exist")));
    assert_none(&offences, "the table in docs/architecture.md contains the imports between the modules");
}

#[test]
fn a_module_imports_only_modules_of_rows_above_its_own() {
    let mut above = BTreeSet::new();
    let mut offences = Vec::new();
    for (module, imported) in table() {
        offences.extend(imported.difference(&above).map(|name| format!("{module} imports {name}")));
        above.insert(module);
    }
    assert_none(&offences, "the table in docs/architecture.md begins with the modules that import the fewest others");
}

#[test]
fn no_files_of_a_folder_import_each_other_in_a_circle() {
    let sources = sources();
    let modules: BTreeSet<Vec<String>> = sources.iter().map(|source| source.module.clone()).collect();
    for folder in WITHOUT_CIRCLES {
        let files: Vec<&Source> = sources
            .iter()
            .filter(|source| !source.is_test && source.module.first().is_some_and(|first| first == folder))
            .collect();
        assert!(files.len() > 1, "src/{folder} has no files");
        let mut left: BTreeMap<&[String], BTreeSet<Vec<String>>> = files
            .iter()
            .map(|file| {
                let imported = file.imports(&modules).into_iter().filter_map(|path| module_in(&path, &modules));
                (
                    file.module.as_slice(),
                    imported.filter(|module| module[0] == folder && *module != file.module).collect(),
                )
            })
            .collect();
        // A file that imports none of the others is in no circle, and neither is one that then imports none of the
        // rest.
        loop {
            let rest: BTreeSet<Vec<String>> = left.keys().map(|module| module.to_vec()).collect();
            let before = left.len();
            left.retain(|_, imported| imported.iter().any(|module| rest.contains(module)));
            if left.len() == before {
                break;
            }
        }
        let offences: Vec<String> = left
            .iter()
            .map(|(module, imported)| {
                let others: Vec<String> = imported
                    .iter()
                    .filter(|other| left.contains_key(other.as_slice()))
                    .map(|other| other.join("::"))
                    .collect();
                format!("{} imports {}", module.join("::"), others.join(", "))
            })
            .collect();
        assert_none(
            &offences,
            &format!("in src/{folder} no files import each other in a circle, not even through mod.rs"),
        );
    }
}

#[test]
fn a_folder_has_its_module_in_mod_rs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_next_to_a_folder = |source: &&Source| root.join(source.path.trim_end_matches(".rs")).is_dir();
    let found: Vec<String> = sources().iter().filter(is_next_to_a_folder).map(|source| source.path.clone()).collect();
    assert_none(&found, "foo.rs next to a folder foo/ is foo/mod.rs instead");
}

#[test]
fn pure_code_has_no_client_no_clock_and_no_environment() {
    let found: Vec<String> = PURE.iter().flat_map(|path| using(path, &IMPURE)).collect();
    assert_none(
        &found,
        "src/api, src/desired and the policy of the approver take plain data and `now`, and return plain data",
    );
}

#[test]
fn files_are_short() {
    let long = |source: &Source| {
        (source.code.len() > MAX_LINES).then(|| format!("{}: {} lines", source.path, source.code.len()))
    };
    let found: Vec<String> = sources().iter().filter_map(long).collect();
    assert_none(&found, &format!("a file has at most {MAX_LINES} lines in addition to its tests: divide it"));
}

#[test]
fn labels_and_annotations_are_defined_once() {
    let sources = sources();
    let files = sources.iter().filter(|source| !source.path.starts_with("src/api/"));
    let found: Vec<String> = files.flat_map(|file| file.find(|line| line.contains("developerspace.dev/"))).collect();
    assert_none(&found, "labels, annotations and finalizers are constants of src/api/names.rs");
}

#[test]
fn each_file_begins_with_its_documentation() {
    let is_undocumented = |source: &&Source| !source.code.is_empty() && !source.code[0].starts_with("//! ");
    let found: Vec<String> = sources().iter().filter(is_undocumented).map(|source| source.path.clone()).collect();
    assert_none(&found, "a file begins with `//! ` and what it owns and must not do");
}

#[test]
fn only_client_rs_builds_a_client() {
    let elsewhere = |source: &&Source| source.path != "src/client.rs";
    let builds = |line: &str| {
        ["Client::try_default", "Client::try_from", "Client::new", "ClientBuilder", "Config::infer"]
            .iter()
            .any(|word| line.contains(word))
    };
    let found: Vec<String> = sources().iter().filter(elsewhere).flat_map(|file| file.find(builds)).collect();
    assert_none(&found, "time-outs and retries are set in src/client.rs, so no other file builds a client");
}

//! The source files of `src/` without their unit tests, and the imports in them.
//!
//! Reads text. A `use` that a macro generates is not found.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The name of this crate in its binaries.
const CRATE: &str = "developerspace_operator";

/// The module that stands for the binaries, which are crates of their own.
const BINARIES: &str = "bin";

/// One file of `src/`.
pub(crate) struct Source {
    /// Relative to the repository.
    pub path: String,
    /// The module that the file contains, as a path within the crate; empty for `lib.rs`.
    pub module: Vec<String>,
    /// The lines without unit tests.
    pub code: Vec<String>,
    /// True if only tests compile the module.
    pub is_test: bool,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let relative = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let mut code: Vec<String> = text.lines().map(str::to_owned).collect();
        let tests = if relative.ends_with("_tests.rs") { Some(0) } else { unit_tests(&code) };
        code.truncate(tests.unwrap_or(code.len()));
        Self { module: module_of(&relative), path: relative, code, is_test: false }
    }

    /// The lines that are not comments, with their numbers.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.code.iter().enumerate().map(|(at, line)| (at + 1, line.as_str()));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Returns `path:line: text` for each line for which `offends` returns true.
    pub(crate) fn find(&self, offends: impl Fn(&str) -> bool) -> Vec<String> {
        self.lines()
            .filter(|(_, line)| offends(line))
            .map(|(at, line)| format!("{}:{at}: {}", self.path, line.trim()))
            .collect()
    }

    /// The paths within the crate that this file imports or names. `modules` are all modules of the crate.
    pub(crate) fn imports(&self, modules: &BTreeSet<Vec<String>>) -> Vec<Vec<String>> {
        let (mut found, mut statement) = (Vec::new(), None::<String>);
        for (_, line) in self.lines() {
            let mut text = match (statement.take(), use_tree(line)) {
                (Some(begun), _) => format!("{begun} {}", line.trim()),
                (None, Some(tree)) => tree.to_owned(),
                (None, None) => {
                    found.extend(inline_paths(line));
                    continue;
                }
            };
            if let Some(end) = text.find(';') {
                text.truncate(end);
                expand(&[], &text, &mut found);
            } else {
                statement = Some(text);
            }
        }
        found.iter().filter_map(|path| absolute(path, &self.module, modules)).collect()
    }
}

/// All source files of `src/`, sorted by path.
pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let (below, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
        folders.extend(below);
        found.extend(
            files
                .iter()
                .filter(|file| file.extension().is_some_and(|end| end == "rs"))
                .map(|file| Source::read(root, file)),
        );
    }
    assert!(found.len() > 30, "src/ was not found");
    let of_tests: BTreeSet<Vec<String>> = found.iter().flat_map(test_modules).collect();
    for source in &mut found {
        source.is_test = of_tests.contains(&source.module);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The line at which the unit tests begin.
fn unit_tests(code: &[String]) -> Option<usize> {
    let is_tests = |at: &usize| {
        let mut after = code[at + 1..].iter().skip_while(|line| line.starts_with("#["));
        code[*at] == "#[cfg(test)]" && after.next().is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
    };
    (0..code.len()).find(is_tests)
}

/// The modules that `source` declares for tests only, by `mod name;`.
fn test_modules(source: &Source) -> Vec<Vec<String>> {
    let pairs = source.code.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    let names = pairs.filter_map(|pair| Some(pair[1].split_once("mod ")?.1.strip_suffix(';')?.to_owned()));
    names.map(|name| [source.module.clone(), vec![name]].concat()).collect()
}

/// The module of a file, for example `cache::store` of `src/cache/store/mod.rs`.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    if inner == "main" || inner.starts_with("bin/") {
        return vec![BINARIES.to_owned()];
    }
    let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod" || last == "lib") {
        module.pop();
    }
    module
}

/// The text after `use`, if the line begins such a statement.
fn use_tree(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line
        .strip_prefix("pub")
        .map_or(line, |rest| rest.trim_start_matches("(crate)").trim_start_matches("(super)").trim_start());
    let tree = line.strip_prefix("use ")?;
    let is_path = |char: char| char.is_ascii_alphanumeric() || "_:*{}, ;".contains(char);
    tree.chars().all(is_path).then_some(tree)
}

/// Adds the paths of a `use` tree: `a::{b, c::D}` has `a::b` and `a::c::D`.
fn expand(prefix: &[String], tree: &str, found: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let Some((head, list)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        found.push([prefix, segments(path).as_slice()].concat());
        return;
    };
    let prefix = [prefix, segments(head).as_slice()].concat();
    let (mut depth, mut part) = (0, String::new());
    for char in list.chars() {
        match char {
            '}' if depth == 0 => break,
            ',' if depth == 0 => expand(&prefix, &std::mem::take(&mut part), found),
            _ => {
                depth += i32::from(char == '{') - i32::from(char == '}');
                part.push(char);
            }
        }
    }
    if !part.trim().is_empty() {
        expand(&prefix, &part, found);
    }
}

fn segments(path: &str) -> Vec<String> {
    path.split("::")
        .map(str::trim)
        .filter(|segment| !segment.is_empty() && *segment != "self")
        .map(str::to_owned)
        .collect()
}

/// The paths in code that begin with the crate or with a parent module.
fn inline_paths(line: &str) -> Vec<Vec<String>> {
    let is_path = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == ':';
    let paths = line
        .split(|char: char| !is_path(char))
        .filter(|path| ["crate::", "super::", "developerspace_operator::"].iter().any(|root| path.starts_with(root)));
    paths.map(segments).collect()
}

/// The path within the crate; `None` for a path of another crate.
fn absolute(path: &[String], module: &[String], modules: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    let first = path.first()?;
    if first == "crate" || first == CRATE {
        return Some(path[1..].to_vec());
    }
    let parents = path.iter().take_while(|segment| *segment == "super").count();
    if parents > 0 {
        return Some([module.get(..module.len().checked_sub(parents)?)?, &path[parents..]].concat());
    }
    let child = [module, std::slice::from_ref(first)].concat();
    modules.contains(&child).then(|| [module, path].concat())
}

/// The longest prefix of `path` that is a module: the module that defines the item.
pub(crate) fn module_in(path: &[String], modules: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    (1..=path.len()).rev().map(|length| path[..length].to_vec()).find(|module| modules.contains(module))
}

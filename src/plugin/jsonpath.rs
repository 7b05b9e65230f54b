//! Templates of `-o jsonpath=`, see <https://kubernetes.io/docs/reference/kubectl/jsonpath/>: text, `{.path}`,
//! `{"text"}`, and `{range .path}…{end}`. Paths are evaluated by a library for RFC 9535.

use std::str::FromStr;

use jsonpath_rust::{JsonPath as _, parser::parse_json_path};
use serde_json::Value;

/// A template that can be rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    /// A path in the syntax of RFC 9535.
    Path(String),
    Range(String, Vec<Self>),
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // kubectl also accepts a path without braces.
        let braced = if text.contains('{') { text.to_owned() } else { format!("{{{text}}}") };
        let mut rest = braced.as_str();
        let parts = parts(&mut rest, false)?;
        Ok(Self(parts))
    }
}

/// Reads parts up to the end of the text, or to `{end}`.
fn parts(rest: &mut &str, in_range: bool) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    loop {
        let Some(open) = rest.find('{') else {
            if in_range {
                return Err("{range} has no {end}".to_owned());
            }
            if !rest.is_empty() {
                parts.push(Part::Text((*rest).to_owned()));
            }
            return Ok(parts);
        };
        if open > 0 {
            parts.push(Part::Text(rest[..open].to_owned()));
        }
        let inner = &rest[open + 1..];
        let close = closing(inner).ok_or("a { has no }")?;
        let expression = inner[..close].trim();
        *rest = &inner[close + 1..];
        match expression {
            "end" if in_range => return Ok(parts),
            "end" => return Err("{end} has no {range}".to_owned()),
            _ => parts.push(part(expression, rest)?),
        }
    }
}

/// The position of the closing brace. Braces in quotes are ignored.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    text.char_indices().find_map(|(at, letter)| {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, '}') => return Some(at),
            _ => {}
        }
        None
    })
}

fn part(expression: &str, rest: &mut &str) -> Result<Part, String> {
    if let Some(over) = expression.strip_prefix("range ") {
        let path = path(over.trim())?;
        return Ok(Part::Range(path, parts(rest, true)?));
    }
    let quoted = |quote: char| expression.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    match quoted('"').or_else(|| quoted('\'')) {
        Some(text) => Ok(Part::Text(text.replace("\\n", "\n").replace("\\t", "\t"))),
        None => path(expression).map(Part::Path),
    }
}

/// Converts `.a.b`, `a.b`, `@.a`, `$.a` and `.metadata.annotations.example\.com/x` to the syntax of RFC 9535.
fn path(text: &str) -> Result<String, String> {
    let relative = text.trim_start_matches(['$', '@']);
    let relative = if relative.starts_with(['.', '[']) || relative.is_empty() {
        relative.to_owned()
    } else {
        format!(".{relative}")
    };
    let path = format!("${}", quote_unusual(&relative));
    // kubectl accepts {.} for the whole object, which is not valid in RFC 9535.
    let path = if path == "$." { "$".to_owned() } else { path };
    parse_json_path(&path)
        .map_err(|_| format!("{text:?} is not a valid JSONPath: use for example {{.metadata.name}}"))?;
    Ok(path)
}

/// Converts keys with escaped dots, dashes or slashes to `['key']`. Filters and indices are unchanged.
fn quote_unusual(path: &str) -> String {
    let (mut written, mut rest) = (String::new(), path);
    while let Some(at) = rest.find(['.', '[']) {
        written.push_str(&rest[..at]);
        if rest[at..].starts_with('[') {
            let end = rest[at..].find(']').map_or(rest.len(), |end| at + end + 1);
            written.push_str(&rest[at..end]);
            rest = &rest[end..];
            continue;
        }
        let (key, after) = key(&rest[at + 1..]);
        let plain = key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
            && !key.starts_with(|first: char| first.is_ascii_digit());
        match key.as_str() {
            "" | "*" => written.push_str(&rest[at..rest.len() - after.len()]),
            _ if plain => written.extend([".", key.as_str()]),
            _ => written.extend(["['", key.as_str(), "']"]),
        }
        rest = after;
    }
    written + rest
}

/// The unescaped key up to the next dot or bracket, and the rest of the text.
fn key(text: &str) -> (String, &str) {
    let (mut key, mut letters) = (String::new(), text.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => key.extend(letters.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (key, &text[at..]),
            _ => key.push(letter),
        }
    }
    (key, "")
}

impl Template {
    /// Renders the template for `value`. A path that matches nothing is rendered as empty text.
    pub(crate) fn render(&self, value: &Value) -> String {
        render(&self.0, value)
    }
}

fn render(parts: &[Part], value: &Value) -> String {
    let found = |path: &str| value.query(path).unwrap_or_default();
    let written = parts.iter().map(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Path(path) => found(path).into_iter().map(plain).collect::<Vec<_>>().join(" "),
        Part::Range(path, inner) => found(path).into_iter().map(|item| render(inner, item)).collect(),
    });
    written.collect()
}

/// A string without quotes, any other value as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_of_kubectl_are_rendered() {
        let value = json!({"items": [
            {"metadata": {"name": "a", "labels": {"example.com/team": "red"}}, "n": 1, "conditions": [{"type": "Ready", "status": "True"}]},
            {"metadata": {"name": "b"}, "n": 2, "conditions": []},
        ]});
        for (template, expected) in [
            ("{.items[*].metadata.name}", "a b"),
            (".items[0].n", "1"),
            ("{.items[1].metadata.name}{\"\\n\"}", "b\n"),
            ("{range .items[*]}{.metadata.name}={.n};{end}", "a=1;b=2;"),
            ("{.items[0].metadata.labels.example\\.com/team}", "red"),
            ("{.items[0].conditions[?(@.type==\"Ready\")].status}", "True"),
            ("{.items[0].nothing}", ""),
            ("name: {items[0].metadata.name}", "name: a"),
        ] {
            assert_eq!(template.parse::<Template>().unwrap().render(&value), expected, "{template}");
        }
        for template in ["{.items", "{range .items[*]}{.n}", "{end}", "{.items[}"] {
            assert!(template.parse::<Template>().is_err(), "{template}");
        }
    }
}

//! Prints results, either human-readable or in kubectl's formats for programs.

use std::{io::Write as _, str::FromStr};

use anyhow::Context as _;
use comfy_table::{Table, presets::NOTHING};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};

use super::{format, jsonpath::Template};

/// A format of `-o`.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Human-readable.
    Table,
    /// Human-readable, with more columns.
    Wide,
    /// The objects as JSON.
    Json,
    /// The objects as YAML.
    Yaml,
    /// `developerspace.developerspace.dev/NAME`, one per line.
    Name,
    /// A JSONPath template as in kubectl, see <https://kubernetes.io/docs/reference/kubectl/jsonpath/>.
    JsonPath(Template),
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "table" | "" => Ok(Self::Table),
            "wide" => Ok(Self::Wide),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            _ => match text.strip_prefix("jsonpath=") {
                Some(template) => template.parse().map(Self::JsonPath),
                None => Err("choose one of wide, json, yaml, name, jsonpath=TEMPLATE".to_owned()),
            },
        }
    }
}

impl Format {
    /// Returns true if the format is human-readable.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// Returns true if the format has more columns.
    pub(crate) fn is_wide(&self) -> bool {
        *self == Self::Wide
    }
}

/// Prints one object. `human_readable` returns the human-readable text.
pub(crate) fn print_object<K>(
    format: &Format,
    object: &K,
    human_readable: impl FnOnce() -> String,
) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    match format {
        Format::Table | Format::Wide => print(&human_readable()),
        Format::Name => print(&qualified_name(object)),
        Format::Json | Format::Yaml | Format::JsonPath(_) => print_value(format, &to_api_object(object)?),
    }
}

/// Prints a list of objects. `human_readable` returns the human-readable table.
pub(crate) fn print_objects<K>(
    format: &Format,
    objects: &[K],
    human_readable: impl FnOnce() -> String,
) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    match format {
        Format::Table | Format::Wide => print(&human_readable()),
        Format::Name => print(&objects.iter().map(qualified_name).collect::<Vec<_>>().join("\n")),
        Format::Json | Format::Yaml | Format::JsonPath(_) => {
            let items = objects.iter().map(to_api_object).collect::<anyhow::Result<Vec<_>>>()?;
            print_value(
                format,
                &json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}),
            )
        }
    }
}

/// Prints data that is not an API object, such as the usage of a quota. The format `name` does not apply to it and
/// prints JSON.
pub(crate) fn print_data(
    format: &Format,
    data: &impl Serialize,
    human_readable: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    if format.is_table() { print(&human_readable()) } else { print_value(format, &serde_json::to_value(data)?) }
}

fn print_value(format: &Format, value: &Value) -> anyhow::Result<()> {
    match format {
        Format::Yaml => print_line(serde_saphyr::to_string(value).context("failed to write YAML")?.trim_end()),
        Format::JsonPath(template) => print_raw(&template.render(value)),
        _ => print_line(&serde_json::to_string_pretty(value)?),
    }
}

/// `developerspace.developerspace.dev/alice-payments`, as kubectl prints it.
pub(crate) fn qualified_name<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{}.{}/{}", K::kind(&()).to_lowercase(), K::group(&()), object.name_any())
}

/// The object with its kind and version, and without managed fields.
fn to_api_object<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(object)?;
    value["apiVersion"] = K::api_version(&()).into();
    value["kind"] = K::kind(&()).into();
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    Ok(value)
}

/// A table as kubectl prints it: no borders, headings in capitals.
pub(crate) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    no_headers: bool,
) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if !no_headers {
        table.set_header(headings);
    }
    for row in rows {
        table.add_row(row);
    }
    // Columns are separated by three spaces. The first column is not indented.
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.trim_fmt()
}

/// The first cells of a line, for tables that have more columns with -o wide.
pub(crate) fn first_columns<T: Clone, const ALL: usize, const FEW: usize>(cells: &[T; ALL]) -> [T; FEW] {
    std::array::from_fn(|at| cells[at].clone())
}

/// Prints human-readable text and a line break.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    print_line(&format::printable(text))
}

fn print_line(text: &str) -> anyhow::Result<()> {
    if text.is_empty() { Ok(()) } else { print_raw(&format!("{text}\n")) }
}

/// Prints text unchanged. A broken pipe is not an error.
pub(crate) fn print_raw(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("failed to write the result")
        }
        _ => Ok(()),
    }
}

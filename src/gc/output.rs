//! The output of a sweep, and its exit status.

use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;

use super::plan::{Item, Remark};
use crate::{
    api::time::rfc3339,
    cli::Output,
    desired::{expiry::Step, lifetime::stage::Stage},
};

/// The outcome of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It would be done, if the sweep were not a dry run.
    WouldDo,
    /// Another client changed the object or did the same in the meantime.
    Skipped,
    /// The deletion limit stopped the sweep.
    Refused,
    /// The object is left unchanged: the reason, and the options of an administrator.
    LeftAlone(String),
    /// The attempt failed: the reason.
    Failed(String),
}

/// One line of the output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// `DeveloperSpace` or `Namespace`.
    kind: &'static str,
    name: String,
    /// `warn`, `notice`, `delete-namespace`, `seal`, `forget`, `read` or `report`.
    action: &'static str,
    /// The time at which it expired or expires, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    expired_at: Option<String>,
    /// `done`, `would-do`, `skipped`, `refused`, `failed` or `left-alone`.
    result: &'static str,
    /// The reason why it failed or is left unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// The result of a whole sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sweep {
    /// True if the sweep was a dry run.
    pub dry_run: bool,
    /// The number of spaces with a living namespace.
    pub live: usize,
    /// The most namespaces that the sweep may delete.
    pub limit: usize,
    /// True if the deletion limit stopped the sweep.
    pub refused: bool,
    /// One entry for each item.
    #[serde(rename = "items")]
    pub rows: Vec<Row>,
}

impl Row {
    /// The line about `item`.
    pub fn new(item: &Item, outcome: Outcome) -> Self {
        let (kind, action, expired_at) = match item {
            Item::Announce { observed, .. } => {
                let action = if matches!(observed.outlook.stage, Stage::Warn(_)) { "warn" } else { "notice" };
                ("DeveloperSpace", action, observed.outlook.expires_at)
            }
            Item::Space { space, observed, step } => {
                let recorded = space.status.as_ref().and_then(|status| status.expires_at);
                let action = match step {
                    Step::DeleteSpace => "forget",
                    _ if item.deletes_namespace() => "delete-namespace",
                    _ => "seal",
                };
                let at = if *step == Step::Seal { observed.outlook.expires_at } else { recorded };
                ("DeveloperSpace", action, at)
            }
            Item::Annotated(found) => ("Namespace", "delete-namespace", Some(found.expired_at)),
        };
        let (result, message) = columns(outcome);
        Self { kind, name: item.name(), action, expired_at: expired_at.map(rfc3339), result, message }
    }

    /// The line about an object that is only reported.
    pub fn remark(remark: Remark) -> Self {
        match remark {
            Remark::UnreadableNamespace { name, error } => {
                Self::note("Namespace", name, "read", Outcome::Failed(error))
            }
            Remark::UnreadableSpace { name, error } => {
                let why = format!("the stored DeveloperSpace cannot be read and is left unchanged: {error}");
                Self::note("DeveloperSpace", name, "read", Outcome::Failed(why))
            }
            Remark::Orphan { name, advice } => Self::note("Namespace", name, "report", Outcome::LeftAlone(advice)),
            Remark::Unvalidated { name, class, end } => {
                let why = format!(
                    "it has expired under the spec of SpaceClass {class} that was accepted last, and not under the current spec, which the \
                     controller has not validated yet: start the controller, or wait until it has validated the class"
                );
                Self {
                    expired_at: end.map(rfc3339),
                    ..Self::note("DeveloperSpace", name, "report", Outcome::LeftAlone(why))
                }
            }
            Remark::Held { name, blocked } => {
                let message = format!("namespace {name} is being deleted, and its deletion is blocked: {blocked}");
                Self::note("Namespace", name, "report", Outcome::LeftAlone(message))
            }
        }
    }

    fn note(kind: &'static str, name: String, action: &'static str, outcome: Outcome) -> Self {
        let (result, message) = columns(outcome);
        Self { kind, name, action, expired_at: None, result, message }
    }
}

/// The columns RESULT and MESSAGE.
fn columns(outcome: Outcome) -> (&'static str, Option<String>) {
    match outcome {
        Outcome::Done => ("done", None),
        Outcome::WouldDo => ("would-do", None),
        Outcome::Skipped => ("skipped", None),
        Outcome::Refused => ("refused", None),
        Outcome::Failed(why) => ("failed", Some(why)),
        Outcome::LeftAlone(why) => ("left-alone", Some(why)),
    }
}

impl Sweep {
    /// Returns 0 if all was done, 1 if something failed, and 3 if the deletion limit refused the sweep.
    pub fn exit_status(&self) -> u8 {
        match self {
            _ if self.refused => 3,
            _ if self.rows.iter().any(|row| row.result == "failed") => 1,
            _ => 0,
        }
    }

    /// The text to print.
    pub fn text(&self, output: Output) -> serde_json::Result<String> {
        Ok(match output {
            Output::Table => format!("{}\n", self.table()),
            Output::Json => format!("{}\n", serde_json::to_string_pretty(self)?),
        })
    }

    /// The human-readable output: a table and a summary.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["KIND", "NAME", "ACTION", "EXPIRED", "RESULT", "MESSAGE"]);
        for row in &self.rows {
            let Row { kind, name, action, expired_at, result, message } = row;
            table.add_row([
                kind,
                name.as_str(),
                action,
                expired_at.as_deref().unwrap_or("-"),
                result,
                message.as_deref().unwrap_or(""),
            ]);
        }
        if self.rows.is_empty() { self.summary() } else { format!("{}\n\n{}", table.trim_fmt(), self.summary()) }
    }

    fn summary(&self) -> String {
        let rows = |result: &'static str| self.rows.iter().filter(move |row| row.result == result);
        let deletions = |result| rows(result).filter(|row| row.action == "delete-namespace").count();
        let failed = rows("failed").count();
        if self.refused {
            return format!(
                "Refused: {} namespaces would be deleted, and the limit is {}. Nothing was deleted. Check the list; if it is correct, raise the limit with --max-deletions.",
                deletions("refused"),
                self.limit
            );
        }
        if self.dry_run {
            return format!(
                "Dry run: {} of {} living namespaces would be deleted, {failed} failed. Nothing was done.",
                deletions("would-do"),
                self.live
            );
        }
        format!(
            "{} namespaces deleted, {failed} failed, {} skipped; {} had a living namespace.",
            deletions("done"),
            deletions("skipped"),
            self.live
        )
    }
}

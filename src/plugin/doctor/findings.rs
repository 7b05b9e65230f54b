//! Findings and their output: a sentence, and the commands that fix the problem.

use serde::Serialize;
use serde_json::Value;

use crate::plugin::format;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Severity {
    /// Something does not work.
    Problem,
    /// Something will stop working soon, or may be unexpected.
    Warning,
    /// For information only.
    Note,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The severity of a finding.
    pub(super) severity: Severity,
    /// The problem, its cause, and the remedy, in one or a few sentences.
    pub(super) sentence: String,
    /// Commands that fix the problem or print details. They can be run unchanged, except that words in capitals are placeholders.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) commands: Vec<String>,
}

impl Finding {
    fn new(severity: Severity, sentence: &str) -> Self {
        Self { severity, sentence: format::one_line(sentence), commands: vec![] }
    }

    /// Creates a problem: something does not work.
    pub(super) fn problem(sentence: impl AsRef<str>) -> Self {
        Self::new(Severity::Problem, sentence.as_ref())
    }

    /// Creates a warning: something will stop working soon, or may be unexpected.
    pub(super) fn warning(sentence: impl AsRef<str>) -> Self {
        Self::new(Severity::Warning, sentence.as_ref())
    }

    /// Creates a note: for information only.
    pub(super) fn note(sentence: impl AsRef<str>) -> Self {
        Self::new(Severity::Note, sentence.as_ref())
    }

    /// Adds the commands that fix the problem.
    pub(super) fn mended_by(mut self, commands: impl IntoIterator<Item = String>) -> Self {
        // A line break would end the command and start another one.
        self.commands.extend(commands.into_iter().filter(|command| !command.contains(char::is_control)));
        self
    }
}

/// The human-readable output.
pub(super) fn text(name: &str, findings: &[Finding]) -> String {
    let well = findings.iter().all(|finding| finding.severity == Severity::Note);
    led_text(well.then(|| format!("No problems found with DeveloperSpace {name} in the objects that could be read.")), findings)
}

/// The human-readable output after a leading line.
pub(super) fn led_text(lead: Option<String>, findings: &[Finding]) -> String {
    let told = findings.iter().map(|Finding { severity, sentence, commands }| {
        let sign = match severity {
            Severity::Problem => "PROBLEM",
            Severity::Warning => "WARNING",
            Severity::Note => "NOTE",
        };
        let commands: Vec<String> = commands.iter().map(|command| format!("\n    {command}")).collect();
        format!("{sign}: {sentence}{}", commands.concat())
    });
    lead.into_iter().chain(told).collect::<Vec<_>>().join("\n\n")
}

/// Quoted text with a period at its end.
pub(super) fn ended(text: &str) -> String {
    format!("{}.", text.trim().trim_end_matches(['.', ',', ':', ';', ' ']))
}

/// `a, b and c`.
pub(super) fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The command that changes a space.
pub(super) fn patch(name: &str, patch: &Value) -> String {
    format!("kubectl patch dspace {name} --type=merge -p {}", format::shell(&patch.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn findings_are_told_with_what_mends_them() {
        let note = Finding::note("traffic is refused");
        assert_eq!(text("orchid-lab", &[]), "No problems found with DeveloperSpace orchid-lab in the objects that could be read.");
        assert_eq!(
            text("orchid-lab", std::slice::from_ref(&note)),
            "No problems found with DeveloperSpace orchid-lab in the objects that could be read.\n\nNOTE: traffic is refused"
        );
        let problem = Finding::problem("it is full").mended_by(["kubectl dspace usage orchid-lab".to_owned()]);
        assert_eq!(
            text("orchid-lab", &[problem, note]),
            "PROBLEM: it is full\n    kubectl dspace usage orchid-lab\n\nNOTE: traffic is refused"
        );
    }

    #[test]
    fn programs_get_the_parts() {
        let finding = Finding::warning("it ends").mended_by(["kubectl dspace renew orchid-lab".to_owned()]);
        let expected = json!({"severity": "warning", "sentence": "it ends", "commands": ["kubectl dspace renew orchid-lab"]});
        assert_eq!(serde_json::to_value(finding).unwrap(), expected);
        assert_eq!(serde_json::to_value(Finding::note("x")).unwrap(), json!({"severity": "note", "sentence": "x"}));
    }

    #[test]
    fn what_others_wrote_rules_no_terminal() {
        assert_eq!(Finding::note("one\n  two\u{1b}[2Jthree").sentence, "one two [2Jthree");
        for (said, told) in [("it is so", "it is so."), ("it is so. ", "it is so."), ("so:", "so."), ("", ".")] {
            assert_eq!(ended(said), told);
        }
    }

    #[test]
    fn lists_are_read_aloud() {
        let words = ["fern-lab".to_owned(), "moss-lab".to_owned(), "reed-lab".to_owned()];
        for (count, told) in [(0, ""), (1, "fern-lab"), (2, "fern-lab and moss-lab"), (3, "fern-lab, moss-lab and reed-lab")] {
            assert_eq!(listed(&words[..count]), told);
        }
    }

    #[test]
    fn a_change_is_one_word_in_a_shell() {
        let command = patch("orchid-lab", &json!({"spec": {"protected": false}}));
        assert_eq!(command, r#"kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"protected":false}}'"#);
    }
}

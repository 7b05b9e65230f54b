//! Diagnoses and their output: a sentence, and the commands that fix the problem.

use serde::Serialize;
use serde_json::Value;

use crate::plugin::format;

/// The severity of a diagnosis.
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

/// A problem, a warning or a note about a space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Diagnosis {
    pub(super) severity: Severity,
    /// The problem, its cause, and the remedy, in one or a few sentences.
    pub(super) sentence: String,
    /// Commands that fix the problem or print details. They can be run unchanged, except that words in capitals are
    /// placeholders.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) commands: Vec<String>,
}

impl Diagnosis {
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
    pub(super) fn with_commands(mut self, commands: impl IntoIterator<Item = String>) -> Self {
        // A line break would end the command and start another one.
        self.commands.extend(commands.into_iter().filter(|command| !command.contains(char::is_control)));
        self
    }
}

/// Sentences that follow the description of a problem, and commands that fix the problem or print details.
pub(super) type Advice = (String, Vec<String>);

/// The human-readable output.
pub(super) fn report(name: &str, diagnoses: &[Diagnosis]) -> String {
    let healthy = diagnoses.iter().all(|diagnosis| diagnosis.severity == Severity::Note);
    report_with_lead(
        healthy.then(|| format!("No problems found with DeveloperSpace {name} in the objects that could be read.")),
        diagnoses,
    )
}

/// The human-readable output after a leading line.
pub(super) fn report_with_lead(lead: Option<String>, diagnoses: &[Diagnosis]) -> String {
    let sentences = diagnoses.iter().map(|Diagnosis { severity, sentence, commands }| {
        let sign = match severity {
            Severity::Problem => "PROBLEM",
            Severity::Warning => "WARNING",
            Severity::Note => "NOTE",
        };
        let commands: Vec<String> = commands.iter().map(|command| format!("\n    {command}")).collect();
        format!("{sign}: {sentence}{}", commands.concat())
    });
    lead.into_iter().chain(sentences).collect::<Vec<_>>().join("\n\n")
}

/// Quoted text with a period at its end.
pub(super) fn with_period(text: &str) -> String {
    format!("{}.", text.trim().trim_end_matches(['.', ',', ':', ';', ' ']))
}

/// `a, b and c`.
pub(super) fn and_list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The command that changes a space.
pub(super) fn patch_command(name: &str, patch: &Value) -> String {
    format!("kubectl patch dspace {name} --type=merge -p {}", format::shell_quoted(&patch.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn diagnoses_are_printed_with_their_commands() {
        let note = Diagnosis::note("traffic is refused");
        assert_eq!(
            report("orchid-lab", &[]),
            "No problems found with DeveloperSpace orchid-lab in the objects that could be read."
        );
        assert_eq!(
            report("orchid-lab", std::slice::from_ref(&note)),
            "No problems found with DeveloperSpace orchid-lab in the objects that could be read.\n\nNOTE: traffic is refused"
        );
        let problem = Diagnosis::problem("it is full").with_commands(["kubectl dspace usage orchid-lab".to_owned()]);
        assert_eq!(
            report("orchid-lab", &[problem, note]),
            "PROBLEM: it is full\n    kubectl dspace usage orchid-lab\n\nNOTE: traffic is refused"
        );
    }

    #[test]
    fn a_diagnosis_is_serialized_in_parts() {
        let diagnosis = Diagnosis::warning("it ends").with_commands(["kubectl dspace renew orchid-lab".to_owned()]);
        let expected =
            json!({"severity": "warning", "sentence": "it ends", "commands": ["kubectl dspace renew orchid-lab"]});
        assert_eq!(serde_json::to_value(diagnosis).unwrap(), expected);
        assert_eq!(serde_json::to_value(Diagnosis::note("x")).unwrap(), json!({"severity": "note", "sentence": "x"}));
    }

    #[test]
    fn control_characters_are_removed_from_a_diagnosis() {
        assert_eq!(Diagnosis::note("one\n  two\u{1b}[2Jthree").sentence, "one two [2Jthree");
        for (text, expected) in [("it is so", "it is so."), ("it is so. ", "it is so."), ("so:", "so."), ("", ".")] {
            assert_eq!(with_period(text), expected);
        }
    }

    #[test]
    fn the_last_two_words_of_a_list_are_joined_with_and() {
        let words = ["fern-lab".to_owned(), "moss-lab".to_owned(), "reed-lab".to_owned()];
        for (count, expected) in
            [(0, ""), (1, "fern-lab"), (2, "fern-lab and moss-lab"), (3, "fern-lab, moss-lab and reed-lab")]
        {
            assert_eq!(and_list(&words[..count]), expected);
        }
    }

    #[test]
    fn a_patch_is_one_word_for_a_shell() {
        let command = patch_command("orchid-lab", &json!({"spec": {"protected": false}}));
        assert_eq!(command, r#"kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"protected":false}}'"#);
    }
}

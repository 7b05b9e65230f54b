//! Completion for shells and for kubectl, and man pages. All are generated from the definition of the command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use clap::{Arg, Args, Command, ValueEnum};
use kube::{ResourceExt as _, api::ListParams};

use super::{
    args::{KubectlArgs, RequestTimeout},
    cluster::Cluster,
    output,
    pages::{PAGE_SIZE_OF_SPACES, for_each_page},
    requests,
};
use crate::api::DeveloperSpace;

/// Arguments of `completion`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
To complete `kubectl dspace`, kubectl's own completion runs the program kubectl_complete-dspace from the PATH. To install the program:

  kubectl dspace completion kubectl > ~/.local/bin/kubectl_complete-dspace && chmod +x ~/.local/bin/kubectl_complete-dspace")]
pub struct CompletionArgs {
    /// The output to generate
    #[arg(value_enum, value_name = "KIND")]
    pub kind: Kind,

    /// With man: the folder to write the pages to
    #[arg(long, value_name = "FOLDER", required_if_eq("kind", "man"))]
    pub dir: Option<PathBuf>,
}

/// The kinds of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The program kubectl_complete-dspace, for every shell that kubectl's own completion supports
    Kubectl,
    /// bash completion of the command kubectl-dspace
    Bash,
    /// zsh completion of the command kubectl-dspace
    Zsh,
    /// fish completion of the command kubectl-dspace
    Fish,
    /// Man pages
    Man,
}

/// Arguments of `__complete`: the words so far, the last of them unfinished.
#[derive(Clone, Debug, Args)]
pub struct CompleteArgs {
    /// The words
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

/// The program that kubectl runs with the words that follow `kubectl dspace`,
/// see <https://github.com/kubernetes/kubernetes/pull/105867>.
const KUBECTL_PROGRAM: &str = "#!/bin/sh\n# kubectl runs this program to complete the arguments of `kubectl dspace`.\nexec kubectl dspace __complete -- \"$@\"\n";

/// Prints the completion of `command`, the definition of the command line.
pub(crate) fn run(args: &CompletionArgs, command: Command) -> anyhow::Result<()> {
    let shell = match args.kind {
        Kind::Kubectl => return output::print_raw(KUBECTL_PROGRAM),
        Kind::Man => return man_pages(args, command),
        Kind::Bash => clap_complete::Shell::Bash,
        Kind::Zsh => clap_complete::Shell::Zsh,
        Kind::Fish => clap_complete::Shell::Fish,
    };
    // Shells complete the name of the executable.
    let mut command = command.bin_name("kubectl-dspace");
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "kubectl-dspace", &mut script);
    output::print_raw(&String::from_utf8(script)?)
}

fn man_pages(args: &CompletionArgs, command: Command) -> anyhow::Result<()> {
    let folder = args.dir.as_deref().context("--dir must name the directory for the man pages")?;
    ensure!(folder.is_dir(), "{} is not a directory: create it first", folder.display());
    clap_mangen::generate_to(command, folder)
        .with_context(|| format!("failed to write man pages to {}", folder.display()))
}

/// Directives of cobra, which kubectl interprets: complete file names in addition to the choices, or only the choices.
const FILES: &str = ":0";
const NO_FILES: &str = ":4";

/// The time limit for reading names from the cluster. It is short, since completion is interactive.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(3);

/// Prints the choices, one per line, and a directive. `command` is the definition of the command line.
pub(crate) async fn complete(args: &CompleteArgs, command: &mut Command) -> anyhow::Result<()> {
    let words: Vec<String> = args.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    command.build();
    let cursor = Cursor::new(command, &words);
    let (mut choices, mut directive) = (cursor.choices(), NO_FILES);
    match cursor.name_kind() {
        NameKind::Spaces => choices.extend(fetch_names(&words, false).await),
        NameKind::Classes => choices.extend(fetch_names(&words, true).await),
        NameKind::Files => directive = FILES,
        NameKind::None => {}
    }
    choices.retain(|choice| choice.starts_with(cursor.unfinished));
    choices.push(directive.to_owned());
    output::print(&choices.join("\n"))
}

/// The kind of names that can complete a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameKind {
    None,
    Spaces,
    Classes,
    Files,
}

/// The position of the unfinished word on the command line.
struct Cursor<'a> {
    command: &'a Command,
    /// The flag whose value the unfinished word is.
    flag: Option<&'a Arg>,
    unfinished: &'a str,
}

impl<'a> Cursor<'a> {
    fn new(root: &'a Command, words: &'a [String]) -> Self {
        let (unfinished, before) =
            words.split_last().map_or(("", [].as_slice()), |(last, before)| (last.as_str(), before));
        let (mut command, mut flag) = (root, None);
        for word in before {
            if flag.take().is_some() {
                continue;
            }
            if word.starts_with('-') {
                flag = find_flag(command, word);
            } else if let Some(inner) = command.find_subcommand(word) {
                command = inner;
            }
        }
        Self { command, flag, unfinished }
    }

    /// The choices that need no request: values, flags, commands.
    fn choices(&self) -> Vec<String> {
        let line = |word: &str, help: String| if help.is_empty() { word.to_owned() } else { format!("{word}\t{help}") };
        if let Some(flag) = self.flag {
            let values = flag.get_possible_values();
            return values
                .iter()
                .map(|value| line(value.get_name(), value.get_help().map(ToString::to_string).unwrap_or_default()))
                .collect();
        }
        if self.unfinished.starts_with('-') {
            let flags = self.command.get_arguments().filter(|flag| !flag.is_hide_set());
            return flags.filter_map(|flag| Some(line(&format!("--{}", flag.get_long()?), first_line(flag)))).collect();
        }
        let commands = self.command.get_subcommands().filter(|command| !command.is_hide_set());
        commands
            .map(|command| line(command.get_name(), command.get_about().map(ToString::to_string).unwrap_or_default()))
            .collect()
    }

    /// The kind of names that can complete the unfinished word.
    fn name_kind(&self) -> NameKind {
        if let Some(flag) = self.flag {
            return match (flag.get_long(), value_name(flag)) {
                (Some("class"), _) => NameKind::Classes,
                (_, "FILE" | "FOLDER") => NameKind::Files,
                _ => NameKind::None,
            };
        }
        if self.unfinished.starts_with('-') || self.command.has_subcommands() {
            return NameKind::None;
        }
        let takes_names = self.command.get_positionals().next().is_some_and(|first| value_name(first) == "NAME");
        match self.command.get_name() {
            "classes" => NameKind::Classes,
            "create" => NameKind::None,
            _ if takes_names => NameKind::Spaces,
            _ => NameKind::None,
        }
    }
}

/// The flag that a word names, if its value is the next word.
fn find_flag<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let named = |flag: &&Arg| match word.strip_prefix("--") {
        Some(long) => flag.get_long() == Some(long),
        None => flag.get_short().is_some_and(|short| word == format!("-{short}")),
    };
    let takes_word = |flag: &&Arg| flag.get_action().takes_values() && !flag.is_require_equals_set();
    command.get_arguments().find(named).filter(takes_word)
}

fn value_name(arg: &Arg) -> &str {
    arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str())
}

fn first_line(flag: &Arg) -> String {
    flag.get_help().map(|help| help.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
}

/// Names of spaces or classes. Returns the names that were read before an error or the time limit, since an error
/// message is not a completion.
async fn fetch_names(words: &[String], classes: bool) -> Vec<String> {
    let mut names = Vec::new();
    let _ = tokio::time::timeout(COMPLETION_TIMEOUT, read_names(words, classes, &mut names)).await;
    names
}

/// Adds the names to `names` as each page is read.
async fn read_names(words: &[String], classes: bool, names: &mut Vec<String>) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&kubectl_flags(words)).await?;
    if classes {
        let found = requests::list_classes(&cluster).await?;
        names.extend(found.iter().map(kube::ResourceExt::name_any));
        return Ok(());
    }
    let receive = |page: Vec<DeveloperSpace>| {
        names.extend(page.iter().map(|space| format!("{}\t{}", space.name_any(), space.spec.owner)));
    };
    for_each_page(&requests::space_api(&cluster), ListParams::default().limit(PAGE_SIZE_OF_SPACES), receive).await?;
    Ok(())
}

/// kubectl's flags among the words. The rest of the command line may be incomplete.
fn kubectl_flags(words: &[String]) -> KubectlArgs {
    let value = |flag: &str| {
        let inline = words.iter().find_map(|word| word.strip_prefix(flag)?.strip_prefix('='));
        let next = || words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1)).map(String::as_str);
        inline.or_else(next).map(ToOwned::to_owned)
    };
    KubectlArgs {
        kubeconfig: value("--kubeconfig").map(PathBuf::from),
        context: value("--context"),
        cluster: value("--cluster"),
        user: value("--user"),
        as_user: value("--as"),
        as_group: vec![],
        request_timeout: RequestTimeout::default(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::plugin::cli::Cli;

    fn at(words: &[&str]) -> (Vec<String>, NameKind) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut root = Cli::command();
        root.build();
        let cursor = Cursor::new(&root, &words);
        let mut choices = cursor.choices();
        choices.retain(|choice| choice.starts_with(cursor.unfinished));
        (
            choices.iter().map(|choice| choice.split('\t').next().unwrap_or_default().to_owned()).collect(),
            cursor.name_kind(),
        )
    }

    #[test]
    fn completions_depend_on_the_preceding_words() {
        assert_eq!(at(&["de"]).0, ["describe", "delete"]);
        assert_eq!(at(&["describe", ""]).1, NameKind::Spaces);
        assert_eq!(at(&["--context", "dev", "describe", "al"]).1, NameKind::Spaces);
        assert_eq!(at(&["members", ""]).0, ["add", "remove", "list"]);
        assert_eq!(at(&["members", "add", ""]).1, NameKind::Spaces);
        assert_eq!(at(&["create", "x", "--class", ""]).1, NameKind::Classes);
        assert_eq!(at(&["create", ""]).1, NameKind::None);
        assert_eq!(at(&["onboard", "nadia@example.com", "--auth", ""]).0, ["cert", "oidc", "token"]);
        assert_eq!(at(&["onboard", "nadia@example.com", "-o", ""]).1, NameKind::Files);
        assert_eq!(at(&["create", "x", "--dis"]).0, ["--display-name"]);
        assert_eq!(at(&["completion", ""]).1, NameKind::None);
        assert!(at(&[""]).0.iter().all(|word| !word.starts_with("__")));
    }

    #[test]
    fn flags_of_kubectl_are_found_anywhere_in_the_command_line() {
        let words: Vec<String> =
            ["describe", "--context", "dev", "--kubeconfig=/k", ""].map(ToOwned::to_owned).to_vec();
        let flags = kubectl_flags(&words);
        assert_eq!((flags.context.as_deref(), flags.kubeconfig), (Some("dev"), Some(PathBuf::from("/k"))));
    }
}

//! kubectl's flags of this run, for the commands that the plugin prints. Without them a printed command acts on the
//! current context of the default kubeconfig, which can be another cluster or another user.

use super::{args::KubectlArgs, format::shell_quoted};

/// The flags that select the cluster and the user of this run, quoted for a shell, with a space before each flag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// The flag that selects the file.
    file: String,
    /// The flags that select the cluster, and not the user.
    cluster: String,
    /// All flags.
    all: String,
}

impl Flags {
    /// The flags of a command line.
    pub(crate) fn new(args: &KubectlArgs) -> Self {
        let KubectlArgs { kubeconfig, context, cluster, user, as_user, as_group, request_timeout: _ } = args;
        let flag = |name: &str, value: &str| format!(" --{name} {}", shell_quoted(value));
        let of = |name: &str, value: Option<&str>| value.map(|value| flag(name, value)).unwrap_or_default();
        let file = kubeconfig.as_ref().map(|file| flag("kubeconfig", &file.to_string_lossy())).unwrap_or_default();
        let cluster = [file.clone(), of("context", context.as_deref()), of("cluster", cluster.as_deref())].concat();
        let groups: String = as_group.iter().map(|group| flag("as-group", group)).collect();
        let all = [cluster.clone(), of("user", user.as_deref()), of("as", as_user.as_deref()), groups].concat();
        Self { file, cluster, all }
    }

    /// The text with these flags in each command of kubectl. kubectl passes only the flags after the name of a plugin
    /// to it.
    pub(crate) fn add_to(&self, text: &str) -> String {
        if self.all.is_empty() {
            return text.to_owned();
        }
        let mut with_flags = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(KUBECTL) {
            with_flags.push_str(before);
            let is_command = introduces_a_command(&with_flags);
            with_flags.push_str(KUBECTL.trim_end());
            rest = after;
            if is_command {
                if let Some(subcommand) = after.strip_prefix(PLUGIN) {
                    with_flags.push(' ');
                    with_flags.push_str(PLUGIN.trim_end());
                    rest = subcommand;
                }
                with_flags.push_str(self.for_subcommand(rest));
            }
            with_flags.push(' ');
        }
        with_flags.push_str(rest);
        with_flags
    }

    /// The flags for a subcommand. `kubectl config` reads only the file. A command for an administrator is run with
    /// other credentials than those of this run: `--as` would remove the permissions of the administrator, and some
    /// commands have a flag `--user` with another meaning.
    fn for_subcommand(&self, subcommand: &str) -> &str {
        let after_namespace = subcommand.strip_prefix("-n ").and_then(|rest| rest.split_once(' '));
        let verb = after_namespace.map_or(subcommand, |(_, verb)| verb);
        if verb.starts_with("config ") {
            &self.file
        } else if FOR_ADMINISTRATORS.iter().any(|command| verb.starts_with(command)) {
            &self.cluster
        } else {
            &self.all
        }
    }
}

const KUBECTL: &str = "kubectl ";
const PLUGIN: &str = "dspace ";

/// The commands that only an administrator can run.
const FOR_ADMINISTRATORS: [&str; 11] = [
    "annotate namespace ",
    "annotate spaceclass ",
    "apply -k ",
    "certificate approve ",
    "create clusterrolebinding ",
    "delete apiservice ",
    "delete namespace ",
    "edit spaceclass ",
    "patch namespace ",
    "patch spaceclass ",
    "scale deployment ",
];

/// The words that introduce a command, in messages of the operator and of the policies as well.
const INTRODUCTIONS: [&str; 4] = ["run", "see", "that", "with"];

/// Returns true if a command can follow this text: at the start of a line, after a backtick or a parenthesis, and after
/// a colon or a word that introduces a command. Elsewhere, kubectl is part of a name or of another text that a user
/// wrote, which must stay unchanged.
fn introduces_a_command(text: &str) -> bool {
    let line = text.rsplit('\n').next().unwrap_or_default();
    let words = line.trim_end_matches(' ');
    if words.is_empty() {
        return true;
    }
    if words.len() == line.len() {
        return words.ends_with(['`', '(']);
    }
    words.ends_with(':') || words.rsplit(' ').next().is_some_and(|word| INTRODUCTIONS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::format::one_line;

    #[test]
    fn commands_act_on_the_cluster_of_this_run() {
        let flags = Flags::new(&KubectlArgs { context: Some("staging".to_owned()), ..KubectlArgs::default() });
        for (text, expected) in [
            ("kubectl dspace delete orchid-lab", "kubectl dspace --context staging delete orchid-lab"),
            ("kubectl -n orchid-lab get pods", "kubectl --context staging -n orchid-lab get pods"),
            (
                r#"kubectl patch dspace fern-lab -p '{"spec":{"ttl":"1d"}}'"#,
                r#"kubectl --context staging patch dspace fern-lab -p '{"spec":{"ttl":"1d"}}'"#,
            ),
            (
                "it ends: run `kubectl dspace renew fern-lab`, or `kubectl edit dspace fern-lab`",
                "it ends: run `kubectl dspace --context staging renew fern-lab`, or `kubectl --context staging edit dspace fern-lab`",
            ),
            (
                "# moss-lab: kubectl annotate namespace moss-lab x-",
                "# moss-lab: kubectl --context staging annotate namespace moss-lab x-",
            ),
            ("as follows:\n    kubectl get pods\n", "as follows:\n    kubectl --context staging get pods\n"),
            ("`kubectl config get-contexts` lists them", "`kubectl config get-contexts` lists them"),
            (
                "bin/kubectl x, my-kubectl x, kubectl-dspace 0.1.0, kubectl",
                "bin/kubectl x, my-kubectl x, kubectl-dspace 0.1.0, kubectl",
            ),
        ] {
            assert_eq!(flags.add_to(text), expected);
            assert_eq!(Flags::default().add_to(text), text);
        }
    }

    #[test]
    fn a_command_in_a_sentence_is_introduced() {
        let flags = Flags::new(&KubectlArgs { context: Some("staging".to_owned()), ..KubectlArgs::default() });
        for (text, expected) in [
            (
                "delete it with kubectl -n fern-lab delete pod x",
                "delete it with kubectl --context staging -n fern-lab delete pod x",
            ),
            (
                "those that kubectl get networkpolicies shows",
                "those that kubectl --context staging get networkpolicies shows",
            ),
            ("see kubectl get rolebindings: x", "see kubectl --context staging get rolebindings: x"),
            ("run kubectl dspace renew fern-lab", "run kubectl dspace --context staging renew fern-lab"),
            ("set className (kubectl get spaceclasses)", "set className (kubectl --context staging get spaceclasses)"),
            ("it belongs to User:x kubectl get y", "it belongs to User:x kubectl get y"),
            ("it belongs to User:kubectl dspace z", "it belongs to User:kubectl dspace z"),
            ("kubectl -n kubectl get pods", "kubectl --context staging -n kubectl get pods"),
        ] {
            assert_eq!(flags.add_to(text), expected);
        }
    }

    #[test]
    fn a_quoted_word_is_not_changed_by_flags() {
        let flags = Flags::new(&KubectlArgs { as_user: Some("o'neill".to_owned()), ..KubectlArgs::default() });
        for name in
            ["x kubectl y", "User:x kubectl $(touch pwned) y'z", "run kubectl y", "x: kubectl\ty", "`kubectl dspace y"]
        {
            let word = shell_quoted(name);
            let command = one_line(&format!("to keep it, run `kubectl dspace create NAME --owner {word}`"));
            let expected =
                one_line(&format!(r"to keep it, run `kubectl dspace --as 'o'\''neill' create NAME --owner {word}`"));
            assert_eq!(flags.add_to(&command), expected, "{name}");
        }
        let file = KubectlArgs { kubeconfig: Some("/home/omar/run kubectl config".into()), ..KubectlArgs::default() };
        let expected = "kubectl --kubeconfig '/home/omar/run kubectl'' config' get pods";
        assert_eq!(Flags::new(&file).add_to("kubectl get pods"), expected);
    }

    #[test]
    fn commands_for_administrators_have_only_the_flags_of_the_cluster() {
        let args = KubectlArgs {
            context: Some("staging".to_owned()),
            user: Some("omar".to_owned()),
            as_user: Some("petra@example.com".to_owned()),
            as_group: vec!["physics".to_owned()],
            ..KubectlArgs::default()
        };
        let flags = Flags::new(&args);
        for (text, expected) in [
            (
                "kubectl create clusterrolebinding x --user=ines",
                "kubectl --context staging create clusterrolebinding x --user=ines",
            ),
            ("run `kubectl certificate approve x`", "run `kubectl --context staging certificate approve x`"),
            ("kubectl annotate namespace fern-lab x-", "kubectl --context staging annotate namespace fern-lab x-"),
            ("kubectl -n platform scale deployment x", "kubectl --context staging -n platform scale deployment x"),
            (
                "kubectl annotate dspace fern-lab x-",
                "kubectl --context staging --user omar --as petra@example.com --as-group physics annotate dspace fern-lab x-",
            ),
        ] {
            assert_eq!(flags.add_to(text), expected);
        }
        let without_cluster = Flags::new(&KubectlArgs { context: None, ..args });
        assert_eq!(without_cluster.add_to("kubectl edit spaceclass moss"), "kubectl edit spaceclass moss");
    }

    #[test]
    fn all_flags_that_select_a_cluster_or_a_user_are_kept() {
        let args = KubectlArgs {
            kubeconfig: Some("/home/omar/my config".into()),
            context: Some("staging".to_owned()),
            cluster: Some("eu".to_owned()),
            user: Some("o'neill".to_owned()),
            as_user: Some("nadia@example.com".to_owned()),
            as_group: vec!["zoology".to_owned(), "system:masters".to_owned()],
            request_timeout: "5s".parse().unwrap(),
        };
        let expected = "kubectl --kubeconfig '/home/omar/my config' --context staging --cluster eu --user 'o'\\''neill' \
            --as nadia@example.com --as-group zoology --as-group system:masters get pods";
        assert_eq!(Flags::new(&args).add_to("kubectl get pods"), expected);
        let expected = "kubectl --kubeconfig '/home/omar/my config' config get-contexts";
        assert_eq!(Flags::new(&args).add_to("kubectl config get-contexts"), expected);
    }
}

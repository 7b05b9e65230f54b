//! kubectl's flags of this run, for the commands that the plugin prints. Without them a printed command acts on the current context of the
//! default kubeconfig, which can be another cluster or another user.

use super::{args::KubectlArgs, human::shell};

/// The flags that select the cluster and the user of this run, quoted for a shell, with a space before each flag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// The flag that selects the file.
    file: String,
    /// All flags.
    all: String,
}

impl Flags {
    /// The flags of a command line.
    pub(crate) fn of(args: &KubectlArgs) -> Self {
        let KubectlArgs { kubeconfig, context, cluster, user, as_user, as_group, request_timeout: _ } = args;
        let flag = |name: &str, value: &str| format!(" --{name} {}", shell(value));
        let file = kubeconfig.as_ref().map(|file| flag("kubeconfig", &file.to_string_lossy())).unwrap_or_default();
        let selected = [("context", context), ("cluster", cluster), ("user", user), ("as", as_user)];
        let selected = selected.into_iter().filter_map(|(name, value)| Some(flag(name, value.as_deref()?)));
        let groups = as_group.iter().map(|group| flag("as-group", group));
        let all = std::iter::once(file.clone()).chain(selected).chain(groups).collect();
        Self { file, all }
    }

    /// The text with these flags in each command of kubectl. kubectl passes only the flags after the name of a plugin to it, and `kubectl config`
    /// reads only the file.
    pub(crate) fn on(&self, text: &str) -> String {
        if self.all.is_empty() {
            return text.to_owned();
        }
        let mut with_flags = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(KUBECTL) {
            with_flags.push_str(before);
            let is_command = with_flags.chars().next_back().is_none_or(|letter| !letter.is_alphanumeric() && !"-_./".contains(letter));
            with_flags.push_str(KUBECTL.trim_end());
            rest = after;
            if is_command {
                if let Some(subcommand) = after.strip_prefix(PLUGIN) {
                    with_flags.push(' ');
                    with_flags.push_str(PLUGIN.trim_end());
                    rest = subcommand;
                }
                with_flags.push_str(if rest.starts_with("config ") { &self.file } else { &self.all });
            }
            with_flags.push(' ');
        }
        with_flags.push_str(rest);
        with_flags
    }
}

const KUBECTL: &str = "kubectl ";
const PLUGIN: &str = "dspace ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_act_on_the_cluster_of_this_run() {
        let flags = Flags::of(&KubectlArgs { context: Some("staging".to_owned()), ..KubectlArgs::default() });
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
            ("# moss-lab: kubectl annotate namespace moss-lab x-", "# moss-lab: kubectl --context staging annotate namespace moss-lab x-"),
            ("as follows:\n    kubectl get pods\n", "as follows:\n    kubectl --context staging get pods\n"),
            ("`kubectl config get-contexts` lists them", "`kubectl config get-contexts` lists them"),
            ("bin/kubectl x, my-kubectl x, kubectl-dspace 0.1.0, kubectl", "bin/kubectl x, my-kubectl x, kubectl-dspace 0.1.0, kubectl"),
        ] {
            assert_eq!(flags.on(text), expected);
            assert_eq!(Flags::default().on(text), text);
        }
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
        assert_eq!(Flags::of(&args).on("kubectl get pods"), expected);
        let expected = "kubectl --kubeconfig '/home/omar/my config' config get-contexts";
        assert_eq!(Flags::of(&args).on("kubectl config get-contexts"), expected);
    }
}

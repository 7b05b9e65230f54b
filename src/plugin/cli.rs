//! The plugin's command line: the flags of kubectl and the subcommands. Each subcommand defines its own arguments;
//! [`super::args`] has the flags that several of them share. No other code of the plugin reads the environment; kube
//! reads KUBECONFIG.

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, builder::Resettable};

use super::{
    args::KubectlArgs, classes, completion, create, delete, describe, doctor, events, kubeconfig, list, members,
    onboard, renew, top, transfer, tree, usage,
};
use crate::cli::GcArgs;

/// Creates, shows, renews and transfers DeveloperSpaces, which are namespaces of your own on a shared cluster, and sets
/// up access to them.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-dspace",
    bin_name = "kubectl dspace",
    version,
    max_term_width = 120,
    disable_help_subcommand = true,
    after_help = "Exit status: 0 success, 1 failure, with the reason on standard error, 2 invalid command line."
)]
pub struct Cli {
    /// Flags of kubectl.
    #[command(flatten)]
    pub kubectl: KubectlArgs,

    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Parses the command line of this process. The `gc` subcommand ignores the environment variables that its
    /// arguments read in the operator's pods: in any other pod, `POD_NAMESPACE` is the namespace of that pod.
    pub fn read() -> Self {
        let line = Self::command().mut_subcommand("gc", |gc| {
            let variables = ["protected_namespaces", "operator_namespace", "identity"];
            variables
                .into_iter()
                .fold(gc, |gc, argument| gc.mut_arg(argument, |argument| argument.env(Resettable::Reset)))
        });
        Self::from_arg_matches(&line.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

/// The subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a space
    Create(create::CreateArgs),
    /// List spaces
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Show the details of a space: its owner, its limits, its lifetime, and the next steps
    Describe(describe::DescribeArgs),
    /// Renew spaces: restart their TTL
    Renew(renew::RenewArgs),
    /// Add, remove or list the members of a space
    Members(members::MembersArgs),
    /// Transfer a space to another owner
    Transfer(transfer::TransferArgs),
    /// Delete spaces with their namespaces and everything in them
    Delete(delete::DeleteArgs),
    /// Write a kubeconfig for an existing space
    Kubeconfig(kubeconfig::KubeconfigArgs),
    /// Set up kubectl for a user: create a space, get a credential, test it, and write the kubeconfig
    Onboard(onboard::OnboardArgs),
    /// Show the classes and what they allow
    Classes(classes::ClassesArgs),
    /// Show the quota usage of spaces
    Usage(usage::UsageArgs),
    /// Show the Events about a space
    Events(events::EventsArgs),
    /// Show the objects that belong to a space
    Tree(tree::TreeArgs),
    /// Show the spaces with the highest quota usage
    Top(top::TopArgs),
    /// Explain why a space is not ready, why pods are rejected in it, or why its namespace is not deleted
    Doctor(doctor::DoctorArgs),
    /// Garbage-collect expired spaces once, with the same sweep as the operator
    Gc(GcArgs),
    /// Print a completion script for a shell or for kubectl, or write man pages
    Completion(completion::CompletionArgs),
    /// Print the versions of this plugin and of the server
    Version,
    /// Prints the words that can come next; called by kubectl.
    #[command(name = "__complete", hide = true, disable_help_flag = true)]
    Complete(completion::CompleteArgs),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_valid() {
        Cli::command().debug_assert();
    }
}

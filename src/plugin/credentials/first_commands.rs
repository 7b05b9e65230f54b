//! The commands that a user can run with a new kubeconfig.

use std::path::Path;

use crate::{api::AccessMethod, plugin::format};

/// The commands to run first.
pub(super) fn first_commands(file: &Path, method: AccessMethod, can_create: bool) -> String {
    let login = if method == AccessMethod::Oidc { "      # opens a browser to log in" } else { "" };
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let export = format!("export KUBECONFIG={}", format::shell_quoted(&file.display().to_string()));
    if can_create {
        format!("{export}\nkubectl create deployment hello --image=nginx{login}\nkubectl get pods")
    } else {
        format!("{export}\nkubectl get pods{login}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_commands_are_commands_that_the_user_can_run() {
        let file = Path::new("/home/omar/my config");
        let expected =
            "export KUBECONFIG='/home/omar/my config'\nkubectl create deployment hello --image=nginx\nkubectl get pods";
        assert_eq!(first_commands(file, AccessMethod::Certificate, true), expected);
        assert_eq!(
            first_commands(file, AccessMethod::Token, false),
            "export KUBECONFIG='/home/omar/my config'\nkubectl get pods"
        );
        let login = "kubectl get pods      # opens a browser to log in";
        assert!(first_commands(file, AccessMethod::Oidc, false).ends_with(login));
    }
}

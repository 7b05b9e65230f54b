#!/bin/sh
# Replaces kubelogin (kubectl oidc-login) after the login in the browser: passes the token of a login at the issuer to kubectl, and stores
# the arguments that it was called with.
set -eu
printf '%s\n' "$@" >"$ID_TOKEN_FILE.arguments"
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}\n' "$(cat "$ID_TOKEN_FILE")"

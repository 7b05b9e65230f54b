#!/bin/sh
# Stands in for kubelogin (kubectl oidc-login) when its browser has closed: hands kubectl the token that a login at the issuer has brought,
# and keeps what it was called with.
set -eu
printf '%s\n' "$@" >"$ID_TOKEN_FILE.arguments"
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}\n' "$(cat "$ID_TOKEN_FILE")"

#!/usr/bin/env bash
# Packs the plugin for krew: an archive for this machine's platform, and a manifest with its checksum.
# build.sh BINARY FOLDER VERSION [URL]; URL is the location of the releases.
set -euo pipefail
binary=$1 folder=$2 version=$3 url=${4:-https://example.com/developerspace-operator/releases}
os=$(uname -s | tr '[:upper:]' '[:lower:]')
case $(uname -m) in
    x86_64 | amd64) arch=amd64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) echo "krew knows no plugins for $(uname -m): pack on an amd64 or arm64 machine" >&2; exit 1 ;;
esac
top=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$folder"
archive=kubectl-dspace-v$version-$os-$arch.tar.gz
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp "$binary" "$scratch/kubectl-dspace"
cp "$top/LICENSE" "$scratch/LICENSE"
tar -C "$scratch" -czf "$folder/$archive" kubectl-dspace LICENSE
if command -v sha256sum >/dev/null; then sum=$(sha256sum "$folder/$archive"); else sum=$(shasum -a 256 "$folder/$archive"); fi
sed -e "s|@VERSION@|v$version|" -e "s|@OS@|$os|" -e "s|@ARCH@|$arch|" \
    -e "s|@URI@|$url/v$version/$archive|" -e "s|@SHA256@|${sum%% *}|" "$top/config/krew/dspace.yaml" >"$folder/dspace.yaml"
echo "kubectl krew install --manifest=$folder/dspace.yaml --archive=$folder/$archive"

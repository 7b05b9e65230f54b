#!/usr/bin/env bash
# Builds the missing binaries of the control plane, and prints the folder that contains them as its last line.
#
#   build.sh                                     etcd kube-apiserver kube-controller-manager kubectl
#   build.sh kube-scheduler kwok                 only these
#   build.sh cleanup-controller                  Kyverno's, for the benchmark
#
# They are kept in $DSPACE_CACHE (default: ${XDG_CACHE_HOME:-~/.cache}/developerspace-operator/controlplane), in a
# folder named after the pinned versions, so each checkout, branch and version finds its own binaries.
# Binaries in the folder that KUBEBUILDER_ASSETS names are used unchanged; only the others are built.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
say() { printf '%s\n' "controlplane: $*" >&2; }
die() { say "$*"; exit 1; }

hash_of() { # stdin -> 16 hexadecimal digits
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-16
}

package_of() { # binary -> Go package, and about how long a first build takes on two cores
  case $1 in
    etcd) echo 'go.etcd.io/etcd/server/v3|half a minute' ;;
    kube-apiserver) echo 'k8s.io/kubernetes/cmd/kube-apiserver|six minutes' ;;
    kube-controller-manager) echo 'k8s.io/kubernetes/cmd/kube-controller-manager|a minute and a half' ;;
    kube-scheduler) echo 'k8s.io/kubernetes/cmd/kube-scheduler|half a minute' ;;
    kubectl) echo 'k8s.io/kubernetes/cmd/kubectl|half a minute' ;;
    kwok) echo 'sigs.k8s.io/kwok/cmd/kwok|two minutes' ;;
    cleanup-controller) echo 'github.com/kyverno/kyverno/cmd/cleanup-controller|eight minutes' ;;
    *) die "there is no binary called '$1'; it is one of: etcd kube-apiserver kube-controller-manager kube-scheduler kubectl kwok" \
      "cleanup-controller (Kyverno's, which the benchmark measures itself against)" ;;
  esac
}

module_of() { # binary -> the folder of the Go module that pins it
  case $1 in
    kwok) echo "$here/kwok" ;;
    cleanup-controller) echo "$here/kyverno" ;;
    *) echo "$here" ;;
  esac
}

need_go() {
  command -v go >/dev/null && return
  die "Go is needed to build the control plane once: install Go 1.26 or later (Debian: golang-go from backports; see the" \
    "Go project's installation page), or point KUBEBUILDER_ASSETS at a folder with etcd, kube-apiserver," \
    "kube-controller-manager and kubectl"
}

build() { # binary: to a name of its own first, so that a half-built file is never taken for a whole one
  local name=$1 spec package minutes version minor flags
  spec=$(package_of "$name")
  package=${spec%|*} minutes=${spec#*|}
  need_go
  version=$(cd "$here" && GOWORK=off go list -mod=readonly -m -f '{{.Version}}' k8s.io/kubernetes)
  minor=${version#v1.}
  flags="-s -w"
  if [ "$(module_of "$name")" = "$here" ] && [ "$name" != etcd ]; then
    flags="$flags -X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1"
    flags="$flags -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
  fi
  say "building $name: about $minutes the first time, seconds later on"
  local started=$SECONDS
  (
    cd "$(module_of "$name")"
    CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly \
      go build -trimpath -buildvcs=false -ldflags "$flags" -o "$dir/.$name.$$" "$package"
  ) || die "building $name failed, see above; the modules come from the Go proxy (go env GOPROXY), which must be reachable"
  mv "$dir/.$name.$$" "$dir/$name"
  say "built $name in $((SECONDS - started)) s"
}

copy_stages() { # kwok's own descriptions of how pods and nodes come to life
  local module
  module=$(cd "$here/kwok" && GOWORK=off go mod download sigs.k8s.io/kwok && GOWORK=off go list -mod=readonly -m -f '{{.Dir}}' sigs.k8s.io/kwok)
  for stage in pod/fast/pod-ready pod/fast/pod-complete pod/fast/pod-delete node/fast/node-initialize \
    node/heartbeat-with-lease/node-heartbeat-with-lease; do
    echo '---'
    cat "$module/kustomize/stage/$stage.yaml"
  done >"$dir/.kwok-stages.$$"
  mv "$dir/.kwok-stages.$$" "$dir/kwok-stages.yaml"
}

copy_crds() { # Kyverno's kinds, without which its controller does not start
  local module
  module=$(cd "$here/kyverno" && GOWORK=off go list -mod=readonly -m -f '{{.Dir}}' github.com/kyverno/kyverno)
  for crd in "$module"/config/crds/kyverno/*.yaml "$module"/config/crds/policies.kyverno.io/*.yaml; do
    echo '---'
    cat "$crd"
  done >"$dir/.kyverno-crds.$$"
  mv "$dir/.kyverno-crds.$$" "$dir/kyverno-crds.yaml"
}

missing() {
  for name in "$@"; do
    # The name of the folder does not contain Kyverno's version, because only the benchmark needs Kyverno.
    if [ ! -x "$dir/$name" ] || { [ "$name" = cleanup-controller ] && [ "$here/kyverno/go.sum" -nt "$dir/$name" ]; }; then
      echo "$name"
    fi
  done
}

[ $# -gt 0 ] || set -- etcd kube-apiserver kube-controller-manager kubectl
for name in "$@"; do package_of "$name" >/dev/null; done

key=$(cat "$here/go.sum" "$here/kwok/go.sum" | hash_of)
assets=${KUBEBUILDER_ASSETS:-}
if [ -n "$assets" ]; then
  [ -d "$assets" ] || die "KUBEBUILDER_ASSETS names '$assets', which is no folder: correct it, or unset it to have the binaries built"
  key=$key-$(printf %s "$assets" | hash_of)
fi
dir=${DSPACE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/developerspace-operator/controlplane}/$key
mkdir -p "$dir"

if [ -n "$assets" ]; then
  for name in "$@"; do
    if [ -x "$assets/$name" ]; then ln -sf "$(cd "$assets" && pwd)/$name" "$dir/$name"; fi
  done
fi

if [ -n "$(missing "$@")" ]; then
  # Only one build at a time: two concurrent builds would each take twice as long. A build that had to wait finds all binaries built.
  if command -v flock >/dev/null; then
    exec 9>"$dir/.lock"
    flock -n 9 || { say "waiting for another build to finish"; flock 9; }
  fi
  for name in $(missing "$@"); do
    build "$name"
    case $name in
      kwok) copy_stages ;;
      cleanup-controller) copy_crds ;;
    esac
  done
fi
printf '%s\n' "$dir"

#!/usr/bin/env bash
# Takes one guard away from the operator at a time, and demands that the fault sweep notices.
#
#   run.sh                        all mutants
#   run.sh no-crd-guard ...       just these
#
# A mutant is a patch; the lines "Caught-by: CASE" above it name cases of the sweep, each of which must be violated.
# Exit status: 0 all were caught, 1 one was not, 2 it could not be told.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$top/target}
say() { printf '%s\n' "mutants: $*" >&2; }
die() { say "$*"; exit 2; }

[ -x "$target/debug/sweep" ] || die "the sweep is not built: run 'make mutants', which builds it"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mutants=("$@")
if [ ${#mutants[@]} -eq 0 ]; then
  for patch in "$here"/*.patch; do mutants+=("$(basename "$patch" .patch)"); done
fi

missed=0
for mutant in "${mutants[@]}"; do
  patch=$here/$mutant.patch
  [ -f "$patch" ] || die "there is no mutant $mutant: e2e/mutants holds $(cd "$here" && echo ./*.patch)"
  copy=$work/$mutant
  mkdir "$copy"
  (cd "$top" && git ls-files -z | tar --create --null --files-from - | tar --extract --directory "$copy")
  (cd "$copy" && git apply "$patch") || die "$mutant.patch does not fit the code any more: take the guard away by hand and write it anew"
  say "$mutant: building the operator without its guard"
  (cd "$copy" && CARGO_TARGET_DIR=$target/mutants cargo build --quiet --bin developerspace-operator) || die "$mutant does not build"
  mapfile -t cases < <(sed -n 's/^Caught-by: //p' "$patch")
  for case in "${cases[@]}"; do
    status=0
    DSPACE_OPERATOR_BIN=$target/mutants/debug/developerspace-operator \
      "$target/debug/sweep" --short --case "$case" >"$work/said" 2>"$work/progress" || status=$?
    case $status in
      0) say "$mutant: NOT caught by $case"; missed=1 ;;
      1) printf '%-24s caught by %s: %s\n' "$mutant" "$case" "$(sed -n 's/^[^:]*: Violated(\([A-Za-z]*\)): /\1: /p' "$work/said" | head -n 1 | cut -c1-160)" ;;
      *) cat "$work/progress" >&2; die "$case could not be run" ;;
    esac
  done
done
exit $missed

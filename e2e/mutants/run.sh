#!/usr/bin/env bash
# Removes one guard at a time, and checks that the fault sweep or the adversary detects this.
#
#   run.sh                        all mutants
#   run.sh no-crd-guard ...       only these
#
# A mutant is a patch. The lines above the patch name the checks that must detect it:
#   Caught-by: CASE               a case of the sweep, which must be violated; may occur several times
#   Broken-by: ORACLE FLAGS       the oracle that a sequence must break when the adversary runs with these flags
# Exit status: 0 if all mutants were caught, 1 if one was not, 2 if a mutant could not be tested.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$top/target}
built=$target/mutants/debug
# Always the same folder, so that cargo compiles only the changed code again.
copy=$target/mutants/tree
say() { printf '%s\n' "mutants: $*" >&2; }
die() { say "$*"; exit 2; }
caught() { printf '%-38s caught by %s\n' "$1" "$2"; }

[ -x "$target/debug/sweep" ] || die "the sweep is not built: run 'make mutants', which builds it"
work=$(mktemp -d)
trap 'rm -rf "$work" "$copy"' EXIT

mutants=("$@")
if [ ${#mutants[@]} -eq 0 ]; then
  for patch in "$here"/*.patch; do mutants+=("$(basename "$patch" .patch)"); done
fi

# Runs a check with the operator that lacks the guard, and returns its exit status. A status of 2 or more ends this script.
run() {
  local status=0
  DSPACE_OPERATOR_BIN=$built/developerspace-operator "$@" >"$work/said" 2>"$work/progress" || status=$?
  [ "$status" -lt 2 ] || { cat "$work/progress" >&2; die "'$*' could not be run"; }
  return "$status"
}

missed=0
for mutant in "${mutants[@]}"; do
  patch=$here/$mutant.patch
  [ -f "$patch" ] || die "there is no mutant $mutant: e2e/mutants holds $(cd "$here" && echo ./*.patch)"
  rm -rf "$copy"
  mkdir -p "$copy"
  # The files get the current modification time, which cargo compares: a file that the previous mutant changed must be compiled again.
  (cd "$top" && git ls-files -z | tar --create --null --files-from - | tar --extract --touch --directory "$copy")
  (cd "$copy" && git init --quiet && git apply "$patch") || die "$mutant.patch does not fit the code any more: take the guard away by hand and write the patch again"
  say "$mutant: building without the guard"
  mapfile -t cases < <(sed -n 's/^Caught-by: //p' "$patch")
  mapfile -t runs < <(sed -n 's/^Broken-by: //p' "$patch")
  bins=(--bin developerspace-operator)
  # The adversary contains the controller, and starts its own cluster.
  [ ${#runs[@]} -eq 0 ] || bins+=(--bin adversary --bin dspace-cluster)
  (cd "$copy" && CARGO_TARGET_DIR=$target/mutants cargo build --quiet --workspace "${bins[@]}") 2>"$work/progress" \
    || { cat "$work/progress" >&2; die "$mutant does not build"; }
  for case in "${cases[@]}"; do
    if run "$target/debug/sweep" --short --case "$case"; then
      say "$mutant: NOT caught by $case"; missed=1
    else
      caught "$mutant" "$case: $(sed -n 's/^[^:]*: Violated(\([A-Za-z]*\)): /\1: /p' "$work/said" | head -n 1 | cut -c1-160)"
    fi
  done
  for line in "${runs[@]}"; do
    read -r oracle flags <<<"$line"
    read -ra flags <<<"$flags"
    if ! run "$built/adversary" --first "${flags[@]}" && grep -q "broke $oracle:" "$work/said"; then
      caught "$mutant" "the adversary, after $(sed -n 's/^\([0-9]*\) sequences judged .*/\1/p' "$work/said") sequences (${flags[*]}): $(grep -m 1 "broke $oracle:" "$work/said" | cut -c1-200)"
    else
      say "$mutant: the adversary did NOT break $oracle with ${flags[*]}: $(tail -n 1 "$work/said")"; missed=1
    fi
  done
done
exit $missed

#!/usr/bin/env bash
# Takes one guard away at a time, and demands that the fault sweep or the adversary notices.
#
#   run.sh                        all mutants
#   run.sh no-crd-guard ...       just these
#
# A mutant is a patch. The lines above it name what has to notice:
#   Caught-by: CASE               a case of the sweep, which must be violated; may be given several times
#   Broken-by: ORACLE FLAGS       the oracle that a sequence of the adversary must break, when it is run with these flags
# Exit status: 0 all were caught, 1 one was not, 2 it could not be found out.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$top/target}
built=$target/mutants/debug
# Always the same folder, so that only the changed code is compiled again.
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

# Runs what has to notice, with the operator that lacks its guard. Returns its exit status; 2 and more are an end of everything.
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
  # With the time of now: cargo goes by it, and a file without a guard that the one before changed must be compiled again.
  (cd "$top" && git ls-files -z | tar --create --null --files-from - | tar --extract --touch --directory "$copy")
  (cd "$copy" && git init --quiet && git apply "$patch") || die "$mutant.patch does not fit the code any more: take the guard away by hand and write the patch again"
  say "$mutant: building without the guard"
  (cd "$copy" && CARGO_TARGET_DIR=$target/mutants cargo build --quiet --workspace --bin developerspace-operator --bin adversary --bin dspace-cluster) 2>"$work/progress" \
    || { cat "$work/progress" >&2; die "$mutant does not build"; }
  mapfile -t cases < <(sed -n 's/^Caught-by: //p' "$patch")
  for case in "${cases[@]}"; do
    if run "$target/debug/sweep" --short --case "$case"; then
      say "$mutant: NOT caught by $case"; missed=1
    else
      caught "$mutant" "$case: $(sed -n 's/^[^:]*: Violated(\([A-Za-z]*\)): /\1: /p' "$work/said" | head -n 1 | cut -c1-160)"
    fi
  done
  mapfile -t runs < <(sed -n 's/^Broken-by: //p' "$patch")
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

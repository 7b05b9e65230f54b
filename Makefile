# The tasks of this repository. Run `make` without arguments to list the targets.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# debug builds fastest; PROFILE=release builds the shipped binaries.
PROFILE ?= debug
# Each test of e2e has its own control plane, which keeps about one core busy.
E2E_THREADS ?= 2
# The number of seconds that `make fuzz` spends on each target.
FUZZ_SECONDS ?= 60
# Arguments of `make sweep`, such as --case ID; --help lists them.
SWEEP_ARGS ?=
# Arguments of `make bench`, such as --only B1; --help lists them.
BENCH_ARGS ?=

CARGO ?= cargo
# cargo-fuzz needs a nightly compiler for the sanitizer, regardless of rust-toolchain.toml.
FUZZ := $(CARGO) +nightly fuzz
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET_DIR)/$(PROFILE)
CARGO_PROFILE := $(if $(filter release,$(PROFILE)),--release)
# The operator is shipped with jemalloc (docs/adr/0004). The targets that run it build it as shipped; a plain `cargo test` needs no C build of jemalloc.
SHIPPED := --features developerspace-operator/jemalloc
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
SCRIPTS := .ci/run .ci/commit-messages .ci/lint-workflows .githooks/commit-msg e2e/tests/onboard/kubectl-oidc_login.sh config/krew/build.sh e2e/controlplane/build.sh e2e/mutants/run.sh

# `crds` prints several YAML documents; each is written to a file with the name of its plural, in the folder $(1).
write_crds = $(CARGO) run -q $(SHIPPED) --bin developerspace-operator -- crds | awk -v folder="$(1)" ' \
	/^---/ { n++; next } \
	/^    plural: / { file[n] = folder "/" $$2 ".yaml"; found = 1 } \
	{ text[n] = text[n] $$0 "\n" } \
	END { for (i in file) printf "%s", text[i] > file[i]; if (!found) exit 1 }'

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Build

.PHONY: build
build: need-cargo ## Build the programs (PROFILE=release for the shipped binaries)
	$(CARGO) build $(CARGO_PROFILE) $(SHIPPED)

.PHONY: plugin
plugin: need-cargo ## Build the kubectl plugin with the release profile
	$(CARGO) build --release --bin kubectl-dspace
	@echo "Put $(TARGET_DIR)/release/kubectl-dspace on your PATH: kubectl dspace"

.PHONY: krew
krew: plugin ## Package the kubectl plugin for krew, for the platform of this machine
	@config/krew/build.sh $(TARGET_DIR)/release/kubectl-dspace $(TARGET_DIR)/krew $(VERSION) $(RELEASE_URL)

.PHONY: generate
generate: need-cargo ## Generate the CRDs in crds/ and config/crd/ from the Rust types
	$(call write_crds,crds)
	@cp crds/*.yaml config/crd/

.PHONY: check-generated
check-generated: need-cargo ## Fail if crds/ or config/crd/ differs from the output of `make generate`
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(call write_crds,$$fresh); \
	for file in "$$fresh"/*.yaml; do \
	  for folder in crds config/crd; do \
	    diff -u "$$folder/$$(basename "$$file")" "$$file" || { echo "$$folder is out of date: run 'make generate' and commit the result" >&2; exit 1; }; \
	  done; \
	done

.PHONY: clean
clean: demo-down ## Remove the build output of this checkout (not the control plane, which all checkouts share)
	$(CARGO) clean
	rm -rf .demo

##@ Check

.PHONY: fmt
fmt: need-cargo ## Format the code
	$(CARGO) fmt --all

.PHONY: lint
lint: need-cargo need-deny ## Check format, clippy, documentation, wording, licences, scripts, workflows and commit messages
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets $(SHIPPED) -- -D warnings
	RUSTDOCFLAGS='-D warnings --document-private-items' $(CARGO) doc --workspace --no-deps --quiet $(SHIPPED)
	$(CARGO) test --workspace --quiet $(SHIPPED) --test plain_english --test architecture
	$(CARGO) fetch --locked --quiet
	$(CARGO) deny --offline --log-level error check bans licenses sources
	@for mutant in e2e/mutants/*.patch; do git apply --check "$$mutant" || { echo "$$mutant does not fit the code any more: remove the guard by hand and create the patch again"; exit 1; }; done
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); \
	else echo "shellcheck is not installed, so the shell scripts are not checked (Debian: apt-get install shellcheck)"; fi
	@.ci/lint-workflows $(TARGET_DIR)/ci
	@.ci/commit-messages

.PHONY: test
test: need-cargo controlplane ## Run all tests: unit tests, and the scenarios on a real API server
	$(CARGO) build --workspace --bins $(SHIPPED)
	$(CARGO) test --workspace $(SHIPPED) -- --test-threads=$(E2E_THREADS)
	@$(MAKE) --no-print-directory check-generated

.PHONY: test-unit
test-unit: need-cargo ## Run the tests that need no API server
	$(CARGO) test

.PHONY: test-e2e
test-e2e: need-cargo controlplane ## Run the scenarios on a real API server (TEST=name runs those of one file)
	$(CARGO) build --workspace --bins $(SHIPPED)
	$(CARGO) test -p e2e $(SHIPPED) $(if $(TEST),--test $(TEST)) -- --test-threads=$(E2E_THREADS)

.PHONY: advisories
advisories: need-deny ## Check the dependencies for known vulnerabilities (needs the network; not part of lint)
	$(CARGO) deny check advisories

.PHONY: coverage
coverage: need-coverage ## Measure which lines the tests without an API server run; the report goes to target/llvm-cov
	$(CARGO) llvm-cov --no-report
	$(CARGO) llvm-cov report --html
	@$(CARGO) llvm-cov report --summary-only
	@echo "Open $(TARGET_DIR)/llvm-cov/html/index.html"

.PHONY: hooks
hooks: ## Let git check each commit message in this checkout (CONTRIBUTING.md describes them)
	git config core.hooksPath .githooks

.PHONY: sweep
sweep: need-cargo controlplane ## Interrupt every write with every fault and check the result (SWEEP_ARGS='--bounded': ten to twenty minutes)
	$(CARGO) build --workspace --bins $(CARGO_PROFILE) $(SHIPPED)
	@$(BIN)/sweep $(SWEEP_ARGS)

.PHONY: adversary
adversary: need-cargo controlplane ## Run sequences of user requests in any order and check each step (an hour); records go to docs/reliability
	$(CARGO) build --release --workspace --bins $(SHIPPED)
	@$(TARGET_DIR)/release/adversary --sequences 50000 --record docs/reliability/adversary-memory.json
	@$(TARGET_DIR)/release/adversary --real --sequences 3000 --record docs/reliability/adversary-real.json

.PHONY: bench
bench: bench-build ## Compare the operator with a raw client, B1 to B8 (one hour to more than two); results go to docs/performance
	@$(TARGET_DIR)/release/bench $(BENCH_ARGS)

.PHONY: bench-quick
bench-quick: bench-build ## Run the same comparison with fewer spaces, once each, in less than ten minutes; keeps no results
	@$(TARGET_DIR)/release/bench --quick $(BENCH_ARGS)

.PHONY: profile
profile: need-cargo controlplane ## Draw the operator's use of CPU time and memory (Linux with perf and heaptrack); results go to docs/performance
	@echo "Building the operator with symbols and the system's allocator; some minutes the first time" >&2
	RUSTFLAGS="-C force-frame-pointers=yes" $(CARGO) build --profile profiling --workspace --bins --target-dir $(TARGET_DIR)/profiling
	@$(TARGET_DIR)/profiling/profiling/bench --spaces 2000 --profile docs/performance

.PHONY: bench-build
bench-build: need-cargo controlplane
	@echo "Building the operator and the benchmark as they are shipped; some minutes the first time" >&2
	$(CARGO) build --release --workspace --bins $(SHIPPED)

.PHONY: mutants
mutants: need-cargo controlplane ## Remove one guard at a time: the fault sweep or the adversary must detect each (ten minutes)
	$(CARGO) build --workspace --bins $(SHIPPED)
	@e2e/mutants/run.sh

.PHONY: fuzz
fuzz: need-fuzz ## Fuzz the parsers and the decisions (FUZZ_SECONDS=60 for each target)
	@for target in $$(cd fuzz && $(FUZZ) list); do \
	  echo "$$target, $(FUZZ_SECONDS) seconds"; mkdir -p "fuzz/corpus/$$target"; \
	  $(FUZZ) run --fuzz-dir fuzz "$$target" "fuzz/corpus/$$target" "fuzz/seeds/$$target" -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 \
	    2>&1 | grep -av "^#\|# Uses:"; \
	done

.PHONY: controlplane
controlplane: ## Build the API server and its helpers once (ten minutes; kept in ~/.cache)
	@e2e/controlplane/build.sh >/dev/null

##@ Try

.PHONY: demo
demo: need-cargo ## Demonstrate the operator on a new cluster (DEMO_KUBECONFIG=file: on your own cluster)
	@echo "Building the operator (some minutes the first time) ..."
	@$(CARGO) build --workspace --bins $(CARGO_PROFILE) $(SHIPPED) --quiet
	@$(BIN)/demo up

.PHONY: demo-down
demo-down: ## Stop everything that the demo left running
	@if [ -x $(BIN)/demo ]; then $(BIN)/demo down; else echo "The demo is not built, so nothing of it is running here."; fi

# Checks for required tools. Each check prints how to install a missing tool, or installs it.

.PHONY: need-cargo
need-cargo:
	@command -v $(CARGO) >/dev/null || { echo "Rust is needed: install rustup (see the Rust project's page); rust-toolchain.toml then picks the version" >&2; exit 1; }

.PHONY: need-deny
need-deny: need-cargo
	@$(CARGO) deny --version >/dev/null 2>&1 || { echo "Installing cargo-deny, which checks licences and sources (some minutes, once) ..." >&2; $(CARGO) install --locked --quiet cargo-deny; }

.PHONY: need-coverage
need-coverage: need-cargo
	@$(CARGO) llvm-cov --version >/dev/null 2>&1 || { echo "Coverage needs cargo-llvm-cov: rustup component add llvm-tools-preview && cargo install --locked cargo-llvm-cov" >&2; exit 1; }

.PHONY: need-fuzz
need-fuzz: need-cargo
	@$(FUZZ) --version >/dev/null 2>&1 || { echo "Fuzzing needs a nightly compiler and cargo-fuzz: rustup toolchain install nightly --profile minimal && cargo install --locked cargo-fuzz" >&2; exit 1; }

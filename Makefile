# `make help` lists the targets. Everything that is built or downloaded goes into one cache outside
# the checkout, so that a second checkout finds it.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# As tests/harness finds it; a machine without HOME keeps all of it in the checkout.
ifeq ($(strip $(FAIRLEAD_CACHE)$(XDG_CACHE_HOME)$(HOME)),)
export FAIRLEAD_CACHE := $(CURDIR)/target/cache
endif
CACHE := $(or $(FAIRLEAD_CACHE),$(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME)/fairlead,$(HOME)/.cache/fairlead))
ifeq ($(strip $(CARGO_TARGET_DIR)),)
CARGO_TARGET_DIR := $(CACHE)/target
endif
export CARGO_TARGET_DIR

BIN := $(CARGO_TARGET_DIR)/debug
# One selection of packages for all: what one target has compiled, the next one finds.
BUILD := cargo build --locked --workspace --bins
# End-to-end tests wait more than they work: on two cores, six at a time take half as long as two.
THREADS := $$((3 * $$(getconf _NPROCESSORS_ONLN)))
# Those that wait most, for time that has to pass. They run beside the others.
WAITING := explain outage rds traces
# It judges times of seconds, and runs alone.
ALONE := ha
SUITES := $(basename $(notdir $(wildcard tests/*.rs tests/harness/tests/*.rs))) \
	$(notdir $(patsubst %/main.rs,%,$(wildcard tests/*/main.rs tests/harness/tests/*/main.rs)))
WORKING := $(filter-out $(WAITING) $(ALONE),$(SUITES))
SUITE := RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$(THREADS)} cargo test --locked --workspace
# deploy/prometheus/rules.yaml, for the Prometheus operator.
PROMETHEUSRULE := printf '%s\n' '\# Made from rules.yaml by `make generate`: change that one.' \
	'apiVersion: monitoring.coreos.com/v1' 'kind: PrometheusRule' 'metadata:' '  name: fairlead' \
	'  namespace: fairlead-system' '  labels:' '    app.kubernetes.io/name: fairlead' 'spec:' && \
	sed -n '/^groups:/,$$ { s/^./  &/; p; }' deploy/prometheus/rules.yaml

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | while IFS='	' read -r target what; do \
		printf '  make %-16s %s\n' "$$target" "$$what"; done

.PHONY: build
build: ## Build the operator and the test support
	$(BUILD)

.PHONY: demo
demo: build ## Show the operator at work on this machine; ONCE=1 ends by itself
	@$(BIN)/fairlead-harness demo $(if $(filter-out 0 no false,$(ONCE)),--once)

.PHONY: test
test: tools ## Run all tests: unit, property, CRD and end to end
	cargo test --locked --workspace --no-run
	@$(MAKE) --no-print-directory --jobs=2 --keep-going test-waiting test-working
	$(SUITE) $(addprefix --test ,$(ALONE))

.PHONY: test-waiting test-working
test-waiting:
	$(SUITE) --no-fail-fast $(addprefix --test ,$(WAITING))

test-working:
	$(SUITE) --no-fail-fast --lib --bins $(addprefix --test ,$(WORKING))
	cargo test --locked --workspace --doc

.PHONY: soak
soak: tools ## Replicas at length: each hand-over 20 times (RUNS=), the model deeper (DEPTH=), more seeds (SEEDS=)
	FAIRLEAD_SOAK_RUNS=$(or $(RUNS),20) cargo test --locked --workspace --test ha -- --nocapture --test-threads=1
	FAIRLEAD_MODEL_DEPTH=$(or $(DEPTH),18) cargo test --locked --profile bench --lib in_the_long_run -- --nocapture
	FAIRLEAD_SIMULATION_SEEDS=$(or $(SEEDS),5000) cargo test --locked --profile bench --lib simulation -- --nocapture

.PHONY: bench
bench: tools ## Measure: the scheduler, and the whole process at scale, replicas, traces (about 20 minutes)
	cargo bench --locked

.PHONY: lint
lint: ## Check the format, and run clippy with warnings denied
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

.PHONY: generate
generate: build ## Write deploy/crds, docs/configuration.md, docs/metrics.md and the PrometheusRule anew
	@$(BIN)/fairlead crds --output-dir deploy/crds
	@$(BIN)/fairlead config --markdown > docs/configuration.md.new
	@mv docs/configuration.md.new docs/configuration.md
	@$(BIN)/fairlead metrics --markdown > docs/metrics.md.new
	@mv docs/metrics.md.new docs/metrics.md
	@{ $(PROMETHEUSRULE); } > deploy/prometheus/prometheusrule.yaml

.PHONY: check-generated
check-generated: build ## Fail where a generated file is stale, and show how
	@new=$$(mktemp -d) && trap 'rm -rf "$$new"' EXIT && mkdir "$$new/crds" && \
	$(BIN)/fairlead crds --output-dir "$$new/crds" && \
	$(BIN)/fairlead config --markdown > "$$new/configuration.md" && \
	$(BIN)/fairlead metrics --markdown > "$$new/metrics.md" && \
	{ $(PROMETHEUSRULE); } > "$$new/prometheusrule.yaml" && \
	stale=0 && \
	{ diff -ru deploy/crds "$$new/crds" || stale=1; } && \
	{ diff -u docs/configuration.md "$$new/configuration.md" || stale=1; } && \
	{ diff -u docs/metrics.md "$$new/metrics.md" || stale=1; } && \
	{ diff -u deploy/prometheus/prometheusrule.yaml "$$new/prometheusrule.yaml" || stale=1; } && \
	if [ $$stale = 1 ]; then echo 'generated files are stale: run `make generate`' >&2; exit 1; fi

.PHONY: tools
tools: build ## Build and install what the tests run on, into the cache
	@$(BIN)/fairlead-harness setup

.PHONY: clean-cache
clean-cache: ## Remove all that was built or installed (the next run starts cold)
	rm -rf '$(CARGO_TARGET_DIR)' '$(CACHE)/tools' '$(CACHE)/ports'

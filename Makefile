# `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help faults chaos demo test check fmt deny crds image plugin e2e cluster-parts cluster-up cluster-down

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## See an army at work: here at once, then on a real local cluster
	@examples/demo

test: ## Run the tests, the test cluster included, but faults and chaos
	@tests/cluster/install || echo "what is lacking here is skipped below, and said there"
	@tests/run

check: ## Compile and lint, quickly
	cargo clippy --workspace --all-targets -- -D warnings

fmt: ## Format the sources
	cargo fmt --all

deny: ## Check licences, bans and sources of dependencies
	tests/tools/cargo-deny check bans licenses sources

crds: ## Write the definition of the kinds anew
	cargo run --quiet -p botarmy-crds -- crds

image: ## Build the image of operator and runner, without a daemon
	operator/image/build

plugin: ## Build kubectl botarmy, the plugin of kubectl
	cargo build --release --package botarmy-kubectl
	@echo "built: $${CARGO_TARGET_DIR:-target}/release/kubectl-botarmy; kubectl finds it in any folder of PATH:"
	@echo "  install $${CARGO_TARGET_DIR:-target}/release/kubectl-botarmy /usr/local/bin/"

e2e: ## Run only the end-to-end tests
	tests/e2e/run

faults: ## The end-to-end tests with those that take minutes
	@BOTARMY_FAULTS=long tests/e2e/run

chaos: ## Faults at random for 20 minutes (BOTARMY_CHAOS_SEED, BOTARMY_CHAOS_MINUTES)
	@tests/e2e/run chaos

cluster-parts: ## Build the programs of the test cluster (once, 15 to 20 minutes)
	tests/cluster/build

cluster-up: ## Start a real local Kubernetes in a network namespace
	tests/cluster/up

cluster-down: ## Stop it and take everything away
	tests/cluster/down

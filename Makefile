# `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help test check fmt deny cluster-parts cluster-up cluster-down

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## Run every test there is, the test cluster included
	@tests/cluster/install
	@tests/run

check: ## Compile and lint, quickly
	cargo clippy --workspace --all-targets -- -D warnings

fmt: ## Format the sources
	cargo fmt --all

deny: ## Check licences, bans and sources of dependencies
	tests/tools/cargo-deny check bans licenses sources

cluster-parts: ## Build the programs of the test cluster (once, 15 to 20 minutes)
	tests/cluster/build

cluster-up: ## Start a real local Kubernetes in a network namespace
	tests/cluster/up

cluster-down: ## Stop it and take everything away
	tests/cluster/down

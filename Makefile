# Targets are verbs on the whole workspace; what they do is in scripts/.

.DEFAULT_GOAL := help
.PHONY: help demo smoke test fmt lint check bench-decide clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: ## start three backends behind lb on this machine, until Ctrl-C
	@scripts/bootstrap.sh demo
	@scripts/demo.sh

smoke: ## start the same, check it with real requests, stop it
	@scripts/bootstrap.sh demo
	@scripts/demo.sh smoke

test: ## every test of the scripts and of the crates
	@scripts/bootstrap.sh test
	@certs/make-dev.sh
	@scripts/test-bootstrap.sh
	cargo test --workspace

fmt: ## format the code
	cargo fmt --all

lint: ## clippy, warnings are errors
	cargo clippy --workspace --all-targets -- -D warnings

check: ## what has to pass before a push: format, lint, test, smoke
	@.ci/run

bench-decide: ## the cost of one decision
	@scripts/bootstrap.sh bench
	cargo bench -p lb --bench decide

clean: ## remove what was built (the development certificates stay)
	cargo clean

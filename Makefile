# Targets are verbs on the whole workspace; what they do is in scripts/.

.DEFAULT_GOAL := help

# What is built is always the whole workspace: a package by itself has fewer features of
# the crates that it shares with others, and all of those would be built once more.
debug = $${CARGO_TARGET_DIR:-target}/debug
.PHONY: help demo smoke fleet fleet-stop fleet-status fleet-logs test test-browser test-openapi test-k8s-manifests fmt lint check h2spec test-bench bench bench-readme bench-instructions bench-decide bench-pick bench-idle bench-tls bench-slow load-k6 load-ab load-10k load-cached chaos chaos-quick chaos-readme soak release release-lb clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' Makefile

demo: ## start three backends behind lb on this machine, until Ctrl-C
	@scripts/bootstrap.sh demo
	@scripts/demo.sh

smoke: ## start the same, check it with real requests, stop it
	@scripts/bootstrap.sh demo
	@scripts/demo.sh smoke

# FRESH=1 throws away the data of the last time.
fleet: ## the whole system: PostgreSQL, Redis, backends, frontends and lb; stays until fleet-stop
	@scripts/bootstrap.sh fleet
	@certs/make-dev.sh >/dev/null
	@cargo build --quiet --workspace --bins
	@$(debug)/fleet up $(if $(FRESH),--fresh)

fleet-stop: ## stop what make fleet started; its data stays in target/fleet
	@test -x $(debug)/fleet || cargo build --quiet -p fleet
	@$(debug)/fleet stop

fleet-status: ## what of it runs
	@test -x $(debug)/fleet || cargo build --quiet -p fleet
	@$(debug)/fleet status

fleet-logs: ## follow the logs of all of it
	@tail -n 5 -F target/fleet/logs/*.log

test: ## every test of the scripts and of the crates
	@scripts/bootstrap.sh test
	@certs/make-dev.sh
	@scripts/test-bootstrap.sh
	@scripts/test-load.sh
	@python3 -m unittest discover --start-directory loadtests/tests
	@python3 -m unittest discover --start-directory loadtests/bench
	cargo test --workspace
	@BACKEND=$(debug)/backend scripts/test-openapi.sh
	@scripts/test-monitoring.sh
	@scripts/test-compose.sh
	@scripts/test-k8s-manifests.sh
	@scripts/test-browser.sh

test-browser: ## the web page in Chromium, behind lb (SCREENSHOT=1: also makes docs/frontend.png anew)
	@scripts/bootstrap.sh test
	cargo build --workspace --bins
	@scripts/test-browser.sh $(if $(SCREENSHOT),--screenshot)

test-openapi: ## requests made up of the API's description, good and bad (URL=http://… of a backend that runs)
	@scripts/bootstrap.sh test
	@scripts/test-openapi.sh $(URL)

test-k8s-manifests: ## the manifests of k8s/, without a cluster: each overlay is built and checked
	@scripts/bootstrap.sh test
	@$(if $(and $(LB_BIN),$(BACKEND_BIN)),true,cargo build --workspace --bins)
	@scripts/test-k8s-manifests.sh

fmt: ## format the code
	cargo fmt --all

lint: ## clippy, warnings are errors
	cargo clippy --workspace --all-targets -- -D warnings

check: ## what has to pass before a push: format, lint, test, smoke
	@.ci/run

h2spec: ## the conformance tests of HTTP/2, against lb over TLS
	@scripts/bootstrap.sh test
	@$(if $(LB),true,cargo build -p lb)
	@scripts/h2spec.sh

bench: release ## lb, nginx and haproxy side by side: CPU per request and more; ~25 minutes
	@python3 loadtests/bench/bench.py

bench-readme: ## put the table of the latest bench into README.md
	@python3 loadtests/bench/report.py readme loadtests/results/bench.json README.md

bench-instructions: release-lb ## instructions per request against the recorded ones (RECORD=1 records)
	@python3 loadtests/bench/instructions.py $(if $(RECORD),--record)

test-bench: ## the tests of bench's arithmetic
	@python3 -m unittest discover -s loadtests/bench

bench-decide: ## the cost of one decision
	@scripts/bootstrap.sh bench
	cargo bench -p lb --bench decide

bench-pick: ## the cost of choosing an endpoint, by how many there are
	@scripts/bootstrap.sh bench
	cargo bench -p lb --bench pick

bench-idle: release ## memory of idle connections, beside nginx and haproxy
	@loadtests/idle-memory.sh

bench-tls: release ## times beside thousands of open TLS connections
	@loadtests/many-tls.sh

bench-slow: release ## times beside clients that send a byte a second
	@loadtests/slow-clients.sh

# The demo under load; of lb and the backends the release builds, unless BUILD says debug,
# or LB_BIN and BACKEND_BIN say which.
load-k6: ## users, logins and WebSockets with k6 (K6_QUICK=1: half a minute)
	@scripts/bootstrap.sh demo
	@scripts/k6.sh version
	@BUILD=$${BUILD:-release} scripts/demo.sh run-with config/load-test.yaml -- scripts/k6.sh run loadtests/k6/load-test.js

load-ab: ## 100 000 requests, a thousand at once, with ApacheBench
	@loadtests/ab.sh

load-10k: ## 10 000 keep-alive clients at once, for a minute
	@loadtests/ten-thousand.sh

load-cached: ## a user from the cache beside /health, through lb: the ratio of requests a second
	@scripts/bootstrap.sh bench
	@scripts/bootstrap.sh fleet
	@certs/make-dev.sh
	cargo build --release -p lb -p backend -p fleet
	@python3 loadtests/cached_read.py $(built)/lb $(built)/backend $(built)/fleet loadtests/results/cached-read.json

# Of lb and backend the release builds, or those that LB and BACKEND name (both).
built = $${CARGO_TARGET_DIR:-target}/release
chaos = cargo run -p chaos -- --lb "$(or $(LB),$(built)/lb)" --backend "$(or $(BACKEND),$(built)/backend)"

chaos: release ## break backends, network and lb itself under load; ~5 minutes
	$(chaos) --results loadtests/results

chaos-readme: ## put the table of the latest chaos run into README.md and docs/operations.md
	@python3 loadtests/chaos_table.py loadtests/results/chaos.md README.md docs/operations.md

chaos-quick: ## the same in a minute and a half, with debug builds
	@scripts/bootstrap.sh demo
	cargo build --workspace --bins
	$(debug)/chaos --quick

soak: release ## all kinds of clients for MINUTES (30); what has grown at the end
	$(chaos) --results loadtests/results soak --minutes $(or $(MINUTES),30)

# Not needed for an lb that was built elsewhere: make bench-idle LB=path/to/lb
release:
	@$(if $(LB),true,scripts/bootstrap.sh bench && cargo build --release -p lb -p backend)

release-lb:
	@scripts/bootstrap.sh test
	@$(if $(LB),true,cargo build --release -p lb)

clean: ## remove what was built (the development certificates stay)
	cargo clean

#!/usr/bin/env bash
#
# Tests k8s/ and lb's discovery with a real API server (scripts/k8s-cluster.sh, which says what
# it takes): every overlay is accepted, its pods are made, its Services find them, lb's account
# may do what it has to and no more; and lb follows Services while they change and the API
# server comes and goes (the test program "kubernetes", which make test runs with a stub).
#
#   LB_BIN   the lb that runs as in its pod (the debug build)
#
# Not part of make test: the programs of the API server are built once, which takes long.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

work=
cluster= # the process that has it
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

clean_up() {
    local code=$?
    trap '' HUP INT TERM
    if [[ -n $cluster ]]; then
        kill -TERM "$cluster" 2>/dev/null || true
        wait "$cluster" || true
    fi
    if [[ -n $work ]]; then
        rm -rf -- "$work"
    fi
    exit "$code"
}

main() {
    local python
    # First what takes longest, and may be missing.
    scripts/kubernetes.sh >/dev/null
    python=$(scripts/python-with-yaml.sh)
    work=$(mktemp -d)
    scripts/k8s-manifests.sh "$work"
    # There is no network where the tests run.
    cargo test --workspace --test kubernetes --no-run

    export MANIFESTS=$work LB_BIN=${LB_BIN:-${CARGO_TARGET_DIR:-target}/debug/lb}
    export CARGO_NET_OFFLINE=true PYTHONDONTWRITEBYTECODE=1
    in_cluster "$python" -m unittest --verbose scripts/tests/test_k8s_cluster.py
    in_cluster cargo test --workspace --test kubernetes -- anywhere::
    echo "test-k8s: passed, ${SECONDS}s"
}

# Each in a new one. In the background and waited for, so that a signal is obeyed at once.
in_cluster() {
    echo "test-k8s: in a cluster of its own: $*"
    scripts/k8s-cluster.sh run "$@" &
    cluster=$!
    wait "$cluster"
    cluster=
}

main

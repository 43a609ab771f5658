#!/usr/bin/env bash
#
# Tests the manifests of k8s/ without a cluster: kustomize builds each overlay, lb accepts
# its configuration, a backend starts with its settings and answers its probes, selectors,
# labels, ports, names, rights and times fit each other, and the Prometheus Adapter's rule
# says what the autoscaler is meant to hear.
#
#   LB_BIN, BACKEND_BIN   the programs to ask (the debug builds)
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

programs=${CARGO_TARGET_DIR:-target}/debug
export LB_BIN=${LB_BIN:-$programs/lb} BACKEND_BIN=${BACKEND_BIN:-$programs/backend}

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

main() {
    local program python
    if ! command -v promtool >/dev/null; then
        echo "test-k8s-manifests: promtool is missing: scripts/bootstrap.sh test" >&2
        exit 1
    fi
    for program in "$LB_BIN" "$BACKEND_BIN"; do
        if [[ ! -x $program ]]; then
            echo "test-k8s-manifests: $program is missing: cargo build -p lb -p backend" >&2
            exit 1
        fi
    done
    export MANIFESTS=$work/manifests TLS_DIRECTORY=$work/tls
    mkdir -- "$MANIFESTS" "$TLS_DIRECTORY"
    scripts/k8s-manifests.sh "$MANIFESTS"

    certs/make-dev.sh >/dev/null
    cp -- certs/dev/api.pem "$TLS_DIRECTORY/tls.crt"
    cp -- certs/dev/api.key "$TLS_DIRECTORY/tls.key"
    python=$(scripts/python-with-yaml.sh)
    "$python" -m unittest scripts/tests/test_k8s{,_discovery,_scaling,_programs}.py
}

main

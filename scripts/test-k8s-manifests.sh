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
    local program python overlay
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
    for overlay in k8s/overlays/*; do
        build "$overlay" "${overlay##*/}"
    done
    build_with monitored pod-monitor scale-by-requests
    build_with by-dns discovery-by-dns

    certs/make-dev.sh >/dev/null
    cp -- certs/dev/api.pem "$TLS_DIRECTORY/tls.crt"
    cp -- certs/dev/api.key "$TLS_DIRECTORY/tls.key"
    python=$(scripts/python-with-yaml.sh)
    "$python" -m unittest scripts/tests/test_k8s{,_discovery,_scaling,_programs}.py
}

build() {
    scripts/kustomize.sh build "$1" >"$MANIFESTS/$2.yaml" 2>"$work/kustomize.log" || fail "kustomize build $1"
    # It warns of what it will not understand one day.
    if grep -qi warning "$work/kustomize.log"; then
        fail "kustomize build $1 warns"
    fi
}

# The production overlay under another name, with components. kustomize takes relative paths
# only.
build_with() {
    local name=$1 to_k8s component
    shift
    mkdir -- "$work/$name"
    to_k8s=$(realpath --relative-to="$work/$name" k8s)
    {
        echo 'apiVersion: kustomize.config.k8s.io/v1beta1'
        echo 'kind: Kustomization'
        echo "resources: [$to_k8s/overlays/production]"
        echo 'components:'
        for component in "$@"; do
            echo "  - $to_k8s/components/$component"
        done
    } >"$work/$name/kustomization.yaml"
    build "$work/$name" "$name"
}

fail() {
    echo "test-k8s-manifests: $1:" >&2
    cat -- "$work/kustomize.log" >&2
    exit 1
}

main

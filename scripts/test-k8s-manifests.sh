#!/usr/bin/env bash
#
# Tests the manifests of k8s/ without a cluster: kustomize builds each overlay, lb accepts
# its configuration, a backend starts with its settings and answers its probes, and
# selectors, labels, ports, names and times fit each other.
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
    for program in "$LB_BIN" "$BACKEND_BIN"; do
        if [[ ! -x $program ]]; then
            echo "test-k8s-manifests: $program is missing: cargo build -p lb -p backend" >&2
            exit 1
        fi
    done
    export MANIFESTS=$work/manifests TLS_DIRECTORY=$work/tls
    mkdir -- "$MANIFESTS" "$TLS_DIRECTORY" "$work/monitored"
    for overlay in k8s/overlays/*; do
        build "$overlay" "${overlay##*/}"
    done
    monitored >"$work/monitored/kustomization.yaml"
    build "$work/monitored" monitored

    certs/make-dev.sh >/dev/null
    cp -- certs/dev/api.pem "$TLS_DIRECTORY/tls.crt"
    cp -- certs/dev/api.key "$TLS_DIRECTORY/tls.key"
    python=$(scripts/python-with-yaml.sh)
    "$python" -m unittest scripts/tests/test_k8s.py scripts/tests/test_k8s_programs.py
}

build() {
    scripts/kustomize.sh build "$1" >"$MANIFESTS/$2.yaml" 2>"$work/kustomize.log" || fail "kustomize build $1"
    # It warns of what it will not understand one day.
    if grep -qi warning "$work/kustomize.log"; then
        fail "kustomize build $1 warns"
    fi
}

# The production overlay with its optional component. kustomize takes relative paths only.
monitored() {
    local to_k8s
    to_k8s=$(realpath --relative-to="$work/monitored" k8s)
    cat <<YAML
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [$to_k8s/overlays/production]
components: [$to_k8s/components/pod-monitor]
YAML
}

fail() {
    echo "test-k8s-manifests: $1:" >&2
    cat -- "$work/kustomize.log" >&2
    exit 1
}

main

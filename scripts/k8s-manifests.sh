#!/usr/bin/env bash
#
# Builds the manifests of k8s/ with kustomize, for the tests that look into them.
#
#   scripts/k8s-manifests.sh DIRECTORY     writes OVERLAY.yaml for each overlay; and
#                                          monitored.yaml and by-dns.yaml, which are
#                                          production with components
set -euo pipefail

directory=$(cd -- "$1" && pwd)
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

main() {
    local overlay
    for overlay in k8s/overlays/*; do
        build "$overlay" "${overlay##*/}"
    done
    build_with monitored pod-monitor scale-by-requests
    build_with by-dns discovery-by-dns
}

build() {
    scripts/kustomize.sh build "$1" >"$directory/$2.yaml" 2>"$work/kustomize.log" || fail "kustomize build $1"
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
    echo "k8s-manifests: $1:" >&2
    cat -- "$work/kustomize.log" >&2
    exit 1
}

main

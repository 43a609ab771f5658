#!/usr/bin/env bash
#
# Runs kustomize 5, which builds the manifests of k8s/.
#
#   scripts/kustomize.sh ARGUMENTS...      those of kustomize: build k8s/overlays/production
#   scripts/kustomize.sh version           only makes sure that there is one
#
# It is the kustomize that KUSTOMIZE names, or one on the PATH of version 5, or else one that
# is built with Go into target/tools, once.
set -euo pipefail

# Arguments are paths of whoever calls: the working directory stays.
tools=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)/target/tools

kustomize_version=v5.8.0
# As its go.mod says. A Go since 1.21 downloads the one that is asked for.
go_version=1.24

kustomize=

main() {
    if (($# == 0)); then
        echo "usage: scripts/kustomize.sh ARGUMENTS... (those of kustomize)" >&2
        exit 2
    fi
    find_kustomize
    exec "$kustomize" "$@"
}

find_kustomize() {
    if [[ -n ${KUSTOMIZE:-} ]]; then
        kustomize=$(command -v -- "$KUSTOMIZE") || fail "there is no $KUSTOMIZE, which KUSTOMIZE names"
        is_new_enough || fail "$KUSTOMIZE, which KUSTOMIZE names, is no kustomize 5"
        return
    fi
    local name
    for name in kustomize "$tools/kustomize"; do
        if kustomize=$(command -v -- "$name") && is_new_enough; then
            return
        fi
    done
    if ! command -v go >/dev/null; then
        fail "kustomize 5 is missing, and so is Go, which would build it"
    fi
    echo "kustomize: building kustomize $kustomize_version with Go into target/tools, once; this takes a minute or two" >&2
    if ! GOBIN=$tools go install "sigs.k8s.io/kustomize/kustomize/v5@$kustomize_version" >&2; then
        fail "kustomize was not built; the reason is above"
    fi
    kustomize=$tools/kustomize
}

# Version 4 prints a structure; "(devel)" is one that was built by hand.
is_new_enough() {
    [[ $("$kustomize" version 2>/dev/null) =~ ^(v[5-9]\.|\(devel\)) ]]
}

fail() {
    cat >&2 <<TEXT
kustomize: $1. Any of these will do:
  - Go $go_version or newer on the PATH (https://go.dev/dl), and the same command again
  - the same by hand:  GOBIN=\$PWD/target/tools go install sigs.k8s.io/kustomize/kustomize/v5@$kustomize_version
  - a release of kustomize 5 on the PATH: https://kubectl.docs.kubernetes.io/installation/kustomize/
  - KUSTOMIZE=path/to/kustomize
TEXT
    exit 1
}

main "$@"

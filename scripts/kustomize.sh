#!/usr/bin/env bash
#
# Runs kustomize 5, which builds the manifests of k8s/.
#
#   scripts/kustomize.sh ARGUMENTS...      those of kustomize: build k8s/overlays/production
#   scripts/kustomize.sh version           only makes sure that there is one
#   scripts/kustomize.sh --obtainable      only says whether there is one, or a Go to build it
#
# It is the kustomize that KUSTOMIZE names, or one on the PATH of version 5, or else one that
# is built with Go into target/tools, once.
set -euo pipefail

# Arguments are paths of whoever calls: the working directory stays.
tools=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)/target/tools

kustomize_version=v5.8.0
# Its go.mod asks for 1.24, which a Go since 1.21 downloads by itself.
go_minor=21

kustomize=

main() {
    if (($# == 0)); then
        echo "usage: scripts/kustomize.sh ARGUMENTS... (those of kustomize)" >&2
        exit 2
    fi
    if [[ $1 == --obtainable ]]; then
        find_kustomize || go_can_build
        return
    fi
    find_kustomize || build_kustomize
    exec "$kustomize" "$@"
}

find_kustomize() {
    if [[ -n ${KUSTOMIZE:-} ]]; then
        kustomize=$(command -v -- "$KUSTOMIZE") || fail "there is no $KUSTOMIZE, which KUSTOMIZE names"
        is_new_enough || fail "$KUSTOMIZE, which KUSTOMIZE names, is no kustomize 5"
        return 0
    fi
    local name
    for name in kustomize "$tools/kustomize"; do
        if kustomize=$(command -v -- "$name") && is_new_enough; then
            return 0
        fi
    done
    return 1
}

go_can_build() {
    local version
    if ! command -v go >/dev/null; then
        fail "kustomize 5 is missing, and so is Go, which would build it"
    fi
    version=$(go env GOVERSION)
    if [[ $version =~ ^go1\.([0-9]+) ]] && ((BASH_REMATCH[1] < go_minor)); then
        fail "kustomize 5 is missing, and this Go is too old to build it ($version)"
    fi
}

build_kustomize() {
    go_can_build
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
  - Go 1.$go_minor or newer on the PATH (https://go.dev/dl), and the same command again
  - the same by hand:  GOBIN=\$PWD/target/tools go install sigs.k8s.io/kustomize/kustomize/v5@$kustomize_version
  - a release of kustomize 5 on the PATH: https://kubectl.docs.kubernetes.io/installation/kustomize/
  - KUSTOMIZE=path/to/kustomize
TEXT
    exit 1
}

main "$@"

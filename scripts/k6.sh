#!/usr/bin/env bash
#
# Runs k6, the load generator of loadtests/k6.
#
#   scripts/k6.sh ARGUMENTS...          those of k6: run FILE, inspect FILE, …
#   scripts/k6.sh version               only makes sure that there is one
#
# It is the k6 that K6 names, or the one on the PATH, or else one that is built with
# Go into target/tools, once.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

k6_version=v1.8.1
# As its go.mod says. A Go since 1.21 downloads the one that is asked for.
go_version=1.25

k6=

main() {
    if (($# == 0)); then
        echo "usage: scripts/k6.sh ARGUMENTS... (those of k6)" >&2
        exit 2
    fi
    find_k6
    # Without being asked to, a test talks to what it tests and to nobody else.
    export K6_NO_USAGE_REPORT=${K6_NO_USAGE_REPORT:-true}
    exec "$k6" "$@"
}

find_k6() {
    local name
    for name in ${K6:+"$K6"} k6 "$PWD/target/tools/k6"; do
        if k6=$(command -v -- "$name"); then
            return
        fi
        if [[ -n ${K6:-} ]]; then
            fail "there is no $K6, which K6 names"
        fi
    done
    if ! command -v go >/dev/null; then
        fail "k6 is missing, and so is Go, which would build it"
    fi
    echo "k6: building k6 $k6_version with Go into target/tools, once; this takes minutes" >&2
    if ! GOBIN=$PWD/target/tools go install "go.k6.io/k6@$k6_version" >&2; then
        fail "k6 was not built; the reason is above"
    fi
    k6=$PWD/target/tools/k6
}

fail() {
    cat >&2 <<TEXT
k6: $1. Any of these will do:
  - Go $go_version or newer on the PATH (https://go.dev/dl), and the same command again
  - the same by hand:  GOBIN=\$PWD/target/tools go install go.k6.io/k6@$k6_version
  - a release of k6 on the PATH: https://grafana.com/docs/k6/latest/set-up/install-k6/
  - K6=path/to/k6
TEXT
    exit 1
}

main "$@"

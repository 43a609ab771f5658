#!/usr/bin/env bash
#
# ApacheBench against the demo: many requests, each on a connection of its own.
#
#   loadtests/ab.sh [REQUESTS] [CONCURRENCY] [OPTIONS OF ab...]
#                                                  (default: 100000 1000)
#
# Starts the demo with config/load-test.yaml, unless URL says what to ask instead. With
# -k connections are kept. Prints what ab prints; exits with 1 when a request failed or
# was not answered with 2xx, which ab itself does not call an error.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

main() {
    local requests=${1:-100000} concurrency=${2:-1000} url=${URL:-}
    if ! is_count "$requests" || ! is_count "$concurrency"; then
        echo "usage: loadtests/ab.sh [REQUESTS] [CONCURRENCY] [OPTIONS OF ab...]" >&2
        exit 2
    fi
    if [[ -z $url ]]; then
        scripts/bootstrap.sh bench
        # By address: of the two that localhost may have, ab tries one only.
        export URL=http://127.0.0.1:8080/api/v1/users/
        BUILD=${BUILD:-release} exec scripts/demo.sh run-with config/load-test.yaml -- loadtests/ab.sh "$@"
    fi
    if (($# > 2)); then
        shift 2
    else
        set --
    fi

    output=$(mktemp)
    trap 'rm -f -- "$output"' EXIT
    echo "ab -n $requests -c $concurrency $* $url"
    ab -n "$requests" -c "$concurrency" "$@" "$url" | tee -- "$output"
    judge "$requests"
}

output= # of ab

judge() {
    local complete failed others
    complete=$(value 'Complete requests')
    failed=$(value 'Failed requests')
    others=$(value 'Non-2xx responses') # absent when there are none
    if [[ $complete != "$1" || $failed != 0 || ${others:-0} != 0 ]]; then
        echo "ab: ${complete:-none} of $1 complete, ${failed:-?} failed, ${others:-0} not answered with 2xx" >&2
        exit 1
    fi
}

value() {
    sed -nE "s/^$1: +([0-9]+).*/\1/p" "$output"
}

is_count() {
    [[ $1 =~ ^[1-9][0-9]{0,8}$ ]]
}

main "$@"

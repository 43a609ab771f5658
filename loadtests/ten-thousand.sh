#!/usr/bin/env bash
#
# Ten thousand clients at once, each with a connection that it keeps, for a minute.
#
#   loadtests/ten-thousand.sh [CONNECTIONS] [SECONDS]      (default: 10000 60)
#
# Starts the demo with config/load-test.yaml, opens the connections, and measures when
# all of them stand. Prints errors, percentiles, and the memory of lb. Exits with 1 when
# a request failed, or a connection was closed. Read from the environment:
#   THINK      seconds between an answer and the next request of a client, on
#              average (5): the rate is about CONNECTIONS / THINK a second
#   TLS        set: over TLS instead of in clear
#   PROCESSES  of clients; otherwise as many as the limit on descriptors asks for,
#              and two at least
#   LB_BIN, BACKEND_BIN, BUILD: see scripts/demo.sh; the build is the release
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

config=config/load-test.yaml

# What lb needs beside its clients: connections to endpoints for the requests in
# flight, the idle ones that it keeps (keepalive in the configuration), its own files.
spare_descriptors=3072

main() {
    local connections=${1:-10000} seconds=${2:-60} hard room options=()
    if (($# > 2)) || ! is_count "$connections" || ! is_count "$seconds"; then
        echo "usage: loadtests/ten-thousand.sh [CONNECTIONS] [SECONDS]" >&2
        exit 2
    fi

    # One process, lb, has all of the connections. Its hard limit is the one that we
    # have: scripts/demo.sh raises the soft one.
    hard=$(ulimit -Hn)
    if [[ $hard != unlimited ]] && ((connections + spare_descriptors > hard)); then
        fail "$connections connections need $((connections + spare_descriptors)) descriptors in lb, and the hard limit is $hard (ulimit -Hn); raise it (/etc/security/limits.conf, LimitNOFILE=), or try fewer"
    fi
    room=$(sed -nE 's/^max_connections: *([0-9]+).*/\1/p' "$config")
    if ((connections > room)); then
        fail "$config lets $room connections in (max_connections)"
    fi
    scripts/bootstrap.sh bench

    options=(--connections "$connections" --seconds "$seconds" --think "${THINK:-5}")
    if [[ -n ${PROCESSES:-} ]]; then
        options+=(--processes "$PROCESSES")
    fi
    if [[ -n ${TLS:-} ]]; then
        options+=(--tls)
    fi
    BUILD=${BUILD:-release} exec scripts/demo.sh run-with "$config" -- \
        python3 loadtests/ten_thousand.py "${options[@]}"
}

is_count() {
    [[ $1 =~ ^[1-9][0-9]{0,5}$ ]]
}

fail() {
    echo "ten-thousand: $*" >&2
    exit 1
}

main "$@"

#!/usr/bin/env bash
#
# What thousands of open TLS connections do to the others: of lb, nginx and haproxy in
# one run, one worker each.
#
#   loadtests/many-tls.sh [CONNECTIONS] [SECONDS]    (default: 10000 where the limit on
#                                                     descriptors allows it, or else
#                                                     5000; 10)
#
# Requests over TLS keep-alive are measured for so many seconds, first alone, then
# while so many TLS connections of another process stay open. Prints percentiles side
# by side and writes many-tls.json. Exits with 1 when the proxy closed any of the open
# connections, or when a request failed. LB and RESULTS: see rig.sh.
set -euo pipefail

# shellcheck source=loadtests/rig.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/rig.sh"

main() {
    local count=${1:-10000} seconds=${2:-10} proxy opened open
    if (($# > 2)) || ! is_count "$count" || ! is_count "$seconds"; then
        echo "usage: loadtests/many-tls.sh [CONNECTIONS] [SECONDS]" >&2
        exit 2
    fi
    scripts/bootstrap.sh bench
    rig many-tls release
    if [[ -z ${1:-} ]] && ((count + spare_descriptors > $(hard_descriptors))); then
        echo "many-tls: 5000 connections instead of $count: the hard limit on descriptors is $(hard_descriptors) (ulimit -Hn)" >&2
        count=5000
    fi
    allow_connections "$count"

    circumstances >"$scratch/circumstances.json"
    start_origin
    for proxy in lb nginx haproxy; do
        echo "many-tls: $proxy" >&2
        start_proxy "$proxy"
        # Not measured: the first requests fill pools and caches.
        ordinary_requests "https://127.0.0.1:$tls_port/" 1 >/dev/null
        ordinary_requests "https://127.0.0.1:$tls_port/" "$seconds" proxy="$proxy" case=alone >>"$scratch/cases"

        hold python3 loadtests/idle_connections.py --kind tls --port "$tls_port" --count "$count" --ca "$ca"
        read -r _ opened <&9 || fail "$proxy: the connections were not opened"
        ordinary_requests "https://127.0.0.1:$tls_port/" "$seconds" proxy="$proxy" case=beside opened_in_s="$opened" >>"$scratch/cases"
        echo close >&8
        read -r _ open <&9 || fail "$proxy: the clients did not say how many were open"
        exec 8>&- 9<&-
        echo "{\"proxy\": \"$proxy\", \"case\": \"others\", \"connections\": $count, \"closed_by_proxy\": $((count - open))}" >>"$scratch/cases"
        stop "$proxy"
    done
    python3 loadtests/side_by_side.py many-tls "with $count open TLS connections" \
        "$scratch/cases" "$scratch/circumstances.json" "$results/many-tls.json"
}

main "$@"

#!/usr/bin/env bash
#
# What slow clients do to the others: of lb, nginx and haproxy in one run, one worker
# each.
#
#   loadtests/slow-clients.sh [DRIPPERS] [SECONDS]    (default: 1000, 10)
#
# Drippers send one byte a second of a request head that never ends. Ordinary requests
# over HTTP/1.1 keep-alive are measured for so many seconds, first alone, then while
# the drippers drip. After that the drippers go on until each is closed, at most
# DRIP_SECONDS (75) in all: nginx and haproxy are told to wait 60 s for a head. Prints
# percentiles side by side and how many drippers were closed, and writes
# slow-clients.json. Exits with 1 when an ordinary request failed, or when lb closed no
# dripper. LB and RESULTS: see rig.sh.
set -euo pipefail

# shellcheck source=loadtests/rig.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/rig.sh"

main() {
    local count=${1:-1000} seconds=${2:-10} drip_seconds=${DRIP_SECONDS:-75} proxy word drips
    if (($# > 2)) || ! is_count "$count" || ! is_count "$seconds" || ! is_count "$drip_seconds"; then
        echo "usage: [DRIP_SECONDS=75] loadtests/slow-clients.sh [DRIPPERS] [SECONDS]" >&2
        exit 2
    fi
    scripts/bootstrap.sh bench
    rig slow-clients release
    if ((drip_seconds < seconds + 5)); then
        fail "DRIP_SECONDS=$drip_seconds is too short for a measurement of $seconds s beside the drippers"
    fi
    allow_connections "$count"

    circumstances >"$scratch/circumstances.json"
    start_origin
    for proxy in lb nginx haproxy; do
        echo "slow-clients: $proxy" >&2
        start_proxy "$proxy"
        # Not measured: the first requests fill pools and caches.
        ordinary_requests "http://127.0.0.1:$plain_port/" 1 >/dev/null
        ordinary_requests "http://127.0.0.1:$plain_port/" "$seconds" proxy="$proxy" case=alone >>"$scratch/cases"

        hold python3 loadtests/drip_clients.py --port "$plain_port" --count "$count" --seconds "$drip_seconds"
        read -r word _ <&9 || fail "$proxy: the drippers did not start"
        ordinary_requests "http://127.0.0.1:$plain_port/" "$seconds" proxy="$proxy" case=beside >>"$scratch/cases"
        read -r word drips <&9 || fail "$proxy: the drippers said nothing"
        [[ $word == dripped ]] || fail "$proxy: the drippers said: $word"
        exec 8>&- 9<&-
        echo "{\"proxy\": \"$proxy\", \"case\": \"others\", ${drips#\{}" >>"$scratch/cases"
        stop "$proxy"
    done
    python3 loadtests/side_by_side.py slow-clients "with $count drippers" \
        "$scratch/cases" "$scratch/circumstances.json" "$results/slow-clients.json"
}

main "$@"

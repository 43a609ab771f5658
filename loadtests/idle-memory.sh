#!/usr/bin/env bash
#
# Memory of idle connections, of lb, nginx and haproxy in one run, one worker each.
#
#   loadtests/idle-memory.sh [CONNECTIONS]        (default: 5000)
#
# Four kinds: HTTP/1.1 after a request, plain before the first byte, TLS 1.3 after a
# request, HTTP/2 over TLS after a request. Prints KiB a connection and how much is
# given back when they are closed, and writes idle-memory.json. Exits with 1 when lb
# misses a bar. LB and RESULTS: see rig.sh. How to read it: README.md.
set -euo pipefail

# shellcheck source=loadtests/rig.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/rig.sh"

main() {
    local count=${1:-5000} kind proxy port
    if (($# > 1)) || ! is_count "$count"; then
        echo "usage: loadtests/idle-memory.sh [CONNECTIONS]" >&2
        exit 2
    fi
    scripts/bootstrap.sh bench
    rig idle-memory release
    allow_connections "$count"
    header_timeout=1h

    circumstances >"$scratch/circumstances.json"
    start_origin
    for kind in plain silent tls h2; do
        for proxy in lb nginx haproxy; do
            echo "idle-memory: $kind, $proxy" >&2
            start_proxy "$proxy"
            port=$plain_port
            if [[ $kind == tls || $kind == h2 ]]; then
                port=$tls_port
            fi
            run "${on_load_core[@]}" python3 loadtests/idle_memory.py measure --proxy "$proxy" \
                --group "${pids[$proxy]}" --kind "$kind" --port "$port" --plain-port "$plain_port" \
                --count "$count" --ca "$ca" >>"$scratch/cases"
            stop "$proxy"
        done
    done
    python3 loadtests/idle_memory.py report "$scratch/cases" "$scratch/circumstances.json" "$results/idle-memory.json"
}

main "$@"

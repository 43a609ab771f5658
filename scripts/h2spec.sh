#!/usr/bin/env bash
#
# Runs h2spec, conformance tests for HTTP/2 (RFC 7540, which RFC 9113 replaced) and
# HPACK (RFC 7541), against lb over TLS.
#
#   scripts/h2spec.sh [SECTION...]      (default: all; http2/6.9, hpack/4, …)
#
# h2spec is built with Go into target/tools, once. lb is the debug build, or the one
# that LB names. Prints every case that fails and the summary; all of the output is in
# target/h2spec.log. Exits with 1 when a case fails.
set -euo pipefail

# shellcheck source=loadtests/rig.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../loadtests/rig.sh"

# The newest release. It is older than Go's modules: hence "incompatible".
h2spec_version=v2.2.1+incompatible

# Seconds for each case: most of them end at once, one that hangs has failed.
case_seconds=5

main() {
    local log=$PWD/target/h2spec.log code=0
    scripts/bootstrap.sh test
    rig h2spec debug
    build_h2spec

    take_ports origin_port
    start origin python3 scripts/h2spec-origin.py "$origin_port"
    wait_for_answer origin "http://127.0.0.1:$origin_port/"
    start_proxy lb

    run "$h2spec" -t -k -h 127.0.0.1 -p "$tls_port" -o "$case_seconds" "$@" >"$log" 2>&1 || code=$?
    if ! kill -0 "${pids[lb]}" 2>/dev/null; then
        tail -n 20 -- "$scratch/lb.log" >&2
        fail "lb ended during the tests"
    fi
    summarise "$log"
    if ((code != 0)); then
        fail "h2spec ended with status $code; all of its output is in target/h2spec.log"
    fi
}

build_h2spec() {
    h2spec=$PWD/target/tools/h2spec
    if [[ -x $h2spec ]]; then
        return
    fi
    if ! command -v go >/dev/null; then
        fail "Go is missing, which builds h2spec (Debian package: golang-go)"
    fi
    echo "h2spec: building it with Go, once" >&2
    if ! GOBIN=$PWD/target/tools run go install "github.com/summerwind/h2spec/cmd/h2spec@$h2spec_version"; then
        fail "h2spec was not built; the reason is above"
    fi
}

# h2spec repeats what failed, with what it expected, after "Failures:". Its exit
# status and this line say the same; one without the other is no result.
summarise() {
    sed -n '/^Failures:/,$p' "$1"
    grep -q '^Failures:' "$1" || grep -E '^[0-9]+ tests, ' "$1" || {
        tail -n 20 -- "$1" >&2
        fail "h2spec printed no summary"
    }
}

main "$@"

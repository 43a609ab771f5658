#!/usr/bin/env bash
#
# Tests config/prometheus and config/grafana: Prometheus accepts the configuration, each
# alert fires when it should and not when it should not, and everything that alerts and
# dashboards ask for is exposed: by an lb that runs, and by a backend.
#
#   LB_BIN   the lb to run (the debug build)
#   BACKEND  a backend's metrics, URL or file (scripts/tests/backend-metrics.txt)
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

lb_bin=${LB_BIN:-${CARGO_TARGET_DIR:-target}/debug/lb}
backend=${BACKEND:-scripts/tests/backend-metrics.txt}
start_seconds=30

work=$(mktemp -d)
lb_pid=
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

clean_up() {
    local code=$?
    if [[ -n $lb_pid ]]; then
        kill -INT "$lb_pid" 2>/dev/null || true
        wait "$lb_pid" 2>/dev/null || true
    fi
    rm -rf -- "$work"
    exit "$code"
}

main() {
    local program python
    for program in promtool python3 curl; do
        if ! command -v "$program" >/dev/null; then
            echo "test-monitoring: $program is missing: scripts/bootstrap.sh test" >&2
            exit 1
        fi
    done
    rules_are_right
    python=$(scripts/python-with-yaml.sh)
    "$python" -m unittest scripts/tests/test_{promql,compare,monitoring}.py
    start_lb
    scripts/check-dashboards.py --strict --lb "$status/metrics" --backend "$backend"
}

rules_are_right() {
    local command
    for command in 'check config config/prometheus/prometheus.yml' 'check config config/prometheus/compose.yml' \
        'test rules config/prometheus/alerts_edge_test.yml config/prometheus/alerts_fleet_test.yml'; do
        # shellcheck disable=SC2086 # words
        if ! promtool $command >"$work/promtool.log" 2>&1; then
            echo "test-monitoring: promtool $command:" >&2
            cat -- "$work/promtool.log" >&2
            exit 1
        fi
    done
}

# With one request behind it: what is counted by its outcome is there from then on.
start_lb() {
    local https_port deadline=$((SECONDS + start_seconds))
    if [[ ! -x $lb_bin ]]; then
        echo "test-monitoring: $lb_bin is missing: cargo build -p lb" >&2
        exit 1
    fi
    certs/make-dev.sh >/dev/null
    read -r STATUS_PORT HTTPS_PORT ENDPOINT_PORT < <(python3 loadtests/free_ports.py 3)
    export STATUS_PORT HTTPS_PORT ENDPOINT_PORT
    status=http://127.0.0.1:$STATUS_PORT https_port=$HTTPS_PORT
    "$lb_bin" run --config scripts/tests/every-metric.yaml >"$work/lb.log" 2>&1 </dev/null &
    lb_pid=$!
    until curl -q --silent --fail --noproxy '*' --max-time 5 --output /dev/null "$status/readyz"; do
        if ((SECONDS > deadline)) || ! kill -0 "$lb_pid" 2>/dev/null; then
            echo "test-monitoring: lb was not ready within ${start_seconds}s:" >&2
            cat -- "$work/lb.log" >&2
            exit 1
        fi
        sleep 0.1
    done
    local code
    code=$(curl -q --silent --noproxy '*' --cacert certs/dev/ca.pem --max-time 10 --output /dev/null \
        --write-out '%{http_code}' "https://localhost:$https_port/")
    if [[ $code != 503 ]]; then
        echo "test-monitoring: an lb without endpoints answered $code instead of 503" >&2
        exit 1
    fi
    # A request is counted when it has ended, which may be after the client has the answer.
    until curl -q --silent --noproxy '*' --max-time 5 "$status/metrics" | grep -q '^lb_requests_total{'; do
        if ((SECONDS > deadline)); then
            echo "test-monitoring: lb did not count the request" >&2
            exit 1
        fi
        sleep 0.05
    done
}

main "$@"

#!/usr/bin/env bash
#
# Tests the web page of the frontend role in Chromium: lb with TLS in front of two
# frontends and three backends on one SQLite file, all on ports that are free.
#
#   scripts/test-browser.sh [--screenshot]
#
#   --screenshot   also makes docs/frontend.png anew
#
# lb and backend are the debug builds, or those that LB and BACKEND name. CHROMIUM names
# a browser other than the chromium on the PATH. playwright-core, which drives it, is installed
# into target/browser-tests with npm, once for each lock file. Pictures of pages whose
# test has failed are there too, in artifacts.
#
# Against a stack that runs already: see backend/browser-tests/run.mjs; the directory of
# playwright-core is told to it in BROWSER_TESTS_MODULES.
set -euo pipefail

# shellcheck source=loadtests/rig.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../loadtests/rig.sh"

tests=backend/browser-tests
admin_email=admin@browser.example

# Of the frontends and backends.
backend_1='' backend_2='' backend_3='' frontend_1='' frontend_2=''

main() {
    local options=()
    case "$*" in
        '') ;;
        --screenshot) options=(--screenshot "$PWD/docs/frontend.png") ;;
        *)
            echo "usage: scripts/test-browser.sh [--screenshot]" >&2
            exit 2
            ;;
    esac
    rig test-browser debug
    programs_exist
    install_playwright
    start_stack

    rm -rf -- "$modules/artifacts"
    BROWSER_TESTS_MODULES=$modules CHROMIUM=$chromium run node "$tests/run.mjs" \
        --url "https://localhost:$tls_port" \
        --admin-email "$admin_email" --admin-password-file "$scratch/admin-password" \
        --artifacts "$modules/artifacts" "${options[@]}"
}

programs_exist() {
    backend_bin=${BACKEND:-$target/debug/backend}
    [[ -x $backend_bin ]] || fail "there is no $backend_bin: cargo build -p backend, or say which with BACKEND="
    chromium=$(command -v -- "${CHROMIUM:-chromium}") ||
        fail "there is no ${CHROMIUM:-chromium} (Debian package: chromium), or say which with CHROMIUM="
    command -v node >/dev/null || fail "node is missing (Debian package: nodejs)"
    command -v npm >/dev/null || fail "npm is missing (Debian package: npm)"
}

# Into the target directory: the tree of sources stays as it is. The copy of the lock
# file is put there last, and says that the rest is complete.
install_playwright() {
    modules=$(realpath -- "$target")/browser-tests
    if cmp -s -- "$tests/package-lock.json" "$modules/installed.json"; then
        return
    fi
    echo "test-browser: installing playwright-core into $modules" >&2
    mkdir -p -- "$modules"
    cp -- "$tests/package.json" "$tests/package-lock.json" "$modules/"
    run npm ci --prefix "$modules" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
        fail "npm could not install it; the reason is above"
    cp -- "$tests/package-lock.json" "$modules/installed.json"
}

# ---- the stack ---------------------------------------------------------------

start_stack() {
    take_ports tls_port status_port backend_1 backend_2 backend_3 frontend_1 frontend_2
    printf 'a password for tests %s\n' "$(openssl rand -hex 16)" >"$scratch/admin-password"

    export BACKEND_DATABASE=$scratch/backend.db BACKEND_SIGNING_KEY_FILE=$scratch/signing.key
    export BACKEND_ADMIN_EMAIL=$admin_email BACKEND_ADMIN_PASSWORD_FILE=$scratch/admin-password
    start_instance backend-1 "$backend_1"
    start_instance backend-2 "$backend_2"
    start_instance backend-3 "$backend_3"
    start_instance frontend-1 "$frontend_1" --role frontend
    start_instance frontend-2 "$frontend_2" --role frontend

    configure_stack
    start lb "$lb_bin" run --config "$scratch/lb.yaml"
    wait_for_answer lb "http://127.0.0.1:$status_port/readyz"
}

# start_instance NAME PORT OPTION...
start_instance() {
    local who=$1 port=$2
    shift 2
    BACKEND_INSTANCE=$who start "$who" "$backend_bin" --listen "127.0.0.1:$port" "$@"
    wait_for_answer "$who" "http://127.0.0.1:$port/api/v1/scaling/health/readiness"
}

# Each backend has rooms of its own: without Redis nothing connects them. So all members
# of a room are sent to the same one, by the query that names it.
configure_stack() {
    cat >"$scratch/lb.yaml" <<CONF
version: 1
workers: 1
status: { address: "127.0.0.1:$status_port" }
shutdown: { drain_timeout: 1s }
listeners:
  https:
    bind: ["127.0.0.1:$tls_port"]
    tls:
      certificates: [{ cert: certs/api.pem, key: certs/api.key }]
upstreams:
  api:
    endpoints:
      - { address: "127.0.0.1:$backend_1" }
      - { address: "127.0.0.1:$backend_2" }
      - { address: "127.0.0.1:$backend_3" }
    health_check: { path: /api/v1/scaling/health/readiness }
  rooms:
    balance: consistent_hash
    hash_key: uri
    endpoints:
      - { address: "127.0.0.1:$backend_1" }
      - { address: "127.0.0.1:$backend_2" }
      - { address: "127.0.0.1:$backend_3" }
    health_check: { path: /api/v1/scaling/health/readiness }
  pages:
    endpoints:
      - { address: "127.0.0.1:$frontend_1" }
      - { address: "127.0.0.1:$frontend_2" }
    health_check: { path: /api/v1/scaling/health/readiness }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: /api/ }, upstream: api }
      - { match: { path_prefix: /ws }, upstream: rooms, websocket: true, timeouts: { read: 7d, send: 7d } }
      - { match: { path_prefix: / }, upstream: pages }
CONF
}

main "$@"

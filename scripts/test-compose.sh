#!/usr/bin/env bash
#
# Tests what of docker-compose.scale.yml can be tested without Docker: Compose can read it,
# lb accepts its configuration, and files, settings, ports and services fit each other. It
# builds no image and starts no container.
#
#   LB_BIN, BACKEND_BIN   the programs to ask (the debug builds)
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

programs=${CARGO_TARGET_DIR:-target}/debug
lb_bin=${LB_BIN:-$programs/lb}
backend_bin=${BACKEND_BIN:-$programs/backend}

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

main() {
    local program python
    for program in "$lb_bin" "$backend_bin"; do
        if [[ ! -x $program ]]; then
            echo "test-compose: $program is missing: cargo build -p lb -p backend" >&2
            exit 1
        fi
    done
    export SECRETS_DIR=$work/secrets BACKEND_HELP=$work/help
    secrets_are_made_once
    compose_reads_it
    TLS_CERTIFICATE=$SECRETS_DIR/tls_certificate TLS_KEY=$SECRETS_DIR/tls_key \
        "$lb_bin" check --config config/compose/lb.yaml >"$work/lb.log" 2>&1 || fail "lb check config/compose/lb.yaml" "$work/lb.log"
    "$backend_bin" --help >"$BACKEND_HELP"
    python=$(scripts/python-with-yaml.sh)
    "$python" -m unittest scripts/tests/test_compose.py
}

fail() {
    echo "test-compose: $1:" >&2
    cat -- "$2" >&2
    exit 1
}

secrets_are_made_once() {
    local before after
    scripts/compose-secrets.sh "$SECRETS_DIR" >"$work/secrets.log" 2>&1 || fail compose-secrets.sh "$work/secrets.log"
    before=$(cat -- "$SECRETS_DIR"/*)
    scripts/compose-secrets.sh "$SECRETS_DIR" >"$work/secrets.log" 2>&1 || fail compose-secrets.sh "$work/secrets.log"
    after=$(cat -- "$SECRETS_DIR"/*)
    if [[ $before != "$after" || -s $work/secrets.log ]]; then
        fail "a second run of compose-secrets.sh made something anew" "$work/secrets.log"
    fi
    if [[ $(stat --format %a -- "$SECRETS_DIR") != 700 ]]; then
        fail "others can enter the directory of the secrets" "$work/secrets.log"
    fi
}

# The plugin of Docker, or Debian's docker-compose; no engine is needed for it.
compose_reads_it() {
    local compose=(docker-compose)
    if docker compose version >/dev/null 2>&1; then
        compose=(docker compose)
    elif ! command -v docker-compose >/dev/null; then
        echo "test-compose: neither \"docker compose\" nor docker-compose is there: scripts/bootstrap.sh test" >&2
        exit 1
    fi
    "${compose[@]}" --file docker-compose.scale.yml config >"$work/compose.log" 2>&1 ||
        fail "${compose[*]} config" "$work/compose.log"
}

main

#!/usr/bin/env bash
#
# Sends what Schemathesis makes up of the API's own description, good and bad, and
# checks that every answer is one that the description promises.
#
#   scripts/test-openapi.sh [URL]      (a backend that runs; default: one of its own)
#
# As a user, as an admin and as nobody. A backend of its own has SQLite in a temporary
# directory, and is the debug build, or the one that BACKEND names. URL is that of a backend,
# not of lb in front of it, which allows a few logins a minute only; the tests leave users
# behind in its database. The admin there is the one that OPENAPI_ADMIN_EMAIL and
# OPENAPI_ADMIN_PASSWORD_FILE name, and only looks behind the scenes; without, there is none.
#
# Schemathesis is installed into target/tools, once. Ends with 1 when a check fails.
# Without dice: the same build gives the same result.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

requirements=scripts/openapi/requirements.txt
tools=$PWD/target/tools/schemathesis

# Cases for an operation in the phase that makes most of them up.
user_cases=60
admin_cases=30
nobody_cases=10

# Seconds for one of the runs; they take about half a minute each.
run_seconds=300

# Seconds that a backend has to start.
start_seconds=60

scratch=
pid=
failed=()

main() {
    if (($# > 1)); then
        echo "usage: scripts/test-openapi.sh [URL]" >&2
        exit 2
    fi
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    scratch=$(mktemp -d)

    install_schemathesis
    if (($# == 1)); then
        export OPENAPI_URL=${1%/}
    else
        unset OPENAPI_ADMIN_EMAIL
        start_backend
    fi

    test_as user "$user_cases"
    if [[ -n $pid ]]; then
        test_as admin "$admin_cases"
    elif [[ -n ${OPENAPI_ADMIN_EMAIL:-} ]]; then
        test_as admin "$admin_cases" --include-tag scaling
    fi
    test_as nobody "$nobody_cases"

    if [[ -n $pid ]]; then
        kill -0 "$pid" 2>/dev/null || fail "the backend ended during the tests"
        if grep -E '"level":"ERROR"|panicked' "$scratch/backend.log" >&2; then
            fail "the backend has logged errors"
        fi
    fi
    if ((${#failed[@]} > 0)); then
        fail "failed as ${failed[*]}; the reasons are above"
    fi
}

# Arguments: the role, the number of cases, further arguments of Schemathesis.
test_as() {
    local code=0
    export PYTHONDONTWRITEBYTECODE=1
    export OPENAPI_AS=$1 SCHEMATHESIS_HOOKS=$PWD/scripts/openapi/hooks.py
    echo "test-openapi: as $1"
    # Not in this directory: it may leave files beside itself.
    (cd -- "$scratch" && exec timeout --kill-after 10 "$run_seconds" \
        "$tools/bin/schemathesis" --config-file "$OLDPWD/scripts/openapi/schemathesis.toml" \
        run "$OPENAPI_URL/api/v1/openapi.json" \
        --max-examples "$2" --continue-on-failure --no-color "${@:3}") >"$scratch/$1.log" 2>&1 || code=$?
    # A run without cases has found nothing wrong either.
    if ((code != 0)) || ! grep -E '^ *[0-9]+ generated, [0-9]+ passed' "$scratch/$1.log"; then
        cat -- "$scratch/$1.log" >&2
        echo "test-openapi: as $1: status $code" >&2
        failed+=("$1")
    fi
}

install_schemathesis() {
    if cmp -s -- "$requirements" "$tools/installed.txt"; then
        return
    fi
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "test-openapi: installing Schemathesis into target/tools, once" >&2
            rm -rf -- "$tools"
            mkdir -p -- "${tools%/*}"
            if ! "$python" -m venv "$tools" >&2 || ! "$tools/bin/pip" install --quiet \
                --disable-pip-version-check --requirement "$requirements" >&2; then
                fail "Schemathesis was not installed; the reason is above"
            fi
            # Last: what was interrupted is not there.
            cp -- "$requirements" "$tools/installed.txt"
            return
        fi
    done
    fail "Python's venv is missing (Debian package: python3-venv)"
}

start_backend() {
    local backend=${BACKEND:-} line=
    if [[ -z $backend ]]; then
        cargo build --quiet -p backend
        backend=${CARGO_TARGET_DIR:-target}/debug/backend
    fi
    export OPENAPI_DATABASE=$scratch/backend.db
    mkfifo -- "$scratch/stdout"
    BACKEND_DATABASE=$OPENAPI_DATABASE BACKEND_SIGNING_KEY_FILE=$scratch/backend.key \
        BACKEND_INSTANCE=test-openapi "$backend" --listen 127.0.0.1:0 \
        >"$scratch/stdout" 2>"$scratch/backend.log" &
    pid=$!
    # The line, or the end of a backend that does not start.
    read -r -t "$start_seconds" line <"$scratch/stdout" || true
    if [[ $line != "listening on "* ]]; then
        cat -- "$scratch/backend.log" >&2
        fail "the backend did not start"
    fi
    export OPENAPI_URL=http://${line#listening on }
}

clean_up() {
    local code=$?
    trap - EXIT
    if [[ -n $pid ]]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    if [[ -n $scratch ]]; then
        rm -rf -- "$scratch"
    fi
    exit "$code"
}

fail() {
    echo "test-openapi: $1" >&2
    exit 1
}

main "$@"

#!/usr/bin/env bash
#
# The whole system on this machine: three backends, lb in front of them, TLS.
#
#   scripts/demo.sh              start, prove that it works, serve until Ctrl-C
#   scripts/demo.sh smoke        start, check, stop; exit 0, or 1 if a check failed
#   scripts/demo.sh backend N    run backend N alone, in the foreground: brings one
#                                back that was killed while the demo runs
#   scripts/demo.sh run-with CONFIG -- COMMAND...
#                                start with another configuration on the same ports,
#                                run a command against it, stop; exit as it did. It is
#                                told where to go: DEMO_HTTP, DEMO_HTTPS, DEMO_CA,
#                                DEMO_LB_PID
#
# Logs, database and pids are in target/demo; a start begins with an empty one.
#
# BUILD=release: the optimised build, instead of the debug one.
# Programs other than the ones built here (nothing is built if all three are set;
# run-with needs no WS_BIN):
#   LB_BIN  BACKEND_BIN  WS_BIN
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
build=${BUILD:-debug}
lb_bin=${LB_BIN:-$target/$build/lb}
backend_bin=${BACKEND_BIN:-$target/$build/backend}
ws_bin=${WS_BIN:-$target/$build/examples/ws}

state=$PWD/target/demo
config=config/demo.yaml
ca=certs/dev/ca.pem

# As in config/demo.yaml; what run-with is given has to agree.
http_port=8080
https_port=8443
status_port=9900
admin_port=9901
backends=(1 2 3)
drain_seconds=10

http=http://localhost:$http_port
https=https://localhost:$https_port
status=http://127.0.0.1:$status_port

# How long a process may take to be ready: seconds. A debug build on a busy
# machine needs a few.
start_seconds=30

main() {
    [[ $build == debug || $build == release ]] || usage
    case ${1:-demo} in
        backend) (($# == 2)) || usage ;;
        run-with) [[ $# -ge 4 && $3 == -- ]] || usage ;;
        *) (($# <= 1)) || usage ;;
    esac
    case ${1:-demo} in
        demo)
            start_everything
            introduce
            serve
            ;;
        smoke)
            start_everything
            smoke
            ;;
        backend)
            [[ " ${backends[*]} " == *" ${2:-} "* && -n ${2:-} ]] || usage
            mkdir -p -- "$state"
            backend_environment "$2"
            exec "$backend_bin" --listen "$(backend_address "$2")"
            ;;
        run-with)
            config=$2
            shift 3
            run_with "$@"
            ;;
        *) usage ;;
    esac
}

usage() {
    echo "usage: [BUILD=debug|release] scripts/demo.sh [smoke | backend 1|2|3 | run-with CONFIG -- COMMAND...]" >&2
    exit 2
}

# ---- start -------------------------------------------------------------------

start_everything() {
    ports_are_free
    trap stop_everything EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM

    build
    certs/make-dev.sh >/dev/null
    # A build takes minutes: somebody may have come in between.
    ports_are_free

    rm -rf -- "$state"
    mkdir -p -- "$state"
    # One after the other: the first creates the database and the signing key.
    local number
    for number in "${backends[@]}"; do
        start_backend "$number"
        wait_for_backend "$number"
    done
    start lb access.log lb.log "$lb_bin" run --config "$config"
    if ! wait_until "$start_seconds" lb_is_ready_or_dead || ! is_running lb; then
        give_up lb "not ready after at most ${start_seconds}s ($status/readyz)" lb.log access.log backend-{1,2,3}.log
    fi
}

# Asked by connecting, as any client would: curl's exit status 7 is "refused".
ports_are_free() {
    local port code taken=0
    for port in "$http_port" "$https_port" "$status_port" "$admin_port" "${backends[@]/#/800}"; do
        code=0
        curl -q --silent --noproxy '*' --max-time 2 --output /dev/null "http://127.0.0.1:$port/" || code=$?
        if ((code != 7)); then
            echo "demo: port $port is already in use (who: ss -ltnp 'sport = :$port')" >&2
            taken=1
        fi
    done
    if ((taken)); then
        echo "demo: nothing was started; is another demo running?" >&2
        exit 1
    fi
}

examples=(--examples) # the WebSocket client is one; empty if nobody needs it

build() {
    local options=(--quiet --workspace --bins "${examples[@]}")
    if [[ -n ${LB_BIN:-} && -n ${BACKEND_BIN:-} ]] && [[ -n ${WS_BIN:-} || ${#examples[@]} -eq 0 ]]; then
        return
    fi
    if [[ $build == release ]]; then
        options+=(--release)
    fi
    echo "demo: building (the first time takes minutes)"
    # In the background and waited for, so that a signal is obeyed at once.
    in_own_group cargo build "${options[@]}"
    if ! wait "$started"; then
        echo "demo: the build failed" >&2
        exit 1
    fi
}

backend_address() {
    echo "127.0.0.1:800$1"
}

backend_environment() {
    export BACKEND_DATABASE=$state/backend.db
    export BACKEND_SIGNING_KEY_FILE=$state/signing.key
    export BACKEND_INSTANCE=backend-$1
}

start_backend() {
    local log=backend-$1.log
    if [[ -e $state/$log ]]; then
        mv -f -- "$state/$log" "$state/$log.before"
    fi
    backend_environment "$1"
    start "backend-$1" "$log" "$log" "$backend_bin" --listen "$(backend_address "$1")"
}

wait_for_backend() {
    if ! wait_until "$start_seconds" backend_is_ready_or_dead "$1" || ! is_running "backend-$1"; then
        give_up "backend-$1" "did not say \"listening on\" within ${start_seconds}s" "backend-$1.log"
    fi
}

backend_is_ready_or_dead() {
    grep -q '^listening on ' "$state/backend-$1.log" || ! is_running "backend-$1"
}

lb_is_ready_or_dead() {
    curl -q --silent --fail --noproxy '*' --max-time 5 --output /dev/null "$status/readyz" || ! is_running lb
}

give_up() {
    local name=$1 problem=$2 log
    shift 2
    if ! is_running "$name"; then
        reap "$name"
        problem="ended with status $ended_with"
    fi
    echo "demo: $name: $problem" >&2
    show_logs "$@" >&2
    exit 1
}

show_logs() {
    local log
    for log in "$@"; do
        if [[ -s $state/$log ]]; then
            echo "---- the last lines of $state/$log"
            tail -n 20 -- "$state/$log"
        fi
    done
}

# ---- processes ---------------------------------------------------------------

declare -A pids=()
started=

start() {
    local name=$1 output=$2 errors=$3
    shift 3
    in_own_group "$@" >>"$state/$output" 2>>"$state/$errors"
    pids[$name]=$started
    echo "$started" >"$state/$name.pid"
}

# Job control gives the process a group of its own: Ctrl-C reaches this script
# only, which then stops everything in order.
in_own_group() {
    set -m
    "$@" </dev/null &
    started=$!
    set +m
}

is_running() {
    kill -0 "${pids[$1]}" 2>/dev/null
}

ended_with=

# Of a process that ended: its exit status, in ended_with. (A function that
# printed it would run in a subshell, which cannot wait for it.)
reap() {
    ended_with=0
    wait "${pids[$1]}" 2>/dev/null || ended_with=$?
}

# wait_until SECONDS COMMAND...: polls; false when the time is over.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if ((SECONDS > deadline)); then
            return 1
        fi
        sleep 0.1
    done
}

# On every way out. lb first, so that what it still answers finds its backends.
stop_everything() {
    local code=$? pid others=()
    trap - EXIT
    # Whoever presses Ctrl-C twice does not want to wait.
    hurry=no
    trap 'hurry=yes' HUP INT TERM
    # Before lb: it would count what no longer answers.
    if [[ -n $command ]]; then
        stop 10 "$command"
    fi
    if [[ -n ${pids[lb]:-} ]]; then
        stop "$((drain_seconds + 5))" "${pids[lb]}"
    fi
    # Whatever else this shell has running, by process id.
    for pid in $(jobs -rp); do
        others+=("$pid")
    done
    if ((${#others[@]} > 0)); then
        stop 10 "${others[@]}"
    fi
    exit "$code"
}

# stop SECONDS PID...: SIGTERM, and SIGKILL for what is left when time is over.
# Each is the leader of its process group, and its children are stopped with it.
stop() {
    local deadline=$((SECONDS + $1)) pid
    shift
    for pid in "$@"; do
        kill -TERM -- "-$pid" 2>/dev/null || true
    done
    for pid in "$@"; do
        while kill -0 -- "-$pid" 2>/dev/null; do
            if ((SECONDS > deadline)) || [[ $hurry == yes ]]; then
                kill -KILL -- "-$pid" 2>/dev/null || true
                break
            fi
            sleep 0.05 || true
        done
        wait "$pid" 2>/dev/null || true
    done
}

# ---- the demo ----------------------------------------------------------------

# What the API expects of a new user, and of a login.
user_json() {
    printf '{"email":"%s","name":"%s","password":"%s"}' "$1" "$2" "$3"
}

login_json() {
    printf '{"email":"%s","password":"%s"}' "$1" "$2"
}

demo_email=ada@example.com
demo_password='correct horse battery staple'

introduce() {
    check "HTTP/1.1 over TLS" answers_over 1.1
    check "HTTP/2 over TLS" answers_over 2
    check "a user is created: $demo_email" creates_user "$demo_email" Ada "$demo_password"
    check "all three backends answer for it" all_instances_serve_user
    if ((failed > 0)); then
        show_logs lb.log access.log
        exit 1
    fi
    # From here on, being stopped is the normal end.
    trap 'echo; echo "demo: stopping (Ctrl-C again: at once)"; exit 0' INT TERM
    cat <<TEXT

lb is serving $https ($http redirects there). Try, in another terminal:

  curl --cacert $ca -i $https/health
  curl --cacert $ca -i $https/api/v1/users/$user_id

create a user, and log in (five logins a minute, four at once: then 429):

  curl --cacert $ca -i $https/api/v1/users -H 'Content-Type: application/json' \\
       -d '$(user_json grace@example.com Grace "$demo_password")'
  curl --cacert $ca -i $https/api/v1/auth/login -H 'Content-Type: application/json' \\
       -d '$(login_json grace@example.com "$demo_password")'

a WebSocket (type lines, Ctrl-D ends):

  $ws_bin wss://localhost:$https_port/ws --ca $ca

kill a backend, watch nobody notice, and bring it back:

  while curl --cacert $ca -s -o /dev/null -D - $https/health | grep -i x-served-by; do sleep 0.2; done
  kill -9 ${pids[backend-2]}
  scripts/demo.sh backend 2

change config/demo.yaml, and see it taken up; or ask for it, and read the report:

  curl -X POST -H 'X-LB-Admin: 1' http://127.0.0.1:$admin_port/api/reload

metrics:    $status/metrics
access log: tail -f target/demo/access.log      (lb's own: target/demo/lb.log)

Ctrl-C stops everything.
TEXT
}

serve() {
    local name
    while is_running lb; do
        for name in "${!pids[@]}"; do
            if [[ $name != lb ]] && ! is_running "$name"; then
                reap "$name"
                unset "pids[$name]"
                echo "demo: $name ended with status $ended_with; to bring it back: scripts/demo.sh ${name/-/ }"
            fi
        done
        # Until any of them ends.
        wait -n "${pids[@]}" 2>/dev/null || true
    done
    reap lb
    echo "demo: lb ended by itself with status $ended_with" >&2
    show_logs lb.log >&2
    exit 1
}

# ---- a command against another configuration ---------------------------------

command= # its process id

run_with() {
    local code=0
    [[ -r $config ]] || fail_to_start "there is no $config"
    examples=()
    # lb raises its own limit; backends and clients do not, and a thousand of either
    # exceed what a shell usually starts with.
    ulimit -Sn "$(ulimit -Hn)"
    start_everything
    export DEMO_HTTP=$http DEMO_HTTPS=$https DEMO_CA=$PWD/$ca DEMO_LB_PID=${pids[lb]}
    in_own_group "$@"
    command=$started
    # Waited for in the background, so that a signal is obeyed at once.
    wait "$command" || code=$?
    command=
    if ! is_running lb; then
        give_up lb "ended while the command ran" lb.log
    fi
    exit "$code"
}

fail_to_start() {
    echo "demo: $*" >&2
    exit 1
}

# ---- the smoke run -----------------------------------------------------------

smoke() {
    local email="smoke-$$@example.com"
    check "HTTP/1.1 over TLS: /health is 200" answers_over 1.1
    check "HTTP/2 over TLS: /health is 200" answers_over 2
    check "plain HTTP is redirected (301), path and query kept" redirects_to_https
    check "Strict-Transport-Security on HTTPS, not on HTTP" strict_transport_security_on_tls_only
    check "a new user is created (201)" creates_user "$email" Smoke "$demo_password"
    check "the user is read back from all three instances" all_instances_serve_user
    check "login with the right password is 200 and gives a token" login_gives_token "$email"
    check "login with a wrong password is 401" wrong_password_is_refused "$email"
    check "too many logins are refused: 429 with Retry-After" logins_are_limited "$email"
    check "/health is never limited" health_is_not_limited
    check "an unknown path is 404 with Proxy-Status" unknown_path_is_404
    check "a WebSocket echoes" websocket_echoes
    check "/metrics has lb_requests_total" metrics_count_requests
    check "/readyz is 200" ready
    check "POST /api/reload: the configuration is read again" reloads
    check "kill -9 of a backend during 200 requests: none fails" killed_backend_goes_unnoticed
    check "the backend started again serves again" restarted_backend_serves
    check "SIGTERM: lb exits 0 within ${drain_seconds}s" lb_drains_and_exits
    if ((failed > 0)); then
        show_logs lb.log access.log backend-{1,2,3}.log
        echo "smoke: $failed of $checked checks failed"
        exit 1
    fi
    echo "smoke: all $checked checks passed"
}

checked=0
failed=0
because= # set by a check that fails

# check NAME COMMAND...: one line for each.
check() {
    local name=$1
    shift
    because=
    checked=$((checked + 1))
    if "$@"; then
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name${because:+: $because}"
    fi
}

answers_over() {
    local option=--http1.1
    if [[ $1 == 2 ]]; then
        option=--http2
    fi
    request "$option" "$https/health" || return 1
    expect_code 200 || return 1
    [[ $answer_version == "$1" ]] || fail "answered over HTTP/$answer_version"
}

redirects_to_https() {
    local path='/some/path?first=1&second=a%20b'
    request "$http$path" || return 1
    expect_code 301 || return 1
    [[ $(header location) == "$https$path" ]] || fail "Location: $(header location)"
}

strict_transport_security_on_tls_only() {
    request "$https/health" || return 1
    [[ $(header strict-transport-security) == max-age=* ]] || fail "HTTPS answered without it" || return 1
    request "$https/no/such/path" || return 1
    [[ $(header strict-transport-security) == max-age=* ]] || fail "an error on HTTPS came without it" || return 1
    request "$http/health" || return 1
    [[ -z $(header strict-transport-security) ]] || fail "HTTP answered with it"
}

user_id=

creates_user() {
    post "$https/api/v1/users" "$(user_json "$@")" || return 1
    expect_code 201 || return 1
    user_id=$(sed -nE 's/.*"id" *: *"?([^",}]+).*/\1/p' "$state/body")
    [[ -n $user_id ]] || fail "no id in: $(<"$state/body")"
}

# Ties between idle endpoints are spread: a few requests see all of them.
all_instances_serve_user() {
    local seen=' ' instance attempt
    for ((attempt = 1; attempt <= 30; attempt++)); do
        request "$https/api/v1/users/$user_id" || return 1
        expect_code 200 || return 1
        instance=$(header x-served-by)
        [[ -n $instance ]] || fail "no X-Served-By" || return 1
        if [[ $seen != *" $instance "* ]]; then
            seen+="$instance "
        fi
        if [[ $seen == *" backend-1 "* && $seen == *" backend-2 "* && $seen == *" backend-3 "* ]]; then
            return 0
        fi
    done
    fail "30 requests were served by:$seen"
}

login_gives_token() {
    post "$https/api/v1/auth/login" "$(login_json "$1" "$demo_password")" || return 1
    expect_code 200 || return 1
    grep -Eq '"(access_)?token" *: *"[^"]+"' "$state/body" || fail "no token in the answer"
}

wrong_password_is_refused() {
    post "$https/api/v1/auth/login" "$(login_json "$1" "wrong $demo_password")" || return 1
    expect_code 401
}

# 5/m with a burst of 3 lets four through at once, then one every 12 s. Two are
# spent. Twelve attempts leave room for a machine on which each takes seconds.
logins_are_limited() {
    local attempt
    for ((attempt = 1; attempt <= 12; attempt++)); do
        post "$https/api/v1/auth/login" "$(login_json "$1" "wrong $demo_password")" || return 1
        if [[ $answer_code == 429 ]]; then
            ((attempt > 1)) || fail "refused already after two logins" || return 1
            [[ $(header retry-after) =~ ^[0-9]+$ ]] || fail "Retry-After: $(header retry-after)"
            return
        fi
        expect_code 401 || return 1
    done
    fail "12 more logins were let through"
}

# Far more, and far faster on one connection, than any limit of the file allows.
health_is_not_limited() {
    local codes
    codes=$(fetch --output /dev/null --write-out '%{http_code}\n' "$https/health?[1-300]" | sort | uniq -c | tr -s ' \n' ' ') ||
        fail "curl: $(tail -n 1 "$state/curl.log")" || return 1
    [[ $codes == " 300 200 " ]] || fail "codes:$codes"
}

unknown_path_is_404() {
    request "$https/no/such/path" || return 1
    expect_code 404 || return 1
    [[ -n $(header proxy-status) ]] || fail "no Proxy-Status"
}

websocket_echoes() {
    local text="smoke $$" output
    output=$(timeout 15 "$ws_bin" "wss://localhost:$https_port/ws" --ca "$ca" --message "$text" 2>&1 </dev/null) ||
        fail "the client failed: $output" || return 1
    [[ $output == *"$text"* ]] || fail "answer: $output"
}

reloads() {
    request -X POST --header 'X-LB-Admin: 1' "http://127.0.0.1:$admin_port/api/reload" || return 1
    expect_code 200 || return 1
    grep -q '"outcome":"applied"' "$state/body" || fail "$(cat "$state/body")"
}

metrics_count_requests() {
    request "$status/metrics" || return 1
    expect_code 200 || return 1
    grep -q '^lb_requests_total[{ ]' "$state/body" || fail "not there"
}

ready() {
    request "$status/readyz" || return 1
    expect_code 200
}

# The requests run beside the kill, so that it comes in the middle of one.
killed_backend_goes_unnoticed() {
    local codes=$state/codes victim=backend-2 sender bad
    : >"$codes"
    in_own_group send_requests "$codes"
    sender=$started
    wait_until 60 lines_or_over 60 "$codes" "$sender" || fail "no 60 requests in 60 s" || return 1
    kill -KILL "${pids[$victim]}"
    reap "$victim"
    wait_until 120 is_over "$sender" || fail "no 200 requests in 120 s" || return 1
    bad=$(grep -v '^200$' "$codes" | sort | uniq -c | tr -s ' \n' ' ') || true
    [[ $(wc -l <"$codes") -eq 200 && -z $bad ]] || fail "$(wc -l <"$codes") requests, codes other than 200:$bad"
}

# Every second one goes to the database, the others to /health: as many as that
# on a fast machine would exceed the limit of /api/.
send_requests() {
    local number url
    set +e
    for ((number = 1; number <= 200; number++)); do
        url=$https/health
        if ((number % 2)); then
            url=$https/api/v1/users/$user_id
        fi
        fetch --output /dev/null --write-out '%{http_code}\n' "$url" >>"$1"
    done
}

lines_or_over() {
    (($(wc -l <"$2") >= $1)) || is_over "$3"
}

is_over() {
    ! kill -0 "$1" 2>/dev/null
}

restarted_backend_serves() {
    start_backend 2
    wait_until "$start_seconds" backend_is_ready_or_dead 2 || fail "not listening" || return 1
    is_running backend-2 || fail "it ended" || return 1
    wait_until 20 served_by backend-2 || fail "no answer of backend-2 in 20 s"
}

served_by() {
    request "$https/health" && [[ $(header x-served-by) == "$1" ]]
}

lb_drains_and_exits() {
    kill -TERM "${pids[lb]}"
    wait_until "$drain_seconds" is_over "${pids[lb]}" || fail "still running" || return 1
    reap lb
    ((ended_with == 0)) || fail "exit status $ended_with"
}

# ---- requests ----------------------------------------------------------------

answer_code=
answer_version=

# The machine's proxies and ~/.curlrc have no say in this.
fetch() {
    curl -q --noproxy '*' --silent --show-error --max-time 15 --cacert "$ca" "$@" 2>>"$state/curl.log"
}

# One request; the answer is in answer_code, answer_version, $state/headers and
# $state/body.
request() {
    local result
    answer_code='' answer_version=''
    result=$(fetch --dump-header "$state/headers" --output "$state/body" \
        --write-out '%{http_code} %{http_version}' "$@") || {
        because="curl: $(tail -n 1 "$state/curl.log")"
        return 1
    }
    read -r answer_code answer_version <<<"$result"
}

post() {
    request --header 'Content-Type: application/json' --data-raw "$2" "$1"
}

header() {
    tr -d '\r' <"$state/headers" | sed -nE "s/^$1: *(.*)/\1/Ip"
}

expect_code() {
    [[ $answer_code == "$1" ]] || fail "$answer_code instead of $1"
}

fail() {
    because=$*
    return 1
}

main "$@"

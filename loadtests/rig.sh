# shellcheck shell=bash
#
# The rig of the load tests, sourced by them and by scripts/h2spec.sh: a scratch
# directory, a certificate, an origin, and lb, nginx and haproxy in front of it, with
# one worker each and configured alike. Everything listens on loopback, on ports that
# are free when it starts, and is stopped when the script ends, in whatever way.
#
# Who sources it says who it is, and for which build: rig NAME release|debug. Read
# from the environment:
#   LB       the lb to run           (that of the build, in the target directory)
#   RESULTS  where JSON is written   (loadtests/results)

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 1

target=${CARGO_TARGET_DIR:-target}
# shellcheck disable=SC2034 # for those who source this
results=${RESULTS:-loadtests/results}

# How long a process may take to be ready, in seconds: a debug build on a busy machine
# needs a few.
start_seconds=30

# How long a client may take to send the head of a request: nginx's default, given to
# haproxy too. lb's is fixed. A test of idle connections raises it.
header_timeout=60s

# Connections of clients that nginx and haproxy have room for.
room=4096

name=    # of the script, in front of its messages
lb_bin=  # the lb that is measured
scratch= # a directory that is removed in the end

rig() {
    local build="cargo build -p lb"
    name=$1
    lb_bin=${LB:-$target/$2/lb}
    if [[ $2 == release ]]; then
        build="cargo build --release -p lb"
    fi
    if [[ ! -x $lb_bin ]]; then
        fail "there is no $lb_bin: $build, or say which with LB="
    fi
    scratch=$(mktemp -d)
    trap end EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM

    # One certificate for all: EC P-256, with the authority that signed it.
    certs/make-dev.sh "$scratch/certs" >/dev/null
    ca=$scratch/certs/ca.pem
    cat "$scratch/certs/api.pem" "$scratch/certs/api.key" >"$scratch/certs/both.pem"
    divide_cores
}

fail() {
    echo "$name: $*" >&2
    exit 1
}

# ---- descriptors and cores ---------------------------------------------------

# What a proxy needs beside its idle connections: to the origin, of the ordinary
# clients, and its own files.
spare_descriptors=1024

hard_descriptors() {
    local limit
    limit=$(ulimit -Hn)
    if [[ $limit == unlimited ]]; then
        limit=1048576
    fi
    echo "$limit"
}

# allow_connections N: raises the soft limit to the hard one, and fails if that is
# too little for N connections in one process.
allow_connections() {
    local hard
    hard=$(hard_descriptors)
    if (($1 + spare_descriptors > hard)); then
        fail "$1 connections need $(($1 + spare_descriptors)) descriptors in one process, and the hard limit is $hard (ulimit -Hn)"
    fi
    ulimit -Sn "$hard"
    room=$(($1 + spare_descriptors))
}

is_count() {
    [[ $1 =~ ^[1-9][0-9]{0,5}$ ]]
}

on_proxy_core=()
on_load_core=()

# The proxy has a core of its own; everything else shares another.
divide_cores() {
    local cores
    read -ra cores < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)))')
    if ((${#cores[@]} < 2)); then
        echo "$name: one core only: proxy and clients share it, and the times say little" >&2
        return
    fi
    on_proxy_core=(taskset -c "${cores[0]}")
    on_load_core=(taskset -c "${cores[1]}")
}

# ---- what is started ---------------------------------------------------------

origin_port=
plain_port=  # of the proxy that was started last
tls_port=
status_port= # lb's

# Answers 200 and 65 bytes to everything.
start_origin() {
    local body
    body=$(printf 'o%.0s' {1..65})
    take_ports origin_port
    mkdir -p -- "$scratch/origin"
    {
        nginx_preamble "$scratch/origin"
        cat <<CONF
    server {
        listen 127.0.0.1:$origin_port reuseport;
        location / { return 200 "$body"; }
    }
}
CONF
    } >"$scratch/origin.conf"
    start origin "${on_load_core[@]}" nginx -p "$scratch/origin" -e "$scratch/origin.log" -c "$scratch/origin.conf"
    wait_for_answer origin "http://127.0.0.1:$origin_port/"
}

# start_proxy lb|nginx|haproxy: with fresh memory and fresh ports. Its process group
# is ${pids[NAME]}.
start_proxy() {
    take_ports plain_port tls_port status_port
    "configure_$1"
    case $1 in
        lb) start lb "${on_proxy_core[@]}" "$lb_bin" run --config "$scratch/lb.yaml" ;;
        nginx) start nginx "${on_proxy_core[@]}" nginx -p "$scratch/nginx" -e "$scratch/nginx.log" -c "$scratch/nginx.conf" ;;
        haproxy) start haproxy "${on_proxy_core[@]}" haproxy -db -f "$scratch/haproxy.cfg" ;;
    esac
    wait_for_answer "$1" "http://127.0.0.1:$plain_port/"
    wait_for_answer "$1" "https://localhost:$tls_port/"
}

configure_lb() {
    cat >"$scratch/lb.yaml" <<CONF
version: 1
workers: 1
status: { address: "127.0.0.1:$status_port" }
shutdown: { drain_timeout: 1s }
listeners:
  plain: { bind: ["127.0.0.1:$plain_port"] }
  tls:
    bind: ["127.0.0.1:$tls_port"]
    tls:
      certificates: [{ cert: certs/api.pem, key: certs/api.key }]
upstreams:
  origin: { endpoints: [{ address: "127.0.0.1:$origin_port" }] }
virtual_hosts:
  - hosts: ["*"]
    routes: [{ match: { path_prefix: / }, upstream: origin, access_log: false }]
CONF
}

configure_nginx() {
    mkdir -p -- "$scratch/nginx"
    {
        nginx_preamble "$scratch/nginx"
        cat <<CONF
    client_header_timeout $header_timeout;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate $scratch/certs/api.pem;
    ssl_certificate_key $scratch/certs/api.key;
    upstream origin { least_conn; server 127.0.0.1:$origin_port; keepalive 32; keepalive_requests 1000000000; }
    server {
        listen 127.0.0.1:$plain_port;
        listen 127.0.0.1:$tls_port ssl http2;
        location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host \$http_host;
            proxy_set_header X-Real-IP \$remote_addr;
            proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto \$scheme;
        }
    }
}
CONF
    } >"$scratch/nginx.conf"
}

# Up to and into http { }. Debian's paths belong to root: temporary files go to $1.
nginx_preamble() {
    if [[ $(id -u) == 0 ]]; then
        echo "user root;"
    fi
    cat <<CONF
daemon off;
worker_processes 1;
pid $1/pid;
events { worker_connections $((room + spare_descriptors)); }
http {
    access_log off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path $1/body;
    proxy_temp_path $1/proxy;
    fastcgi_temp_path $1/fastcgi;
    uwsgi_temp_path $1/uwsgi;
    scgi_temp_path $1/scgi;
CONF
}

# haproxy counts two descriptors a connection, which idle ones do not have: without
# "no strict-limits" it would not start with a limit that is large enough.
configure_haproxy() {
    cat >"$scratch/haproxy.cfg" <<CONF
global
    maxconn $room
    nbthread 1
    no strict-limits
defaults
    mode http
    balance leastconn
    option forwardfor
    timeout connect 10s
    timeout client 1h
    timeout server 60s
    timeout http-request $header_timeout
    timeout http-keep-alive 1h
frontend clients
    bind 127.0.0.1:$plain_port
    bind 127.0.0.1:$tls_port ssl crt $scratch/certs/both.pem alpn h2,http/1.1 ssl-min-ver TLSv1.2
    http-request set-header X-Real-IP %[src]
    http-request set-header X-Forwarded-Proto http unless { ssl_fc }
    http-request set-header X-Forwarded-Proto https if { ssl_fc }
    default_backend origin
backend origin
    http-reuse always
    server origin 127.0.0.1:$origin_port
CONF
}

# take_ports VARIABLE...: free on loopback, and below those that the system gives to
# connections, so that nobody's connection is in the way of a listener.
take_ports() {
    local ports
    read -ra ports < <(python3 loadtests/free_ports.py "$#")
    ((${#ports[@]} == $#)) || fail "no free ports"
    local index=0 variable
    for variable in "$@"; do
        printf -v "$variable" %s "${ports[index++]}"
    done
}

# ---- processes ---------------------------------------------------------------

declare -A pids=()

# start NAME COMMAND...: in a process group of its own, so that Ctrl-C reaches the
# script only, and all processes of a proxy can be found.
start() {
    local who=$1
    shift
    set -m
    "$@" </dev/null >>"$scratch/$who.log" 2>&1 &
    pids[$who]=$!
    set +m
}

wait_for_answer() {
    local who=$1 url=$2 deadline=$((SECONDS + start_seconds))
    until curl -q --silent --fail --noproxy '*' --cacert "$ca" --max-time 5 --output /dev/null "$url"; do
        if ((SECONDS > deadline)) || ! kill -0 "${pids[$who]}" 2>/dev/null; then
            tail -n 20 -- "$scratch/$who.log" >&2 || true
            fail "$who does not answer on ${url%%:*}; the last lines of its log are above"
        fi
        sleep 0.1
    done
}

# stop NAME: SIGTERM, and SIGKILL if that takes more than ten seconds.
stop() {
    local pid=${pids[$1]:-} deadline=$((SECONDS + 10))
    if [[ -z $pid ]]; then
        return
    fi
    kill -TERM -- "-$pid" 2>/dev/null || true
    while kill -0 -- "-$pid" 2>/dev/null; do
        if ((SECONDS > deadline)); then
            kill -KILL -- "-$pid" 2>/dev/null || true
            break
        fi
        sleep 0.05
    done
    wait "$pid" 2>/dev/null || true
    unset "pids[$1]"
}

# On every way out.
end() {
    local code=$? who pid
    trap - EXIT
    trap '' HUP INT TERM
    for who in "${!pids[@]}"; do
        stop "$who"
    done
    # Whatever else this shell has running, by process id.
    for pid in $(jobs -rp); do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    if [[ -n $scratch ]]; then
        rm -rf -- "$scratch"
    fi
    exit "$code"
}

# ---- ordinary clients --------------------------------------------------------

# As many as keep one core busy without a queue of their own that hides the proxy.
ordinary_clients=16

# ordinary_requests URL SECONDS LABEL...: one JSON line on standard output, with the
# labels (KEY=VALUE) in it.
ordinary_requests() {
    local url=$1 seconds=$2
    shift 2
    run "${on_load_core[@]}" wrk -t 1 -c "$ordinary_clients" -d "${seconds}s" --timeout 10s \
        -s loadtests/percentiles.lua "$url" -- "$@" >"$scratch/wrk"
    if ! grep '^{' "$scratch/wrk"; then
        cat "$scratch/wrk" >&2
        fail "wrk printed no result"
    fi
}

# In the background and waited for, so that a signal is obeyed at once.
run() {
    "$@" </dev/null &
    wait "$!"
}

# hold COMMAND...: starts clients that are held while others are measured; what
# they are told goes to descriptor 8, what they say comes from descriptor 9.
hold() {
    mkfifo "$scratch/told" "$scratch/said"
    "${on_load_core[@]}" "$@" <"$scratch/told" >"$scratch/said" &
    exec 8>"$scratch/told" 9<"$scratch/said"
    rm -- "$scratch/told" "$scratch/said"
}

# ---- results -----------------------------------------------------------------

# What was measured with what: a JSON object.
circumstances() {
    python3 loadtests/circumstances.py "$lb_bin" ${LB:+given}
}

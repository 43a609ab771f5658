#!/usr/bin/env bash
#
# Installs what this machine lacks to build, run or test the workspace.
#
#   scripts/bootstrap.sh [demo|test|bench|fleet]        (default: demo)
#
# As root, or where `sudo -n` works, the missing Debian packages are installed
# with apt-get. Anywhere else they are listed, with the reason for each, and the
# exit status is 1. Nothing is contacted when nothing is missing. Rust is never
# installed from here: rustup belongs to the user. Neither is what Debian does not have.
# For test and fleet, a /dev/null that only root may write to is opened again, and that is said.
#
# Overridable, mostly for scripts/test-bootstrap.sh:
#   APT_GET          the apt-get to run              (apt-get)
#   POLICY_RC_D      where invoke-rc.d asks          (/usr/sbin/policy-rc.d)
#   NULL_DEVICE      what every user writes to       (/dev/null)
#   BOOTSTRAP_TABLE  a file that replaces the table below
set -euo pipefail

apt_get=${APT_GET:-apt-get}
policy_rc_d=${POLICY_RC_D:-/usr/sbin/policy-rc.d}
null_device=${NULL_DEVICE:-/dev/null}
scripts=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

# One requirement a line; to add one, add a line:
#
#   purpose  demo, test, bench or fleet. The others include demo.
#   look for command:NAME (on the PATH), file:PATH, python:MODULE (of the python3 on
#            PATH, or of Debian's, which another one may hide), postgresql:NAME (on
#            the PATH, or where Debian keeps the server's programs, which is not on it), or
#            script:NAME (one of this directory, which says with --obtainable whether it can
#            get what it runs, and if it cannot, why). Present: nothing to do.
#   package  the Debian package that brings it; - where none does.
#   kind     tool, or service: a package that starts a daemon when it is
#            installed. A service is installed without being started, so that it
#            does not take its standard port; the tests start their own.
#   why      shown to the people who have to install it themselves.
requirements() {
    if [[ -n ${BOOTSTRAP_TABLE:-} ]]; then
        cat -- "$BOOTSTRAP_TABLE"
        return
    fi
    cat <<'TABLE'
demo  command:cc                               build-essential  tool  C compiler for aws-lc (TLS), zlib-ng, mimalloc and SQLite
demo  command:c++                              build-essential  tool  C++ compiler that cmake asks for
demo  command:make                             build-essential  tool  runs the Makefile, and cmake's builds
demo  command:cmake                            cmake            tool  builds zlib-ng and, where no prebuilt bindings fit, aws-lc
demo  command:curl                             curl             tool  the requests that the demo and the smoke run send
demo  command:openssl                          openssl          tool  makes the development certificates
demo  file:/etc/ssl/certs/ca-certificates.crt  ca-certificates  tool  the certificates that cargo trusts when it downloads crates
test  command:python3                          python3          tool  the origin that stands behind lb in scripts/h2spec.sh
test  python:ensurepip                         python3-venv     tool  Schemathesis gets a place of its own: scripts/test-openapi.sh
test  command:nginx                            nginx            service  the origin of the requests whose instructions are counted
test  command:h2load                           nghttp2-client   tool  sends them
test  command:valgrind                         valgrind         tool  counts them
test  postgresql:initdb                        postgresql       service  the database of the backends' tests: a primary and its replicas
test  command:psql                             postgresql-client tool  asks it
test  command:redis-server                     redis-server     service  the cache of the backends' tests: a cluster of six nodes
test  command:redis-cli                        redis-tools      tool  asks it
test  command:chromium                         chromium         tool  the browser in which the web page is tested
test  command:node                             nodejs           tool  runs the tests that drive it
test  command:npm                              npm              tool  installs playwright-core for them
test  command:promtool                         prometheus       service  checks the alert rules of config/prometheus, and runs their tests
test  python:yaml                              python3-yaml     tool  reads the alert rules and the compose file in their tests
test  script:kustomize.sh                      -                tool  builds the manifests of k8s/
test  command:docker-compose                   docker-compose   tool  reads docker-compose.scale.yml; nothing is started with it
bench command:python3                          python3          tool  the clients of loadtests/, and the origin of scripts/h2spec.sh
bench command:nginx                            nginx            service  measured beside lb, and the origin behind all of them
bench command:haproxy                          haproxy          service  measured beside lb
bench command:wrk                              wrk              tool  the requests over HTTP/1.1 whose times are measured
bench command:ab                               apache2-utils    tool  many short connections: loadtests/ab.sh
bench command:h2load                           nghttp2-client   tool  the requests over HTTP/2 whose times are measured
bench command:taskset                          util-linux       tool  gives the proxy a core of its own
bench command:strace                           strace           tool  counts system calls per request for make bench
bench command:valgrind                         valgrind         tool  counts instructions per request, which repeat where times do not
bench python:matplotlib                        python3-matplotlib tool draws the chart of make bench
fleet postgresql:initdb                        postgresql       service  the database of make fleet: a primary and two replicas
fleet command:psql                             postgresql-client tool  sets it up
fleet command:redis-server                     redis-server     service  the cache of make fleet: a cluster of six nodes
fleet command:redis-cli                        redis-tools      tool  asks it by hand
TABLE
}

main() {
    if (($# > 1)); then
        usage
    fi
    local purpose=${1:-demo}
    case $purpose in
        demo | test | bench | fleet) ;;
        *) usage ;;
    esac

    case $purpose in
        test | fleet) open_null_device ;;
    esac

    find_missing "$purpose"
    if ((${#missing_packages[@]} > 0)); then
        if ! may_install; then
            list_missing "$purpose"
            cargo_exists || point_to_rustup
            point_to_what_scripts_lack || true
            exit 1
        fi
        install_missing
        find_missing "$purpose"
        if ((${#missing_packages[@]} > 0)); then
            echo "bootstrap: installed, but still not found:" >&2
            list_missing "$purpose"
            exit 1
        fi
    fi

    local complete=yes
    if ! cargo_exists; then
        point_to_rustup
        complete=no
    fi
    point_to_what_scripts_lack || complete=no
    [[ $complete == yes ]]
}

usage() {
    echo "usage: scripts/bootstrap.sh [demo|test|bench|fleet]" >&2
    exit 2
}

# PostgreSQL refuses to run as root: of root's, its servers are another user's, and the
# shells they start write to /dev/null. A program that is run as root and is told to write
# there takes that right away easily, by a chmod of what it has written.
open_null_device() {
    local mode
    mode=$(stat -L -c %A -- "$null_device")
    if [[ $mode == ???????rw? ]]; then
        return
    fi
    if ! may_be_root; then
        echo "bootstrap: $null_device is $mode, but everybody has to write to it: chmod 0666 $null_device" >&2
        exit 1
    fi
    as_root chmod 0666 -- "$null_device"
    echo "bootstrap: $null_device was $mode, which shut out the users that servers run as; now it is open to all" >&2
}

missing_packages=() # each package once, in the order of the table
missing_reasons=()  # parallel: what was looked for, and why
missing_service=no  # is a service among them?
missing_scripts=()  # what no package brings: the scripts that say what to do

find_missing() {
    local wanted=$1 purpose look_for package kind why index
    missing_packages=() missing_reasons=() missing_service=no missing_scripts=()
    while read -r purpose look_for package kind why; do
        if [[ -z $purpose || $purpose == '#'* ]]; then
            continue
        fi
        if [[ $purpose != demo && $purpose != "$wanted" ]] || is_present "$look_for"; then
            continue
        fi
        if [[ $look_for == script:* ]]; then
            missing_scripts+=("${look_for#script:}")
            continue
        fi
        if [[ $kind == service ]]; then
            missing_service=yes
        fi
        for index in "${!missing_packages[@]}"; do
            if [[ ${missing_packages[index]} == "$package" ]]; then
                missing_reasons[index]+="; ${look_for#*:}: $why"
                continue 2
            fi
        done
        missing_packages+=("$package")
        missing_reasons+=("${look_for#*:}: $why")
    done < <(requirements)
}

is_present() {
    case $1 in
        command:*) command -v -- "${1#command:}" >/dev/null ;;
        file:*) [[ -e ${1#file:} ]] ;;
        python:*) python_has "${1#python:}" python3 || python_has "${1#python:}" /usr/bin/python3 ;;
        postgresql:*) postgresql_has "${1#postgresql:}" ;;
        script:*) "$scripts/${1#script:}" --obtainable 2>/dev/null ;;
        *)
            echo "bootstrap: the table says \"$1\"; expected command:NAME, file:PATH, python:MODULE, postgresql:NAME or script:NAME" >&2
            exit 70
            ;;
    esac
}

python_has() {
    "$2" -c "import $1" 2>/dev/null
}

# Debian installs several versions beside each other, each in a directory of its own.
postgresql_has() {
    command -v -- "$1" >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null
}

list_missing() {
    local index
    {
        echo "bootstrap: \"$1\" needs these Debian packages, or what your system has in their place:"
        for index in "${!missing_packages[@]}"; do
            printf '  %-18s %s\n' "${missing_packages[index]}" "${missing_reasons[index]}"
        done
        echo "with the right to install them:"
        echo "  apt-get update && apt-get install --no-install-recommends ${missing_packages[*]}"
    } >&2
}

cargo_exists() {
    command -v cargo >/dev/null
}

point_to_rustup() {
    if [[ -x ${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo ]]; then
        echo "bootstrap: cargo is installed but not on the PATH: . \"${CARGO_HOME:-$HOME/.cargo}/env\"" >&2
    else
        echo "bootstrap: cargo is missing: install Rust's stable toolchain with rustup, https://rustup.rs" >&2
    fi
}

# 1 if a script lacks something.
point_to_what_scripts_lack() {
    local script
    for script in "${missing_scripts[@]}"; do
        "$scripts/$script" --obtainable || true
    done
    ((${#missing_scripts[@]} == 0))
}

may_install() {
    command -v -- "$apt_get" >/dev/null && may_be_root
}

may_be_root() {
    [[ $(id -u) == 0 ]] || sudo -n true 2>/dev/null
}

as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    else
        sudo -n -- "$@"
    fi
}

install_missing() {
    echo "bootstrap: installing ${missing_packages[*]}" >&2
    if [[ $missing_service == yes ]]; then
        forbid_service_starts
    fi
    # A signal is honoured when apt-get has returned: dpkg must not be left half
    # way, and the policy has to stand until the last maintainer script is over.
    as_root env DEBIAN_FRONTEND=noninteractive "$apt_get" -q update </dev/null >&2
    as_root env DEBIAN_FRONTEND=noninteractive "$apt_get" -q install -y \
        --no-install-recommends "${missing_packages[@]}" </dev/null >&2
}

# invoke-rc.d runs policy-rc.d before it starts a service; 101 means "forbidden".
policy_mark="# placed by scripts/bootstrap.sh, process"
policy_text="#!/bin/sh
$policy_mark $$
exit 101"
policy_placed=no

forbid_service_starts() {
    remove_abandoned_policy
    if [[ -e $policy_rc_d || -L $policy_rc_d ]]; then
        echo "bootstrap: $policy_rc_d is already there and decides whether services start" >&2
        return
    fi
    policy_placed=yes
    trap allow_service_starts EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # noclobber (-C): a file that appeared in between is somebody else's.
    # shellcheck disable=SC2016 # $1 and $2 are for the inner shell
    as_root sh -c 'set -C; printf "%s\n" "$2" >"$1" && chmod 0755 "$1"' sh "$policy_rc_d" "$policy_text"
}

# On every way out: removes what forbid_service_starts placed, and nothing else.
allow_service_starts() {
    if [[ $policy_placed == yes && -f $policy_rc_d && $(<"$policy_rc_d") == "$policy_text" ]]; then
        as_root rm -f -- "$policy_rc_d"
    fi
}

# A run that was killed outright (SIGKILL, power) leaves its policy behind, and
# no service of this machine would ever start again.
remove_abandoned_policy() {
    local text owner
    if [[ ! -f $policy_rc_d || ! -r $policy_rc_d ]]; then
        return
    fi
    text=$(<"$policy_rc_d")
    if [[ $text =~ ^'#!/bin/sh'$'\n'"$policy_mark "([0-9]+)$'\n''exit 101'$ ]]; then
        owner=${BASH_REMATCH[1]}
        if [[ ! -d /proc/$owner ]]; then
            as_root rm -f -- "$policy_rc_d"
        fi
    fi
}

main "$@"

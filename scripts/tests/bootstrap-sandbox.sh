#!/usr/bin/env bash
#
# What scripts/test-bootstrap.sh runs its cases in, and what they expect of it. To be sourced.
# shellcheck disable=SC2154 # here, bootstrap, work and real_programs are the script's

# ---- the sandbox -------------------------------------------------------------

run_case() {
    local name=$1
    case_dir=$work/$name
    problems=()
    status=0
    # An array and not a function: in the background, a function would be a
    # subshell in front of the process that a signal is meant for.
    in_sandbox=(env -i PATH="$case_dir/bin" HOME="$case_dir/home"
        POLICY_RC_D="$case_dir/policy-rc.d" NULL_DEVICE="$case_dir/null"
        BOOTSTRAP_TABLE="$case_dir/table")
    mkdir -p "$case_dir/bin" "$case_dir/root" "$case_dir/home"
    local program
    for program in "${real_programs[@]}"; do
        ln -s "$(type -P "$program")" "$case_dir/bin/$program"
    done
    : >"$case_dir/apt-calls"
    : >"$case_dir/apt-then"
    : >"$case_dir/apt-brings"
    : >"$case_dir/null"
    chmod 0666 "$case_dir/null"
    user_is 0
    fake cargo 'exit 0'
    fake apt-get "printf '%s %s\n' \"\$DEBIAN_FRONTEND\" \"\$*\" >>'$case_dir/apt-calls'
if [ -e '$case_dir/policy-rc.d' ]; then
    code=0; '$case_dir/policy-rc.d' || code=\$?
    printf 'present %s\n' \"\$code\"
else
    echo absent
fi >'$case_dir/apt-saw-policy'
. '$case_dir/apt-then'
case \$2 in install) . '$case_dir/apt-brings' ;; esac"
    "$name"
    if ((${#problems[@]} == 0)); then
        echo "ok   $name"
    else
        failures=$((failures + 1))
        printf 'FAIL %s\n' "$name"
        printf '     %s\n' "${problems[@]}"
        sed 's/^/     | /' "$case_dir/output"
    fi
}

fake() {
    printf '#!/bin/sh\nset -e\n%s\n' "$2" >"$case_dir/bin/$1"
    chmod 0755 "$case_dir/bin/$1"
}

user_is() { fake id "echo $1"; }
sudo_refuses() { fake sudo 'exit 1'; }
sudo_works() {
    fake sudo "printf '%s\n' \"\$*\" >>'$case_dir/sudo-calls'
[ \"\$1\" = -n ] && shift
[ \"\$1\" = -- ] && shift
exec \"\$@\""
}

table() { printf '%s\n' "$@" >"$case_dir/table"; }
apt_then() { printf '%s\n' "$1" >"$case_dir/apt-then"; }
apt_brings() {
    local name
    for name in "$@"; do apt_brings_file "$case_dir/bin/$name"; done
}
apt_brings_file() { printf "echo '#!/bin/sh' >'%s'; chmod 0755 '%s'\n" "$1" "$1" >>"$case_dir/apt-brings"; }

bootstrap() {
    status=0
    "${in_sandbox[@]}" bash "$bootstrap" "$@" >"$case_dir/output" 2>&1 </dev/null || status=$?
}

wait_until() {
    local attempt
    for ((attempt = 0; attempt < 200; attempt++)); do
        if "$@"; then
            return 0
        fi
        sleep 0.05
    done
    return 1
}

# ---- expectations ------------------------------------------------------------

fail() { problems+=("$1"); }

expect_status() {
    [[ $status == "$1" ]] || fail "exit status $status, expected $1"
}

expect_output() {
    [[ $(<"$case_dir/output") == "$1" ]] || fail "unexpected output"
}

expect_in_output() {
    local text
    for text in "$@"; do
        grep -qF -- "$text" "$case_dir/output" || fail "the output lacks \"$text\""
    done
}

expect_not_in_output() {
    local text
    for text in "$@"; do
        if grep -qF -- "$text" "$case_dir/output"; then
            fail "the output has \"$text\""
        fi
    done
}

expect_apt_calls() {
    [[ $(<"$case_dir/apt-calls") == "$1" ]] || fail "apt-get was called: $(<"$case_dir/apt-calls")"
}

expect_apt_saw_policy() {
    local saw='apt-get never ran'
    if [[ -e $case_dir/apt-saw-policy ]]; then
        saw=$(<"$case_dir/apt-saw-policy")
    fi
    [[ $saw == "$1" ]] || fail "policy seen by apt-get: $saw, expected: $1"
}

expect_null_device() {
    local mode
    mode=$(stat -c %a "$case_dir/null")
    [[ $mode == "$1" ]] || fail "the null device has mode $mode, expected $1"
}

expect_no_policy() {
    [[ ! -e $case_dir/policy-rc.d ]] || fail "a policy-rc.d was left behind"
}

expect_policy() {
    [[ -e $case_dir/policy-rc.d && $(<"$case_dir/policy-rc.d") == "$1" ]] || fail "policy-rc.d was changed"
}

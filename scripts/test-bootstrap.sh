#!/usr/bin/env bash
#
# Tests scripts/bootstrap.sh without touching the machine: every case runs it
# with a PATH of its own, on which id, sudo, apt-get and cargo are fakes, a
# table of its own, and a policy-rc.d in a temporary directory.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
bootstrap=$here/bootstrap.sh
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# The only programs a case may find, besides the fakes.
real_programs=(bash sh cat chmod dirname env grep ls mkdir rm sleep stat touch true)

failures=0

# shellcheck source=scripts/tests/bootstrap-sandbox.sh
source "$here/tests/bootstrap-sandbox.sh"

main() {
    run_case nothing_missing_touches_nothing
    run_case missing_and_may_install_updates_once_and_installs_each_package_once
    run_case missing_and_may_not_install_lists_it_and_fails
    run_case without_apt_get_it_lists_and_fails
    run_case sudo_is_used_where_it_needs_no_password
    run_case purpose_selects_its_lines_and_those_of_the_demo
    run_case null_device_is_opened_to_all_for_servers_of_other_users
    run_case null_device_that_is_not_ours_to_open_is_an_error
    run_case null_device_is_opened_with_sudo
    run_case tools_are_installed_without_a_policy
    run_case services_are_installed_under_a_policy_that_is_removed
    run_case policy_that_was_there_is_untouched
    run_case policy_that_replaced_ours_is_untouched
    run_case policy_abandoned_by_a_killed_run_is_replaced_and_removed
    run_case policy_is_removed_when_apt_get_fails
    run_case policy_is_removed_on_interrupt
    run_case policy_is_removed_on_termination
    run_case package_that_does_not_bring_its_command_is_reported
    run_case python_module_is_asked_of_python
    run_case program_of_postgresql_is_looked_for_on_the_path_too
    run_case what_no_package_brings_is_told_by_its_script
    run_case kustomize_is_obtainable_where_it_is_or_where_go_is
    run_case missing_cargo_points_to_rustup
    run_case unknown_purpose_is_refused
    run_case table_in_the_script_is_well_formed
    if ((failures > 0)); then
        echo "test-bootstrap: $failures failed"
        exit 1
    fi
}

# ---- cases -------------------------------------------------------------------

nothing_missing_touches_nothing() {
    table 'demo command:cargo rust tool any' 'test command:sleep coreutils tool any'
    bootstrap test
    expect_status 0
    expect_output ''
    expect_apt_calls ''
}

missing_and_may_install_updates_once_and_installs_each_package_once() {
    table 'demo command:alpha pkg-a tool first' \
        'demo command:alpha2 pkg-a tool second' \
        "demo file:$case_dir/root/beta pkg-b tool third"
    apt_brings alpha alpha2
    apt_brings_file "$case_dir/root/beta"
    bootstrap demo
    expect_status 0
    expect_apt_calls 'noninteractive -q update
noninteractive -q install -y --no-install-recommends pkg-a pkg-b'
    bootstrap demo
    expect_status 0
    expect_output ''
}

missing_and_may_not_install_lists_it_and_fails() {
    user_is 1000
    sudo_refuses
    table 'demo command:alpha pkg-a tool the first reason' 'demo command:beta pkg-b service the second reason'
    bootstrap demo
    expect_status 1
    expect_in_output 'pkg-a' 'alpha: the first reason' 'pkg-b' 'beta: the second reason' \
        'apt-get install --no-install-recommends pkg-a pkg-b'
    expect_apt_calls ''
    expect_no_policy
}

without_apt_get_it_lists_and_fails() {
    rm -- "$case_dir/bin/apt-get"
    table 'demo command:alpha pkg-a tool any'
    bootstrap demo
    expect_status 1
    expect_in_output 'pkg-a'
}

sudo_is_used_where_it_needs_no_password() {
    user_is 1000
    sudo_works
    table 'demo command:alpha pkg-a service any'
    apt_brings alpha
    bootstrap demo
    expect_status 0
    expect_apt_saw_policy 'present 101'
    expect_no_policy
    grep -q -- '-n -- env DEBIAN_FRONTEND=noninteractive apt-get' "$case_dir/sudo-calls" ||
        fail "apt-get did not run through sudo"
}

purpose_selects_its_lines_and_those_of_the_demo() {
    table 'demo command:alpha pkg-a tool any' 'test command:beta pkg-b tool any' 'bench command:gamma pkg-c tool any'
    user_is 1000
    sudo_refuses
    bootstrap demo
    expect_in_output pkg-a
    expect_not_in_output pkg-b pkg-c
    bootstrap test
    expect_in_output pkg-a pkg-b
    expect_not_in_output pkg-c
    bootstrap bench
    expect_in_output pkg-a pkg-c
    expect_not_in_output pkg-b
}

null_device_is_opened_to_all_for_servers_of_other_users() {
    table 'test command:cargo pkg-a tool any'
    chmod 0444 "$case_dir/null"
    bootstrap demo
    expect_status 0
    expect_null_device 444
    bootstrap test
    expect_status 0
    expect_in_output 'null was -r--r--r--'
    expect_null_device 666
    bootstrap test
    expect_output ''
}

null_device_that_is_not_ours_to_open_is_an_error() {
    table 'fleet command:cargo pkg-a tool any'
    user_is 1000
    sudo_refuses
    chmod 0664 "$case_dir/null"
    bootstrap fleet
    expect_status 1
    expect_in_output 'chmod 0666'
    expect_null_device 664
}

null_device_is_opened_with_sudo() {
    table 'test command:cargo pkg-a tool any'
    user_is 1000
    sudo_works
    chmod 0600 "$case_dir/null"
    bootstrap test
    expect_status 0
    expect_null_device 666
}

tools_are_installed_without_a_policy() {
    table 'demo command:alpha pkg-a tool any' 'demo command:cargo pkg-s service already there'
    apt_brings alpha
    bootstrap demo
    expect_status 0
    expect_apt_saw_policy absent
}

services_are_installed_under_a_policy_that_is_removed() {
    table 'demo command:alpha pkg-a tool any' 'demo command:beta pkg-b service any'
    apt_brings alpha beta
    bootstrap demo
    expect_status 0
    expect_apt_saw_policy 'present 101'
    expect_no_policy
}

policy_that_was_there_is_untouched() {
    printf '#!/bin/sh\nexit 0\n' >"$case_dir/policy-rc.d"
    chmod 0755 "$case_dir/policy-rc.d"
    table 'demo command:alpha pkg-a service any'
    apt_brings alpha
    bootstrap demo
    expect_status 0
    expect_apt_saw_policy 'present 0'
    expect_policy $'#!/bin/sh\nexit 0'
}

policy_that_replaced_ours_is_untouched() {
    table 'demo command:alpha pkg-a service any'
    apt_brings alpha
    apt_then "printf 'theirs\n' >'$case_dir/policy-rc.d'"
    bootstrap demo
    expect_status 0
    expect_policy theirs
}

policy_abandoned_by_a_killed_run_is_replaced_and_removed() {
    # A process that is over: its id names nobody.
    local gone
    sleep 0 &
    gone=$!
    wait "$gone"
    printf '#!/bin/sh\n# placed by scripts/bootstrap.sh, process %s\nexit 101\n' "$gone" >"$case_dir/policy-rc.d"
    chmod 0755 "$case_dir/policy-rc.d"
    table 'demo command:alpha pkg-a service any'
    apt_brings alpha
    bootstrap demo
    expect_status 0
    expect_apt_saw_policy 'present 101'
    expect_no_policy
}

policy_is_removed_when_apt_get_fails() {
    table 'demo command:alpha pkg-a service any'
    apt_then 'exit 100'
    bootstrap demo
    expect_status 100
    expect_apt_saw_policy 'present 101'
    expect_no_policy
}

policy_is_removed_on_interrupt() {
    policy_is_removed_on INT 130
}

policy_is_removed_on_termination() {
    policy_is_removed_on TERM 143
}

policy_is_removed_on() {
    local signal=$1 expected=$2 pid
    table 'demo command:alpha pkg-a service any'
    # apt-get waits to be released, at most ten seconds.
    apt_then "touch '$case_dir/apt-runs'
n=0; while [ ! -e '$case_dir/release' ] && [ \$n -lt 200 ]; do sleep 0.05; n=\$((n + 1)); done"
    # Job control: without it a background process ignores SIGINT for good.
    set -m
    "${in_sandbox[@]}" bash "$bootstrap" demo >"$case_dir/output" 2>&1 &
    pid=$!
    set +m
    wait_until test -e "$case_dir/apt-runs" || fail "apt-get never ran"
    [[ -e $case_dir/policy-rc.d ]] || fail "no policy while apt-get runs"
    kill "-$signal" "$pid"
    # apt-get is not cut short, and the policy stands as long as it runs.
    kill -0 "$pid" 2>/dev/null || fail "bootstrap did not wait for apt-get"
    [[ -e $case_dir/policy-rc.d ]] || fail "the policy went before apt-get"
    touch "$case_dir/release"
    status=0
    wait "$pid" 2>/dev/null || status=$?
    expect_status "$expected"
    expect_no_policy
    [[ $(grep -c install "$case_dir/apt-calls") == 0 ]] || fail "went on after the signal"
}

package_that_does_not_bring_its_command_is_reported() {
    table 'demo command:alpha pkg-a tool any'
    bootstrap demo
    expect_status 1
    expect_in_output 'still not found' pkg-a
}

python_module_is_asked_of_python() {
    table 'bench python:no_such_module pkg-a tool any'
    user_is 1000
    sudo_refuses
    bootstrap bench
    expect_status 1
    expect_in_output 'no_such_module: any'
    # shellcheck disable=SC2016 # $2 is for the fake
    fake python3 'test "$2" = "import no_such_module"'
    bootstrap bench
    expect_status 0
    expect_output ''
}

program_of_postgresql_is_looked_for_on_the_path_too() {
    table 'fleet postgresql:no_such_program pkg-a service any'
    user_is 1000
    sudo_refuses
    bootstrap fleet
    expect_status 1
    expect_in_output 'no_such_program: any'
    fake no_such_program 'exit 0'
    bootstrap fleet
    expect_status 0
    expect_output ''
}

what_no_package_brings_is_told_by_its_script() {
    local bootstrap=$case_dir/scripts/bootstrap.sh
    mkdir -- "$case_dir/scripts"
    cp -- "$here/bootstrap.sh" "$bootstrap"
    table 'test script:tool.sh - tool any' 'test command:alpha pkg-a tool any'
    apt_brings alpha
    fake ../scripts/tool.sh '[ "$*" = --obtainable ]; echo "what to do about it" >&2; exit 1'
    bootstrap test
    expect_status 1
    expect_in_output 'what to do about it'
    expect_apt_calls 'noninteractive -q update
noninteractive -q install -y --no-install-recommends pkg-a'
    bootstrap demo
    expect_status 0
    fake ../scripts/tool.sh '[ "$*" = --obtainable ]'
    bootstrap test
    expect_status 0
    expect_output ''
}

kustomize_is_obtainable_where_it_is_or_where_go_is() {
    local bootstrap=$case_dir/scripts/kustomize.sh
    mkdir -- "$case_dir/scripts"
    cp -- "$here/kustomize.sh" "$bootstrap"
    bootstrap --obtainable
    expect_status 1
    expect_in_output 'so is Go' 'https://go.dev/dl' 'KUSTOMIZE=path/to/kustomize'
    # One that is too old is none.
    fake kustomize 'echo "{Version:4.5.7 GitCommit:}"'
    fake go 'test "$*" = "env GOVERSION" && echo go1.19.8'
    bootstrap --obtainable
    expect_status 1
    expect_in_output 'too old to build it (go1.19.8)'
    fake go 'test "$*" = "env GOVERSION" && echo go1.21.0'
    bootstrap --obtainable
    expect_status 0
    expect_output ''
    rm -- "$case_dir/bin/go"
    fake kustomize 'echo v5.8.0'
    bootstrap --obtainable
    expect_status 0
    expect_output ''
}

missing_cargo_points_to_rustup() {
    rm -- "$case_dir/bin/cargo"
    table 'demo command:sleep coreutils tool any'
    bootstrap demo
    expect_status 1
    expect_in_output 'https://rustup.rs'
    expect_apt_calls ''
}

unknown_purpose_is_refused() {
    table 'demo command:sleep coreutils tool any'
    bootstrap production
    expect_status 2
    expect_in_output usage
}

table_in_the_script_is_well_formed() {
    local purpose look_for package kind why lines=0
    while read -r purpose look_for package kind why; do
        lines=$((lines + 1))
        [[ $purpose =~ ^(demo|test|bench|fleet)$ ]] || fail "purpose: $purpose"
        [[ $look_for =~ ^(command:[^/]+|file:/.+|python:[a-z_]+|postgresql:[a-z_]+|script:[a-z.-]+)$ ]] || fail "look for: $look_for"
        if [[ $look_for == script:* ]]; then
            [[ $package == - && -x $here/${look_for#script:} ]] || fail "$look_for: $package"
        else
            [[ $package =~ ^[a-z0-9][a-z0-9+.-]+$ ]] || fail "package: $package"
        fi
        [[ $kind =~ ^(tool|service)$ ]] || fail "kind: $kind"
        [[ -n $why ]] || fail "$package has no reason"
    done < <(sed -n "/<<'TABLE'/,/^TABLE/p" "$bootstrap" | grep -v TABLE)
    ((lines > 0)) || fail "no table found"
}

main

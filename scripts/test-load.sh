#!/usr/bin/env bash
#
# Tests what the scripts of the load tests decide by themselves: which k6 is run, what
# is said when there is none, what counts as a failure of ab, and whether the limit on
# descriptors is enough. Nothing is started: k6, go and ab are fakes on a PATH of
# their own.
set -euo pipefail

repository=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# The only programs a case may find, besides the fakes.
real_programs=(bash cat chmod cp dirname env mkdir mktemp rm sed sh tee)

failures=0

main() {
    run_case k6_of_the_path_is_run_with_its_arguments
    run_case k6_that_is_named_comes_first
    run_case k6_that_is_named_and_missing_is_an_error
    run_case k6_is_built_with_go_once
    run_case k6_without_go_says_how_to_install_it
    run_case k6_that_cannot_be_built_says_how_to_install_it
    run_case k6_without_arguments_is_refused
    run_case ab_that_answered_everything_is_good
    run_case ab_with_failed_requests_is_a_failure
    run_case ab_with_other_answers_than_2xx_is_a_failure
    run_case ab_that_stopped_early_is_a_failure
    run_case ab_is_given_further_options
    run_case ab_with_a_count_that_is_none_is_refused
    run_case ten_thousand_clients_need_as_many_descriptors
    run_case ten_thousand_clients_need_room_in_the_configuration
    run_case ten_thousand_with_a_count_that_is_none_is_refused
    run_case demo_with_a_configuration_needs_a_command
    run_case demo_with_a_configuration_that_is_missing_starts_nothing
    if ((failures > 0)); then
        echo "test-load: $failures failed"
        exit 1
    fi
}

# ---- k6 ----------------------------------------------------------------------

k6_of_the_path_is_run_with_its_arguments() {
    # shellcheck disable=SC2016 # for the fake
    fake k6 'echo "k6 of the path: $* $K6_NO_USAGE_REPORT"'
    script scripts/k6.sh run 'a file'
    expect 0 'k6 of the path: run a file true'
}

k6_that_is_named_comes_first() {
    fake k6 'echo wrong'
    fake other 'echo "named: $*"'
    K6=$case_dir/bin/other script scripts/k6.sh version
    expect 0 'named: version'
}

k6_that_is_named_and_missing_is_an_error() {
    fake k6 'echo wrong'
    K6=/no/such/k6 script scripts/k6.sh version
    expect 1 'there is no /no/such/k6' 'set-up/install-k6'
}

k6_is_built_with_go_once() {
    fake_go
    script scripts/k6.sh version
    expect 0 'install go.k6.io/k6@v' 'built: version'
    rm -- "$case_dir/bin/go"
    script scripts/k6.sh run
    expect 0 'built: run'
}

k6_without_go_says_how_to_install_it() {
    script scripts/k6.sh version
    expect 1 'k6 is missing, and so is Go' 'go install go.k6.io/k6@v' 'https://go.dev/dl' 'set-up/install-k6'
}

k6_that_cannot_be_built_says_how_to_install_it() {
    fake go 'echo "go is too old"; exit 1'
    script scripts/k6.sh version
    expect 1 'go is too old' 'k6 was not built' 'set-up/install-k6'
}

k6_without_arguments_is_refused() {
    script scripts/k6.sh
    expect 2 usage
}

fake_go() {
    # shellcheck disable=SC2016 # for the fakes
    fake go 'echo "$*"
mkdir -p "$GOBIN"
printf "#!/bin/sh\necho \"built: \$*\"\n" >"$GOBIN/k6"
chmod 0755 "$GOBIN/k6"'
}

# ---- ab ----------------------------------------------------------------------

ab_that_answered_everything_is_good() {
    fake_ab 'Complete requests:      50' 'Failed requests:        0'
    URL=http://127.0.0.1:1/ script loadtests/ab.sh 50 5
    expect 0 'given: -n 50 -c 5 http://127.0.0.1:1/'
}

ab_with_failed_requests_is_a_failure() {
    fake_ab 'Complete requests:      50' 'Failed requests:        3'
    URL=http://127.0.0.1:1/ script loadtests/ab.sh 50 5
    expect 1 '50 of 50 complete, 3 failed'
}

ab_with_other_answers_than_2xx_is_a_failure() {
    fake_ab 'Complete requests:      50' 'Failed requests:        0' 'Non-2xx responses:      7'
    URL=http://127.0.0.1:1/ script loadtests/ab.sh 50 5
    expect 1 '7 not answered with 2xx'
}

ab_that_stopped_early_is_a_failure() {
    fake_ab 'Complete requests:      49' 'Failed requests:        0'
    URL=http://127.0.0.1:1/ script loadtests/ab.sh 50 5
    expect 1 '49 of 50 complete'
    fake ab 'echo "apr_socket_connect(): refused"; exit 111'
    URL=http://127.0.0.1:1/ script loadtests/ab.sh 50 5
    expect 111 'refused'
}

ab_is_given_further_options() {
    fake_ab 'Complete requests:      50' 'Failed requests:        0'
    URL=http://127.0.0.1:1/ script loadtests/ab.sh 50 5 -k -r
    expect 0 'given: -n 50 -c 5 -k -r http://127.0.0.1:1/'
}

ab_with_a_count_that_is_none_is_refused() {
    URL=http://127.0.0.1:1/ script loadtests/ab.sh many
    expect 2 usage
}

fake_ab() {
    local lines
    printf -v lines 'echo "%s"\n' "$@"
    fake ab "echo \"given: \$*\"
$lines"
}

# ---- ten thousand ------------------------------------------------------------

ten_thousand_clients_need_as_many_descriptors() {
    limit=4096 script loadtests/ten-thousand.sh
    expect 1 '10000 connections need 13072 descriptors' 'the hard limit is 4096'
}

ten_thousand_clients_need_room_in_the_configuration() {
    printf 'max_connections: 99\n' >"$root/config/load-test.yaml"
    limit=4096 script loadtests/ten-thousand.sh 100
    expect 1 'config/load-test.yaml lets 99 connections in'
}

ten_thousand_with_a_count_that_is_none_is_refused() {
    script loadtests/ten-thousand.sh 0
    expect 2 usage
    script loadtests/ten-thousand.sh 10 20 30
    expect 2 usage
}

# ---- the demo ----------------------------------------------------------------

demo_with_a_configuration_needs_a_command() {
    script scripts/demo.sh run-with config/load-test.yaml
    expect 2 usage
    script scripts/demo.sh run-with config/load-test.yaml true --
    expect 2 usage
    script scripts/demo.sh run-with config/load-test.yaml --
    expect 2 usage
}

demo_with_a_configuration_that_is_missing_starts_nothing() {
    script scripts/demo.sh run-with config/no-such.yaml -- true
    expect 1 'there is no config/no-such.yaml'
}

# ---- the sandbox -------------------------------------------------------------

# In a copy of what is tested: k6 would be built into target/.
run_case() {
    local name=$1 program
    case_dir=$work/$name
    root=$case_dir/repository
    problems=()
    mkdir -p "$case_dir/bin" "$root"
    cp -R "$repository/scripts" "$repository/loadtests" "$repository/config" "$root"
    for program in "${real_programs[@]}"; do
        ln -s "$(type -P "$program")" "$case_dir/bin/$program"
    done
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
    printf '#!/bin/sh\n%s\n' "$2" >"$case_dir/bin/$1"
    chmod 0755 "$case_dir/bin/$1"
}

# script PATH ARGUMENTS...: run with the fakes, under the limit on descriptors, if any.
script() {
    local file=$1
    shift
    status=0
    (
        if [[ -n ${limit:-} ]]; then
            ulimit -Sn "$limit"
            ulimit -Hn "$limit"
        fi
        exec env -i PATH="$case_dir/bin" HOME="$case_dir" ${K6:+K6="$K6"} ${URL:+URL="$URL"} \
            bash "$root/$file" "$@"
    ) >"$case_dir/output" 2>&1 </dev/null || status=$?
}

# expect STATUS TEXT...: the exit status, and what the output has.
expect() {
    local text
    [[ $status == "$1" ]] || problems+=("exit status $status, expected $1")
    shift
    for text in "$@"; do
        grep -qF -- "$text" "$case_dir/output" || problems+=("the output lacks \"$text\"")
    done
}

main

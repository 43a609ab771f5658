#!/usr/bin/env bash
#
# Prints the directory of the programs that scripts/test-k8s.sh starts and asks: etcd,
# kube-apiserver, kube-controller-manager and kubectl.
#
# It is the directory that KUBERNETES_BIN names, or else one below target/tools, for which Go
# builds them from their modules, once. Go's own cache keeps what an interrupted build has.
set -euo pipefail

tools=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)/target/tools

kubernetes_version=v1.36.4
etcd_version=v3.6.14
# As their go.mod say. A Go since 1.21 downloads the one that is asked for.
go_version=1.26

directory=$tools/kubernetes-$kubernetes_version
programs=(etcd kube-apiserver kube-controller-manager kubectl)

work=
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

clean_up() {
    if [[ -n $work ]]; then
        rm -rf -- "$work"
    fi
}

main() {
    if [[ -n ${KUBERNETES_BIN:-} ]]; then
        has_all "$KUBERNETES_BIN" || fail "KUBERNETES_BIN names $KUBERNETES_BIN, which has not all of ${programs[*]}"
        directory=$(cd -- "$KUBERNETES_BIN" && pwd)
    elif ! has_all "$directory"; then
        build
    fi
    echo "$directory"
}

has_all() {
    local program
    for program in "${programs[@]}"; do
        [[ -x $1/$program ]] || return 1
    done
}

build() {
    command -v go >/dev/null || fail "Kubernetes' API server is missing, and so is Go, which would build it"
    # Beside where it goes, so that it gets there whole, in one step.
    mkdir -p -- "$tools"
    work=$(mktemp -d -- "$tools/.kubernetes.XXXXXX")
    mkdir -- "$work/etcd" "$work/kubernetes" "$work/bin"

    module_of_etcd >"$work/etcd/go.mod"
    main_of_etcd >"$work/etcd/main.go"
    is_new_enough || fail "Kubernetes' API server is missing, and this Go is too old to build it ($(go env GOVERSION))"
    echo "kubernetes: building Kubernetes $kubernetes_version and etcd $etcd_version with Go into target/tools, once;" \
        "this takes 5 to 20 minutes" >&2
    go_build etcd "" "$work/bin/etcd" .

    module_of_kubernetes >"$work/kubernetes/go.mod"
    go_build kubernetes "-X k8s.io/component-base/version.gitVersion=$kubernetes_version" "$work/bin/" \
        k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kubectl}

    rm -rf -- "$directory"
    mv -- "$work/bin" "$directory"
}

# Asked where the module is: that is where the Go it needs is downloaded, if it may be.
is_new_enough() {
    local found
    found=$(cd -- "$work/etcd" && go env GOVERSION) &&
        printf '%s\n' "go$go_version" "$found" | sort --version-sort --check=quiet
}

# go_build MODULE LINKER_FLAGS OUTPUT PACKAGE...
go_build() (
    cd -- "$work/$1"
    # The versions are those of the requirements alone, and the sums are checked against Go's
    # public log as they are met: there is no go.sum to keep.
    CGO_ENABLED=0 GOWORK=off go build -mod=mod -trimpath -ldflags "-s -w $2" -o "$3" "${@:4}" >&2 ||
        fail "$1 was not built; the reason is above"
)

module_of_etcd() {
    cat <<MOD
module etcd.invalid
go $go_version.0
require go.etcd.io/etcd/server/v3 $etcd_version
MOD
}

# The repository's own main is in a module that is not published.
main_of_etcd() {
    cat <<'GO'
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
GO
}

# Kubernetes requires the modules that come out of its own repository as v0.0.0, and finds
# them there. Published, each is v0.36.4 where Kubernetes is v1.36.4.
module_of_kubernetes() {
    local name names
    names=$(own_modules)
    cat <<MOD
module kubernetes.invalid
go $go_version.0
require k8s.io/kubernetes $kubernetes_version
replace (
MOD
    for name in $names; do
        echo "    $name => $name v0.${kubernetes_version#v1.}"
    done
    echo ")"
}

own_modules() {
    local file
    file=$(cd -- "$work/etcd" && go mod download -json "k8s.io/kubernetes@$kubernetes_version" |
        sed -n 's/^.*"GoMod": "\(.*\)",$/\1/p')
    [[ -r $file ]] || fail "Kubernetes was not downloaded; the reason is above"
    sed -n 's/^[[:space:]]*\(k8s\.io\/[a-z0-9-]*\) v0\.0\.0$/\1/p' "$file"
}

fail() {
    cat >&2 <<TEXT
kubernetes: $1. Either of these will do:
  - Go $go_version or newer on the PATH (https://go.dev/dl), and the same command again
  - KUBERNETES_BIN=path/to/directory with ${programs[*]}
TEXT
    exit 1
}

main

#!/usr/bin/env bash
#
# Kubernetes without nodes: etcd, kube-apiserver and those controllers that make objects of
# objects. All of it is in a network namespace of its own, is started for one command, and
# is gone with it.
#
#   scripts/k8s-cluster.sh run COMMAND...          (bash, to look around)
#   scripts/k8s-cluster.sh apiserver stop|start    for the command: returns when the API
#                                                  server is away, or ready again with its data
#
# There is no kubelet: pods are objects that somebody else has to run. Every address of
# 10.244.0.0/16 can be bound in the namespace, as if it were a pod's, and /run is empty, so
# that a pod's token can be put there. The command finds kubectl and the others on its PATH,
# and is told:
#   K8S_TEST_KUBECONFIG   the file of somebody who may do everything
#   K8S_TEST_APISERVER    an executable that takes stop or start, as above
#
# Making a namespace takes root, or a system that lets users have namespaces. The programs
# are those of scripts/kubernetes.sh. KEEP=1 keeps logs and data when the command fails.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

# The ports are nobody else's in the namespace.
api=https://127.0.0.1:6443
etcd=http://127.0.0.1:2379
pod_addresses=10.244.0.0/16

# Those that the manifests of k8s/ need: namespaces come and go with what is in them, pods
# are made of templates, and Services, autoscalers and budgets find theirs.
controllers=namespace-controller,garbage-collector-controller,serviceaccount-controller
controllers+=,deployment-controller,replicaset-controller,endpointslice-controller
controllers+=,horizontal-pod-autoscaler-controller,disruption-controller

# How long a process may take to be ready: seconds, on a busy machine.
start_seconds=120

# Of the namespace's first process; all others end with it.
holder=
# Where everything is that the cluster writes.
cluster=${K8S_TEST_CLUSTER:-}

main() {
    case ${1:-} in
        run)
            (($# > 1)) || usage
            hold_namespace "$here/k8s-cluster.sh" inside "${@:2}"
            ;;
        inside) in_cluster "${@:2}" ;;
        apiserver)
            [[ -n $cluster ]] || fail "only the command of \"k8s-cluster.sh run\" has an API server to stop"
            case ${2:-} in
                stop) stop kube-apiserver ;;
                start)
                    [[ ! -e $cluster/kube-apiserver.pid ]] || fail "the API server has not been stopped"
                    start_apiserver
                    ;;
                *) usage ;;
            esac
            ;;
        *) usage ;;
    esac
}

usage() {
    echo "usage: scripts/k8s-cluster.sh run COMMAND... | apiserver stop|start" >&2
    exit 2
}

# ---- outside -----------------------------------------------------------------

# Runs a command as the first process of a namespace of processes, and one of networks.
# The first process is killed with its parent, unshare, which is killed with this script; and
# all others of the namespace with it. So nothing stays on any way out.
hold_namespace() {
    local program programs code=0 namespaces=(--net --pid --fork --kill-child --mount-proc)
    for program in unshare setpriv ip openssl curl; do
        command -v "$program" >/dev/null || fail "$program is missing (Debian packages: util-linux iproute2 openssl curl)"
    done
    programs=$("$here/kubernetes.sh")
    if (($(id -u) != 0)); then
        namespaces+=(--map-root-user)
    fi
    unshare "${namespaces[@]}" true ||
        fail "this user may not make a network namespace (the reason is above): be root, in a container with CAP_SYS_ADMIN, or allow users their own (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"

    trap end EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    cluster=$(mktemp -d)
    export K8S_TEST_CLUSTER=$cluster PATH=$programs:$PATH
    # In the background and waited for, so that a signal is obeyed at once; the command has
    # terminal and signals as if it were not.
    setpriv --pdeathsig KILL unshare "${namespaces[@]}" env --default-signal=INT,QUIT "$@" <&0 &
    holder=$!
    wait "$holder" || code=$?
    holder=
    exit "$code"
}

end() {
    local code=$?
    trap - EXIT
    trap '' HUP INT TERM
    if [[ -n $holder ]]; then
        kill -KILL "$holder" 2>/dev/null || true
        wait "$holder" 2>/dev/null || true
    fi
    if ((code != 0)) && [[ -n ${KEEP:-} ]]; then
        echo "k8s-cluster: logs and data are in $cluster" >&2
    else
        rm -rf -- "$cluster"
    fi
    exit "$code"
}

# ---- inside ------------------------------------------------------------------

in_cluster() {
    ip link set lo up
    # The API server takes no loopback addresses as those of endpoints.
    ip route add local "$pod_addresses" dev lo
    mount -t tmpfs tmpfs /run
    "$here/../certs/make-dev.sh" "$cluster/certs" >/dev/null
    write_access

    start etcd etcd --data-dir "$cluster/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls "$etcd" --advertise-client-urls "$etcd" --listen-peer-urls http://127.0.0.1:2380
    wait_for etcd "$etcd/readyz"
    start_apiserver
    start kube-controller-manager kube-controller-manager --kubeconfig "$K8S_TEST_KUBECONFIG" \
        --controllers "$controllers" --leader-elect=false --secure-port 0 --horizontal-pod-autoscaler-sync-period 1s
    "$@"
}

# What the API server knows its only user by, and what that user has; and how it is stopped.
write_access() {
    local token
    token=$(openssl rand -hex 32)
    export K8S_TEST_KUBECONFIG=$cluster/kubeconfig K8S_TEST_APISERVER=$cluster/apiserver
    echo "$token,admin,1,system:masters" >"$cluster/tokens"
    cat >"$K8S_TEST_KUBECONFIG" <<YAML
apiVersion: v1
kind: Config
current-context: test
contexts: [{ name: test, context: { cluster: test, user: admin } }]
clusters:
  - name: test
    cluster: { server: "$api", certificate-authority: "$cluster/certs/ca.pem" }
users: [{ name: admin, user: { token: $token } }]
YAML
    printf '#!/usr/bin/env bash\nexec %q apiserver "$@"\n' "$here/k8s-cluster.sh" >"$K8S_TEST_APISERVER"
    chmod +x "$K8S_TEST_APISERVER"
}

start_apiserver() {
    local certificate=$cluster/certs/api.pem key=$cluster/certs/api.key
    start kube-apiserver kube-apiserver --bind-address 127.0.0.1 --secure-port "${api##*:}" \
        --advertise-address 10.244.0.1 --endpoint-reconciler-type none \
        --etcd-servers "$etcd" --service-cluster-ip-range 10.96.0.0/16 \
        --tls-cert-file "$certificate" --tls-private-key-file "$key" --cert-dir "$cluster" \
        --authorization-mode RBAC --token-auth-file "$cluster/tokens" \
        --service-account-issuer https://kubernetes.default.svc \
        --service-account-key-file "$certificate" --service-account-signing-key-file "$key"
    wait_for kube-apiserver "$api/readyz"
}

# ---- processes ---------------------------------------------------------------

# start NAME COMMAND...: in a process group of its own, whoever asks for it.
start() {
    set -m
    "${@:2}" </dev/null >>"$cluster/$1.log" 2>&1 &
    echo "$!" >"$cluster/$1.pid"
    # How it ends is no news.
    disown "$!"
    set +m
}

# stop NAME: SIGTERM, and SIGKILL after two seconds: the API server would wait a minute for
# those who follow something to go.
stop() {
    local pid deadline=$((SECONDS + 2))
    [[ -e $cluster/$1.pid ]] || fail "$1 has been stopped already"
    pid=$(<"$cluster/$1.pid")
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do
        if ((SECONDS > deadline)); then
            kill -KILL "$pid" 2>/dev/null || true
        fi
        sleep 0.05
    done
    rm -- "$cluster/$1.pid"
}

wait_for() {
    local deadline=$((SECONDS + start_seconds))
    until curl -q --silent --fail --noproxy '*' --cacert "$cluster/certs/ca.pem" --max-time 5 --output /dev/null "$2"; do
        if ((SECONDS > deadline)) || ! kill -0 "$(<"$cluster/$1.pid")" 2>/dev/null; then
            tail -n 20 -- "$cluster/$1.log" >&2
            fail "$1 is not ready after at most ${start_seconds}s; the last lines of its log are above"
        fi
        sleep 0.1
    done
}

fail() {
    echo "k8s-cluster: $*" >&2
    exit 1
}

main "$@"

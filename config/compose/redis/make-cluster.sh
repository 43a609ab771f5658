#!/bin/sh
#
#   make-cluster.sh IP...     makes a cluster of new nodes, half of them replicas; where there
#                             is one already it only waits until that serves every slot
set -eu

seconds=60 # for each of the two: making it, and its being known everywhere
REDISCLI_AUTH=$(cat /run/secrets/redis_password)
export REDISCLI_AUTH

info() {
    redis-cli -h "$1" cluster info | tr -d '\r'
}

# A node knows of all slots a moment before it takes requests.
serves() {
    [ "$(info "$1" | grep -cx -e 'cluster_slots_ok:16384' -e 'cluster_state:ok')" -eq 2 ]
}

if info "$1" | grep -qx 'cluster_known_nodes:1'; then
    nodes=
    for ip in "$@"; do
        nodes="$nodes $ip:6379"
    done
    # It waits without end for nodes that cannot reach each other.
    # shellcheck disable=SC2086 # words
    timeout "$seconds" redis-cli --cluster create $nodes --cluster-replicas 1 --cluster-yes
fi
for ip in "$@"; do
    until serves "$ip"; do
        seconds=$((seconds - 1))
        if [ "$seconds" -le 0 ]; then
            echo "make-cluster: $ip does not serve:" >&2
            info "$ip" >&2
            exit 1
        fi
        sleep 1
    done
done
echo "the cluster serves all slots"

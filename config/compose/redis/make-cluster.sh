#!/bin/sh
#
#   make-cluster.sh IP...     makes a cluster of new nodes, half of them replicas; where there
#                             is one already it only waits until that serves every slot
set -eu

seconds=60
REDISCLI_AUTH=$(cat /run/secrets/redis_password)
export REDISCLI_AUTH

info() {
    redis-cli -h "$1" cluster info | tr -d '\r'
}

if info "$1" | grep -qx 'cluster_known_nodes:1'; then
    nodes=
    for ip in "$@"; do
        nodes="$nodes $ip:6379"
    done
    # shellcheck disable=SC2086 # words
    redis-cli --cluster create $nodes --cluster-replicas 1 --cluster-yes
fi
for ip in "$@"; do
    until info "$ip" | grep -qx 'cluster_slots_ok:16384'; do
        seconds=$((seconds - 1))
        if [ "$seconds" -le 0 ]; then
            echo "make-cluster: $ip does not know of all slots:" >&2
            info "$ip" >&2
            exit 1
        fi
        sleep 1
    done
done
echo "the cluster serves all slots"

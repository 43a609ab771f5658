#!/usr/bin/env bash
#
#   replica.sh SLOT     copies the primary if the data directory is new, and streams from it
set -euo pipefail

slot=$1
# A copy that broke off leaves no mark, and is made anew.
mark=$PGDATA/copied
pass_file=/tmp/pgpass

# libpq reads it for the copy, and the server for as long as it streams.
printf 'postgres-primary:5432:*:replicator:%s\n' "$(</run/secrets/postgres_replication_password)" >"$pass_file"
chmod 0600 "$pass_file"

if [[ ! -e $mark ]]; then
    find "$PGDATA" -mindepth 1 -delete
    chmod 0700 "$PGDATA"
    pg_basebackup --pgdata "$PGDATA" --wal-method stream --checkpoint fast --write-recovery-conf \
        --slot "$slot" \
        --dbname "host=postgres-primary user=replicator passfile=$pass_file application_name=$slot"
    touch "$mark"
fi
# The address of the primary is looked up at each attempt to connect: it may be another one.
exec postgres -c hot_standby=on -c hot_standby_feedback=on -c max_connections=400

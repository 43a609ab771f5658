#!/usr/bin/env bash
#
# Run once by the image of PostgreSQL, when the primary's data directory is new: the
# application's role and database, and a role that replicas stream as.
set -euo pipefail

# psql reads the passwords itself: arguments can be seen by others.
psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set application `cat /run/secrets/postgres_password`
\set replication `cat /run/secrets/postgres_replication_password`
CREATE ROLE fastnext LOGIN PASSWORD :'application';
-- What it reads of pg_stat_replication: how far the replicas are.
GRANT pg_monitor TO fastnext;
CREATE DATABASE fastnext OWNER fastnext;
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replication';
SELECT pg_create_physical_replication_slot('replica_1');
SELECT pg_create_physical_replication_slot('replica_2');
SQL
echo 'host replication replicator samenet scram-sha-256' >>"$PGDATA/pg_hba.conf"

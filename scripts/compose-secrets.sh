#!/usr/bin/env bash
#
# Makes the secrets of docker-compose.scale.yml, each a file, where they are missing.
#
#   scripts/compose-secrets.sh [DIRECTORY]     (default: config/compose/secrets)
#
# Passwords and the signing key are random. The certificate is the development one, of
# certs/make-dev.sh: put your own in place of tls_certificate and tls_key. The files can be
# read by everybody, as the users inside of the containers are none of this machine's; the
# directory keeps everybody else of this machine out.
set -euo pipefail

repository=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
directory=${1:-$repository/config/compose/secrets}
umask 077

main() {
    if ! command -v openssl >/dev/null; then
        echo "compose-secrets: openssl is missing: scripts/bootstrap.sh demo" >&2
        exit 1
    fi
    mkdir -p -- "$directory"
    chmod 0700 -- "$directory"
    local name
    for name in postgres_superuser_password postgres_password postgres_replication_password \
        redis_password signing_key admin_password grafana_password; do
        make "$name" openssl rand -hex 32
    done
    local password
    password=$(<"$directory/redis_password")
    make redis_auth printf 'requirepass %s\nmasterauth %s\n' "$password" "$password"
    if [[ ! -e $directory/tls_certificate || ! -e $directory/tls_key ]]; then
        "$repository/certs/make-dev.sh" >/dev/null
        make tls_certificate cat "$repository/certs/dev/api.pem"
        make tls_key cat "$repository/certs/dev/api.key"
    fi
}

# make NAME COMMAND...: the file, whole or not at all; one that is there stays.
make() {
    local file=$directory/$1
    shift
    if [[ -e $file ]]; then
        return
    fi
    # Passwords end without a newline: not everybody who reads them takes it away.
    printf '%s' "$("$@")" >"$file.new"
    chmod 0444 -- "$file.new"
    mv -- "$file.new" "$file"
    echo "made $file"
}

main

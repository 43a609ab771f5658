#!/usr/bin/env bash
#
# Makes a development certificate authority and the certificates it signs.
#
#   certs/make-dev.sh [DIR]        (default: certs/dev, which git ignores)
#
#   ca.pem  ca.key     the authority: trust ca.pem in a browser or with --cacert
#   api.pem api.key    api.yourdomain.com, localhost, 127.0.0.1, ::1
#   www.pem www.key    www.yourdomain.com
#
# Keeps what is still good: unexpired for another day, signed by this authority,
# key and names matching. Everything else is made again.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
dir=${1:-$here/dev}

# 825 days is the most that clients accept from a private authority (Apple's
# limit, the strictest). A leaf that outlives its authority would be useless, so
# it gets about half.
ca_days=825
leaf_days=397

# A certificate that ends within a day is made again.
renew_seconds=86400

main() {
    if (($# > 1)) || [[ ${1:-} == -* ]]; then
        echo "usage: certs/make-dev.sh [DIR]" >&2
        exit 2
    fi
    if ! command -v openssl >/dev/null; then
        echo "make-dev: openssl is missing (Debian package: openssl)" >&2
        exit 1
    fi
    mkdir -p -- "$dir"
    # Two runs at once would mix the authority of one with the leaves of the other.
    exec 9>"$dir/.lock"
    flock 9

    umask 077
    scratch=$(mktemp -d -- "$dir/.new.XXXXXX")
    trap 'rm -rf -- "$scratch"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM

    if authority_is_good; then
        echo "kept $dir/ca.pem"
    else
        make_authority
        echo "made $dir/ca.pem (a new authority: what trusted the old one must trust this one)"
    fi
    certificate api api.yourdomain.com DNS:api.yourdomain.com DNS:localhost IP:127.0.0.1 IP:::1
    certificate www www.yourdomain.com DNS:www.yourdomain.com
}

certificate() {
    local name=$1 common_name=$2
    shift 2
    if leaf_is_good "$name" "$@"; then
        echo "kept $dir/$name.pem"
    else
        make_leaf "$name" "$common_name" "$@"
        echo "made $dir/$name.pem"
    fi
}

# ---- what is there -----------------------------------------------------------

authority_is_good() {
    pair_is_good ca && openssl verify -CAfile "$dir/ca.pem" "$dir/ca.pem" >/dev/null 2>&1
}

leaf_is_good() {
    local name=$1 alternative
    shift
    pair_is_good "$name" || return 1
    openssl verify -purpose sslserver -CAfile "$dir/ca.pem" "$dir/$name.pem" >/dev/null 2>&1 || return 1
    for alternative in "$@"; do
        certificate_names "$dir/$name.pem" "$alternative" || return 1
    done
}

# The files exist, the key is the certificate's, and the end is not near.
pair_is_good() {
    local certificate=$dir/$1.pem key=$dir/$1.key of_certificate of_key
    [[ -s $certificate && -s $key ]] || return 1
    openssl x509 -in "$certificate" -noout -checkend "$renew_seconds" >/dev/null 2>&1 || return 1
    of_certificate=$(openssl x509 -in "$certificate" -noout -pubkey 2>/dev/null) || return 1
    of_key=$(openssl pkey -in "$key" -pubout 2>/dev/null) || return 1
    [[ $of_certificate == "$of_key" ]] || return 1
    chmod 0600 -- "$key"
}

# `openssl x509 -checkhost` exits 0 either way; the answer is in its output.
certificate_names() {
    local option=-checkhost
    if [[ $2 == IP:* ]]; then
        option=-checkip
    fi
    [[ $(openssl x509 -in "$1" -noout "$option" "${2#*:}" 2>/dev/null) == *"does match certificate"* ]]
}

# ---- what is made ------------------------------------------------------------

make_authority() {
    make_key ca
    # A configuration of our own: nothing depends on the machine's openssl.cnf.
    cat >"$scratch/ca.conf" <<'CONF'
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = Development CA (not for production)
[extensions]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
CONF
    openssl req -x509 -new -sha256 -config "$scratch/ca.conf" -key "$scratch/ca.key" \
        -set_serial "$(serial)" -days "$ca_days" -out "$scratch/ca.pem"
    install_pair ca
}

make_leaf() {
    local name=$1 common_name=$2 alternatives
    shift 2
    alternatives=$(IFS=,; echo "$*")
    make_key "$name"
    cat >"$scratch/$name.conf" <<CONF
[req]
prompt = no
distinguished_name = name
[name]
CN = $common_name
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = $alternatives
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CONF
    openssl req -new -sha256 -config "$scratch/$name.conf" -key "$scratch/$name.key" -out "$scratch/$name.csr"
    openssl x509 -req -sha256 -in "$scratch/$name.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" \
        -set_serial "$(serial)" -days "$leaf_days" -extfile "$scratch/$name.conf" -extensions extensions \
        -out "$scratch/$name.leaf" 2>"$scratch/$name.log" || {
        cat "$scratch/$name.log" >&2
        return 1
    }
    # A server sends its own certificate first, then the one that signed it.
    cat "$scratch/$name.leaf" "$dir/ca.pem" >"$scratch/$name.pem"
    install_pair "$name"
}

make_key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:named_curve \
        -out "$scratch/$1.key" 2>/dev/null
}

# 16 random bytes; the first digit keeps the number positive and its length fixed.
serial() {
    echo "0x4$(openssl rand -hex 16 | cut -c 2-)"
}

# The scratch directory is beside the target, so a rename is atomic. A run that
# ends between the two renames leaves a mismatch, which the next run replaces.
install_pair() {
    chmod 0600 -- "$scratch/$1.key"
    chmod 0644 -- "$scratch/$1.pem"
    mv -f -- "$scratch/$1.key" "$dir/$1.key"
    mv -f -- "$scratch/$1.pem" "$dir/$1.pem"
}

main "$@"

//! Listeners and their certificates.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::context::{Context, at};
use super::headers;
use crate::config::{self, Alpn, Certificate, ListenerTls, Path, TlsVersion};
use crate::snapshot::{Listener, Process};
use crate::tls::{self, ServerTlsSettings};
use crate::values::BindAddress;

/// How long before its end a certificate is worth a word.
const EXPIRY_NOTICE_DAYS: i64 = 14;

pub(super) fn listeners(
    written: &BTreeMap<String, config::Listener>,
    process: &Process,
    context: &mut Context<'_>,
) -> Vec<Listener> {
    if written.is_empty() {
        context.missing(at!["listeners"], "there are no listeners; add one under \"listeners\"");
    }
    let mut bound: HashMap<BindAddress, String> = HashMap::new();
    let mut listeners = Vec::with_capacity(written.len());
    for (name, listener) in written {
        let config::Listener { bind, response_headers, tls } = listener;
        if bind.is_empty() {
            context.missing(
                at!["listeners", name.as_str(), "bind"],
                "a listener needs at least one address",
            );
        }
        for (index, address) in bind.iter().enumerate() {
            if let BindAddress::Tcp(address) = address
                && takes(*address, process.status)
            {
                context.error(
                    at!["listeners", name.as_str(), "bind", index],
                    format!("{address} leaves no port for the status server at {}", process.status),
                );
                continue;
            }
            let by_system = matches!(address, BindAddress::Tcp(address) if address.port() == 0);
            let owner = format!("listener \"{name}\"");
            if let Some(first) = bound.insert(address.clone(), owner).filter(|_| !by_system) {
                context.error(
                    at!["listeners", name.as_str(), "bind", index],
                    format!("{address} is already bound by {first}"),
                );
            }
        }
        let edits = headers::edits(
            response_headers.as_ref(),
            &at!["listeners", name.as_str(), "response_headers"],
            context,
        );
        let edits = without_hsts_on_plain(name, tls.is_some(), edits, context);
        listeners.push(Listener {
            name: name.as_str().into(),
            bind: bind.clone(),
            response_headers: edits,
            tls: tls.as_ref().and_then(|tls| server_tls(name, tls, context)),
        });
    }
    listeners
}

/// Whether binding `address` makes `other` unbindable.
fn takes(address: SocketAddr, other: SocketAddr) -> bool {
    let overlap = address.is_ipv4() == other.is_ipv4()
        && (address.ip() == other.ip()
            || address.ip().is_unspecified()
            || other.ip().is_unspecified());
    overlap && address.port() == other.port() && address.port() != 0
}

/// RFC 6797 §7.2: never over plain HTTP.
fn without_hsts_on_plain(
    name: &str,
    tls: bool,
    mut edits: crate::response::HeaderEdits,
    context: &mut Context<'_>,
) -> crate::response::HeaderEdits {
    let hsts = |field: &http::HeaderName| *field == http::header::STRICT_TRANSPORT_SECURITY;
    if !tls && edits.set.iter().chain(&edits.add).any(|(field, _)| hsts(field)) {
        context.warn(
            at!["listeners", name, "response_headers"],
            "Strict-Transport-Security is never sent on a listener without TLS (RFC 6797 section 7.2)",
        );
        edits.set.retain(|(field, _)| !hsts(field));
        edits.add.retain(|(field, _)| !hsts(field));
    }
    edits
}

/// Certificates that are about to expire are said, not refused: the old one
/// may still be better than none.
fn warn_of_expiry(certificate: &tls::LoadedCertificate, path: Path, context: &mut Context<'_>) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let days = (certificate.expires - now.as_secs() as i64).div_euclid(24 * 3600);
    if days < 0 {
        context.warn(path, "the certificate has expired");
    } else if days < EXPIRY_NOTICE_DAYS {
        context.warn(path, format!("the certificate expires in {days} days"));
    }
}

fn server_tls(
    name: &str,
    written: &ListenerTls,
    context: &mut Context<'_>,
) -> Option<Arc<rustls::ServerConfig>> {
    let ListenerTls { min_version, alpn, certificates } = written;
    let at_tls = at!["listeners", name, "tls"];
    if certificates.is_empty() {
        context
            .missing(at_tls.join("certificates"), "a TLS listener needs at least one certificate");
        return None;
    }
    let mut loaded = Vec::with_capacity(certificates.len());
    let mut complete = true;
    for (index, Certificate { cert, key }) in certificates.iter().enumerate() {
        let path = at_tls.join("certificates").join(index);
        let (cert, key) = (context.file(cert), context.file(key));
        // By itself first: what is wrong after that is wrong with the key.
        if let Err(error) = tls::load_authorities(&cert) {
            complete = false;
            context.error(path.join("cert"), error.to_string());
            if let Err(error) = std::fs::read(&key) {
                let key = key.display();
                context.error(path.join("key"), format!("{key} cannot be read: {error}"));
            }
            continue;
        }
        match tls::load_certificate(&cert, &key) {
            Ok(certificate) => {
                warn_of_expiry(&certificate, path.join("cert"), context);
                loaded.push(certificate);
            }
            Err(error) => {
                complete = false;
                context.error(path.join("key"), error.to_string());
            }
        }
    }
    let alpn = alpn.clone().unwrap_or_else(|| vec![Alpn::H2, Alpn::Http1]);
    if alpn.is_empty() {
        context.missing(
            at_tls.join("alpn"),
            "a TLS listener needs at least one protocol: h2, http/1.1",
        );
    }
    let settings = ServerTlsSettings {
        certificates: loaded,
        only_tls13: *min_version == Some(TlsVersion::V13),
        alpn: alpn
            .iter()
            .map(|protocol| match protocol {
                Alpn::H2 => b"h2".to_vec(),
                Alpn::Http1 => b"http/1.1".to_vec(),
            })
            .collect(),
    };
    if !complete {
        return None;
    }
    tls::server_config(settings).map_err(|error| context.error(at_tls, error.to_string())).ok()
}

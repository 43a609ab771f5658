//! TLS of a listener: certificates, names, keys, clients' certificates.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::context::{Context, at};
use crate::config::{
    self, Alpn, Certificate, ClientAuthMode, Path, TlsVersion, UnknownSni, did_you_mean,
};
use crate::snapshot::{ListenerTls, Registry};
use crate::tls::{
    self, CertificateFiles, CipherSuiteName, ClientAuth, KeyExchangeName, LoadedCertificate,
    ProcessSecret, ServerTlsError, ServerTlsSettings, TicketSecret, TicketSource,
};

/// How long before its end a certificate is worth a word.
const EXPIRY_NOTICE_DAYS: i64 = 14;

pub(super) fn server_tls(
    name: &Arc<str>,
    written: &config::ListenerTls,
    registry: &Registry,
    context: &mut Context<'_>,
) -> Option<ListenerTls> {
    let config::ListenerTls {
        min_version,
        alpn,
        certificates,
        unknown_sni,
        ciphers,
        key_exchange,
        client_auth,
        ticket_key_files,
    } = written;
    let path = at!["listeners", &**name, "tls"];
    if certificates.is_empty() {
        context.missing(path.join("certificates"), "a TLS listener needs at least one certificate");
        return None;
    }
    // All of them, so that every problem is told.
    let loaded: Vec<_> = certificates
        .iter()
        .enumerate()
        .map(|(index, written)| {
            certificate(written, &path.join("certificates").join(index), context)
        })
        .collect();
    let alpn = alpn.clone().unwrap_or_else(|| vec![Alpn::H2, Alpn::Http1]);
    if alpn.is_empty() {
        context
            .missing(path.join("alpn"), "a TLS listener needs at least one protocol: h2, http/1.1");
    }
    let ciphers = ciphers.as_deref().map(|names| {
        let known: Vec<_> = tls::known_ciphers().collect();
        named(names, "cipher suite", &known, CipherSuiteName::parse, &path.join("ciphers"), context)
    });
    let key_exchange = key_exchange.as_deref().map(|names| {
        let (known, path): (Vec<_>, _) =
            (tls::known_key_exchanges().collect(), path.join("key_exchange"));
        named(names, "key exchange group", &known, KeyExchangeName::parse, &path, context)
    });
    let auth = match client_auth {
        None => Some(None),
        Some(written) => authentication(written, &path.join("client_auth"), context).map(Some),
    };
    let key_files: Vec<PathBuf> =
        ticket_key_files.iter().flatten().map(|name| context.file(name)).collect();
    let tickets = tickets(&key_files, &path.join("ticket_key_files"), context);
    let forward_identity = client_auth
        .as_ref()
        .is_some_and(|config::ClientAuth { ca: _, mode: _, forward }| forward.unwrap_or(false));

    let (files, loaded): (Vec<_>, Vec<_>) =
        loaded.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
    if certificates.is_empty() {
        return None;
    }
    let settings = ServerTlsSettings {
        certificates: loaded,
        unknown_sni: match unknown_sni {
            Some(UnknownSni::Reject) => tls::UnknownSni::Reject,
            Some(UnknownSni::Default) | None => tls::UnknownSni::Default,
        },
        only_tls13: *min_version == Some(TlsVersion::V13),
        alpn: alpn
            .iter()
            .map(|protocol| match protocol {
                Alpn::H2 => b"h2".to_vec(),
                Alpn::Http1 => b"http/1.1".to_vec(),
            })
            .collect(),
        ciphers: ciphers.transpose_some()?,
        key_exchange: key_exchange.transpose_some()?,
        client_auth: auth?,
        tickets: tickets?,
    };
    let chains: Vec<_> =
        settings.certificates.iter().map(|loaded| loaded.key.cert.clone()).collect();
    let server = registry.server_tls.get_or_try_make(
        (Arc::clone(name), settings.digest()),
        // Its files may have changed, been taken up, and changed back.
        |known| known.certificates.presents(&chains),
        || tls::server_config(settings),
    );
    match server {
        Ok(server) => {
            Some(ListenerTls { server, files, ticket_key_files: key_files, forward_identity })
        }
        Err(error) => {
            let path = key_at_fault(&error).iter().fold(path, |path, key| path.join(*key));
            context.error(path, error.to_string());
            None
        }
    }
}

/// The key, below `tls`, that has to change.
fn key_at_fault(error: &ServerTlsError) -> &'static [&'static str] {
    match error {
        ServerTlsError::NoCertificate(_) => &["certificates"],
        ServerTlsError::NoSuiteForTls13
        | ServerTlsError::NoSuiteForTls12
        | ServerTlsError::NoSuiteForCertificate => &["ciphers"],
        ServerTlsError::NoKeyExchange | ServerTlsError::NoKeyExchangeForTls12 => &["key_exchange"],
        ServerTlsError::ClientAuth(_) => &["client_auth", "ca"],
        ServerTlsError::Tickets => &["ticket_key_files"],
        ServerTlsError::Rustls(_) => &[],
    }
}

/// `Some(None)`, something that was written and is wrong, apart from `None`,
/// nothing written.
trait TransposeSome<T> {
    fn transpose_some(self) -> Option<Option<T>>;
}

impl<T> TransposeSome<T> for Option<Option<T>> {
    fn transpose_some(self) -> Option<Option<T>> {
        match self {
            None => Some(None),
            Some(None) => None,
            Some(Some(value)) => Some(Some(value)),
        }
    }
}

/// A certificate and its key, and what was read from them.
pub(super) fn certificate(
    written: &Certificate,
    path: &Path,
    context: &mut Context<'_>,
) -> Option<(CertificateFiles, LoadedCertificate)> {
    let Certificate { cert, key, key_password_file } = written;
    let (cert, key) = (context.file(cert), context.file(key));
    let password_file = key_password_file.as_ref().map(|file| context.file(file));
    let password = match &password_file {
        None => None,
        Some(file) => match tls::load_password(file) {
            Ok(password) => Some(password),
            Err(error) => {
                context.error(path.join("key_password_file"), error.to_string());
                return None;
            }
        },
    };
    // By itself first: what is wrong after that is wrong with the key.
    if let Err(error) = tls::load_authorities(&cert) {
        context.error(path.join("cert"), error.to_string());
        if let Err(error) = std::fs::read(&key) {
            let key = key.display();
            context.error(path.join("key"), format!("{key} cannot be read: {error}"));
        }
        return None;
    }
    match tls::load_certificate(&cert, &key, password.as_deref().map(Vec::as_slice)) {
        Ok(certificate) => {
            warn_of_expiry(&certificate, path.join("cert"), context);
            Some((CertificateFiles { cert, key, password_file }, certificate))
        }
        Err(error) => {
            context.error(path.join("key"), error.to_string());
            None
        }
    }
}

/// Certificates that are about to expire are said, not refused: the old one
/// may still be better than none.
fn warn_of_expiry(certificate: &LoadedCertificate, path: Path, context: &mut Context<'_>) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let days = (certificate.expires - now.as_secs() as i64).div_euclid(24 * 3600);
    if days < 0 {
        context.warn(path, "the certificate has expired");
    } else if days < EXPIRY_NOTICE_DAYS {
        context.warn(path, format!("the certificate expires in {days} days"));
    }
}

/// What names stand for. `None` if any is unknown, or there is none.
fn named<T>(
    names: &[String],
    what: &str,
    known: &[&str],
    parse: impl Fn(&str) -> Option<T>,
    path: &Path,
    context: &mut Context<'_>,
) -> Option<Vec<T>> {
    if names.is_empty() {
        context.missing(path.clone(), format!("name at least one {what}, or leave the key out"));
        return None;
    }
    let parsed: Vec<Option<T>> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let parsed = parse(name);
            if parsed.is_none() {
                let hint = did_you_mean(name, known.iter().copied());
                let hint =
                    if hint.is_empty() { format!("; known: {}", known.join(", ")) } else { hint };
                context.error(path.join(index), format!("there is no {what} \"{name}\"{hint}"));
            }
            parsed
        })
        .collect();
    parsed.into_iter().collect()
}

fn authentication(
    written: &config::ClientAuth,
    path: &Path,
    context: &mut Context<'_>,
) -> Option<ClientAuth> {
    let config::ClientAuth { ca, mode, forward: _ } = written;
    match tls::load_authorities(&context.file(ca)) {
        Ok(authorities) => Some(ClientAuth {
            authorities,
            mode: match mode {
                ClientAuthMode::Require => tls::ClientAuthMode::Require,
                ClientAuthMode::Request => tls::ClientAuthMode::Request,
            },
        }),
        Err(error) => {
            context.error(path.join("ca"), error.to_string());
            None
        }
    }
}

fn tickets(files: &[PathBuf], path: &Path, context: &mut Context<'_>) -> Option<TicketSource> {
    if files.is_empty() {
        return match ProcessSecret::shared() {
            Ok(secret) => Some(TicketSource::Process(secret)),
            Err(_) => {
                context.error(path.clone(), ServerTlsError::Tickets.to_string());
                None
            }
        };
    }
    let secrets: Vec<Option<TicketSecret>> = files
        .iter()
        .enumerate()
        .map(|(index, file)| {
            TicketSecret::load(file)
                .map_err(|error| context.error(path.join(index), error.to_string()))
                .ok()
        })
        .collect();
    secrets.into_iter().collect::<Option<Vec<_>>>().map(TicketSource::Files)
}

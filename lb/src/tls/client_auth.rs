//! Certificates of clients: whether one is asked for, and what it says of the
//! client once rustls has verified it.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, Tag, ToDer};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Name};

/// Whether a client has to have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// Without one the handshake fails.
    Require,
    /// A client may have none. One that does not verify fails all the same.
    Request,
}

/// What is asked of clients.
#[derive(Debug, Clone)]
pub struct ClientAuth {
    /// Who may have issued their certificates.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Whether they have to have one.
    pub mode: ClientAuthMode,
}

/// The authorities for client certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientAuthError {
    /// There is none.
    #[error("client authentication needs at least one authority")]
    NoAuthority,
    /// One cannot be an authority.
    #[error("an authority for client certificates cannot be used: {0}")]
    Authority(rustls::Error),
    /// rustls refuses.
    #[error("client certificates cannot be verified: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

impl ClientAuth {
    pub(super) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, ClientAuthError> {
        if self.authorities.is_empty() {
            return Err(ClientAuthError::NoAuthority);
        }
        let mut roots = RootCertStore::empty();
        for authority in &self.authorities {
            roots.add(authority.clone()).map_err(ClientAuthError::Authority)?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        Ok(match self.mode {
            ClientAuthMode::Require => verifier,
            ClientAuthMode::Request => verifier.allow_unauthenticated(),
        }
        .build()?)
    }
}

/// Who a client is, by its certificate. Both are safe as values of header
/// fields: visible ASCII and single spaces within.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The subject as RFC 4514 writes it: most specific part first, and what is
    /// not printable ASCII as hexadecimal pairs. `CN=alice,O=Example`.
    pub subject: String,
    /// SHA-256 of the certificate, in lower-case hexadecimal.
    pub fingerprint: String,
}

/// Reads who the client is from the chain that rustls has verified, leaf first.
/// None if there is no leaf or it cannot be parsed.
pub fn client_identity(chain: &[CertificateDer<'_>]) -> Option<ClientIdentity> {
    let leaf = chain.first()?;
    let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
    let digest = digest::digest(&digest::SHA256, leaf);
    Some(ClientIdentity { subject: subject(parsed.subject()), fingerprint: hex(digest.as_ref()) })
}

/// RFC 4514 §2.1: the parts in reverse order, with commas; several attributes
/// of one part with plus signs.
fn subject(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.reverse();
    parts.join(",")
}

/// Short names from RFC 4514 §3 and, as OpenSSL writes it, `emailAddress`.
/// Their values are strings; any other type is a number and its value, by
/// §2.4, hexadecimal.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "GN"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let number = attribute.attr_type().to_id_string();
    let name = ATTRIBUTES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    match (name, text(attribute.attr_value())) {
        (Some(name), Some(text)) => format!("{name}={}", escaped(&text)),
        (name, _) => {
            let value = attribute.attr_value().to_der_vec().unwrap_or_default();
            format!("{}=#{}", name.unwrap_or(&number), hex(&value))
        }
    }
}

/// The bytes of a string, in UTF-8 where the type says how; those of T.61 and
/// its like as they stand, since nobody agrees on what they mean.
fn text(value: &Any<'_>) -> Option<Vec<u8>> {
    let bytes = value.as_bytes();
    match value.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString
        | Tag::T61String => Some(bytes.to_vec()),
        Tag::BmpString => {
            let units: Vec<u16> =
                bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            (bytes.len() % 2 == 0).then(|| String::from_utf16_lossy(&units).into_bytes())
        }
        _ => None,
    }
}

/// RFC 4514 §2.4, with hexadecimal pairs for everything that is not printable
/// ASCII, so that no octet of a certificate is taken for a control character.
fn escaped(text: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.iter().copied().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => {
                escaped.extend(['\\', char::from(byte)]);
            }
            b'#' if at == 0 => escaped.push_str("\\#"),
            b' ' if at == 0 || at == last => escaped.push_str("\\ "),
            b' '..=b'~' => escaped.push(char::from(byte)),
            _ => {
                // Writing to a String does not fail.
                let _ = write!(escaped, "\\{byte:02X}");
            }
        }
    }
    escaped
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::*;

    fn identity(parts: &[(DnType, DnValue)]) -> ClientIdentity {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        client_identity(&[certificate.der().clone()]).expect("an identity")
    }

    fn utf8(text: &str) -> DnValue {
        DnValue::Utf8String(text.to_owned())
    }

    #[test]
    fn a_subject_reads_from_the_most_specific_part() {
        let identity = identity(&[
            (DnType::CountryName, DnValue::PrintableString("DE".try_into().expect("printable"))),
            (DnType::OrganizationName, utf8("Example, Inc.")),
            (DnType::CommonName, utf8("alice")),
        ]);
        assert_eq!(identity.subject, "CN=alice,O=Example\\, Inc.,C=DE");
        assert_eq!(identity.fingerprint.len(), 64);
    }

    #[test]
    fn what_could_break_a_header_is_escaped() {
        let identity = identity(&[
            (DnType::CommonName, utf8("a\r\nX-Admin: 1\0")),
            (DnType::OrganizationName, utf8(" #Zoë\"+=;<>\\ ")),
        ]);
        assert_eq!(
            identity.subject,
            "O=\\ #Zo\\C3\\AB\\\"\\+\\=\\;\\<\\>\\\\\\ ,CN=a\\0D\\0AX-Admin: 1\\00"
        );
        assert!(identity.subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }

    #[test]
    fn unknown_attributes_are_numbers_and_hexadecimal() {
        let identity = identity(&[
            (DnType::CustomDnType(vec![1, 2, 3, 4]), utf8("ab")),
            (DnType::CommonName, DnValue::BmpString("Zoë".try_into().expect("in the plane"))),
        ]);
        assert_eq!(identity.subject, "CN=Zo\\C3\\AB,1.2.3.4=#0c026162");
    }

    #[test]
    fn no_certificate_is_nobody() {
        assert_eq!(client_identity(&[]), None);
        assert_eq!(client_identity(&[CertificateDer::from(vec![0x30, 0x03, 1, 2])]), None);
    }
}

//! The request target (RFC 9112 §3.2): which form it has, and whether the form
//! suits the method.

use super::HeadError;

/// Checks `target` and gives the authority in it, which only the absolute and
/// the authority form have.
pub(super) fn check_target<'b>(
    method: &str,
    target: &'b str,
) -> Result<Option<&'b str>, HeadError> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(HeadError::BadTargetByte);
    }
    if target.contains('#') {
        return Err(HeadError::FragmentInTarget);
    }
    if method == "CONNECT" {
        return connect_authority(target).map(Some);
    }
    if target.starts_with('/') {
        return Ok(None);
    }
    if target == "*" {
        return match method {
            "OPTIONS" => Ok(None),
            _ => Err(HeadError::AsteriskWithoutOptions),
        };
    }
    let hier_part = strip_scheme(target).ok_or(HeadError::BadTargetForm)?;
    let end = hier_part.find(['/', '?']).unwrap_or(hier_part.len());
    let authority = &hier_part[..end];
    if authority.contains('@') {
        return Err(HeadError::UserInfoInTarget);
    }
    if host_of(authority).is_none() {
        return Err(HeadError::BadAuthority);
    }
    Ok(Some(authority))
}

/// `host:port`, and nothing else; the port has to be there (RFC 9110 §9.3.6).
fn connect_authority(target: &str) -> Result<&str, HeadError> {
    match host_of(target) {
        Some(host) if target.len() > host.len() + 1 => Ok(target),
        _ => Err(HeadError::BadConnectTarget),
    }
}

fn strip_scheme(target: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// The host in `host[:port]` (RFC 3986 §3.2), when both are well-formed.
///
/// Stands in for no check of the name: it only sees to it that no reader finds
/// another end of the host than we do.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        // An address of IPv6 has colons of its own.
        Some(literal) => {
            let inner = literal.find(']')?;
            let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'.');
            if inner == 0 || !literal[..inner].bytes().all(inside) {
                return None;
            }
            authority.split_at(inner + 2)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let named = host.starts_with('[') || (!host.is_empty() && host.bytes().all(is_name_byte));
    let port_is_good = match port.strip_prefix(':') {
        // An empty port is the default one (RFC 3986 §3.2.3).
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && (digits.is_empty() || digits.parse::<u16>().is_ok())
        }
        None => port.is_empty(),
    };
    (named && port_is_good).then_some(host)
}

/// What a registered name is made of (RFC 3986 §3.2.2).
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%')
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

//! PROXY protocol, versions 1 and 2: whose connection a proxy in front of us
//! hands on, and the same header for those behind us.
//!
//! Pure: bytes in, addresses out (HAProxy, `doc/proxy-protocol.txt`). Whether a
//! peer is trusted to send one, and how long we wait for it, is decided where
//! connections are accepted. Other than addresses nothing is read: TLVs are
//! skipped, after their checksum has been verified where there is one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// They may become a header: more are needed.
    Incomplete,
    /// They are no PROXY header.
    Absent,
    /// A header.
    Complete {
        /// Its bytes; what follows them is the connection's own.
        len: usize,
        /// What it says.
        header: ProxyHeader,
    },
}

/// What a PROXY header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The proxy speaks for itself (LOCAL) or does not know for whom (UNKNOWN,
    /// UNSPEC): the connection keeps its own addresses.
    Local,
    /// The connection was accepted from `source` at `destination`.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// Where the client connected to.
        destination: SocketAddr,
    },
    /// The connection was accepted on a Unix socket: there are no addresses.
    Unix,
}

/// Why a PROXY header is refused. The connection has to be closed: whose it is
/// is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProxyHeaderError {
    /// More than 107 bytes without a line end.
    #[error("a version 1 header of more than 107 bytes")]
    LineTooLong,
    /// The line of version 1 ends in LF alone.
    #[error("a version 1 header that does not end in cr lf")]
    BadLineEnd,
    /// Not TCP4, TCP6 or UNKNOWN.
    #[error("a version 1 header of an unknown protocol")]
    UnknownProtocol,
    /// Not two addresses of the protocol and two ports, with single spaces.
    #[error("a version 1 header with malformed addresses or ports")]
    BadAddresses,
    /// The signature of version 2 with another version behind it.
    #[error("a binary header of a version other than 2")]
    UnsupportedVersion,
    /// Neither LOCAL nor PROXY.
    #[error("a version 2 header with an unknown command")]
    UnknownCommand,
    /// A family or transport that version 2 has no meaning for.
    #[error("a version 2 header of an unknown address family or transport")]
    UnknownFamily,
    /// Datagrams, which cannot have come this way.
    #[error("a version 2 header for datagrams")]
    Datagram,
    /// More than 2048 bytes.
    #[error("a version 2 header of more than 2048 bytes")]
    HeaderTooLong,
    /// Not long enough for the addresses of its family.
    #[error("a version 2 header too short for its addresses")]
    AddressesCutOff,
    /// A TLV reaches beyond the header.
    #[error("a version 2 header with a malformed extension")]
    BadExtension,
    /// The CRC32c does not match, or there are several.
    #[error("a version 2 header with a wrong checksum")]
    BadChecksum,
}

const V1_SIGNATURE: &[u8] = b"PROXY ";

/// The longest line of version 1 that the specification allows, CRLF included.
const V1_MAX: usize = 107;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The fixed part of version 2: signature, version and command, family, length.
const V2_FIXED: usize = 16;

/// The longest header of version 2 that is taken, of the 64 KiB that its length
/// allows: 216 bytes of addresses, and TLVs with room for a certificate's names.
const V2_MAX: usize = 2048;

/// The TLV that holds the CRC32c of the header.
const PP2_TYPE_CRC32C: u8 = 0x03;

/// Reads the header that `bytes`, the first of a connection, begin with.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    if bytes.starts_with(V1_SIGNATURE) {
        return parse_v1(bytes);
    }
    if bytes.starts_with(V2_SIGNATURE) {
        return parse_v2(bytes);
    }
    let may_become = V1_SIGNATURE.starts_with(bytes) || V2_SIGNATURE.starts_with(bytes);
    Ok(if may_become { Parsed::Incomplete } else { Parsed::Absent })
}

/// Writes a header of version 2 for a stream from the first address to the
/// second, or with `None` for a connection of our own (LOCAL). Of addresses of
/// two families that of IPv4 is written as mapped into IPv6.
pub fn write_v2(out: &mut Vec<u8>, addresses: Option<(SocketAddr, SocketAddr)>) {
    out.extend_from_slice(V2_SIGNATURE);
    let Some((source, destination)) = addresses else {
        out.extend_from_slice(&[0x20, 0x00, 0, 0]);
        return;
    };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
        }
        (from, to) => {
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&as_v6(from).octets());
            out.extend_from_slice(&as_v6(to).octets());
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    let window = &bytes[..bytes.len().min(V1_MAX)];
    let Some(line_feed) = window.iter().position(|&byte| byte == b'\n') else {
        if window.len() == V1_MAX {
            return Err(ProxyHeaderError::LineTooLong);
        }
        return Ok(Parsed::Incomplete);
    };
    let line = window[V1_SIGNATURE.len()..line_feed]
        .strip_suffix(b"\r")
        .ok_or(ProxyHeaderError::BadLineEnd)?;
    let (protocol, rest) = match line.iter().position(|&byte| byte == b' ') {
        Some(space) => (&line[..space], &line[space + 1..]),
        None => (line, &[][..]),
    };
    let header = match protocol {
        // What follows is to be ignored.
        b"UNKNOWN" => ProxyHeader::Local,
        b"TCP4" => v1_addresses::<Ipv4Addr>(rest).ok_or(ProxyHeaderError::BadAddresses)?,
        b"TCP6" => v1_addresses::<Ipv6Addr>(rest).ok_or(ProxyHeaderError::BadAddresses)?,
        _ => return Err(ProxyHeaderError::UnknownProtocol),
    };
    Ok(Parsed::Complete { len: line_feed + 1, header })
}

/// `source destination source-port destination-port`.
fn v1_addresses<A>(text: &[u8]) -> Option<ProxyHeader>
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let mut words = str::from_utf8(text).ok()?.split(' ');
    let mut address = || words.next()?.parse::<A>().ok().map(Into::into);
    let (from, to) = (address()?, address()?);
    let mut port = || v1_port(words.next()?);
    let (from_port, to_port) = (port()?, port()?);
    if words.next().is_some() {
        return None;
    }
    Some(ProxyHeader::Proxied {
        source: SocketAddr::new(from, from_port),
        destination: SocketAddr::new(to, to_port),
    })
}

/// Decimal digits, no sign and no leading zeros.
fn v1_port(word: &str) -> Option<u16> {
    let canonical = word == "0" || !word.starts_with('0');
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && digits { word.parse().ok() } else { None }
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED>() else {
        return Ok(Parsed::Incomplete);
    };
    let &[.., version_command, family, high, low] = fixed;
    if version_command >> 4 != 2 {
        return Err(ProxyHeaderError::UnsupportedVersion);
    }
    let local = match version_command & 0xf {
        0 => true,
        1 => false,
        _ => return Err(ProxyHeaderError::UnknownCommand),
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let len = V2_FIXED + length;
    if len > V2_MAX {
        return Err(ProxyHeaderError::HeaderTooLong);
    }
    let Some(block) = rest.get(..length) else {
        return Ok(Parsed::Incomplete);
    };
    // The block of LOCAL is skipped whole, its family included.
    let header = if local { ProxyHeader::Local } else { v2_block(&bytes[..len], family, block)? };
    Ok(Parsed::Complete { len, header })
}

fn v2_block(whole: &[u8], family: u8, block: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let cut_off = ProxyHeaderError::AddressesCutOff;
    let (header, extensions) = match (family >> 4, family & 0xf) {
        // The specification has receivers refuse what it gives no meaning.
        (4.., _) | (_, 3..) => return Err(ProxyHeaderError::UnknownFamily),
        (_, 2) => return Err(ProxyHeaderError::Datagram),
        // Either half unspecified: nothing in the block is to be relied on.
        (0, _) | (_, 0) => return Ok(ProxyHeader::Local),
        (1, 1) => {
            let (addresses, rest) = block.split_first_chunk::<12>().ok_or(cut_off)?;
            let &[a, b, c, d, e, f, g, h, ports @ ..] = addresses;
            (proxied(Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h), ports), rest)
        }
        (2, 1) => {
            let (from, rest) = block.split_first_chunk::<16>().ok_or(cut_off)?;
            let (to, rest) = rest.split_first_chunk::<16>().ok_or(cut_off)?;
            let (ports, rest) = rest.split_first_chunk::<4>().ok_or(cut_off)?;
            (proxied(Ipv6Addr::from(*from), Ipv6Addr::from(*to), *ports), rest)
        }
        // Two paths of 108 bytes each.
        _ => (ProxyHeader::Unix, block.get(2 * 108..).ok_or(cut_off)?),
    };
    check_extensions(whole, extensions)?;
    Ok(header)
}

fn proxied(from: impl Into<IpAddr>, to: impl Into<IpAddr>, ports: [u8; 4]) -> ProxyHeader {
    let [a, b, c, d] = ports;
    ProxyHeader::Proxied {
        source: SocketAddr::new(from.into(), u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(to.into(), u16::from_be_bytes([c, d])),
    }
}

/// Walks over the TLVs at the end of `whole`, and verifies the checksum if one
/// of them is it.
fn check_extensions(whole: &[u8], extensions: &[u8]) -> Result<(), ProxyHeaderError> {
    let mut rest = extensions;
    let mut checked = false;
    while !rest.is_empty() {
        let (&[kind, high, low], after) =
            rest.split_first_chunk::<3>().ok_or(ProxyHeaderError::BadExtension)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, next) = after.split_at_checked(length).ok_or(ProxyHeaderError::BadExtension)?;
        if kind == PP2_TYPE_CRC32C {
            let at = whole.len() - after.len();
            let sent: [u8; 4] = value.try_into().map_err(|_| ProxyHeaderError::BadExtension)?;
            // Computed with zeros in its own place.
            let crc = [&whole[..at], &[0; 4], &whole[at + 4..]].into_iter().fold(!0, crc32c_update);
            if checked || u32::from_be_bytes(sent) != !crc {
                return Err(ProxyHeaderError::BadChecksum);
            }
            checked = true;
        }
        rest = next;
    }
    Ok(())
}

/// CRC32c (RFC 3720 §12.1), bit by bit: it runs over a few hundred bytes of a
/// connection once, and rarely that.
fn crc32c_update(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}

#[cfg(test)]
mod tests;

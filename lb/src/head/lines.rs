//! What heads of both kinds are made of: lines, the version, field lines.

use memchr::{memchr, memchr_iter, memchr2};

use super::{
    HeadError,
    fields::{is_token, is_token_byte, is_value_byte},
};

/// Cuts a head into lines while its bytes come. No byte is looked at twice.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Bytes before this are done with.
    scanned: usize,
    /// Where the line begins that is being scanned.
    pub(super) begin: usize,
    #[cfg(test)]
    pub(super) examined: usize,
}

impl Lines {
    /// The line at [`Self::begin`] without its CRLF, once that has come and if it
    /// ends before `end`. The same again until it is taken.
    pub(super) fn find<'b>(
        &mut self,
        bytes: &'b [u8],
        end: usize,
    ) -> Result<Option<&'b [u8]>, HeadError> {
        let window = bytes.get(self.scanned..bytes.len().min(end)).unwrap_or_default();
        let Some(offset) = memchr2(b'\n', 0, window) else {
            self.advance(window.len());
            return Ok(None);
        };
        let at = self.scanned + offset;
        if bytes[at] == 0 {
            return Err(HeadError::Nul);
        }
        bytes[self.begin..at].strip_suffix(b"\r").ok_or(HeadError::BareLf).map(Some)
    }

    /// Where the line after `line` begins, which was found.
    pub(super) fn after(&self, line: &[u8]) -> usize {
        self.begin + line.len() + "\r\n".len()
    }

    /// Goes on to the line at `next`.
    pub(super) fn go_to(&mut self, next: usize) {
        self.advance(next - self.scanned);
        self.begin = next;
    }

    /// Whether nothing of the line at [`Self::begin`] has been looked at.
    pub(super) fn is_fresh(&self) -> bool {
        self.scanned == self.begin
    }

    fn advance(&mut self, count: usize) {
        self.scanned += count;
        #[cfg(test)]
        {
            self.examined += count;
        }
    }
}

pub(super) fn refuse_bare_lf(head: &[u8]) -> Result<(), HeadError> {
    for at in memchr_iter(b'\n', head) {
        if at == 0 || head[at - 1] != b'\r' {
            return Err(HeadError::BareLf);
        }
    }
    Ok(())
}

/// Which rule was broken by a head that `httparse` does not take; `not_one` if
/// none was.
pub(super) fn diagnose<E: From<HeadError>>(
    head: &[u8],
    check_first_line: impl FnOnce(&[u8]) -> Result<(), E>,
    not_one: E,
) -> E {
    if memchr(0, head).is_some() {
        return HeadError::Nul.into();
    }
    let mut lines = head.split(|&byte| byte == b'\n');
    let first_line = lines.next().unwrap_or_default();
    if let Err(error) = check_first_line(strip_cr(first_line)) {
        return error;
    }
    for (index, line) in lines.map(strip_cr).enumerate() {
        if line.is_empty() {
            break;
        }
        if let Err(error) = check_field_line(line, index == 0) {
            return error.into();
        }
    }
    not_one
}

pub(super) fn strip_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

pub(super) fn check_version(version: &[u8]) -> Result<(), HeadError> {
    match version {
        b"HTTP/1.0" | b"HTTP/1.1" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(HeadError::UnsupportedVersion)
        }
        _ => Err(HeadError::BadVersion),
    }
}

fn check_field_line(line: &[u8], first: bool) -> Result<(), HeadError> {
    if matches!(line, [b' ' | b'\t', ..]) {
        return Err(match first {
            true => HeadError::SpaceBeforeFirstField,
            false => HeadError::ObsFold,
        });
    }
    if line.contains(&b'\r') {
        return Err(HeadError::BareCr);
    }
    let colon = memchr(b':', line).ok_or(HeadError::BadFieldName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    match name {
        [] => return Err(HeadError::EmptyFieldName),
        [token @ .., b' ' | b'\t'] if token.first().is_some_and(|&byte| is_token_byte(byte)) => {
            return Err(HeadError::SpaceBeforeColon);
        }
        name if !is_token(name) => return Err(HeadError::BadFieldName),
        _ => {}
    }
    if !value.iter().all(|&byte| is_value_byte(byte)) {
        return Err(HeadError::ControlInValue);
    }
    Ok(())
}

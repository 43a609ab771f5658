//! What is wrong with a head, and what kind of answer a request's deserves.

/// Why a request head is refused; in part, why a response head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HeadError {
    /// A TLS ClientHello where plain HTTP was expected.
    #[error("a tls handshake on a plain http port")]
    TlsOnPlain,
    /// The HTTP/2 connection preface (RFC 9113 §3.4).
    #[error("an http/2 preface on an http/1 connection")]
    Http2Preface,
    /// A PROXY header, version 1 or 2, where none is accepted.
    #[error("a proxy protocol header where none is expected")]
    UnexpectedProxyHeader,
    /// The bytes given to `parse` are less or more than one head.
    #[error("the bytes are not exactly one head")]
    NotOneHead,
    /// More than the one empty line that RFC 9112 §2.2 tells us to bear.
    #[error("more than one empty line before the request line")]
    LeadingEmptyLines,
    /// A LF without its CR (RFC 9112 §2.2).
    #[error("a line feed without a carriage return")]
    BareLf,
    /// A CR without its LF (RFC 9112 §2.2).
    #[error("a carriage return without a line feed")]
    BareCr,
    /// A NUL, anywhere.
    #[error("a nul byte in the head")]
    Nul,
    /// The request line is not three parts with one space between them.
    #[error("the request line is not a method, a target and a version with single spaces between")]
    BadRequestLine,
    /// The method is not a token.
    #[error("the method is not a token")]
    BadMethod,
    /// The method is longer than any registered one could be.
    #[error("the method is longer than 32 bytes")]
    MethodTooLong,
    /// The last word of the request line is no HTTP version.
    #[error("the version is malformed")]
    BadVersion,
    /// A well-formed version other than 1.0 and 1.1.
    #[error("the version is neither http/1.0 nor http/1.1")]
    UnsupportedVersion,
    /// The target is longer than the limit.
    #[error("the request target is too long")]
    UriTooLong,
    /// The target has a control, a space, or a byte that is not ASCII.
    #[error("the request target has a byte that is not visible ascii")]
    BadTargetByte,
    /// The target has a `#` (RFC 9112 §3.2: no form has a fragment).
    #[error("the request target has a fragment")]
    FragmentInTarget,
    /// The target is of none of the four forms of RFC 9112 §3.2.
    #[error("the request target is neither a path nor an http or https uri")]
    BadTargetForm,
    /// `*` with a method other than OPTIONS (RFC 9112 §3.2.4).
    #[error("the request target * is for options only")]
    AsteriskWithoutOptions,
    /// CONNECT with something other than `host:port` (RFC 9112 §3.2.3).
    #[error("the target of connect is not host:port")]
    BadConnectTarget,
    /// An absolute target without a host, or with bytes that no host has.
    #[error("the authority of the request target is empty or malformed")]
    BadAuthority,
    /// An absolute target with `user@` (RFC 9110 §4.2.4).
    #[error("the request target has user information")]
    UserInfoInTarget,
    /// The field lines together are larger than the limit.
    #[error("the header fields are too large")]
    HeadTooLarge,
    /// More field lines than the limit.
    #[error("there are too many header fields")]
    TooManyFields,
    /// The first field line begins with whitespace (RFC 9112 §2.2).
    #[error("whitespace before the first header field")]
    SpaceBeforeFirstField,
    /// A folded field line (RFC 9112 §5.2).
    #[error("a folded header line")]
    ObsFold,
    /// Whitespace between a field name and its colon (RFC 9112 §5.1).
    #[error("whitespace before the colon of a header field")]
    SpaceBeforeColon,
    /// A field line that begins with its colon.
    #[error("a header field without a name")]
    EmptyFieldName,
    /// A field name that is not a token, or a line without a colon.
    #[error("a header field name that is not a token followed by a colon")]
    BadFieldName,
    /// A control other than HTAB in a field value (RFC 9110 §5.5).
    #[error("a control character in a header field value")]
    ControlInValue,
    /// Several Host fields, even equal ones (RFC 9112 §3.2).
    #[error("more than one host field")]
    RepeatedHost,
    /// The authority of the target is not the value of Host.
    #[error("the host field contradicts the request target")]
    HostContradictsTarget,
    /// Content-Length beside Transfer-Encoding (RFC 9112 §6.1).
    #[error("both content-length and transfer-encoding")]
    LengthAndCoding,
    /// Several Content-Length fields, even equal ones.
    #[error("more than one content-length field")]
    RepeatedLength,
    /// A Content-Length that is not plain digits, or does not fit 64 bits.
    #[error("content-length is not a decimal number of 64 bits")]
    BadLength,
    /// Several Transfer-Encoding fields.
    #[error("more than one transfer-encoding field")]
    RepeatedCoding,
    /// Transfer-Encoding is not exactly `chunked`.
    #[error("transfer-encoding is not exactly chunked")]
    BadCoding,
    /// HTTP/1.0 has no transfer codings (RFC 9112 §6.1).
    #[error("transfer-encoding in an http/1.0 message")]
    CodingOnHttp10,
    /// A connection option that is not a token (RFC 9110 §7.6.1).
    #[error("a connection option that is not a token")]
    BadConnectionOption,
    /// Connection asks for a field to be dropped that others rely on.
    #[error("connection nominates a field that must not be dropped")]
    NominatedField,
}

/// What kind of answer a [`HeadError`] deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Malformed in a way that does not touch framing (400).
    BadRequest,
    /// Where the message ends is in doubt: smuggling or a defect (400).
    BadFraming,
    /// 414.
    UriTooLong,
    /// 431.
    HeadersTooLarge,
    /// 505.
    VersionNotSupported,
    /// Another protocol: an answer in HTTP would not be understood.
    NotHttp,
}

impl HeadError {
    /// What kind of answer this deserves. The connection cannot be used again
    /// after any of them.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::TlsOnPlain | Self::Http2Preface | Self::UnexpectedProxyHeader => Refusal::NotHttp,
            Self::NotOneHead
            | Self::LeadingEmptyLines
            | Self::Nul
            | Self::BadRequestLine
            | Self::BadMethod
            | Self::MethodTooLong
            | Self::BadVersion
            | Self::BadTargetByte
            | Self::FragmentInTarget
            | Self::BadTargetForm
            | Self::AsteriskWithoutOptions
            | Self::BadConnectTarget
            | Self::BadAuthority
            | Self::UserInfoInTarget
            | Self::EmptyFieldName
            | Self::BadFieldName
            | Self::ControlInValue
            | Self::RepeatedHost
            | Self::HostContradictsTarget
            | Self::BadConnectionOption => Refusal::BadRequest,
            Self::BareLf
            | Self::BareCr
            | Self::SpaceBeforeFirstField
            | Self::ObsFold
            | Self::SpaceBeforeColon
            | Self::LengthAndCoding
            | Self::RepeatedLength
            | Self::BadLength
            | Self::RepeatedCoding
            | Self::BadCoding
            | Self::CodingOnHttp10
            | Self::NominatedField => Refusal::BadFraming,
            Self::UriTooLong => Refusal::UriTooLong,
            Self::HeadTooLarge | Self::TooManyFields => Refusal::HeadersTooLarge,
            Self::UnsupportedVersion => Refusal::VersionNotSupported,
        }
    }
}

/// Why a response head is refused. The connection cannot be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ResponseError {
    /// A rule that holds for requests too: lines, fields, sizes, body framing.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The first bytes are not `HTTP/`: another protocol, an empty line, or what
    /// is left of a body that was longer than announced.
    #[error("the response does not begin with http/")]
    NotHttp,
    /// The status is not three digits from 100 to 999 (RFC 9110 §15), with one
    /// space before and a space or the line end behind.
    #[error("the status is not a number from 100 to 999")]
    BadStatus,
    /// A control other than HTAB in the reason phrase (RFC 9112 §4).
    #[error("a control character in the reason phrase")]
    BadReason,
    /// Transfer-Encoding or a Content-Length above zero in a 1xx response
    /// (RFC 9112 §6.1, RFC 9110 §8.6).
    #[error("a 1xx response announces a body")]
    InterimBody,
}

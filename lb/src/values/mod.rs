//! Parsed leaves of the configuration: durations, sizes, rates, host patterns.
//!
//! Everything an operator writes as text becomes one of these at the edge, so
//! that nothing past `compile` is a bare string. Each type parses from the text
//! of the configuration contract, prints back the way it is written, and names
//! its JSON Schema `format`, by which [`check_format`] finds its parser again.
//!
//! Pure; refuses to know where a value stood or what it is for.

mod bind;
mod cidr;
mod duration;
mod host;
mod key;
mod kubernetes;
mod percent;
mod rate;
mod size;
mod status;

pub use bind::{BindAddress, DnsServer, EndpointAddress, TcpAddress};
pub use cidr::Cidr;
pub use duration::Span;
pub use host::{HostPattern, normalise_host};
pub use key::KeyPart;
pub use kubernetes::{HostName, ObjectName, ServicePort};
pub use percent::Percent;
pub use rate::Rate;
pub use size::ByteSize;
pub use status::{StatusRange, StatusSet};

/// Why a leaf could not be parsed: a message for the operator, lower case,
/// without the position (the caller knows it).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub(crate) String);

impl ValueError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Parses `text` as the leaf whose JSON Schema format is `format`.
/// `None` when no leaf has that format.
pub fn check_format(format: &str, text: &str) -> Option<Result<(), ValueError>> {
    fn parse<T: std::str::FromStr<Err = ValueError>>(text: &str) -> Result<(), ValueError> {
        text.parse::<T>().map(drop)
    }
    Some(match format {
        "duration" => parse::<Span>(text),
        "size" => parse::<ByteSize>(text),
        "rate" => parse::<Rate>(text),
        "host-pattern" => parse::<HostPattern>(text),
        "bind-address" => parse::<BindAddress>(text),
        "tcp-address" => parse::<TcpAddress>(text),
        "dns-server" => parse::<DnsServer>(text),
        "endpoint-address" => parse::<EndpointAddress>(text),
        "kubernetes-name" => parse::<ObjectName>(text),
        "dns-name" => parse::<HostName>(text),
        "cidr" => parse::<Cidr>(text),
        "key-part" => parse::<KeyPart>(text),
        "percent" => parse::<Percent>(text),
        "status-range" => parse::<StatusRange>(text),
        _ => return None,
    })
}

/// Serde (through a string) and JSON Schema for a leaf with `FromStr` and `Display`.
macro_rules! text_leaf {
    ($type:ty, $format:literal, $title:literal, [$($example:literal),+]) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "format": $format,
                    "description": $title,
                    "examples": [$($example),+],
                })
            }
            fn inline_schema() -> bool {
                true
            }
        }
    };
}
use text_leaf;

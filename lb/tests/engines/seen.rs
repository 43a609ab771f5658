//! A difference, and where it was seen: what entries of the table ask.

use crate::case::{Case, Exchange};
use crate::observed::{Observed, Part, Place, SeenResponse};
use crate::text::find;
use crate::wire::Fields;

pub struct Seen<'s> {
    pub place: &'s Place,
    pub case: &'s Case,
    pub auto: &'s Observed,
    pub pingora: &'s Observed,
}

/// A response as both engines gave it.
pub struct Pair<'s> {
    pub exchange: &'s Exchange,
    pub auto: &'s SeenResponse,
    pub pingora: &'s SeenResponse,
}

impl<'s> Seen<'s> {
    pub fn part(&self) -> Option<&'s Part> {
        match self.place {
            Place::Request(_, part) | Place::Response(_, part) => Some(part),
            Place::Ending => None,
        }
    }

    pub fn is_field(&self, name: &str) -> bool {
        matches!(self.part(), Some(Part::Field(field)) if field == name)
    }

    /// The exchange whose request this is about.
    pub fn request(&self) -> Option<&'s Exchange> {
        match self.place {
            Place::Request(exchange, _) => self.case.exchanges.get(*exchange),
            Place::Response(..) | Place::Ending => None,
        }
    }

    /// The response that this is about, if both gave one.
    pub fn response(&self) -> Option<Pair<'s>> {
        match self.place {
            Place::Response(index, _) => self.pair(*index),
            Place::Request(..) | Place::Ending => None,
        }
    }

    fn pair(&self, index: usize) -> Option<Pair<'s>> {
        Some(Pair {
            exchange: self.case.exchanges.get(index)?,
            auto: self.auto.responses.get(index)?,
            pingora: self.pingora.responses.get(index)?,
        })
    }

    /// Whether this is about whether the connection goes on behind a response, and
    /// what was or was not done with later requests therefore.
    pub fn goes_on_behind(&self, so: impl Fn(&Pair<'_>) -> bool) -> bool {
        let until = match self.place {
            Place::Response(index, Part::Field(name)) if name == "connection" => index + 1,
            Place::Response(index, Part::Times) | Place::Request(index, Part::Times) => *index,
            Place::Ending => usize::MAX,
            _ => return false,
        };
        (0..until).map_while(|index| self.pair(index)).any(|pair| so(&pair))
    }

    /// Whether this is about such a response, about how often it was asked for, or
    /// about what comes of it.
    pub fn comes_of(&self, so: impl Fn(&Pair<'_>) -> bool) -> bool {
        let pair = match self.place {
            Place::Response(index, _) | Place::Request(index, Part::Times) => self.pair(*index),
            Place::Request(..) | Place::Ending => None,
        };
        pair.is_some_and(|pair| so(&pair)) || self.goes_on_behind(so)
    }
}

impl Pair<'_> {
    /// Whether one body is the other's beginning.
    pub fn is_one_cut(&self) -> bool {
        let (auto, pingora) = (&self.auto.body.0, &self.pingora.body.0);
        auto.starts_with(pingora) || pingora.starts_with(auto)
    }

    /// Whether both are answers of `lb`'s own, for the same cause.
    pub fn is_ours(&self) -> bool {
        let status = |response: &SeenResponse| response.fields.get("proxy-status").cloned();
        self.auto_says("") && status(self.auto) == status(self.pingora)
    }

    /// Whether with `engine: auto` it is `lb`'s own, with this in its cause.
    pub fn auto_says(&self, cause: &str) -> bool {
        let said = self.auto.fields.get("proxy-status").into_iter().flatten();
        let details = |status: &[u8]| find(status, b"lb; error=").map(|at| status[at..].to_vec());
        said.filter_map(|status| details(&status.0))
            .any(|status| cause.is_empty() || find(&status, cause.as_bytes()).is_some())
    }

    /// Whether the request says something in Connection that is more than one
    /// option in one line.
    pub fn says_much_of_connection(&self) -> bool {
        let lines = self.exchange.request.lines.iter();
        let mut lines = lines.filter(|line| line.name.eq_ignore_ascii_case("connection"));
        lines.clone().count() > 1 || lines.any(|line| line.value.0.contains(&b','))
    }
}

/// Fields without those of a connection.
pub fn end_to_end(fields: &Fields) -> Fields {
    let mut fields = fields.clone();
    let nominated = fields.remove("connection").unwrap_or_default();
    for option in nominated.iter().flat_map(|line| line.0.split(|byte| *byte == b',')) {
        fields.remove(&String::from_utf8_lossy(option).trim().to_ascii_lowercase());
    }
    for name in ["keep-alive", "proxy-connection", "te", "trailer", "upgrade"] {
        fields.remove(name);
    }
    fields
}

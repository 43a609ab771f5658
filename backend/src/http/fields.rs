//! The members of a JSON object, taken out one by one, so that all that is
//! wrong with it can be told at once.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::domain::Invalid;
use crate::error::{FieldError, FieldErrors};

/// Members that nobody asked for and that are named in an answer.
const MAX_NAMED: usize = 8;

/// Characters of the name of such a member that are repeated.
const MAX_NAME_LENGTH: usize = 64;

/// A JSON object. All that this API takes in one are texts.
///
/// It has no `Debug`: some of the texts are passwords.
#[derive(Default)]
pub struct Fields {
    members: BTreeMap<String, Member>,
    errors: FieldErrors,
}

/// The value of a member, as far as it matters here.
enum Member {
    Text(String),
    /// Anything else that JSON has; never looked at.
    Other,
    /// Which of the values is meant is anybody's guess, and guesses differ.
    Repeated,
}

impl Fields {
    /// Takes a member that must be there; `None` with the error noted.
    pub fn require<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(String) -> Result<T, Invalid>,
    ) -> Option<T> {
        if !self.members.contains_key(name) {
            return self.errors.collect(name, Err(Invalid("is required")));
        }
        self.optional(name, parse)
    }

    /// Takes a member that may be there; `None` without it, and with the error
    /// noted if it is wrong. There is no null: what is not to change is left out.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(String) -> Result<T, Invalid>,
    ) -> Option<T> {
        let text = match self.members.remove(name)? {
            Member::Text(text) => Ok(text),
            Member::Other => Err(Invalid("must be a text")),
            Member::Repeated => Err(Invalid("must be there once only")),
        };
        self.errors.collect(name, text.and_then(parse))
    }

    /// All that was wrong, also the members that nobody took: most of them are
    /// misspelt, and to ignore one would be to do something else than was asked.
    pub fn finish(self) -> FieldErrors {
        let Self { members, mut errors } = self;
        for name in members.into_keys().take(MAX_NAMED) {
            let name: String = name.chars().take(MAX_NAME_LENGTH).collect();
            errors.push(FieldError::new(name, "is not known here"));
        }
        errors
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Fields, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, member)) = object.next_entry::<String, Member>()? {
                    members
                        .entry(name)
                        .and_modify(|earlier| *earlier = Member::Repeated)
                        .or_insert(member);
                }
                Ok(Fields { members, errors: FieldErrors::default() })
            }
        }

        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;

        impl<'de> Visitor<'de> for Anything {
            type Value = Member;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value")
            }

            fn visit_str<E>(self, text: &str) -> Result<Member, E> {
                Ok(Member::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Member, E> {
                Ok(Member::Text(text))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_unit<E>(self) -> Result<Member, E> {
                Ok(Member::Other)
            }

            // What is skipped takes no stack, however deep it is.
            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Member, A::Error> {
                while array.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Member::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Member, A::Error> {
                while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Member::Other)
            }
        }

        deserializer.deserialize_any(Anything)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ApiError;

    fn fields(json: &str) -> Fields {
        serde_json::from_str(json).unwrap()
    }

    fn told(errors: FieldErrors) -> Vec<(String, String)> {
        let ApiError::Invalid(errors) = errors.into() else { panic!("not invalid") };
        errors.into_iter().map(|error| (error.field.into(), error.message.into())).collect()
    }

    fn pair(field: &str, message: &str) -> (String, String) {
        (field.to_owned(), message.to_owned())
    }

    #[test]
    fn texts_are_taken_and_nothing_is_wrong() {
        let mut fields = fields(r#"{"name": "a\u00e9\ud83d\ude00", "email": ""}"#);
        assert_eq!(fields.require("name", Ok).unwrap(), "aé😀");
        assert_eq!(fields.optional("email", Ok).unwrap(), "");
        assert_eq!(fields.optional("role", Ok::<String, _>), None);
        assert!(fields.finish().is_empty());
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        for value in ["null", "true", "-1", "1", "1.5", "[[]]", r#"{"a": {"a": 1, "a": 2}}"#] {
            let mut fields = fields(&format!(
                r#"{{"name": {value}, "role": "x", "role": "x", "emial": "a@b.io"}}"#
            ));
            assert_eq!(fields.optional("name", Ok), None);
            assert_eq!(fields.optional("role", Ok), None);
            assert_eq!(fields.require("email", Ok), None);
            assert_eq!(
                told(fields.finish()),
                [
                    pair("name", "must be a text"),
                    pair("role", "must be there once only"),
                    pair("email", "is required"),
                    pair("emial", "is not known here"),
                ]
            );
        }
    }

    #[test]
    fn what_is_repeated_of_a_request_is_bounded() {
        let members: Vec<_> =
            (0..1000).map(|n| format!(r#""{n:04}{}": 1"#, "é".repeat(100))).collect();
        let told = told(fields(&format!("{{{}}}", members.join(","))).finish());
        assert_eq!(told.len(), MAX_NAMED);
        assert!(told.iter().all(|(name, _)| name.chars().count() == MAX_NAME_LENGTH));
    }

    #[test]
    fn depth_costs_no_stack() {
        let depth = 30_000;
        let json = format!(r#"{{"a": {}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(told(fields(&json).finish()), [pair("a", "is not known here")]);
    }
}

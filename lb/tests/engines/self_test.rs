//! The comparison finds what there is to find.

use std::collections::{BTreeMap, HashSet};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::allowed::{self, entries};
use crate::bench::Bench;
use crate::case::Case;
use crate::generate;
use crate::observed::{Ending, Observed, Part, Place, SeenRequest, SeenResponse};
use crate::text::Text;
use crate::wire::{Fields, Framing};

/// One way in which something differs.
type Change = fn(&mut Observed);

fn fields(name: &str, values: &[&str]) -> Fields {
    Fields::from([(name.to_owned(), values.iter().map(|value| Text::from(*value)).collect())])
}

fn observed() -> Observed {
    let request = SeenRequest {
        line: "POST / HTTP/1.1".to_owned(),
        fields: fields("x-a", &["one", "two"]),
        framing: Some(Framing::Chunked),
        body: "body".into(),
        trailers: Fields::new(),
        complete: true,
    };
    let response = SeenResponse {
        interim: vec![("HTTP/1.1 103 Early Hints".to_owned(), Fields::new())],
        line: "HTTP/1.1 200 OK".to_owned(),
        fields: fields("x-b", &["one"]),
        framing: Some(Framing::Length(4)),
        body: "body".into(),
        trailers: Fields::new(),
        complete: true,
    };
    Observed {
        requests: BTreeMap::from([(0, vec![request])]),
        responses: vec![response],
        ending: Ending::Open,
    }
}

fn request(observed: &mut Observed) -> &mut SeenRequest {
    &mut observed.requests.get_mut(&0).unwrap()[0]
}

/// Some sound case.
fn case() -> Case {
    generate::sound().new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

#[test]
fn a_difference_is_found_wherever_it_is() {
    let field = |name: &str| Part::Field(name.to_owned());
    let changes: Vec<(Place, Change)> = vec![
        (Place::Request(0, Part::Times), |seen| seen.requests.clear()),
        (Place::Request(0, Part::Line), |seen| request(seen).line = "PUT / HTTP/1.1".to_owned()),
        (Place::Request(0, Part::Framing), |seen| request(seen).framing = None),
        (Place::Request(0, field("x-a")), |seen| {
            request(seen).fields = fields("x-a", &["two", "one"]);
        }),
        (Place::Request(0, field("x-c")), |seen| {
            request(seen).fields.insert("x-c".to_owned(), Vec::new());
        }),
        (Place::Request(0, Part::Body), |seen| request(seen).body = "bodY".into()),
        (Place::Request(0, Part::Trailers), |seen| request(seen).trailers = fields("x-t", &[""])),
        (Place::Request(0, Part::Complete), |seen| request(seen).complete = false),
        (Place::Response(0, Part::Times), |seen| seen.responses.clear()),
        (Place::Response(0, Part::Interim), |seen| seen.responses[0].interim.clear()),
        (Place::Response(0, Part::Line), |seen| seen.responses[0].line += "!"),
        (Place::Response(0, Part::Framing), |seen| {
            seen.responses[0].framing = Some(Framing::UntilClose);
        }),
        (Place::Response(0, field("x-b")), |seen| seen.responses[0].fields.clear()),
        (Place::Response(0, Part::Body), |seen| seen.responses[0].body = "".into()),
        (Place::Response(0, Part::Trailers), |seen| {
            seen.responses[0].trailers = fields("x-t", &[""]);
        }),
        (Place::Response(0, Part::Complete), |seen| seen.responses[0].complete = false),
        (Place::Ending, |seen| seen.ending = Ending::Closed),
        (Place::Ending, |seen| seen.ending = Ending::Nonsense("other bytes".to_owned())),
    ];
    assert_eq!(observed().differences(&observed()), []);
    for (place, change) in changes {
        let mut other = observed();
        change(&mut other);
        let found = other.differences(&observed());
        assert!(matches!(&found[..], [one] if one.place == place), "{place:?}: {found:?}");
        // Of what Pingora does more than the lane, nothing is allowed here.
        let found = observed().differences(&other);
        let entry = allowed::entry(&found[0], &case(), &observed(), &other);
        assert!(entry.is_none(), "{place:?} is allowed as {:?}", entry.map(|entry| entry.name));
    }
}

#[test]
fn what_changes_with_every_request_is_no_difference() {
    let with = |id: &str, date: &str, port: u16| {
        let mut observed = observed();
        request(&mut observed).fields = fields("host", &[&format!("127.0.0.1:{port}")]);
        request(&mut observed).fields.extend(fields("x-request-id", &[id]));
        observed.responses[0].body = Text::from(&format!("request: {id}")[..]);
        observed.responses[0].fields = fields("x-request-id", &[id]);
        observed.responses[0].fields.extend(fields("date", &[date]));
        observed.normalised(&[(([127, 0, 0, 1], port).into(), "(origin)")])
    };
    let (a, b) = ("0".repeat(32), "f".repeat(32));
    let first = with(&a, "Wed, 25 Nov 2026 16:43:54 GMT", 8001);
    assert_eq!(first.differences(&with(&b, "Wed, 25 Nov 2026 16:43:55 GMT", 8002)), []);
    // But nothing else is taken for an id or for now.
    let forged = with("mine", "Sun, 06 Nov 1994 08:49:37 GMT", 8001);
    assert_eq!(first.differences(&forged).len(), 4);
}

#[test]
fn entries_have_names_of_their_own_and_reasons() {
    let names: HashSet<_> = entries().map(|entry| entry.name).collect();
    assert_eq!(names.len(), entries().count());
    assert!(entries().all(|entry| !entry.reason.is_empty()));
}

/// A listener that says a word more than the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_difference_on_the_wire_is_found() {
    let odd = ", response_headers: { set: { X-Odd: one } }";
    let bench = Bench::start_apart(odd).await;
    let found = bench.judge(&case()).await.unwrap_err();
    assert!(found.contains("Field(\"x-odd\")): auto: Some([\"one\"]), pingora: None"), "{found}");
}

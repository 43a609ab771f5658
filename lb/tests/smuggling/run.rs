//! Runs cases against a proxy and compares what came of them with what may.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::case::{Case, End, Message, Outcome};
use crate::client::{Ending, Pace, Seen, exchange};
use crate::origin::{Record, RecordingOrigin};
use crate::support::Lb;
use crate::wire::{self, Request, Response};

/// No answer and no close takes this long when a case passes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Routes that pass on mark what they pass: see [`wire::PASSED`].
fn config(origin: SocketAddr) -> String {
    let mark = "request_headers: { set: { X-Passed: \"yes\" } }";
    format!(
        r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams: {{ api: {{ endpoints: [{{ address: "{origin}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes:
      - {{ match: {{ path_prefix: / }}, upstream: api, {mark} }}
      - {{ match: {{ path_prefix: /ws }}, upstream: api, websocket: true, {mark} }}
      - {{ match: {{ path_prefix: /small }}, upstream: api, limits: {{ body: 16B }}, {mark} }}
      - {{ match: {{ path_prefix: /redirect }}, redirect: {{ scheme: https, status: 302 }} }}
"#
    )
}

/// Runs a family, in one piece and in two, and fails with everything that went wrong.
pub async fn family(cases: Vec<Case>) {
    let origin = RecordingOrigin::start().await;
    let lb = Lb::start(&config(origin.address)).await;
    let mut bench = Bench::new(lb.address("http"), &origin, PATIENCE);
    for (turn, case) in cases.iter().enumerate() {
        for pace in Pace::of(&case.bytes, turn) {
            // What fails in one piece need not be seen to fail in two.
            if !bench.run(case, pace).await {
                break;
            }
        }
    }
    bench.require_log(&lb).await;
    drop(lb);
    bench.require_nothing_else().await;
    let Bench { failures, .. } = bench;
    let failed: HashSet<_> = failures.iter().map(|failure| &failure.case).collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failed.len(),
        cases.len(),
        failures.iter().map(Failure::describe).collect::<Vec<_>>().join("\n")
    );
}

/// A proxy with an origin behind it.
pub struct Bench<'o> {
    address: SocketAddr,
    origin: &'o RecordingOrigin,
    patience: Duration,
    canaries: usize,
    /// Requests of the origin that belong to cases that have run.
    accounted: usize,
    /// Its connections whose oddness has been judged.
    judged: HashSet<usize>,
    /// Answers of the proxy's own, which the log must show.
    own: Vec<Own>,
    pub failures: Vec<Failure>,
}

#[derive(Debug)]
pub struct Failure {
    pub case: String,
    why: String,
    came: String,
    arrived: String,
}

impl Failure {
    fn describe(&self) -> String {
        let Self { case, why, came, arrived } = self;
        format!("- {case}\n    wrong:   {why}\n    client:  {came}\n    origin:  {arrived}")
    }
}

/// An answer of the proxy's own.
#[derive(Debug, Clone)]
struct Own {
    case: String,
    id: String,
    status: u16,
    cause: String,
}

impl<'o> Bench<'o> {
    pub fn new(address: SocketAddr, origin: &'o RecordingOrigin, patience: Duration) -> Self {
        Self {
            address,
            origin,
            patience,
            canaries: 0,
            accounted: 0,
            judged: HashSet::new(),
            own: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Runs a case; whether it passed.
    pub async fn run(&mut self, case: &Case, pace: Pace) -> bool {
        let title = format!("{}: {} ({pace:?})", case.family, case.name);
        let seen = exchange(self.address, case, pace, self.patience).await;
        let canary = self.canary().await;
        let record = self.settled().await;
        let arrived = Arrived::since(&record, self.accounted, &self.judged);
        let verdict = canary.and_then(|canary| {
            let requests = without(&arrived.requests, &canary)?;
            judge_any(case, &seen, &requests, &arrived)
        });
        self.accounted = record.requests.len();
        self.judged.extend(odd(&record));
        match verdict {
            Ok(own) => {
                self.own.extend(own.map(|own| Own { case: title, ..own }));
                true
            }
            Err(why) => {
                let (came, arrived) = (seen.describe(), arrived.describe());
                self.failures.push(Failure { case: title, why, came, arrived });
                false
            }
        }
    }

    /// A request on a connection of its own gets its own response: nobody left
    /// anything on a connection that it shares with them.
    async fn canary(&mut self) -> Result<Message, String> {
        self.canaries += 1;
        let target = format!("/canary/{}", self.canaries);
        let message = crate::case::get(&target);
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: canary\r\n\r\n");
        let case = crate::case::case("canary", bytes).forwarded(std::slice::from_ref(&message));
        let seen = exchange(self.address, &case, Pace::AtOnce, self.patience).await;
        match judge_responses(&case.outcomes[0], &seen) {
            Ok(_) => Ok(message),
            Err(why) => Err(format!("the canary: {why}: {}", seen.describe())),
        }
    }

    /// What the origin has, when connections with half a request are closed:
    /// those that stay open are judged as they are.
    async fn settled(&self) -> Record {
        let deadline = Instant::now() + self.patience;
        loop {
            let record = self.origin.record();
            let waiting = odd(&record)
                .any(|index| !record.connections[index].closed && !self.judged.contains(&index));
            if !waiting || Instant::now() > deadline {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Every answer of the proxy's own stands in its log.
    async fn require_log(&mut self, lb: &Lb) {
        let deadline = Instant::now() + self.patience;
        let mut missing = std::mem::take(&mut self.own);
        while !missing.is_empty() && Instant::now() < deadline {
            let lines: Vec<Value> = lb
                .access_lines()
                .iter()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            missing.retain(|own| {
                !lines.iter().any(|line| {
                    line["request_id"] == own.id.as_str()
                        && line["status"] == own.status
                        && line["cause"] == own.cause.as_str()
                })
            });
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for own in missing {
            self.failures.push(Failure {
                why: format!("no access line with {own:?}"),
                case: own.case,
                came: String::new(),
                arrived: String::new(),
            });
        }
    }

    /// When the proxy has gone, the origin has seen all that it will ever see.
    async fn require_nothing_else(&mut self) {
        let deadline = Instant::now() + self.patience;
        while Instant::now() < deadline
            && self.origin.record().connections.iter().any(|connection| !connection.closed)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let late = Arrived::since(&self.origin.record(), self.accounted, &self.judged);
        if !late.requests.is_empty() || !late.odd.is_empty() {
            self.failures.push(Failure {
                case: "after all cases".to_owned(),
                why: "something came late".to_owned(),
                came: String::new(),
                arrived: late.describe(),
            });
        }
    }
}

/// What the origin got of a case.
struct Arrived {
    requests: Vec<Request>,
    odd: Vec<crate::origin::Connection>,
}

impl Arrived {
    fn since(record: &Record, accounted: usize, judged: &HashSet<usize>) -> Self {
        Self {
            requests: record.requests[accounted..].to_vec(),
            odd: odd(record)
                .filter(|index| !judged.contains(index))
                .map(|index| record.connections[index].clone())
                .collect(),
        }
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for Request { method, target, body, .. } in &self.requests {
            text += &format!("{method} {target} {:?}; ", String::from_utf8_lossy(body));
        }
        for connection in &self.odd {
            let partial = String::from_utf8_lossy(&connection.partial);
            let shown: String = partial.chars().take(400).collect();
            text +=
                &format!("{:?} in {shown:?}, closed: {}; ", connection.fault, connection.closed);
        }
        text
    }
}

fn odd(record: &Record) -> impl Iterator<Item = usize> + '_ {
    (0..record.connections.len()).filter(|index| record.connections[*index].is_odd())
}

fn same(request: &Request, message: &Message) -> bool {
    let Request { method, target, body, fields: _ } = request;
    *method == message.method && *target == message.target && *body == message.body
}

fn without(requests: &[Request], canary: &Message) -> Result<Vec<Request>, String> {
    let (canaries, others): (Vec<Request>, Vec<Request>) =
        requests.iter().cloned().partition(|request| same(request, canary));
    if canaries.len() == 1 { Ok(others) } else { Err("the canary did not arrive once".to_owned()) }
}

/// Any outcome will do; what is wrong with the first, if none does.
fn judge_any(
    case: &Case,
    seen: &Seen,
    requests: &[Request],
    arrived: &Arrived,
) -> Result<Option<Own>, String> {
    let mut verdicts = case.outcomes.iter().map(|outcome| judge(outcome, seen, requests, arrived));
    let first = verdicts.next().unwrap_or_else(|| Err("no outcome is expected".to_owned()));
    first.or_else(|why| verdicts.find_map(Result::ok).ok_or(why))
}

fn judge(
    outcome: &Outcome,
    seen: &Seen,
    requests: &[Request],
    arrived: &Arrived,
) -> Result<Option<Own>, String> {
    for connection in &arrived.odd {
        if let Some(fault) = &connection.fault {
            return Err(format!("the origin was sent {fault}"));
        }
        if !matches!(outcome.end, End::Broken(_)) {
            return Err("the origin was sent part of a request".to_owned());
        }
        if !connection.closed {
            return Err("a connection in the middle of a request stays open".to_owned());
        }
    }
    if requests.len() != outcome.forwarded.len() {
        let (got, wanted) = (requests.len(), outcome.forwarded.len());
        return Err(format!("the origin got {got} requests, not {wanted}"));
    }
    if let Some((_, wanted)) =
        requests.iter().zip(&outcome.forwarded).find(|(got, wanted)| !same(got, wanted))
    {
        return Err(format!("the origin did not get {wanted:?}"));
    }
    judge_responses(outcome, seen)
}

fn judge_responses(outcome: &Outcome, seen: &Seen) -> Result<Option<Own>, String> {
    let Outcome { forwarded, end } = outcome;
    for (index, wanted) in forwarded.iter().enumerate() {
        let echo = format!("{} {}", wanted.method, wanted.target);
        let body = if wanted.method == "HEAD" { "" } else { &echo };
        match seen.responses.get(index) {
            Some(Response { status: 200, fields, body: got })
                if got == body.as_bytes()
                    && wire::values(fields, wire::ECHO) == [echo.as_bytes()] => {}
            _ => return Err(format!("response {index} is not that to {echo}")),
        }
    }
    let own = &seen.responses[forwarded.len()..];
    // A client that speaks TLS may get an alert: a record of 2 bytes.
    let is_alert = matches!(seen.rest[..], [0x15, 0x03, _, 0, 2, _, _]);
    if !seen.rest.is_empty() && !is_alert {
        return Err("bytes follow that are no response".to_owned());
    }
    if matches!(seen.ending, Ending::Silence) {
        return Err("neither an answer nor a close".to_owned());
    }
    match (end, own) {
        (End::Quiet, []) => Ok(None),
        (End::Closed, []) if seen.ending != Ending::ClosedAfterUs => Ok(None),
        (End::Broken(_), []) => Ok(None),
        (End::Answered(statuses), [answer]) => own_answer(answer, statuses).map(Some),
        (End::Closed, [answer]) => own_answer(answer, &[400, 431, 501, 505]).map(Some),
        (End::Refused(statuses) | End::Broken(statuses), [answer]) => {
            let options = wire::values(&answer.fields, "connection").concat();
            if !options.eq_ignore_ascii_case(b"close") {
                return Err("the answer does not say that the connection is closed".to_owned());
            }
            own_answer(answer, statuses).map(Some)
        }
        (_, answers) => Err(format!("{} answers for {end:?}", answers.len())),
    }
}

/// An answer of the proxy's own: its status, its cause and its id.
fn own_answer(answer: &Response, statuses: &[u16]) -> Result<Own, String> {
    let Response { status, fields, .. } = answer;
    if !statuses.contains(status) {
        return Err(format!("{status} is none of {statuses:?}"));
    }
    let text = |name| String::from_utf8_lossy(&wire::values(fields, name).concat()).into_owned();
    let cause = text("proxy-status")
        .split_once("details=\"")
        .and_then(|(_, rest)| Some(rest.split_once('"')?.0.to_owned()))
        .ok_or("the answer has no cause")?;
    let id = text("x-request-id");
    if id.is_empty() {
        return Err("the answer has no request id".to_owned());
    }
    Ok(Own { case: String::new(), id, status: *status, cause })
}

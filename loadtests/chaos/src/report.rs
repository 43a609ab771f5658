//! The table, and what makes a run fail.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tally::{Counts, percentile};

/// Longest that an endpoint may take to be out, or back.
pub(crate) const FAILOVER: Duration = Duration::from_secs(10);

/// Later than that, the times are the machine's.
const LATE_MS: f64 = 50.0;

/// What came of one row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) what: String,
    /// Why the row was not run.
    pub(crate) not_run: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    pub(crate) unsafe_to_repeat: u64,
    pub(crate) passed_through: u64,
    pub(crate) resent: u64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) max_ms: Option<f64>,
    /// How late the load sent a request, at most.
    pub(crate) sent_late_ms: f64,
    pub(crate) out_seconds: Option<f64>,
    pub(crate) back_seconds: Option<f64>,
    pub(crate) tunnels_cut: u64,
    pub(crate) tunnels_lost: u64,
    pub(crate) retries: f64,
    pub(crate) retries_refused: f64,
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) notes: Vec<String>,
    /// Why the run fails.
    pub(crate) problems: Vec<String>,
}

impl Row {
    /// A row in which nothing has happened yet.
    pub(crate) fn new(name: &str, what: &str) -> Self {
        Self {
            name: name.to_owned(),
            what: what.to_owned(),
            not_run: None,
            seconds: 0.0,
            sent: 0,
            failed: 0,
            unsafe_to_repeat: 0,
            passed_through: 0,
            resent: 0,
            p50_ms: None,
            p99_ms: None,
            max_ms: None,
            sent_late_ms: 0.0,
            out_seconds: None,
            back_seconds: None,
            tunnels_cut: 0,
            tunnels_lost: 0,
            retries: 0.0,
            retries_refused: 0.0,
            failures: BTreeMap::new(),
            notes: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Takes over what was counted, and judges it.
    pub(crate) fn count(&mut self, counts: Counts, lasted: Duration) {
        let milliseconds =
            |percent| percentile(&counts.latencies, percent).map(|micros| micros as f64 / 1000.0);
        self.seconds = lasted.as_secs_f64();
        self.p50_ms = milliseconds(50.0);
        self.p99_ms = milliseconds(99.0);
        self.max_ms = milliseconds(100.0);
        self.sent_late_ms = counts.sent_late.as_secs_f64() * 1000.0;
        self.sent = counts.sent;
        self.failed = counts.failed;
        self.unsafe_to_repeat = counts.unsafe_to_repeat;
        self.passed_through = counts.passed_through;
        self.resent = counts.resent;
        self.tunnels_cut = counts.tunnels_cut;
        self.tunnels_lost = counts.tunnels_lost;
        self.failures = counts.failures;
        if self.failed > 0 {
            self.problems.push(format!("{} requests failed that lb had to save", self.failed));
        }
        if self.tunnels_cut > 0 {
            let cut = self.tunnels_cut;
            self.problems.push(format!("{cut} tunnels to sound backends were cut"));
        }
        if self.sent == 0 {
            self.problems.push("no request was sent".to_owned());
        }
    }

    /// How long it took until an endpoint was out: the longest, where it is asked
    /// more than once. `None`: it was not within the time there was.
    pub(crate) fn was_out(&mut self, after: Option<Duration>) {
        match after {
            Some(after) => keep_longest(&mut self.out_seconds, after),
            None => self.problems.push("the endpoint was not taken out".to_owned()),
        }
        if after.is_some_and(|after| after > FAILOVER) {
            let limit = FAILOVER.as_secs();
            self.problems.push(format!("it took more than {limit} s to take the endpoint out"));
        }
    }

    /// The same for its return.
    pub(crate) fn was_back(&mut self, after: Option<Duration>) {
        match after {
            Some(after) => keep_longest(&mut self.back_seconds, after),
            None => self.problems.push("the endpoint did not come back".to_owned()),
        }
        if after.is_some_and(|after| after > FAILOVER) {
            let limit = FAILOVER.as_secs();
            self.problems.push(format!("it took more than {limit} s until it was back"));
        }
    }
}

fn keep_longest(longest: &mut Option<f64>, after: Duration) {
    let after = after.as_secs_f64();
    *longest = Some(longest.map_or(after, |before| before.max(after)));
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) lb: String,
    pub(crate) engine: String,
    pub(crate) balance: String,
    pub(crate) per_second: u32,
    pub(crate) tunnels: usize,
    pub(crate) cores: usize,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// All problems, each with the name of its row.
    pub(crate) fn problems(&self) -> Vec<String> {
        let named = |row: &Row| -> Vec<String> {
            row.problems.iter().map(|problem| format!("{}: {problem}", row.name)).collect()
        };
        self.rows.iter().flat_map(named).collect()
    }

    /// The table, in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "| fault | s | requests | failed | not repeatable | passed through | resent | p99 ms \
             | max ms | out after s | back after s | tunnels cut | tunnels lost |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for row in &self.rows {
            if let Some(reason) = &row.not_run {
                let _ = writeln!(text, "| {} | not run here: {reason} |||||||||||||", row.what);
                continue;
            }
            let _ = writeln!(
                text,
                "| {} | {:.0} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.what,
                row.seconds,
                row.sent,
                row.failed,
                row.unsafe_to_repeat,
                row.passed_through,
                row.resent,
                number(row.p99_ms, 1),
                number(row.max_ms, 0),
                number(row.out_seconds, 2),
                number(row.back_seconds, 2),
                row.tunnels_cut,
                row.tunnels_lost,
            );
        }
        text
    }

    /// The table, and below it what stands behind its numbers.
    pub(crate) fn markdown(&self) -> String {
        let Self { lb, engine, balance, per_second, tunnels, cores, .. } = self;
        let mut text = format!(
            "# Chaos run\n\n{lb}, `engine: {engine}`, `balance: {balance}`, {per_second} requests a second and {tunnels} \
             WebSockets, {cores} cores for everything. `make chaos` makes this file.\n\n{}",
            self.table()
        );
        for row in &self.rows {
            let details = row.details();
            if !details.is_empty() {
                let _ = write!(text, "\n**{}**\n\n{details}", row.what);
            }
        }
        text
    }
}

impl Row {
    /// Lines of a list: what failed, notes, problems.
    pub(crate) fn details(&self) -> String {
        let mut text = String::new();
        for (what, count) in &self.failures {
            let _ = writeln!(text, "- {count} × {what}");
        }
        if self.retries > 0.0 || self.retries_refused > 0.0 {
            let (sent, refused) = (self.retries, self.retries_refused);
            let _ = writeln!(text, "- {sent:.0} retries by lb, {refused:.0} refused by the budget");
        }
        if self.sent_late_ms > LATE_MS {
            let late = self.sent_late_ms;
            let _ = writeln!(text, "- the load was up to {late:.0} ms late: the machine is busy");
        }
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        for problem in &self.problems {
            let _ = writeln!(text, "- FAILS: {problem}");
        }
        text
    }
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Counts {
        Counts { sent: 10, latencies: vec![1000, 2000], ..Counts::default() }
    }

    #[test]
    fn a_row_without_failures_has_no_problems() {
        let mut row = Row::new("kill", "kill -9");
        row.count(counts(), Duration::from_secs(5));
        row.was_out(Some(Duration::from_secs(1)));
        row.was_back(Some(Duration::from_secs(2)));
        assert_eq!(row.problems, Vec::<String>::new());
        assert_eq!((row.p99_ms, row.max_ms), (Some(2.0), Some(2.0)));
    }

    #[test]
    fn what_makes_a_run_fail_is_said() {
        let mut row = Row::new("kill", "kill -9");
        row.count(Counts { failed: 2, tunnels_cut: 1, ..counts() }, Duration::from_secs(5));
        row.was_out(Some(Duration::from_secs(11)));
        row.was_back(None);
        assert_eq!(row.problems.len(), 4);

        let mut spared = Row::new("kill", "kill -9");
        let fine = Counts { unsafe_to_repeat: 3, passed_through: 4, tunnels_lost: 5, ..counts() };
        spared.count(fine, Duration::from_secs(5));
        assert_eq!(spared.problems, Vec::<String>::new());
    }

    #[test]
    fn the_longest_of_several_failovers_counts() {
        let mut row = Row::new("rolling", "rolling");
        for seconds in [1, 3, 2] {
            row.was_out(Some(Duration::from_secs(seconds)));
        }
        assert_eq!(row.out_seconds, Some(3.0));
    }

    #[test]
    fn a_row_that_was_not_run_says_why() {
        let mut row = Row::new("packets", "packets");
        row.not_run = Some("no netem".to_owned());
        let report = Report {
            lb: "lb 0".to_owned(),
            engine: "auto".to_owned(),
            balance: "round_robin".to_owned(),
            per_second: 1,
            tunnels: 1,
            cores: 1,
            rows: vec![row],
        };
        assert!(report.table().contains("not run here: no netem"));
        assert!(report.problems().is_empty());
    }
}

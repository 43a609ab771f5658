//! What of a Service's failures is worth a line of the log.

use std::time::{Duration, Instant};

use super::Problem;

/// What fails and recovers all the time is said once in so long.
const QUIET_FOR: Duration = Duration::from_secs(60);

/// What the log says of a Service.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// At present; nothing while it is followed.
    now: Option<Problem>,
    /// Not long ago, each kind of problem once.
    recently: Vec<(Problem, Instant)>,
}

impl Said {
    /// Takes note of a failure. Whether it is news: not what the log says anyway, and not
    /// what it said a moment ago. What lasts is said then at last.
    pub(super) fn fails(&mut self, problem: &Problem, now: Instant) -> bool {
        self.recently.retain(|(_, said)| now.duration_since(*said) < QUIET_FOR);
        let mut known = self.now.iter().chain(self.recently.iter().map(|(said, _)| said));
        if known.any(|said| said.is_like(problem)) {
            return false;
        }
        self.recently.push((problem.clone(), now));
        self.now = Some(problem.clone());
        true
    }

    /// Takes note that there is none any more. Whether that is news.
    pub(super) fn recovers(&mut self) -> bool {
        self.now.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem {
        Problem::Refused("no".to_owned())
    }

    fn forbidden(verb: &'static str) -> Problem {
        Problem::Forbidden { verb, remark: String::new() }
    }

    #[test]
    fn a_failure_and_its_end_are_said_once() {
        let (mut said, start) = (Said::default(), Instant::now());
        assert!(!said.recovers());
        assert!(said.fails(&problem(), start));
        for minutes in 0..5 {
            assert!(!said.fails(&problem(), start + Duration::from_secs(60 * minutes)));
        }
        assert!(said.recovers() && !said.recovers());
    }

    #[test]
    fn what_comes_and_goes_is_said_once_a_minute() {
        let (mut said, start) = (Said::default(), Instant::now());
        let mut lines = 0;
        for second in 0..180 {
            let now = start + Duration::from_secs(second);
            lines += usize::from(said.fails(&problem(), now)) + usize::from(said.recovers());
        }
        assert_eq!(lines, 6, "three times that it fails, and that it is over");
    }

    /// It must not look as if all were well.
    #[test]
    fn what_lasts_is_said_at_last() {
        let (mut said, start) = (Said::default(), Instant::now());
        assert!(said.fails(&problem(), start));
        assert!(said.recovers());
        let from = |second| start + Duration::from_secs(second);
        assert!(!said.fails(&problem(), from(1)));
        assert!(said.fails(&problem(), from(61)));
        assert!(said.recovers());
    }

    #[test]
    fn another_failure_is_news() {
        let (mut said, now) = (Said::default(), Instant::now());
        assert!(said.fails(&forbidden("list"), now));
        assert!(said.fails(&forbidden("watch"), now), "another verb is another failure");
        assert!(said.fails(&problem(), now));
        assert!(!said.fails(&forbidden("list"), now), "was said a moment ago");
        assert!(said.recovers());
    }
}

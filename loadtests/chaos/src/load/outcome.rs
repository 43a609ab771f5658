//! How a request can end, and whose business that is.

use http::StatusCode;

/// Why a request was not answered as its client hoped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection with lb, or no TLS on it.
    NoConnection(String),
    /// The connection ended before the head of the response.
    Unanswered {
        /// Other requests had been answered on this connection.
        is_reused: bool,
        /// lb has not seen the request, or has said that it will not act on it.
        is_untouched: bool,
        error: String,
    },
    /// The head was there, and the body did not come to its end.
    BrokeOff(String),
    /// Neither answer nor end, long after lb had to say something.
    NoAnswer,
    /// lb answered itself, and said why.
    Refused { status: StatusCode, cause: String },
    /// A backend, or what is broken about it, answered so.
    PassedThrough(StatusCode),
    /// 200, and not what was asked for.
    Wrong(String),
}

/// What can be expected of lb in the meantime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weather {
    /// Something behind lb is broken.
    pub(crate) is_upstream_broken: bool,
    /// lb itself is being replaced: it closes its connections.
    pub(crate) is_lb_replaced: bool,
    /// lb has no descriptor left for a new connection.
    pub(crate) is_lb_full: bool,
}

impl Weather {
    /// Nothing is wrong.
    pub(crate) const CALM: Self =
        Self { is_upstream_broken: false, is_lb_replaced: false, is_lb_full: false };

    pub(crate) const UPSTREAM_BROKEN: Self = Self { is_upstream_broken: true, ..Self::CALM };

    pub(crate) const LB_REPLACED: Self = Self { is_lb_replaced: true, ..Self::CALM };

    pub(crate) const LB_FULL: Self = Self { is_lb_full: true, ..Self::CALM };
}

/// Whether a failure is lb's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// lb could have spared the client this, and had to.
    Owed,
    /// Nobody was allowed to send the request again.
    Unsafe,
    /// The backend's own answer.
    PassedThrough,
}

/// Causes after which the request may have been acted on.
const MAYBE_SENT: &[&str] =
    &["upstream_reset", "upstream_read_timeout", "upstream_send_timeout", "request_timeout"];

impl Failure {
    /// Judges the failure of a request that a client made, if need be, twice.
    ///
    /// In every weather, two endpoints of three are sound, and lb has attempts
    /// and time left. So what may be sent again has to succeed.
    pub(crate) fn judge(&self, is_idempotent: bool, weather: Weather) -> Judgement {
        use Judgement::{Owed, PassedThrough, Unsafe};

        match self {
            // It is what a limit is for.
            Self::NoConnection(_) | Self::Unanswered { is_reused: false, .. }
                if weather.is_lb_full =>
            {
                Unsafe
            }
            Self::NoConnection(_) | Self::NoAnswer | Self::Wrong(_) => Owed,
            // A client may send it again, and has done so.
            Self::Unanswered { .. } if is_idempotent => Owed,
            Self::Unanswered { is_untouched: true, .. } => Owed,
            // RFC 9112 section 9.3.1: a server may close an idle connection at any
            // time, and the request may cross the close. While lb stays, it has no
            // reason to close what has just been used.
            Self::Unanswered { is_reused, .. } => {
                if weather.is_lb_replaced && *is_reused {
                    Unsafe
                } else {
                    Owed
                }
            }
            // The client has seen the head: nothing can be taken back.
            Self::BrokeOff(_) => {
                if weather.is_upstream_broken {
                    Unsafe
                } else {
                    Owed
                }
            }
            Self::Refused { cause, .. } => {
                // After any other, the request has not reached an endpoint, or the
                // cause is none that a broken endpoint gives reason for.
                let is_maybe_sent = MAYBE_SENT.contains(&cause.as_str());
                if weather.is_upstream_broken && !is_idempotent && is_maybe_sent {
                    Unsafe
                } else {
                    Owed
                }
            }
            Self::PassedThrough(_) => {
                if weather.is_upstream_broken {
                    PassedThrough
                } else {
                    Owed
                }
            }
        }
    }

    /// Whether a client sends the request again by itself, once.
    pub(crate) fn is_resent(&self, is_idempotent: bool) -> bool {
        match self {
            Self::Unanswered { is_untouched: true, .. } => true,
            Self::Unanswered { is_reused, .. } => *is_reused && is_idempotent,
            _ => false,
        }
    }

    /// What failures are counted by.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::NoConnection(error) => format!("no connection: {error}"),
            Self::Unanswered { is_reused: true, error, .. } => {
                format!("closed before the answer: {error}")
            }
            Self::Unanswered { is_reused: false, error, .. } => {
                format!("new connection closed before the answer: {error}")
            }
            Self::BrokeOff(error) => format!("answer broke off: {error}"),
            Self::NoAnswer => "no answer".to_owned(),
            Self::Refused { status, cause } => format!("{} {cause}", status.as_u16()),
            Self::PassedThrough(status) => format!("{} of the backend", status.as_u16()),
            Self::Wrong(what) => format!("wrong answer: {what}"),
        }
    }
}

/// The cause in lb's `Proxy-Status`; `None` if the answer is not lb's own.
pub(crate) fn cause_of(proxy_status: &str) -> Option<String> {
    if !proxy_status.starts_with("lb;") {
        return None;
    }
    let (_, rest) = proxy_status.split_once("details=\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request has not reached any endpoint.
    const NOT_SENT: &[&str] = &[
        "upstream_connect_failed",
        "upstream_connect_timeout",
        "upstream_tls_failed",
        "no_healthy_endpoint",
    ];

    const CALM: Weather = Weather::CALM;
    const BROKEN: Weather = Weather::UPSTREAM_BROKEN;
    const REPLACED: Weather = Weather::LB_REPLACED;

    fn refused(cause: &str) -> Failure {
        Failure::Refused { status: StatusCode::BAD_GATEWAY, cause: cause.to_owned() }
    }

    fn unanswered(is_reused: bool, is_untouched: bool) -> Failure {
        Failure::Unanswered { is_reused, is_untouched, error: String::new() }
    }

    #[test]
    fn what_may_be_repeated_has_to_succeed() {
        for cause in NOT_SENT.iter().chain(MAYBE_SENT) {
            assert_eq!(refused(cause).judge(true, BROKEN), Judgement::Owed, "{cause}");
        }
    }

    #[test]
    fn a_post_that_was_sent_cannot_be_saved() {
        for cause in MAYBE_SENT {
            assert_eq!(refused(cause).judge(false, BROKEN), Judgement::Unsafe, "{cause}");
            assert_eq!(refused(cause).judge(false, CALM), Judgement::Owed, "{cause}");
        }
    }

    #[test]
    fn a_post_that_was_not_sent_can_be_saved() {
        for cause in NOT_SENT {
            assert_eq!(refused(cause).judge(false, BROKEN), Judgement::Owed, "{cause}");
        }
    }

    #[test]
    fn other_causes_are_owed_whatever_the_weather() {
        for cause in ["internal_error", "rate_limited", "bad_framing"] {
            assert_eq!(refused(cause).judge(false, BROKEN), Judgement::Owed, "{cause}");
        }
    }

    #[test]
    fn nothing_is_taken_back_once_a_head_was_seen() {
        let broken = Failure::BrokeOff(String::new());
        assert_eq!(broken.judge(true, BROKEN), Judgement::Unsafe);
        assert_eq!(broken.judge(true, REPLACED), Judgement::Owed);
    }

    #[test]
    fn a_close_may_cross_a_post_only_while_lb_is_replaced() {
        assert_eq!(unanswered(true, false).judge(false, REPLACED), Judgement::Unsafe);
        assert_eq!(unanswered(true, false).judge(false, BROKEN), Judgement::Owed);
        assert_eq!(unanswered(false, false).judge(false, REPLACED), Judgement::Owed);
        assert_eq!(unanswered(true, true).judge(false, REPLACED), Judgement::Owed);
        assert_eq!(unanswered(true, false).judge(true, REPLACED), Judgement::Owed);
    }

    #[test]
    fn who_is_full_may_refuse_new_connections_and_no_others() {
        let refused = Failure::NoConnection(String::new());
        assert_eq!(refused.judge(true, Weather::LB_FULL), Judgement::Unsafe);
        assert_eq!(refused.judge(true, CALM), Judgement::Owed);
        assert_eq!(unanswered(false, false).judge(true, Weather::LB_FULL), Judgement::Unsafe);
        assert_eq!(unanswered(true, false).judge(true, Weather::LB_FULL), Judgement::Owed);
    }

    #[test]
    fn a_client_sends_again_what_cannot_have_been_acted_on() {
        assert!(unanswered(true, false).is_resent(true));
        assert!(!unanswered(true, false).is_resent(false));
        assert!(unanswered(true, true).is_resent(false));
        // Not an idle connection: a server that does this would do it again.
        assert!(!unanswered(false, false).is_resent(true));
        assert!(!Failure::NoAnswer.is_resent(true));
    }

    #[test]
    fn the_answer_of_a_backend_is_its_own_affair() {
        let failure = Failure::PassedThrough(StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(failure.judge(true, BROKEN), Judgement::PassedThrough);
        assert_eq!(failure.judge(true, CALM), Judgement::Owed);
    }

    #[test]
    fn a_cause_is_read_off_proxy_status() {
        let field = r#"lb; error=connection_refused; details="upstream_connect_failed""#;
        assert_eq!(cause_of(field).as_deref(), Some("upstream_connect_failed"));
        assert_eq!(cause_of(r#"other; details="x""#), None);
    }
}

//! What can go wrong with a Service, in words for operators.

use std::error::Error as StdError;
use std::fmt;

use kube::client::AuthError;
use kube::config::KubeconfigError;
use kube::runtime::watcher;

/// As many characters as are repeated of what others say.
const LONGEST_REMARK: usize = 300;

/// By what [`Problem::reason`] says, in metrics.
pub const REASONS: [&str; 7] =
    ["config", "unreachable", "unauthorized", "forbidden", "refused", "no_service", "no_port"];

/// Those of them that are failures to ask: all but what is missing in a sound answer.
pub(super) const FAILURES: [&str; 5] =
    ["config", "unreachable", "unauthorized", "forbidden", "refused"];

/// What is wrong with a Service at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It cannot be known where the API server is, or who we are.
    Config(String),
    /// There is no answer.
    Unreachable(String),
    /// The API server does not know us (401).
    Unauthorized(String),
    /// It does not let us do this (403).
    Forbidden {
        /// What we would do.
        verb: &'static str,
        /// What it says.
        remark: String,
    },
    /// It says anything else.
    Refused(String),
    /// There is nothing of such a Service.
    NoService,
    /// Its pods have no such port; they have these.
    NoPort(Vec<String>),
}

impl Problem {
    /// One word for it: one of [`REASONS`].
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::Unreachable(_) => "unreachable",
            Self::Unauthorized(_) => "unauthorized",
            Self::Forbidden { .. } => "forbidden",
            Self::Refused(_) => "refused",
            Self::NoService => "no_service",
            Self::NoPort(_) => "no_port",
        }
    }

    /// Whether the other is no news after this one: what is said of it may differ each
    /// time.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Forbidden { verb: one, .. }, Self::Forbidden { verb: other, .. }) => {
                one == other
            }
            _ => self.reason() == other.reason(),
        }
    }

    /// Nothing came in time.
    pub(super) fn too_slow(what: &str, after: std::time::Duration) -> Self {
        Self::Unreachable(format!("{what} within {after:?}"))
    }

    /// More came than is taken in.
    pub(super) fn too_long() -> Self {
        let most = super::line::LONGEST_ANSWER / (1024 * 1024);
        Self::Refused(format!("its answer is longer than {most} MiB"))
    }

    /// The client could not be made.
    pub(super) fn of_config(error: &(dyn StdError + 'static)) -> Self {
        Self::Config(private(error).unwrap_or_else(|| chain(error)))
    }

    /// What a watcher says. `None`: that changes too old to be told have been missed
    /// (410), which is the normal course of things: it lists again.
    pub(super) fn of_watcher(error: &watcher::Error) -> Option<Self> {
        use watcher::Error;
        match error {
            Error::InitialListFailed(error) => Self::of_request("list", error),
            Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
                Self::of_request("watch", error)
            }
            Error::WatchError(status) => Self::of_status("watch", status),
            Error::NoResourceVersion => {
                Some(Self::Refused("its answer has no resourceVersion".to_owned()))
            }
        }
    }

    fn of_request(verb: &'static str, error: &kube::Error) -> Option<Self> {
        use kube::Error;
        let unreachable = |error| Self::Unreachable(chain(error));
        Some(match error {
            Error::Api(status) => return Self::of_status(verb, status),
            Error::SerdeError(_) | Error::FromUtf8(_) => Self::Refused(chain(error)),
            Error::Auth(_)
            | Error::InferConfig(_)
            | Error::InferKubeconfig(_)
            | Error::RustlsTls(_)
            | Error::TlsRequired => Self::of_config(error),
            _ => match error.source().unwrap_or(error) {
                cause if let Some(ours) = ours(cause) => ours.clone(),
                cause if private(cause).is_some() => Self::of_config(cause),
                // Without the names of kube's layers.
                cause => unreachable(cause),
            },
        })
    }

    fn of_status(verb: &'static str, status: &kube::core::Status) -> Option<Self> {
        let remark = match (&*status.message, &*status.reason) {
            ("", "") if status.code == 0 => "what it sends is not understood".to_owned(),
            ("", "") => format!("status {}", status.code),
            ("", reason) => shown(reason),
            (message, _) => shown(message),
        };
        Some(match status.code {
            410 => return None,
            401 => Self::Unauthorized(remark),
            403 => Self::Forbidden { verb, remark },
            _ => Self::Refused(remark),
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(why) => write!(f, "it is not known how to reach the API server: {why}"),
            Self::Unreachable(why) => write!(f, "the API server does not answer: {why}"),
            Self::Unauthorized(remark) => write!(
                f,
                "the API server does not accept our token or certificate (401), which may have expired: {remark}"
            ),
            Self::Forbidden { verb, remark } => {
                write!(f, "we may not {verb} endpointslices (403): {remark}")
            }
            Self::Refused(remark) => write!(f, "the API server refuses: {remark}"),
            Self::NoService => f.write_str(
                "there is no EndpointSlice of it: no such Service, or one without a selector",
            ),
            Self::NoPort(have) if have.is_empty() => {
                f.write_str("its pods have no such port; they have none over TCP")
            }
            Self::NoPort(have) => {
                write!(f, "its pods have no such port; they have {}", have.join(", "))
            }
        }
    }
}

impl StdError for Problem {}

/// What we have said ourselves, on its way through kube's layers.
fn ours<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Problem> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// What is said instead where kube would repeat what stands in the kubeconfig or comes
/// from its programs: tokens, and variables with passwords.
fn private(error: &(dyn StdError + 'static)) -> Option<String> {
    for error in causes(error) {
        if let Some(error) = error.downcast_ref::<KubeconfigError>() {
            return Some(match error {
                KubeconfigError::Parse(error) => match error.location() {
                    Some(place) => {
                        format!("the kubeconfig is not what it should be, in line {}", place.line())
                    }
                    None => "the kubeconfig is not what it should be".to_owned(),
                },
                error => chain(error),
            });
        }
        if let Some(error) = error.downcast_ref::<AuthError>() {
            return Some(match error {
                AuthError::AuthExecStart(error) => {
                    format!("the kubeconfig's program cannot be run: {error}")
                }
                AuthError::AuthExecRun { out, .. } => {
                    format!("the kubeconfig's program has failed: {}", out.status)
                }
                AuthError::ReadTokenFile(..)
                | AuthError::MissingCommand
                | AuthError::ExecMissingClusterInfo => chain(error),
                AuthError::ExecPluginFailed => "the kubeconfig's program gives no token".to_owned(),
                _ => "the kubeconfig's program, or its token, is of no use".to_owned(),
            });
        }
        if let Some(
            kube::Error::ProxyProtocolUnsupported { .. }
            | kube::Error::ProxyProtocolDisabled { .. },
        ) = error.downcast_ref::<kube::Error>()
        {
            return Some("a proxy is asked for, and none can be used".to_owned());
        }
    }
    None
}

/// An error with its causes, each once.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        let more = cause.to_string();
        // Many say what their cause is going to say.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
    }
    shown(&text)
}

/// An error, what it comes from, and so on.
fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

/// What others say, on one line of bounded length.
fn shown(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(LONGEST_REMARK).map(printable).collect();
    if text.chars().nth(LONGEST_REMARK).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, message: &str) -> Box<kube::core::Status> {
        let reason = "Reason".to_owned();
        Box::new(kube::core::Status {
            code,
            message: message.to_owned(),
            reason,
            ..Default::default()
        })
    }

    #[test]
    fn a_refusal_names_the_verb() {
        let message = "endpointslices.discovery.k8s.io is forbidden: User \"lb\" cannot watch";
        let error = watcher::Error::WatchStartFailed(kube::Error::Api(status(403, message)));
        let problem = Problem::of_watcher(&error).unwrap();
        assert_eq!(problem.reason(), "forbidden");
        assert!(problem.to_string().starts_with("we may not watch endpointslices (403): end"));
        let error = watcher::Error::InitialListFailed(kube::Error::Api(status(403, "")));
        let other = Problem::of_watcher(&error).unwrap();
        assert_eq!(other.to_string(), "we may not list endpointslices (403): Reason");
        assert!(!other.is_like(&problem), "another verb is news");
    }

    #[test]
    fn to_have_missed_changes_is_no_problem() {
        let gone = watcher::Error::WatchError(status(410, "too old resource version"));
        assert_eq!(Problem::of_watcher(&gone), None);
        let other = Problem::of_watcher(&watcher::Error::WatchError(status(500, "etcd")));
        assert_eq!(other, Some(Problem::Refused("etcd".to_owned())));
    }

    #[test]
    fn what_others_say_is_one_bounded_line() {
        let text = shown(&format!("a\n\u{1b}[31m{}", "ö".repeat(1000)));
        assert!(text.starts_with("a  [31mö") && text.ends_with('…'));
        assert_eq!(text.chars().count(), LONGEST_REMARK + 1);
    }

    #[test]
    fn every_reason_is_listed() {
        let all = [
            Problem::Config(String::new()),
            Problem::Unreachable(String::new()),
            Problem::Unauthorized(String::new()),
            Problem::Forbidden { verb: "list", remark: String::new() },
            Problem::Refused(String::new()),
            Problem::NoService,
            Problem::NoPort(Vec::new()),
        ];
        assert_eq!(all.map(|problem| problem.reason()), REASONS);
        assert_eq!(FAILURES, REASONS[..FAILURES.len()]);
    }
}

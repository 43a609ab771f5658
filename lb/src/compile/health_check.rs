//! Active checks.

use std::time::Duration;

use super::context::Context;
use crate::config::{self, HealthCheckKind, OneOrMany, Path, StatusItem};
use crate::upstream::{CheckKind, CheckSettings, HttpCheck};
use crate::values::{Span, StatusRange};

pub(super) fn settings(
    written: &config::HealthCheck,
    path: &Path,
    context: &mut Context<'_>,
) -> CheckSettings {
    let config::HealthCheck {
        kind,
        path: check_path,
        host,
        expect_status,
        expect_body,
        interval,
        failing_interval,
        timeout,
        unhealthy_after,
        healthy_after,
    } = written;
    let kind = match kind.unwrap_or(HealthCheckKind::Http) {
        HealthCheckKind::Tcp => {
            let http_only = [
                ("path", check_path.is_some()),
                ("host", host.is_some()),
                ("expect_status", expect_status.is_some()),
                ("expect_body", expect_body.is_some()),
            ];
            for (key, _) in http_only.iter().filter(|(_, given)| *given) {
                context.error(path.join(*key), format!("{key} only goes with type: http"));
            }
            CheckKind::Tcp
        }
        HealthCheckKind::Http => {
            let target = check_path.clone().unwrap_or_else(|| "/".to_owned());
            if !target.starts_with('/') || target.parse::<http::uri::PathAndQuery>().is_err() {
                context.error(
                    path.join("path"),
                    format!("\"{target}\" is not a path; it starts with \"/\""),
                );
            }
            if let Some(host) = host
                && host.parse::<http::uri::Authority>().is_err()
            {
                context.error(path.join("host"), format!("\"{host}\" is not a host"));
            }
            if let Some(OneOrMany::Many(statuses)) = expect_status
                && statuses.is_empty()
            {
                context.missing(
                    path.join("expect_status"),
                    "name at least one status, or leave the key out for 2xx",
                );
            }
            CheckKind::Http(HttpCheck {
                path: target,
                host: host.clone(),
                statuses: expect_status
                    .as_ref()
                    .map_or_else(|| vec![StatusRange::SUCCESS], statuses),
                body: expect_body.clone(),
            })
        }
    };
    for (key, span) in
        [("interval", interval), ("failing_interval", failing_interval), ("timeout", timeout)]
    {
        context.positive(path.join(key), *span, "must be longer than 0s");
    }
    let interval = interval.map_or(Duration::from_secs(10), Span::duration);
    CheckSettings {
        kind,
        interval,
        failing_interval: failing_interval
            .map_or(interval.min(Duration::from_secs(1)), Span::duration),
        timeout: timeout.map_or(Duration::from_secs(3), Span::duration),
        unhealthy_after: unhealthy_after.unwrap_or(3),
        healthy_after: healthy_after.unwrap_or(1),
    }
}

fn statuses(items: &OneOrMany<StatusItem>) -> Vec<StatusRange> {
    items
        .to_vec()
        .into_iter()
        .map(|item| match item {
            StatusItem::Code(code) => StatusRange::single(code),
            StatusItem::Range(range) => range,
        })
        .collect()
}

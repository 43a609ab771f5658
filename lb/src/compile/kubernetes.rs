//! Whom Services are asked of. Nobody is asked here, and no file is read: a cluster
//! that is away or a token that has expired is nothing that the file can be blamed for.

use std::time::Duration;

use super::context::{Context, at};
use crate::config::Kubernetes;
use crate::upstream::ClusterSettings;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests may wait so long for the first list.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn settings(written: Option<&Kubernetes>, context: &mut Context<'_>) -> ClusterSettings {
    let (kubeconfig, name, zone, timeout) = match written {
        None => (None, None, None, None),
        Some(Kubernetes { kubeconfig, context, zone, timeout }) => {
            (kubeconfig.as_deref(), context.clone(), zone.as_deref(), *timeout)
        }
    };
    if kubeconfig == Some("") {
        let what = "the name of the file is empty; leave the key out for the service account";
        context.error(at!["kubernetes", "kubeconfig"], what);
    }
    let timeout = timeout.map_or(DEFAULT_TIMEOUT, |span| span.duration());
    if timeout.is_zero() || timeout > LONGEST_TIMEOUT {
        context.error(at!["kubernetes", "timeout"], "must be longer than 0s and at most 1m");
    }
    ClusterSettings {
        kubeconfig: kubeconfig.map(|file| context.file(file)),
        context: name,
        // `${ZONE:-}` is empty where nobody says.
        zone: zone.filter(|zone| !zone.is_empty()).map(Into::into),
        timeout,
    }
}

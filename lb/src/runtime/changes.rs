//! What a reload changes, in words.

use std::collections::BTreeSet;

use crate::snapshot::{Listener, Process, Snapshot};

/// One line for each listener, upstream, endpoint, virtual host and limit that
/// comes, goes, or is other than before.
pub(super) fn changes(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    compare(
        "listener",
        old.listeners.iter().map(|listener| &*listener.name),
        new.listeners.iter().map(|listener| &*listener.name),
        &mut lines,
    );
    for now in new.listeners.iter() {
        if let Some(before) = old.listeners.named(&now.name)
            && is_other(before, now)
        {
            lines.push(format!("listener \"{}\" changed", now.name));
        }
    }
    compare(
        "upstream",
        old.upstreams.iter().map(|upstream| &*upstream.name),
        new.upstreams.iter().map(|upstream| &*upstream.name),
        &mut lines,
    );
    for now in &new.upstreams {
        let Some(before) = old.upstreams.iter().find(|each| each.name == now.name) else {
            continue;
        };
        let (before, now_there) = (before.labels(), now.labels());
        let what = format!("upstream \"{}\": endpoint", now.name);
        compare(
            &what,
            before.iter().map(|label| &**label),
            now_there.iter().map(|label| &**label),
            &mut lines,
        );
    }
    compare(
        "rate limit",
        old.limits.iter().map(|limit| &*limit.name),
        new.limits.iter().map(|limit| &*limit.name),
        &mut lines,
    );
    compare("virtual host", old.table.host_names(), new.table.host_names(), &mut lines);
    lines
}

fn is_other(before: &Listener, now: &Listener) -> bool {
    let tls = |listener: &Listener| {
        listener.tls.as_ref().map(|tls| std::sync::Arc::as_ptr(&tls.server).addr())
    };
    before.bind != now.bind || before.connections != now.connections || tls(before) != tls(now)
}

fn compare<'n>(
    what: &str,
    old: impl Iterator<Item = &'n str>,
    new: impl Iterator<Item = &'n str>,
    lines: &mut Vec<String>,
) {
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (old.collect(), new.collect());
    lines.extend(new.difference(&old).map(|name| format!("{what} \"{name}\" added")));
    lines.extend(old.difference(&new).map(|name| format!("{what} \"{name}\" removed")));
}

/// What a snapshot says and a running process cannot do.
pub(super) fn needs_new_process(running: usize, new: &Process) -> Vec<String> {
    let mut lines = Vec::new();
    if running != new.workers {
        lines.push(format!(
            "workers: {running} run, {} are configured; hand over to a new process (SIGUSR2)",
            new.workers
        ));
    }
    lines
}

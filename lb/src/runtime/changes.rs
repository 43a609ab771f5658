//! What a reload changes, in words.

use crate::snapshot::{Listener, Process, Snapshot};

/// One line for each section, endpoint, virtual host and so on that comes, goes, or
/// is other than before.
pub(super) fn changes(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, digest) in &new.sections {
        match old.sections.get(name) {
            None => lines.push(format!("{name} added")),
            Some(before) if before != digest => lines.push(format!("{name} changed")),
            Some(_) => {}
        }
    }
    let gone = old.sections.keys().filter(|name| !new.sections.contains_key(*name));
    lines.extend(gone.map(|name| format!("{name} removed")));
    // Of an upstream that comes or goes, its endpoints do.
    let whole: Vec<String> = lines
        .iter()
        .filter_map(|line| line.strip_suffix(" added").or(line.strip_suffix(" removed")))
        .map(|name| format!("{name}: "))
        .collect();
    lines.retain(|line| !whole.iter().any(|upstream| line.starts_with(upstream)));
    // What was written may be the same, and the certificates in the files others.
    for now in new.listeners.iter() {
        let line = format!("listener \"{}\" changed", now.name);
        let before = old.listeners.named(&now.name);
        if before.is_some_and(|before| has_other_tls(before, now)) && !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.sort_unstable();
    lines
}

fn has_other_tls(before: &Listener, now: &Listener) -> bool {
    let server = |listener: &Listener| {
        listener.tls.as_ref().map(|tls| std::sync::Arc::as_ptr(&tls.server).addr())
    };
    server(before) != server(now)
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

//! The thread, over files that are really there.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use super::super::testing::pair;
use super::super::{CertificateFiles, CertificateStore, UnknownSni, load_certificate};
use super::*;

/// Much longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn write(directory: &Path, name: &str) {
    let (cert, key) = pair(&[name]);
    fs::write(directory.join("a.pem"), cert).expect("written");
    fs::write(directory.join("a.key"), key).expect("written");
}

fn watched(directory: &Path, times: WatchTimes) -> (Watch, Receiver<Vec<ReloadOutcome>>) {
    write(directory, "old.test");
    let (cert, key) = (directory.join("a.pem"), directory.join("a.key"));
    let loaded = load_certificate(&cert, &key, None).expect("a certificate");
    let store = CertificateStore::new(vec![loaded], UnknownSni::Default).expect("one");
    let mut reloader = Reloader::new();
    let files = CertificateFiles { cert, key, password_file: None };
    reloader.add_certificates("https", vec![files], &Arc::new(store));
    let (sender, outcomes) = channel();
    let watch = watch(reloader, times, move |outcomes| {
        let _ = sender.send(outcomes);
    });
    (watch.expect("a thread"), outcomes)
}

/// Waits for the certificate of this name; a failure on the way is one of a
/// pair that was half there.
fn wait_for(name: &str, outcomes: &Receiver<Vec<ReloadOutcome>>) {
    loop {
        for outcome in outcomes.recv_timeout(PATIENCE).expect("an outcome") {
            if matches!(&outcome, ReloadOutcome::Reloaded { names, .. } if names[0] == name) {
                return;
            }
        }
    }
}

#[test]
fn a_change_is_seen_without_waiting_for_the_interval() {
    let directory = tempfile::tempdir().expect("a directory");
    let times = WatchTimes { quiet: Duration::from_millis(20), interval: 100 * PATIENCE };
    let (watch, outcomes) = watched(directory.path(), times);
    assert!(watch.trouble().is_none(), "{watch:?}");
    for name in ["new.test", "newer.test"] {
        write(directory.path(), name);
        wait_for(name, &outcomes);
    }
}

#[test]
fn the_interval_sees_what_inotify_does_not() {
    let directory = tempfile::tempdir().expect("a directory");
    // Never quiet: only the interval is left.
    let times = WatchTimes { quiet: Duration::ZERO, interval: Duration::from_millis(20) };
    let gone = directory.path().join("gone");
    fs::create_dir(&gone).expect("made");
    let (_watch, outcomes) = watched(&gone, times);
    // The directory is another one now.
    fs::rename(&gone, directory.path().join("away")).expect("renamed");
    fs::create_dir(&gone).expect("made");
    write(&gone, "new.test");
    wait_for("new.test", &outcomes);
}

#[test]
fn it_ends_when_dropped() {
    let directory = tempfile::tempdir().expect("a directory");
    let times = WatchTimes { quiet: Duration::from_millis(1), interval: 100 * PATIENCE };
    let (watch, outcomes) = watched(directory.path(), times);
    drop(watch);
    // The callback has gone with the thread.
    assert!(outcomes.recv().is_err());
}

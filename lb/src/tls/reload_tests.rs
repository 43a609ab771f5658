//! Files that are swapped, broken and mended, looked at by hand.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::super::testing::pair;
use super::super::{ProcessSecret, TicketPolicy, TicketSource, UnknownSni};
use super::*;

/// A directory with the files of one listener, and what watches them.
struct Files {
    directory: TempDir,
    store: Arc<CertificateStore>,
    reloader: Reloader,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), &pair(&["old.test"]));
        let files = files(directory.path());
        let (store, reloader) = watched(files);
        Self { directory, store, reloader }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn name(&self) -> String {
        self.store.expiries()[0].0.clone()
    }
}

fn files(directory: &Path) -> CertificateFiles {
    CertificateFiles {
        cert: directory.join("a.pem"),
        key: directory.join("a.key"),
        password_file: None,
    }
}

fn watched(files: CertificateFiles) -> (Arc<CertificateStore>, Reloader) {
    let loaded = load_certificate(&files.cert, &files.key, None).expect("a certificate");
    let store = CertificateStore::new(vec![loaded], UnknownSni::Default).expect("one");
    let store = Arc::new(store);
    let mut reloader = Reloader::new();
    reloader.add_certificates("https", vec![files], &store);
    (store, reloader)
}

fn write(directory: &Path, (cert, key): &(String, String)) {
    fs::write(directory.join("a.pem"), cert).expect("written");
    fs::write(directory.join("a.key"), key).expect("written");
}

fn reloaded(outcomes: &[ReloadOutcome]) -> Vec<&str> {
    outcomes
        .iter()
        .map(|outcome| match outcome {
            ReloadOutcome::Reloaded { listener, names, expires, .. } => {
                assert_eq!(&**listener, "https");
                assert!(*expires > 0);
                names[0].as_str()
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

fn failure(outcomes: &[ReloadOutcome]) -> String {
    match outcomes {
        [ReloadOutcome::Failed { listener, file, error }] => {
            assert_eq!(&**listener, "https");
            assert!(file.ends_with("a.pem") || file.ends_with("ticket.key"), "{file:?}");
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_pair_is_put_in_the_place_of_the_old() {
    let mut files = Files::new();
    assert!(files.reloader.poll().is_empty(), "nothing has changed");
    write(files.path(), &pair(&["new.test"]));
    assert_eq!(reloaded(&files.reloader.poll()), ["new.test"]);
    assert_eq!(files.name(), "new.test");
    assert!(files.reloader.poll().is_empty());
}

#[test]
fn what_changed_before_the_first_look_is_seen() {
    let mut files = Files::new();
    write(files.path(), &pair(&["new.test"]));
    assert_eq!(reloaded(&files.reloader.poll()), ["new.test"]);
}

#[test]
fn the_same_certificate_written_again_is_no_news() {
    let mut files = Files::new();
    files.reloader.poll();
    let cert = fs::read(files.path().join("a.pem")).expect("read");
    let copy = files.path().join("copy");
    fs::write(&copy, cert).expect("written");
    fs::rename(copy, files.path().join("a.pem")).expect("renamed");
    assert!(files.reloader.poll().is_empty());
}

#[test]
fn a_broken_file_keeps_the_old_and_is_told_once() {
    let mut files = Files::new();
    let new = pair(&["new.test"]);
    for (broken, expected) in [
        (&new.0[..new.0.len() / 2], "a.pem:1 is not valid PEM"),
        ("", "a.pem holds no certificate"),
        (new.0.as_str(), "does not belong to the certificate"),
    ] {
        fs::write(files.path().join("a.pem"), broken).expect("written");
        let told = failure(&files.reloader.poll());
        assert!(told.contains(expected), "{told}");
        assert!(files.reloader.poll().is_empty(), "told once");
        assert_eq!(files.name(), "old.test");
    }
    fs::remove_file(files.path().join("a.pem")).expect("removed");
    assert!(failure(&files.reloader.poll()).contains("a.pem cannot be read"));
    assert!(files.reloader.poll().is_empty(), "told once");

    // The key arrives.
    write(files.path(), &new);
    assert_eq!(reloaded(&files.reloader.poll()), ["new.test"]);
    assert_eq!(files.name(), "new.test");
}

#[test]
fn a_file_that_is_mended_to_what_it_was_is_told() {
    let mut files = Files::new();
    files.reloader.poll();
    let old = fs::read_to_string(files.path().join("a.pem")).expect("read");
    fs::write(files.path().join("a.pem"), "broken").expect("written");
    failure(&files.reloader.poll());
    fs::write(files.path().join("a.pem"), old).expect("written");
    assert_eq!(reloaded(&files.reloader.poll()), ["old.test"]);
}

#[test]
fn a_swap_of_links_as_kubernetes_does_it_is_seen() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    for (version, name) in [("..1", "old.test"), ("..2", "new.test")] {
        fs::create_dir(at(version)).expect("made");
        write(&at(version), &pair(&[name]));
    }
    symlink("..1", at("..data")).expect("linked");
    symlink("..data/a.pem", at("a.pem")).expect("linked");
    symlink("..data/a.key", at("a.key")).expect("linked");
    let (store, mut reloader) = watched(files(directory.path()));
    assert!(reloader.poll().is_empty());
    let canonical = |version: &str| fs::canonicalize(at(version)).expect("there");
    assert!(reloader.directories().contains(directory.path()));
    assert!(reloader.directories().contains(&canonical("..1")));

    symlink("..2", at("..data_tmp")).expect("linked");
    fs::rename(at("..data_tmp"), at("..data")).expect("renamed");
    assert_eq!(reloaded(&reloader.poll()), ["new.test"]);
    assert_eq!(store.expiries()[0].0, "new.test");
    assert!(reloader.directories().contains(&canonical("..2")));
}

#[test]
fn one_of_several_certificates_is_replaced_in_its_place() {
    let (first, second) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    write(first.path(), &pair(&["first.test"]));
    write(second.path(), &pair(&["second.test"]));
    let both = vec![files(first.path()), files(second.path())];
    let loaded = both
        .iter()
        .map(|files| load_certificate(&files.cert, &files.key, None).expect("a certificate"))
        .collect();
    let store = Arc::new(CertificateStore::new(loaded, UnknownSni::Default).expect("two"));
    let mut reloader = Reloader::new();
    reloader.add_certificates("https", both, &store);
    write(second.path(), &pair(&["third.test"]));
    assert_eq!(reloaded(&reloader.poll()), ["third.test"]);
    let names: Vec<String> = store.expiries().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["first.test", "third.test"]);
}

#[test]
fn ticket_keys_are_replaced_and_broken_ones_are_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ticket.key");
    fs::write(&path, (0..48).collect::<Vec<u8>>()).expect("written");
    let secret = TicketSecret::load(&path).expect("a secret");
    let ticketer = Ticketer::new(TicketPolicy::new(false, None), TicketSource::Files(vec![secret]))
        .expect("keys")
        .expect("tickets");
    let ticketer = Arc::new(ticketer);
    let mut reloader = Reloader::new();
    reloader.add_ticket_keys("https", vec![path.clone()], &ticketer);
    assert!(reloader.poll().is_empty());

    fs::write(&path, "short").expect("written");
    assert!(failure(&reloader.poll()).contains("has 5 bytes"));
    assert!(reloader.poll().is_empty());
    fs::write(&path, (1..49).collect::<Vec<u8>>()).expect("written");
    let outcomes = reloader.poll();
    assert!(matches!(outcomes[..], [ReloadOutcome::TicketKeysReloaded { .. }]), "{outcomes:?}");
    assert!(reloader.poll().is_empty());
    let of_process = TicketSource::Process(ProcessSecret::shared().expect("random bytes"));
    assert!(Ticketer::new(TicketPolicy::new(false, None), of_process).expect("keys").is_some());
}

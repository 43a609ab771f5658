//! Which handshakes are resumed, and above all which are not.

use std::path::PathBuf;
use std::sync::Arc;

use lb::tls::{
    ClientAuth, ClientAuthMode, ProcessSecret, Reloader, ServerTls, ServerTlsSettings,
    TicketSecret, TicketSource, client_identity,
};
use rustls::ClientConfig;
use rustls::client::{Resumption, Tls12Resumption};
use rustls::version::{TLS12, TLS13};

use super::support::{Authority, connect, only, server, settings};

fn key_file(directory: &tempfile::TempDir, name: &str, first: u8) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, (first..first + 48).collect::<Vec<u8>>()).unwrap();
    path
}

fn from_files(paths: &[&PathBuf]) -> TicketSource {
    let secrets = paths.iter().map(|path| TicketSecret::load(path).unwrap());
    TicketSource::Files(secrets.collect())
}

fn of_process() -> TicketSource {
    TicketSource::Process(Arc::new(ProcessSecret::random().unwrap()))
}

fn with_tickets(authority: &Authority, tickets: TicketSource) -> ServerTls {
    server(ServerTlsSettings { tickets, ..settings(vec![authority.issue(&["a.test"])]) })
}

/// Clients of either version, each with a memory of its own.
fn clients(authority: &Authority) -> [Arc<ClientConfig>; 2] {
    [&TLS12, &TLS13].map(|version| {
        let mut client = only(version, &authority.client(None));
        client.resumption =
            Resumption::in_memory_sessions(8).tls12_resumption(Tls12Resumption::SessionIdOrTickets);
        Arc::new(client)
    })
}

fn resumes(client: &Arc<ClientConfig>, tls: &ServerTls) -> bool {
    connect(client, &tls.config, "a.test").unwrap().resumed()
}

#[test]
fn nodes_that_share_key_files_resume_each_others_sessions() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let shared = key_file(&directory, "ticket.key", 1);
    let other = key_file(&directory, "other.key", 100);
    let one = with_tickets(&authority, from_files(&[&shared]));
    let two = with_tickets(&authority, from_files(&[&shared]));
    let stranger = with_tickets(&authority, from_files(&[&other]));
    for client in clients(&authority) {
        assert!(!resumes(&client, &one));
        assert!(resumes(&client, &two));
        assert!(resumes(&client, &one));
        assert!(!resumes(&client, &stranger));
    }
}

#[test]
fn a_reload_of_the_configuration_keeps_the_tickets_of_the_process() {
    let authority = Authority::new();
    let tickets = of_process();
    let before = with_tickets(&authority, tickets.clone());
    let after = with_tickets(&authority, tickets);
    let another_process = with_tickets(&authority, of_process());
    for client in clients(&authority) {
        assert!(!resumes(&client, &before));
        assert!(resumes(&client, &after));
        assert!(!resumes(&client, &another_process));
    }
}

#[test]
fn key_files_rotate_in_use() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let (current, previous) =
        (key_file(&directory, "current", 1), key_file(&directory, "previous", 100));
    let tls = with_tickets(&authority, from_files(&[&current, &previous]));
    let mut reloader = Reloader::new();
    let files = vec![current.clone(), previous.clone()];
    reloader.add_ticket_keys("https", files, tls.tickets.as_ref().unwrap());
    for client in clients(&authority) {
        assert!(!resumes(&client, &tls));
        std::fs::rename(&current, &previous).unwrap();
        key_file(&directory, "current", 50);
        assert_eq!(reloader.poll().len(), 1);
        assert!(resumes(&client, &tls), "by the previous key");
        key_file(&directory, "previous", 70);
        key_file(&directory, "current", 71);
        assert_eq!(reloader.poll().len(), 1);
        assert!(!resumes(&client, &tls), "its key is gone");
    }
}

/// CVE-2025-23419: what one listener has established is nothing to a listener
/// with other rules, the same keys or not.
#[test]
fn a_ticket_does_not_pass_from_one_policy_to_another() {
    let (authority, internal) = (Authority::new(), Authority::new());
    let certificate = authority.issue(&["a.test"]);
    let directory = tempfile::tempdir().unwrap();
    let shared = key_file(&directory, "ticket.key", 1);
    let auth =
        |authority: &Authority, mode| Some(ClientAuth { authorities: vec![authority.der()], mode });
    for tickets in [of_process(), from_files(&[&shared])] {
        let listener = |client_auth| {
            let tickets = tickets.clone();
            let settings = settings(vec![certificate.clone()]);
            server(ServerTlsSettings { tickets, client_auth, ..settings })
        };
        let open = listener(None);
        let requesting = listener(auth(&authority, ClientAuthMode::Request));
        let requiring = listener(auth(&authority, ClientAuthMode::Require));
        let internal = listener(auth(&internal, ClientAuthMode::Require));
        for version in [&TLS12, &TLS13] {
            // A client without a certificate gets no further than `requesting`.
            let anonymous = Arc::new(only(version, &authority.client(None)));
            assert!(!resumes(&anonymous, &open));
            assert!(!resumes(&anonymous, &requesting));
            assert!(resumes(&anonymous, &requesting));
            assert!(connect(&anonymous, &requiring.config, "a.test").is_err());

            // Nor does one that is known to `requiring` get to `internal`.
            let alice = authority.issue(&["alice"]);
            let alice = Arc::new(only(version, &authority.client(Some(&alice))));
            assert!(!resumes(&alice, &requiring));
            assert!(resumes(&alice, &requiring));
            assert!(connect(&alice, &internal.config, "a.test").is_err());
        }
    }
}

#[test]
fn a_resumed_session_knows_the_client() {
    let authority = Authority::new();
    let tls = server(ServerTlsSettings {
        client_auth: Some(ClientAuth {
            authorities: vec![authority.der()],
            mode: ClientAuthMode::Require,
        }),
        tickets: of_process(),
        ..settings(vec![authority.issue(&["a.test"])])
    });
    let alice = authority.issue(&["alice"]);
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(only(version, &authority.client(Some(&alice))));
        assert!(!resumes(&client, &tls));
        let resumed = connect(&client, &tls.config, "a.test").unwrap();
        assert!(resumed.resumed());
        let identity = client_identity(resumed.server.peer_certificates().unwrap()).unwrap();
        assert_eq!(identity.subject, "CN=alice");
    }
}

#[test]
fn clients_without_tickets_resume_by_session_id() {
    let authority = Authority::new();
    for tickets in [of_process(), TicketSource::Off] {
        let one = with_tickets(&authority, tickets.clone());
        let other = with_tickets(&authority, tickets);
        let mut client = only(&TLS12, &authority.client(None));
        client.resumption =
            Resumption::in_memory_sessions(8).tls12_resumption(Tls12Resumption::SessionIdOnly);
        let client = Arc::new(client);
        assert!(!resumes(&client, &one));
        assert!(resumes(&client, &one));
        assert!(!resumes(&client, &other), "sessions are a listener's own");
    }
}

#[test]
fn without_tickets_sessions_are_remembered() {
    let authority = Authority::new();
    let tls = with_tickets(&authority, TicketSource::Off);
    assert!(tls.tickets.is_none());
    for client in clients(&authority) {
        assert!(!resumes(&client, &tls));
        assert!(resumes(&client, &tls));
    }
}

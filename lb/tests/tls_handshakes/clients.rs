//! Certificates of clients.

use std::sync::Arc;

use lb::tls::{ClientAuth, ClientAuthMode, ServerTls, ServerTlsSettings, client_identity};
use rustls::version::{TLS12, TLS13};

use super::support::{Authority, Refused, connect, only, server, settings};

fn asking(authority: &Authority, mode: ClientAuthMode) -> ServerTls {
    let client_auth = Some(ClientAuth { authorities: vec![authority.der()], mode });
    server(ServerTlsSettings { client_auth, ..settings(vec![authority.issue(&["a.test"])]) })
}

#[test]
fn a_required_certificate_has_to_be_there_and_of_the_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let tls = asking(&authority, ClientAuthMode::Require);
    let (alice, mallory) = (authority.issue(&["alice"]), other.issue(&["mallory"]));
    for version in [&TLS12, &TLS13] {
        let with = |identity| Arc::new(only(version, &authority.client(identity)));
        let connected = connect(&with(Some(&alice)), &tls.config, "a.test").unwrap();
        let identity = client_identity(connected.server.peer_certificates().unwrap()).unwrap();
        assert_eq!(identity.subject, "CN=alice");
        assert_eq!(identity.fingerprint.len(), 64);

        for identity in [None, Some(&mallory)] {
            let refused = connect(&with(identity), &tls.config, "a.test").unwrap_err();
            assert!(matches!(refused, Refused::ByServer(_)), "{refused:?}");
        }
    }
}

#[test]
fn a_requested_certificate_may_be_missing_but_not_wrong() {
    let (authority, other) = (Authority::new(), Authority::new());
    let tls = asking(&authority, ClientAuthMode::Request);
    let (alice, mallory) = (authority.issue(&["alice"]), other.issue(&["mallory"]));
    for version in [&TLS12, &TLS13] {
        let with = |identity| Arc::new(only(version, &authority.client(identity)));
        let anonymous = connect(&with(None), &tls.config, "a.test").unwrap();
        assert!(anonymous.server.peer_certificates().is_none());
        let known = connect(&with(Some(&alice)), &tls.config, "a.test").unwrap();
        assert!(known.server.peer_certificates().is_some());
        let refused = connect(&with(Some(&mallory)), &tls.config, "a.test").unwrap_err();
        assert!(matches!(refused, Refused::ByServer(_)), "{refused:?}");
    }
}

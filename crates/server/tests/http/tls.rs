//! The same over TLS, and certificates that cannot be used.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use foldin_server::config::Tls;
use foldin_server::{ServeError, ServerConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use super::running::{start_with, try_start};

/// A certificate of `localhost` for these tests alone, that signs itself and lasts until 2126, and the keys of it and of no certificate.
const CERTIFICATE: &str = include_str!("tls/certificate.pem");
const KEY: &str = include_str!("tls/key.pem");
const OTHER_KEY: &str = include_str!("tls/other-key.pem");

fn write_certificate(folder: &Path) -> Tls {
    let tls = Tls { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") };
    std::fs::write(&tls.certificate, CERTIFICATE).unwrap();
    std::fs::write(&tls.key, KEY).unwrap();
    tls
}

#[test]
fn it_serves_https() {
    let place = tempfile::tempdir().unwrap();
    let tls = write_certificate(place.path());
    let (server, _) = start_with(ServerConfig { tls: Some(tls), ..ServerConfig::default() }, None);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut socket = TcpStream::connect(server.address).unwrap();
    let mut stream = Stream::new(&mut client, &mut socket);
    stream.write_all(b"GET /v1/stats HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    // It may close without saying so.
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("lfg-bayes"), "{answer}");

    let mut plain = TcpStream::connect(server.address).unwrap();
    plain.write_all(b"GET /v1/stats HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"), "not without TLS");
}

#[test]
fn unusable_certificates_are_named_at_the_start() {
    let place = tempfile::tempdir().unwrap();
    let tls = write_certificate(place.path());
    let other = place.path().join("other-key.pem");
    std::fs::write(&other, OTHER_KEY).unwrap();
    let empty = place.path().join("empty.pem");
    std::fs::write(&empty, "no PEM at all").unwrap();
    let with = |certificate: &Path, key: &Path| Tls { certificate: certificate.into(), key: key.into() };
    for (tls, names) in [
        (with(&place.path().join("gone.pem"), &tls.key), "gone.pem"),
        (with(&empty, &tls.key), "empty.pem"),
        (with(&tls.certificate, &empty), "empty.pem"),
        (with(&tls.certificate, &other), "other-key.pem"),
    ] {
        let refused = try_start(ServerConfig { tls: Some(tls), ..ServerConfig::default() }).unwrap_err();
        assert!(matches!(refused, ServeError::Tls { .. }), "{refused}");
        assert!(refused.to_string().contains(names), "{refused}");
    }
}

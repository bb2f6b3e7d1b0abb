//! Tests of connections, over real sockets.

use super::{Connector, selected_h2};
use crate::config::service::UpstreamHttp;
use crate::config::tls::{Verify, VersionTls};
use crate::edge::transport::{ConnectError, Peer};
use crate::tls::dev::{Authority, Role};
use crate::tls::{UpstreamTls, install_provider};
use crate::upstream::{Address, PoolSeries};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

const LONG: Duration = Duration::from_mins(1);

fn plain(address: SocketAddr) -> Peer {
    let address = Address::Tcp(address);
    Peer::new(address, "localhost", None, UpstreamHttp::H1, LONG, LONG).unwrap()
}

fn with_tls(address: SocketAddr, verify: Verify, http: UpstreamHttp, timeout: Duration) -> Peer {
    let config = VersionTls {
        server_name: None,
        ca: None,
        client_cert: None,
        verify,
    };
    let tls = Arc::new(UpstreamTls::read(&config).unwrap());
    let address = Address::Tcp(address);
    Peer::new(address, "localhost", Some(&tls), http, timeout, LONG).unwrap()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn acceptor(alpn: &[u8]) -> TlsAcceptor {
    install_provider();
    let authority = Authority::new().unwrap();
    let pair = authority
        .sign(&["localhost".to_owned()], Role::Server)
        .unwrap();
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Accepts one connection, and shakes hands as a server that speaks this protocol.
async fn serve(listener: TcpListener, alpn: &'static [u8]) {
    let (socket, _) = listener.accept().await.unwrap();
    if let Ok(mut stream) = acceptor(alpn).accept(socket).await {
        let _ = stream.read_u8().await;
    }
}

#[tokio::test]
async fn a_connection_is_found_again_and_works() {
    let (listener, address) = listen().await;
    let connector = Connector::new(8);
    let (peer, series) = (plain(address), PoolSeries::default());
    assert!(connector.reuse(&peer, false, &series).is_none());
    let stream = connector.connect(&peer).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    let id = stream.id();
    for careful in [false, true] {
        let other = plain("127.0.0.1:1".parse().unwrap());
        assert!(connector.reuse(&other, careful, &series).is_none());
    }
    connector.release(stream, &peer);
    for careful in [false, true] {
        assert_eq!(connector.idle(), 1);
        let mut stream = connector.reuse(&peer, careful, &series).unwrap();
        assert_eq!((stream.id(), connector.idle()), (id, 0));
        stream.write_all(b"?").await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'?');
        far.write_all(b"!").await.unwrap();
        let mut answer = [0; 100];
        assert_eq!(stream.read(&mut answer).await.unwrap(), 1);
        connector.release(stream, &peer);
    }
    assert_eq!(series.stale.load(Relaxed), 0);
}

#[tokio::test]
async fn stale_connections_are_passed_over() {
    let (listener, address) = listen().await;
    let connector = Connector::new(8);
    let (peer, series) = (plain(address), PoolSeries::default());
    let mut far: Vec<TcpStream> = Vec::new();
    for _ in 0..3 {
        let stream = connector.connect(&peer).await.unwrap();
        far.push(listener.accept().await.unwrap().0);
        connector.release(stream, &peer);
    }
    // The last one has ended, the one before it says something; the reactor has seen neither.
    drop(far.pop());
    far.last_mut().unwrap().try_write(b"HTTP/1.1 408").unwrap();
    let mut stream = connector.reuse(&peer, true, &series).unwrap();
    assert_eq!(series.stale.load(Relaxed), 2);
    far.first_mut().unwrap().write_all(b"!").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'!');
}

#[tokio::test]
async fn a_hash_that_collides_reaches_no_other_endpoint() {
    let (listener, address) = listen().await;
    let connector = Connector::new(8);
    let (peer, series) = (plain(address), PoolSeries::default());
    let stream = connector.connect(&peer).await.unwrap();
    let _far = listener.accept().await.unwrap();
    let other = plain("127.0.0.1:1".parse().unwrap());
    connector
        .pool
        .put(other.key(), stream, LONG, std::time::Instant::now());
    assert!(connector.reuse(&other, false, &series).is_none());
    assert_eq!(connector.idle(), 0);
}

#[tokio::test]
async fn an_idle_connection_that_ends_is_closed_without_a_request() {
    let (listener, address) = listen().await;
    let connector = Connector::new(8);
    let peer = plain(address);
    let stream = connector.connect(&peer).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    connector.release(stream, &peer);
    far.shutdown().await.unwrap();
    assert_eq!(
        far.read(&mut [0; 1]).await.unwrap(),
        0,
        "the other half is closed too"
    );
    assert_eq!(connector.idle(), 0);
}

#[tokio::test]
async fn unix_sockets_are_connected_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let connector = Connector::new(8);
    let second = Duration::from_secs(1);
    let peer = Peer::new(
        Address::Unix(&path),
        "",
        None,
        UpstreamHttp::H1,
        second,
        LONG,
    )
    .unwrap();
    let error = connector.connect(&peer).await.unwrap_err();
    assert_eq!(error, ConnectError::Other);
    let listener = UnixListener::bind(&path).unwrap();
    let stream = connector.connect(&peer).await.unwrap();
    let _far = listener.accept().await.unwrap();
    connector.release(stream, &peer);
    assert!(
        connector
            .reuse(&peer, true, &PoolSeries::default())
            .is_some()
    );
}

#[tokio::test]
async fn failures_are_told_apart() {
    let connector = Connector::new(8);
    let (listener, address) = listen().await;
    let short = Duration::from_millis(50);
    // Nothing answers the handshake.
    let peer = with_tls(address, Verify::None, UpstreamHttp::H1, short);
    assert_eq!(
        connector.connect(&peer).await.unwrap_err(),
        ConnectError::TimedOut
    );
    drop(listener);
    let peer = plain(address);
    assert_eq!(
        connector.connect(&peer).await.unwrap_err(),
        ConnectError::Refused
    );
}

#[tokio::test]
async fn failures_of_handshakes_are_told_apart() {
    for (verify, alpn, wanted) in [
        (
            Verify::Full,
            b"http/1.1".as_slice(),
            ConnectError::TlsCertificate,
        ),
        (Verify::None, b"h2", ConnectError::TlsAlert),
    ] {
        let (listener, address) = listen().await;
        let serving = tokio::spawn(serve(listener, alpn));
        let peer = with_tls(address, verify, UpstreamHttp::H1, LONG);
        assert_eq!(Connector::new(8).connect(&peer).await.unwrap_err(), wanted);
        serving.await.unwrap();
    }
    let (listener, address) = listen().await;
    let peer = with_tls(address, Verify::None, UpstreamHttp::H1, LONG);
    let answering = tokio::spawn(async move {
        let (mut far, _) = listener.accept().await.unwrap();
        far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        let _ = far.read_to_end(&mut Vec::new()).await;
    });
    let error = Connector::new(8).connect(&peer).await.unwrap_err();
    assert_eq!(error, ConnectError::TlsProtocol);
    answering.await.unwrap();
}

#[tokio::test]
async fn the_protocol_is_what_the_handshake_agreed_on() {
    for (alpn, h2) in [(b"h2".as_slice(), true), (b"http/1.1", false)] {
        let (listener, address) = listen().await;
        let serving = tokio::spawn(serve(listener, alpn));
        let peer = with_tls(address, Verify::None, UpstreamHttp::Auto, LONG);
        let stream = Connector::new(8).connect(&peer).await.unwrap();
        assert_eq!(selected_h2(&stream), h2);
        drop(stream);
        serving.await.unwrap();
    }
}

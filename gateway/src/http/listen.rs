//! The accept loop: plain HTTP/1.1 connections with the limits of SECURITY.md.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::doorway;

/// Time for a request's headers to come, and for the next request of a kept connection to begin (SECURITY.md).
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a request's head (SECURITY.md); beyond it hyper answers 431. It is a bound, not a buffer: 8 KiB are taken
/// first, and nothing of it outlives the upgrade to a socket.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Pause after the system refused a connection (no file descriptors left, say): trying at once would spin.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `stop` turns true; then those that are open finish the request they are at. Returns when
/// the last plain HTTP connection is gone. Sockets have left it at their upgrade.
///
/// New connections take turns (doorway.rs).
pub async fn serve(listener: TcpListener, router: Router, connections: usize, stop: watch::Receiver<bool>) {
    accept(listener, router, connections, Entrance::Public, stop).await;
}

/// The same for those who watch over the server: a probe must not wait behind a crowd, and takes no turn.
pub(crate) async fn serve_staff(
    listener: TcpListener,
    router: Router,
    connections: usize,
    stop: watch::Receiver<bool>,
) {
    accept(listener, router, connections, Entrance::Staff, stop).await;
}

#[derive(Clone, Copy)]
enum Entrance {
    Public,
    Staff,
}

async fn accept(
    listener: TcpListener,
    router: Router,
    connections: usize,
    entrance: Entrance,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(connections));
    loop {
        let place = tokio::select! {
            biased;
            () = told(&mut stop) => break,
            place = Arc::clone(&room).acquire_owned() => place,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            biased;
            () = told(&mut stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, stop) = (router.clone(), stop.clone());
                tokio::spawn(async move {
                    connection(stream, peer, router, entrance, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Every place back means that every connection is gone. At most u32::MAX places are configured.
    let all = u32::try_from(connections).unwrap_or(u32::MAX);
    let _ = room.acquire_many(all).await;
}

/// Returns when the server is told to stop; also when nobody is left to tell.
async fn told(stop: &mut watch::Receiver<bool>) {
    // The guard that it gives must not live on: it is no `Send`.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    entrance: Entrance,
    mut stop: watch::Receiver<bool>,
) {
    // Small frames must not wait for the other side's acknowledgement. A socket that refuses it is only slower.
    let _ = stream.set_nodelay(true);
    // A turn is for who has said something.
    tokio::select! {
        readable = tokio::time::timeout(HEADER_TIMEOUT, stream.readable()) => {
            if !matches!(readable, Ok(Ok(()))) {
                return;
            }
        }
        () = told(&mut stop) => return,
    }
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = inner.call(request);
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = async {
            match entrance {
                Entrance::Public => doorway::begin(connection.as_mut()).await,
                Entrance::Staff => connection.as_mut().await,
            }
        } => ended,
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients go away in the middle of things all the time.
        tracing::debug!(%error, "a connection ended early");
    }
}

//! The HTTPS listener of a virtual BMC. It ends by cancellation, after the connections that are open.

use super::certificate::{Certificate, CertificateError};
use super::guard::DropConnection;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// A client that says nothing does not hold a connection longer.
const HEADER_LIMIT: Duration = Duration::from_secs(30);

/// Serves `app` until `stop` is cancelled.
pub async fn serve(
    listener: TcpListener,
    certificate: &Certificate,
    app: Router,
    stop: CancellationToken,
) -> Result<(), CertificateError> {
    let acceptor = TlsAcceptor::from(Arc::new(certificate.server_config()?));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, acceptor.clone(), app.clone(), stop.clone()));
            }
            Err(error) => {
                // Out of descriptors, or the client has gone: neither must end the service.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
    Ok(())
}

async fn converse(stream: TcpStream, acceptor: TlsAcceptor, app: Router, stop: CancellationToken) {
    let handshake = tokio::time::timeout(HEADER_LIMIT, acceptor.accept(stream));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "no TLS handshake"),
        Err(_) => return tracing::debug!("the TLS handshake took too long"),
    };
    let service = service_fn(move |request: hyper::Request<Incoming>| answer(app.clone(), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// An error closes the connection without an answer: that is how the fault is made.
async fn answer(app: Router, request: hyper::Request<Incoming>) -> io::Result<axum::response::Response> {
    let request: Request = request.map(Body::new);
    let response = match app.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    match response.extensions().get::<DropConnection>() {
        Some(DropConnection) => Err(io::Error::other("injected fault")),
        None => Ok(response),
    }
}

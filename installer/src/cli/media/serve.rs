//! `ashlar media serve`: a folder over HTTP. What is fetched from it is checked by hashes that came with the medium.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use clap::Args;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

use crate::failure::{Fails, Failure};

#[derive(Args)]
pub struct Arguments {
    /// Folder: what `ashlar create media` made, or a release.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:6184")]
    listen: SocketAddr,
}

impl Arguments {
    /// Until interrupted.
    pub async fn run(self) -> Result<(), Failure> {
        let (folder, address) = (self.folder, self.listen);
        if !folder.is_dir() {
            let failure = Failure::user(format!("{} is no folder", folder.display()));
            return Err(failure.hint("`ashlar create media --to DIR` fills one"));
        }
        let listener = TcpListener::bind(address).await;
        let listener = listener.failing(|| format!("listening on {address}"))?;
        let address = listener.local_addr().failing(|| "finding the port".into())?;
        eprintln!("{} is served on http://{address}/ (end with Ctrl-C)", folder.display());
        let app = Router::new().fallback_service(ServeDir::new(&folder)).layer(from_fn(told));
        tokio::select! {
            end = accept(&listener, app) => end.failing(|| format!("serving {}", folder.display())),
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    }
}

/// As firmware needs it: GRUB reads `Content-Length` in this case alone, and UEFI's HTTP client loses its way on a
/// connection that is used again.
async fn accept(listener: &TcpListener, app: Router) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            let mut protocol = http1::Builder::new();
            protocol.title_case_headers(true).keep_alive(false);
            // A client that goes away is no failure of this server.
            drop(protocol.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

/// One line per request: who waits in front of a server sees whether it calls.
async fn told(request: Request, next: Next) -> Response {
    let range = request.headers().get("range").and_then(|value| value.to_str().ok()).unwrap_or("all");
    let line = format!("{} {} ({range})", request.method(), request.uri().path());
    let answer = next.run(request).await;
    eprintln!("{} {line}", answer.status().as_u16());
    if answer.status() == StatusCode::NOT_FOUND {
        // UEFI's HTTP client waits for ever for the end of an answer that has no body, and shim asks for files that
        // need not be there.
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    }
    answer
}

use super::*;

use std::sync::Arc;

use ashlar_model::agent_api::HostView;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response as Answer};
use sha2::{Digest, Sha256};

/// A server of one file that can fail like real ones.
#[derive(Clone)]
struct Server {
    bytes: Arc<Vec<u8>>,
    ranges: bool,
}

async fn answer(State(server): State<Server>, headers: HeaderMap) -> Answer<Body> {
    let range = headers.get("range").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (first, last) = range.trim_start_matches("bytes=").split_once('-').expect("a range");
    let (mut first, mut last): (usize, usize) = (first.parse().expect("first"), last.parse().expect("last"));
    let status = if server.ranges { 206 } else { 200 };
    if !server.ranges {
        (first, last) = (0, server.bytes.len() - 1);
    }
    let all = server.bytes.len();
    let answer = Answer::builder().status(status).header("content-length", last + 1 - first);
    let answer = answer.header("content-range", format!("bytes {first}-{last}/{all}"));
    answer.body(Body::from(server.bytes[first..=last].to_vec())).expect("an answer")
}

/// Serves one connection after the other and breaks each after `cut` bytes; returns where they began.
async fn breaking(listener: tokio::net::TcpListener, bytes: Vec<u8>, cut: usize) -> Vec<usize> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut began = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.expect("a request"));
        }
        let request = String::from_utf8(request).expect("text").to_lowercase();
        let range = request.split_once("range: bytes=").expect("a range").1;
        let first: usize = range.split('-').next().and_then(|first| first.parse().ok()).expect("a number");
        began.push(first);
        let all = bytes.len();
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\ncontent-range: bytes {first}-{}/{all}\r\n\r\n",
            all - first,
            all - 1
        );
        let part = &bytes[first..all.min(first + cut)];
        stream.write_all(&[head.as_bytes(), part].concat()).await.expect("sent");
        stream.shutdown().await.expect("ended");
        if first + cut >= all {
            return began;
        }
    }
}

async fn start(server: Server, path: &str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/{path}", listener.local_addr().expect("an address"));
    let app = Router::new().fallback(answer).with_state(server);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn server(bytes: Vec<u8>) -> Server {
    Server { bytes: Arc::new(bytes), ranges: true }
}

fn content() -> Vec<u8> {
    (0..100_000u32).map(|n| (n * 7 % 251) as u8).collect()
}

fn list(content: &[u8], medium_offset: u64) -> FetchList {
    let chunks = content.chunks(4096).map(|chunk| hex::encode(Sha256::digest(chunk))).collect();
    FetchList { version: "1.2.3".into(), size: content.len() as u64, medium_offset, chunk_size: 4096, chunks }
}

async fn fetch(list: &FetchList, urls: &[String]) -> (Result<(), Error>, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("file");
    let report = Report::new(&folder.path().join("status.json"), &HostView::default(), list);
    let wanted = Wanted { list, to: &to, attempts: Some(2) };
    let end = run(&wanted, &|| urls.to_vec(), &report).await;
    (end, std::fs::read(&to).expect("a file"))
}

fn setup() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

#[tokio::test]
async fn broken_connections_are_gone_on_from_where_they_broke() {
    setup();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/rootfs.squashfs", listener.local_addr().expect("an address"));
    let server = tokio::spawn(breaking(listener, content(), 30_000));
    let (end, made) = fetch(&list(&content(), 0), &[url]).await;
    end.expect("fetched");
    assert!(made == content());
    // What arrived of a chunk is kept as well.
    assert_eq!(server.await.expect("served"), [0, 30_000, 60_000, 90_000]);
}

#[tokio::test]
async fn from_a_full_medium_the_part_at_its_offset_is_taken() {
    setup();
    let medium = [vec![1; 3000], content(), vec![2; 500]].concat();
    let url = start(server(medium), "ashlar.iso").await;
    let (end, made) = fetch(&list(&content(), 3000), &[url]).await;
    end.expect("fetched");
    assert!(made == content());
}

#[tokio::test]
async fn another_server_is_asked_when_the_first_has_wrong_bytes() {
    setup();
    let mut changed = content();
    changed[50_000] ^= 1;
    let wrong = start(server(changed), "rootfs.squashfs").await;
    let right = start(server(content()), "rootfs.squashfs").await;
    let (end, made) = fetch(&list(&content(), 0), &[wrong.clone(), right]).await;
    end.expect("fetched");
    assert!(made == content());

    let (end, _) = fetch(&list(&content(), 0), std::slice::from_ref(&wrong)).await;
    let failed = end.expect_err("wrong bytes").failed("1.2.3");
    assert!(failed.cause.contains("chunk 12 (bytes 49152 to 53248)"), "{failed:?}");
    assert!(failed.cause.contains(&wrong) && failed.remedy.expect("a remedy").contains("release 1.2.3"));
}

#[tokio::test]
async fn a_server_that_cannot_serve_it_is_told_why() {
    setup();
    let no_ranges = Server { ranges: false, ..server([vec![1; 3000], content()].concat()) };
    let url = start(no_ranges, "ashlar.iso").await;
    let (end, _) = fetch(&list(&content(), 3000), &[url]).await;
    assert!(matches!(end, Err(Error::NoRanges { .. })));
    let other = start(server(vec![0; 5]), "rootfs.squashfs").await;
    let (end, _) = fetch(&list(&content()[..5], 0), std::slice::from_ref(&other)).await;
    assert!(matches!(end, Err(Error::Wrong { .. })));
    let (end, _) = fetch(&list(&content(), 0), &["http://127.0.0.1:1/rootfs.squashfs".into()]).await;
    let failed = end.expect_err("nobody listens").failed("1");
    assert!(failed.cause.contains("http://127.0.0.1:1/rootfs.squashfs cannot be reached"), "{failed:?}");
    let (end, _) = fetch(&list(&content(), 0), &[]).await;
    assert!(matches!(end, Err(Error::NoSource)));
}

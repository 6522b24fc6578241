use super::*;
use axum::http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

fn layout() -> release::Media {
    let range = |offset, length| release::Range { offset, length };
    release::Media {
        version: "1".into(),
        host_view: range(1000, 64),
        kernel_arguments: Vec::new(),
        root_filesystem: Some(range(2000, 1)),
    }
}

/// A file of 3000 bytes whose values follow from their places.
fn media() -> (tempfile::TempDir, Media, Vec<u8>) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("base.iso");
    let bytes: Vec<u8> = (0..3000u32).map(|index| (index % 251) as u8).collect();
    std::fs::write(&path, &bytes).expect("written");
    let media = Media::open(&path, layout(), None).expect("open");
    media.offer("node-1", "s3cret", br#"{"host":"node-1"}"#, false).expect("fits");
    (folder, media, bytes)
}

async fn ask(
    media: &Media,
    method: &str,
    path: &str,
    range: Option<&str>,
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(range) = range {
        request = request.header("range", range);
    }
    let response =
        app(media.clone()).oneshot(request.body(Body::empty()).expect("request")).await.expect("answer");
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.expect("body").to_bytes().to_vec())
}

#[tokio::test]
async fn the_whole_file_comes_with_the_hosts_view_and_is_counted() {
    let (_folder, media, base) = media();
    let (status, _, body) = ask(&media, "GET", "/media/s3cret/node-1.iso", None).await;
    assert_eq!((status, body.len()), (StatusCode::OK, base.len()));
    assert_eq!(body[..1000], base[..1000]);
    assert!(body[1000..].starts_with(br#"{"host":"node-1"}"#));
    assert_eq!(body[1017..], base[1017..]);
    assert_eq!(media.served("node-1").bytes.load(Ordering::Relaxed), 3000);
}

#[tokio::test]
async fn a_range_that_begins_inside_the_view_is_patched_too() {
    let (_folder, media, _) = media();
    let (status, headers, body) =
        ask(&media, "GET", "/media/s3cret/node-1.iso", Some("bytes=1001-1004")).await;
    assert_eq!((status, body.as_slice()), (StatusCode::PARTIAL_CONTENT, b"\"hos".as_slice()));
    assert_eq!(headers["content-range"], "bytes 1001-1004/3000");
}

#[tokio::test]
async fn head_tells_the_length_and_sends_nothing() {
    let (_folder, media, _) = media();
    let (status, headers, body) = ask(&media, "HEAD", "/media/s3cret/node-1.iso", None).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 0));
    assert_eq!(headers["content-length"], "3000");
    assert_eq!(headers["accept-ranges"], "bytes");
}

#[tokio::test]
async fn only_the_newest_path_of_the_right_host_is_served() {
    let (_folder, media, _) = media();
    media.offer("node-1", "newer", b"{}", false).expect("fits");
    for path in ["/media/s3cret/node-1.iso", "/media/newer/node-2.iso", "/media//node-1.iso"] {
        assert_eq!(ask(&media, "GET", path, None).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(
        ask(&media, "GET", "/media/newer/node-1.iso", Some("bytes=9000-")).await.0,
        StatusCode::RANGE_NOT_SATISFIABLE
    );
}

#[tokio::test]
async fn a_host_with_the_minimal_medium_gets_that_and_the_full_one_untouched() {
    let folder = tempfile::tempdir().expect("folder");
    let (full, small) = (folder.path().join("full.iso"), folder.path().join("small.iso"));
    std::fs::write(&full, vec![7; 3000]).expect("written");
    std::fs::write(&small, vec![8; 2000]).expect("written");
    let minimal = release::Media { root_filesystem: None, ..layout() };
    let media = Media::open(&full, layout(), Some((&small, minimal))).expect("open");
    media.offer("node-1", "a", b"{\"a\":1}", true).expect("fits");
    media.offer("node-2", "b", b"{\"b\":1}", false).expect("fits");
    let (_, _, body) = ask(&media, "GET", "/media/a/node-1.iso", None).await;
    assert!(body.len() == 2000 && body[1000..].starts_with(b"{\"a\":1}"));
    let (_, _, body) = ask(&media, "GET", "/media/a/node-1-rest.iso", None).await;
    assert_eq!(body, vec![7; 3000]);
    let (_, _, body) = ask(&media, "GET", "/media/b/node-2.iso", None).await;
    assert!(body.len() == 3000 && body[1000..].starts_with(b"{\"b\":1}"));
    assert_eq!(ask(&media, "GET", "/media/b/node-2-rest.iso", None).await.0, StatusCode::NOT_FOUND);
}

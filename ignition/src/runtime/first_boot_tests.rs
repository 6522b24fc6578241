//! The first boot against a file as slot and an HTTP server on the loopback.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use std::fs;

use serde_json::json;

use super::*;

fn run(boot: &FirstBoot) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(first_boot(boot))
}

fn slot(ignition: serde_json::Value) -> Slot {
    Slot { host: "master-1".into(), ignition, server_ca_pem: String::new(), secret: None, issued_at: 0 }
}

/// A directory with a sysroot and a slot at some offset of a disk file.
fn disk(slot: Option<&Slot>) -> (tempfile::TempDir, FirstBoot) {
    let dir = tempfile::tempdir().expect("a directory");
    let sysroot = dir.path().join("sysroot");
    fs::create_dir_all(sysroot.join("etc")).expect("a directory");
    let mut bytes = vec![7u8; 4096];
    bytes.extend(slot.map_or_else(|| vec![0; 512], |slot| slot::encode(slot).expect("it fits")));
    let path = dir.path().join("disk.img");
    fs::write(&path, bytes).expect("a file");
    (dir, FirstBoot { sysroot, slot: path, offset: 4096, say: |_| {} })
}

/// Answers one connection after the other with these statuses and bodies; the requests come back.
fn server(answers: Vec<(u16, String)>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let handle = std::thread::spawn(move || {
        let answer = |(status, body): (u16, String)| {
            let (mut stream, _) = listener.accept().expect("a connection");
            let lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
            let request: Vec<String> =
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .expect("an answer");
            request.join("\n")
        };
        answers.into_iter().map(answer).collect()
    });
    (url, handle)
}

#[test]
fn a_slot_is_applied_once_and_a_stamp_is_left() {
    let (_dir, boot) = disk(Some(&slot(json!({"ignition": {"version": "3.5.0"},
        "storage": {"files": [{"path": "/etc/a", "contents": {"source": "data:,b"}}]}}))));
    assert_eq!(run(&boot).expect("applied"), Outcome::Applied);
    assert_eq!(fs::read_to_string(boot.sysroot.join("etc/a")).expect("text"), "b");
    let result = fs::read_to_string(boot.sysroot.join("etc/.ignition-result.json")).expect("text");
    assert!(result.contains("\"userConfigProvided\": true"));
    fs::write(boot.sysroot.join("etc/a"), "changed later").expect("a file");
    assert_eq!(run(&boot).expect("nothing to do"), Outcome::AlreadyApplied);
    assert_eq!(fs::read_to_string(boot.sysroot.join("etc/a")).expect("text"), "changed later");
}

#[test]
fn an_empty_slot_is_no_error_and_a_broken_one_is() {
    let (_dir, boot) = disk(None);
    assert_eq!(run(&boot).expect("nothing to do"), Outcome::NoConfiguration);
    let (_dir, boot) = disk(Some(&slot(json!({}))));
    let mut bytes = fs::read(&boot.slot).expect("a file");
    *bytes.last_mut().expect("bytes") ^= 1;
    fs::write(&boot.slot, bytes).expect("a file");
    let failure = run(&boot).unwrap_err();
    assert_eq!(failure.stage, "read slot");
    assert!(failure.cause.contains("not written completely"));
}

#[test]
fn a_server_that_is_not_ready_is_waited_for() {
    let child = json!({"ignition": {"version": "3.1.0"},
        "storage": {"files": [{"path": "/etc/a", "contents": {"source": "data:,fetched"}}]}});
    let (url, server) =
        server(vec![(503, "starting".into()), (404, String::new()), (200, child.to_string())]);
    let source = format!("{url}/config/master");
    let (_dir, boot) = disk(Some(&slot(json!({"ignition": {"version": "3.5.0",
        "config": {"merge": [{"source": source, "httpHeaders": [{"name": "X-A", "value": "b"}]}]}}}))));
    assert_eq!(run(&boot).expect("applied"), Outcome::Applied);
    assert_eq!(fs::read_to_string(boot.sysroot.join("etc/a")).expect("text"), "fetched");
    let requests = server.join().expect("it ended");
    assert!(requests[0].starts_with("GET /config/master HTTP/1.1"));
    assert!(requests[0].contains("version=3.5.0") && requests[0].contains("x-a: b"));
    assert!(!requests[0].contains("authorization"), "a token never travels without TLS");
}

#[test]
fn a_failure_names_stage_entry_cause_and_remedy() {
    let (url, server) = server(vec![(403, "unknown token".into())]);
    let source = format!("{url}/config/master?secret=1");
    let (_dir, boot) = disk(Some(&slot(
        json!({"ignition": {"version": "3.5.0", "config": {"merge": [{"source": source}]}}}),
    )));
    let failure = run(&boot).unwrap_err();
    assert_eq!((failure.stage, failure.entry), ("fetch", format!("{url}/config/master")));
    assert!(failure.cause.contains("403") && failure.cause.contains("unknown token"));
    assert!(failure.remedy.contains("install the host again"));
    server.join().expect("it ended");
    assert!(!boot.sysroot.join("etc/.ashlar-ignition-applied").exists());
}

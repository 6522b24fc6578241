//! Fetching the root file system as the initramfs of a minimal medium does, from servers that fail.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use ashlar_tests::process::{self, wait};
use ashlar_tests::rack::program;
use ashlar_tests::runner::Runner;

use crate::command::{LIMIT, digest, flip, text};

const PORT: u16 = 16184;
/// Bytes after which a connection through the breaking server ends.
const BREAK: u64 = 100 << 20;

pub fn facts(runner: &mut Runner, made: &Path) {
    let root = made.join("rootfs.squashfs");
    let mut server = None;
    runner.foundation("`ashlar media serve` serves them, and the list lies on the minimal medium", || {
        let image = made.join("ashlar-minimal.iso");
        let mut xorriso = Command::new("xorriso");
        xorriso.args(["-osirrox", "on", "-indev", text(&image)?, "-extract", "/network/fetch.json"]);
        process::run(xorriso.arg(list(made)), LIMIT)?;
        server = Some(Server(serve(made)?));
        wait("the server", LIMIT, || Ok(TcpStream::connect(("127.0.0.1", PORT)).map(drop)?))
    });
    let url = format!("http://127.0.0.1:{PORT}/rootfs.squashfs");
    runner.fact("a fetch whose connections break goes on where each broke, and every byte is right", || {
        let connections = Arc::new(AtomicUsize::new(0));
        let port = breaking(connections.clone())?;
        let done = fetch(made, &[&format!("http://127.0.0.1:{port}/rootfs.squashfs")])?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let needed = std::fs::metadata(&root)?.len() / BREAK;
        let made_connections = connections.load(Ordering::Relaxed) as u64;
        ensure!((needed..needed * 2).contains(&made_connections), "{made_connections} connections");
        let sum = |path: &Path| digest(path).map(|line| line.split(' ').next().map(str::to_owned));
        ensure!(sum(&fetched(made))? == sum(&root)?, "the file differs");
        Ok(())
    });
    runner.fact("a changed byte on the server is refused: chunk, cause and remedy are said", || {
        flip(&root, 99 << 20)?;
        let done = fetch(made, &[&url]);
        flip(&root, 99 << 20)?;
        let (done, said) = said(done?)?;
        ensure!(!done, "it was taken");
        ensure!(said.contains("has other bytes than this medium says, in chunk 24"), "said: {said}");
        ensure!(said.contains(&url) && said.contains("hint: serve rootfs.squashfs"), "said: {said}");
        Ok(())
    });
    runner.fact("a server that does not answer is named, with what to do", || {
        let (done, said) = said(fetch(made, &["http://127.0.0.1:1/rootfs.squashfs"])?)?;
        ensure!(!done, "it was taken");
        ensure!(said.contains("http://127.0.0.1:1/rootfs.squashfs cannot be reached"), "said: {said}");
        ensure!(said.contains("hint: check this machine's address"), "said: {said}");
        Ok(())
    });
    runner.fact("another release's file is refused before it is fetched", || {
        let (done, said) = said(fetch(made, &[&format!("http://127.0.0.1:{PORT}/network/vmlinuz")])?)?;
        ensure!(!done && said.contains("belongs to a file that is not"), "said: {said}");
        Ok(())
    });
}

/// Ended with the suite, however it goes.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = process::kill_hard(&mut self.0) {
            println!("the server stays: {error}");
        }
    }
}

fn serve(folder: &Path) -> anyhow::Result<Child> {
    let listen = format!("127.0.0.1:{PORT}");
    let mut serve = Command::new(program()?);
    serve.args(["media", "serve", text(folder)?, "--listen", &listen]).stderr(Stdio::null());
    serve.spawn().context("starting the server")
}

/// In front of the server: every connection ends after `BREAK` bytes.
fn breaking(connections: Arc<AtomicUsize>) -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            connections.fetch_add(1, Ordering::Relaxed);
            // A client that goes away is no failure of this server.
            drop(pass(client));
        }
    });
    Ok(port)
}

fn pass(mut client: TcpStream) -> anyhow::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", PORT))?;
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    server.write_all(&request)?;
    std::io::copy(&mut server.take(BREAK), &mut client)?;
    Ok(client.shutdown(std::net::Shutdown::Write)?)
}

fn list(made: &Path) -> PathBuf {
    made.join("fetch.json")
}

fn fetched(made: &Path) -> PathBuf {
    made.join("fetched.squashfs")
}

fn fetch(made: &Path, sources: &[&str]) -> anyhow::Result<Output> {
    let mut fetch = Command::new(program()?.with_file_name("ashlar-fetch"));
    fetch.args(["root", "--attempts", "2", "--list", text(&list(made))?, "--to", text(&fetched(made))?]);
    fetch.args(["--view", "/nowhere", "--status", text(&made.join("status.json"))?]);
    for source in sources {
        fetch.args(["--source", source]);
    }
    process::output(&mut fetch, LIMIT)
}

/// Whether it ended well, and all that it said.
fn said(output: Output) -> anyhow::Result<(bool, String)> {
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8(text)?))
}

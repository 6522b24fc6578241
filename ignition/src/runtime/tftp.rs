//! A client for TFTP (RFC 1350) with block sizes (RFC 2348): one file, read to its end.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};
use url::Url;

const PORT: u16 = 69;
/// Fits an Ethernet frame.
const BLOCK: usize = 1428;
const WITHOUT_OPTIONS: usize = 512;
const ANSWER: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 5;

const DATA: u16 = 3;
const ACKNOWLEDGE: u16 = 4;
const ERROR: u16 = 5;
const OPTIONS: u16 = 6;

/// Why a transfer ended early.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The server, or the network, may be better later.
    Later(String),
    /// It will not.
    Never(String),
    /// Our side cannot take the data.
    Write(String),
}

pub(super) async fn fetch(url: &Url, out: &mut impl Write) -> Result<(), Stopped> {
    let host = url.host_str().ok_or_else(|| Stopped::Never("the URL has no host".to_owned()))?;
    let later = |error: io::Error| Stopped::Later(error.to_string());
    let name = host.trim_matches(['[', ']']);
    let mut found = lookup_host((name, url.port().unwrap_or(PORT))).await.map_err(later)?;
    let server = found.next().ok_or_else(|| Stopped::Later(format!("{host} has no address")))?;
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await.map_err(later)?;
    transfer(&socket, server, url.path().trim_start_matches('/'), out).await
}

async fn transfer(
    socket: &UdpSocket,
    server: SocketAddr,
    path: &str,
    out: &mut impl Write,
) -> Result<(), Stopped> {
    let mut packet = request(path);
    let mut peer: Option<SocketAddr> = None;
    let (mut expected, mut block_size) = (1u16, WITHOUT_OPTIONS);
    let mut buffer = vec![0; BLOCK + 4];
    loop {
        let (length, from) = ask(socket, peer.unwrap_or(server), &packet, peer, &mut buffer).await?;
        // The server answers from a port of its own; from then on only that one is heard.
        peer = Some(from);
        let message = &buffer[..length];
        let (Some(kind), Some(number)) = (word(message, 0), word(message, 2)) else {
            return Err(Stopped::Later("the server's answer is cut short".to_owned()));
        };
        match kind {
            ERROR => {
                let text = String::from_utf8_lossy(&message[4..]).trim_end_matches('\0').to_owned();
                // 0 is anything, 3 a full disk; the others are about the file.
                let stopped = if matches!(number, 0 | 3) { Stopped::Later } else { Stopped::Never };
                return Err(stopped(format!("the server says: {text}")));
            }
            OPTIONS => {
                block_size = accepted_size(&message[2..]).unwrap_or(WITHOUT_OPTIONS);
                packet = acknowledgement(0);
            }
            DATA if number == expected => {
                let data = &message[4..];
                out.write_all(data).map_err(|error| Stopped::Write(error.to_string()))?;
                packet = acknowledgement(number);
                expected = expected.wrapping_add(1);
                if data.len() < block_size {
                    let _ = socket.send_to(&packet, from).await;
                    return Ok(());
                }
            }
            // An earlier block once more: our acknowledgement was lost.
            DATA => packet = acknowledgement(number),
            other => return Err(Stopped::Later(format!("the server sent a message of kind {other}"))),
        }
    }
}

/// Sends, and sends again, until an answer comes from `peer` (from anyone when it is not known yet).
async fn ask(
    socket: &UdpSocket,
    to: SocketAddr,
    packet: &[u8],
    peer: Option<SocketAddr>,
    buffer: &mut [u8],
) -> Result<(usize, SocketAddr), Stopped> {
    for _ in 0..ATTEMPTS {
        socket.send_to(packet, to).await.map_err(|error| Stopped::Later(error.to_string()))?;
        let answer = async {
            loop {
                let (length, from) = socket.recv_from(buffer).await?;
                if peer.is_none_or(|peer| peer == from) && (peer.is_some() || from.ip() == to.ip()) {
                    return Ok::<_, io::Error>((length, from));
                }
            }
        };
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => return Err(Stopped::Later(error.to_string())),
            Err(_) => {}
        }
    }
    Err(Stopped::Later(format!("no answer in {} s", ANSWER.as_secs() * u64::from(ATTEMPTS))))
}

fn request(path: &str) -> Vec<u8> {
    let mut packet = vec![0, 1];
    for text in [path, "octet", "blksize", &BLOCK.to_string()] {
        packet.extend_from_slice(text.as_bytes());
        packet.push(0);
    }
    packet
}

fn acknowledgement(block: u16) -> Vec<u8> {
    [ACKNOWLEDGE.to_be_bytes(), block.to_be_bytes()].concat()
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

/// The block size among `name\0value\0…`.
fn accepted_size(options: &[u8]) -> Option<usize> {
    let texts: Vec<&[u8]> = options.split(|byte| *byte == 0).collect();
    let at = texts.iter().position(|text| text.eq_ignore_ascii_case(b"blksize"))?;
    std::str::from_utf8(texts.get(at + 1)?).ok()?.parse().ok().filter(|size| (8..=BLOCK).contains(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers block by block, loses one acknowledgement, and may know the option.
    async fn serve(socket: UdpSocket, body: Vec<u8>, options: bool) {
        let mut buffer = [0; 600];
        let (length, client) = socket.recv_from(&mut buffer).await.expect("a request");
        assert!(buffer[..length].starts_with(b"\0\x01dir/file\0octet\0"));
        let own = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let size = if options { BLOCK } else { WITHOUT_OPTIONS };
        if options {
            own.send_to(b"\0\x06blksize\x001428\0", client).await.expect("sent");
            own.recv_from(&mut buffer).await.expect("an acknowledgement");
        }
        let mut blocks: Vec<&[u8]> = body.chunks(size).collect();
        if body.len().is_multiple_of(size) {
            blocks.push(&[]);
        }
        for (index, block) in blocks.iter().enumerate() {
            let number = u16::try_from(index + 1).expect("few blocks");
            let packet = [&DATA.to_be_bytes()[..], &number.to_be_bytes(), block].concat();
            for _ in 0..=usize::from(index == 0 && blocks.len() > 1) {
                own.send_to(&packet, client).await.expect("sent");
                own.recv_from(&mut buffer).await.expect("an acknowledgement");
            }
        }
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
    }

    #[test]
    fn a_file_of_several_blocks_arrives_whole_with_and_without_options() {
        run(async {
            for (length, options) in [(4000, true), (BLOCK * 2, true), (1100, false), (0, false)] {
                let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
                let url = format!("tftp://{}/dir/file", socket.local_addr().expect("an address"));
                let body: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
                let server = tokio::spawn(serve(socket, body.clone(), options));
                let mut got = Vec::new();
                fetch(&Url::parse(&url).expect("a URL"), &mut got).await.expect("fetched");
                assert_eq!(got, body);
                server.await.expect("it ended");
            }
        });
    }

    #[test]
    fn a_missing_file_is_final() {
        run(async {
            let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
            let url = format!("tftp://{}/x", socket.local_addr().expect("an address"));
            let server = tokio::spawn(async move {
                let mut buffer = [0; 600];
                let (_, client) = socket.recv_from(&mut buffer).await.expect("a request");
                socket.send_to(b"\0\x05\0\x01File not found\0", client).await.expect("sent");
            });
            let stopped = fetch(&Url::parse(&url).expect("a URL"), &mut Vec::new()).await.unwrap_err();
            assert_eq!(stopped, Stopped::Never("the server says: File not found".to_owned()));
            server.await.expect("it ended");
        });
    }
}

//! The status screen. Pure: from facts to characters.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::symbols::border;
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Widget, Wrap};

use crate::facts::{Facts, Port};
use crate::terminal::{HEIGHT, WIDTH};

/// A serial terminal may know no others.
pub const ASCII: border::Set = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};
pub const AREA: Rect = Rect { x: 0, y: 0, width: WIDTH, height: HEIGHT };
const LABEL: u16 = 11;
const BAR: usize = 30;
/// What more a machine has, the shell says.
const INTERFACES: usize = 6;

pub fn draw(facts: &Facts) -> Buffer {
    let mut buffer = Buffer::empty(AREA);
    let status = &facts.status;
    let block = Block::bordered()
        .border_set(ASCII)
        .title(format!(" {} ", format!("Ashlar {}", status.release).trim_end()))
        .title_bottom(Line::from(format!(" {} ", facts.keys)));
    let inside = block.inner(AREA);
    block.render(AREA, &mut buffer);
    let mut rest =
        Rect { x: inside.x + 1, y: inside.y + 1, width: inside.width - 2, height: inside.height - 1 };
    row(&mut buffer, &mut rest, "Host", &who(facts));
    let words: Vec<String> = facts.interfaces.iter().take(INTERFACES).map(interface).collect();
    let words = if words.is_empty() { "no network interface".to_owned() } else { words.join("\n") };
    row(&mut buffer, &mut rest, "Network", &words);
    skip(&mut rest);
    row(&mut buffer, &mut rest, "Now", &status.doing);
    if let Some((done, all)) = status.progress {
        row(&mut buffer, &mut rest, "", &bar(done, all));
    }
    if let Some(failed) = &status.failed {
        skip(&mut rest);
        row(&mut buffer, &mut rest, "Failed", &format!("{}: {}", failed.what, failed.cause));
        if let Some(remedy) = &failed.remedy {
            skip(&mut rest);
            row(&mut buffer, &mut rest, "To do", remedy);
        }
    }
    buffer
}

fn who(facts: &Facts) -> String {
    let status = &facts.status;
    let cluster = if status.cluster.is_empty() {
        "of no cluster yet".into()
    } else {
        format!("of cluster {}", status.cluster)
    };
    format!("{}, {} {cluster}", status.host, status.role)
}

fn interface(port: &Port) -> String {
    let addresses: Vec<String> = port.addresses.iter().map(ToString::to_string).collect();
    match (port.link, addresses.is_empty()) {
        (_, false) => format!("{}  {}", port.name, addresses.join(", ")),
        (true, true) => format!("{}  link, no address", port.name),
        (false, true) => format!("{}  no link", port.name),
    }
}

fn bar(done: u64, all: u64) -> String {
    let part = (done as usize * BAR).checked_div(all as usize).unwrap_or(0).min(BAR);
    let percent = (done * 100).checked_div(all).unwrap_or(0);
    format!(
        "[{}{}] {percent} %, {} of {} MiB",
        "#".repeat(part),
        ".".repeat(BAR - part),
        done >> 20,
        all >> 20
    )
}

/// A label, and text that wraps beside it.
pub fn row(buffer: &mut Buffer, rest: &mut Rect, label: &str, text: &str) {
    if rest.height == 0 {
        return;
    }
    buffer.set_string(rest.x, rest.y, label, ratatui::style::Style::new());
    let width = rest.width - LABEL;
    let lines: usize = text.lines().map(|line| wrapped(line, width as usize)).sum();
    let height = (lines.max(1) as u16).min(rest.height);
    let area = Rect { x: rest.x + LABEL, y: rest.y, width, height };
    Paragraph::new(text).wrap(Wrap { trim: true }).render(area, buffer);
    rest.y += height;
    rest.height -= height;
}

pub fn skip(rest: &mut Rect) {
    if rest.height > 0 {
        rest.y += 1;
        rest.height -= 1;
    }
}

/// Lines that a line becomes when it breaks between words, or inside one that is longer than a line.
fn wrapped(line: &str, width: usize) -> usize {
    let (mut lines, mut used) = (1, 0);
    for word in line.split_whitespace() {
        let mut length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            (lines, used) = (lines + 1, 0);
        }
        while length > width {
            (lines, length) = (lines + 1, length - width);
        }
        used += if used > 0 { 1 + length } else { length };
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::plain;
    use ashlar_model::console::{Failed, Status};

    #[test]
    fn the_screen_says_who_where_what_and_what_to_do() {
        let failed = Failed {
            what: "fetching the system".into(),
            cause: "http://192.0.2.1:6184/rootfs.squashfs cannot be reached: connection refused".into(),
            remedy: Some("check this machine's address, gateway and VLAN, and that the server runs".into()),
        };
        let status = Status {
            host: "worker-1".into(),
            cluster: "lab".into(),
            role: "live system".into(),
            release: "0.1.0".into(),
            doing: "fetching the system from http://192.0.2.1:6184/rootfs.squashfs".into(),
            progress: Some((300 << 20, 600 << 20)),
            failed: Some(failed),
        };
        let port = |name: &str, link, addresses: &[&str]| Port {
            name: name.into(),
            link,
            addresses: addresses.iter().map(|one| one.parse().expect("an address")).collect(),
        };
        let interfaces = vec![port("eno1", true, &["192.0.2.31", "2001:db8::31"]), port("eno2", false, &[])];
        let facts = Facts { status, interfaces, keys: "n network set-up, r draw again".into() };
        assert_eq!(plain(&draw(&facts)), include_str!("snapshots/status.txt").trim_end());
    }
}

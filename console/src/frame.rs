//! A drawn buffer as lines for a vt100: plain characters and reverse video, nothing that a serial console spoils. Pure.

use ratatui::buffer::Buffer;
use ratatui::style::Modifier;

/// One string per row, without blanks at its end.
pub fn lines(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    (area.top()..area.bottom())
        .map(|row| {
            let (mut line, mut reversed) = (String::new(), false);
            for column in area.left()..area.right() {
                let cell = &buffer[(column, row)];
                let reverse = cell.modifier.contains(Modifier::REVERSED);
                if reverse != reversed {
                    line.push_str(if reverse { "\x1b[7m" } else { "\x1b[0m" });
                    reversed = reverse;
                }
                line.push_str(cell.symbol());
            }
            if reversed {
                line.push_str("\x1b[0m");
            }
            line.trim_end().to_owned()
        })
        .collect()
}

/// What makes a terminal that shows `old` show `new`; without `old` it is cleared first.
pub fn changes(old: &[String], new: &[String]) -> String {
    let mut text = if old.is_empty() { "\x1b[0m\x1b[2J\x1b[?25l".to_owned() } else { String::new() };
    for (row, line) in new.iter().enumerate() {
        if old.get(row) != Some(line) {
            text.push_str(&format!("\x1b[{};1H{line}\x1b[K", row + 1));
        }
    }
    text
}

/// What a person sees, for tests.
#[cfg(test)]
pub fn plain(buffer: &Buffer) -> String {
    lines(buffer).join("\n").replace("\x1b[7m", "").replace("\x1b[0m", "").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    #[test]
    fn only_changed_lines_are_drawn_again() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 10, 2));
        buffer.set_string(0, 0, "one", Style::new());
        buffer.set_string(0, 1, "two", Style::new().add_modifier(Modifier::REVERSED));
        let first = lines(&buffer);
        assert_eq!(first, ["one", "\x1b[7mtwo\x1b[0m"]);
        assert!(changes(&[], &first).starts_with("\x1b[0m\x1b[2J"));
        buffer.set_string(0, 0, "uno", Style::new());
        assert_eq!(changes(&first, &lines(&buffer)), "\x1b[1;1Huno\x1b[K");
    }
}

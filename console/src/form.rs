//! The form for network set-up: a state machine without I/O. Keys go in; what is to be done comes out.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Widget};

use crate::facts::Port;
use crate::screen::{AREA, ASCII, row};
use crate::settings::{BOND_MODES, Fields, Settings, judge};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Character(char),
    Backspace,
    Up,
    Down,
    Left,
    Right,
    Enter,
    Escape,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Goes,
    Leaves,
    Applies(Settings),
}

const METHODS: [&str; 2] = ["dhcp", "static"];
const LABELS: [&str; 9] = [
    "Ports",
    "Bond mode",
    "VLAN",
    "Addresses",
    "Address",
    "Gateway",
    "DNS servers",
    "Time servers",
    "Engine URL",
];
const HELP: [&str; 9] = [
    "one port; two or more, with commas, become a bond",
    "left and right choose; only for more than one port",
    "number of a tagged VLAN; empty for none",
    "left and right choose: from DHCP, or static",
    "with its prefix: 192.0.2.9/24",
    "empty for none",
    "addresses, with commas",
    "names or addresses, with commas",
    "https://ADDRESS:6183 of the installing computer; empty keeps what is set",
];
const SOURCE_LABEL: &str = "System URL";
const SOURCE_HELP: &str = "http://SERVER/DIR/ to fetch the system from; empty keeps what is set";
const BUTTONS: usize = 9;
const LONGEST: usize = 200;
const VALUE: u16 = 14;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    values: [String; 9],
    focus: usize,
    ports: Vec<Port>,
    initramfs: bool,
    message: String,
}

impl Form {
    /// Begins with the first port that has a link.
    pub fn new(mut ports: Vec<Port>, initramfs: bool) -> Self {
        ports.retain(|port| !port.name.starts_with("bond") && !port.name.contains('.'));
        let first = ports.iter().find(|port| port.link).or(ports.first());
        let mut values: [String; 9] = Default::default();
        values[0] = first.map(|port| port.name.clone()).unwrap_or_default();
        values[1] = BOND_MODES[0].into();
        values[3] = METHODS[1].into();
        Self { values, focus: 4, ports, initramfs, message: String::new() }
    }

    pub fn press(&mut self, key: Key) -> Outcome {
        match key {
            Key::Escape => return Outcome::Leaves,
            Key::Up => self.go(false),
            Key::Down => self.go(true),
            Key::Enter if self.focus == BUTTONS => return self.apply(),
            Key::Enter => self.go(true),
            Key::Left | Key::Right => self.choose(key == Key::Right),
            Key::Backspace => {
                if self.choices().is_empty() && self.focus < BUTTONS {
                    self.values[self.focus].pop();
                }
            }
            Key::Character(' ') if !self.choices().is_empty() => self.choose(true),
            Key::Character(character) if self.focus < BUTTONS && self.choices().is_empty() => {
                let value = &mut self.values[self.focus];
                if !character.is_control() && value.chars().count() < LONGEST {
                    value.push(character);
                }
            }
            Key::Character(_) => {}
        }
        Outcome::Goes
    }

    /// Says how applying ended.
    pub fn applied(&mut self, message: String) {
        self.message = message;
    }

    fn apply(&mut self) -> Outcome {
        let [ports, bond_mode, vlan, method, address, gateway, dns, ntp, server] = self.values.clone();
        let fields = Fields { ports, bond_mode, vlan, method, address, gateway, dns, ntp, server };
        let known: Vec<String> = self.ports.iter().map(|port| port.name.clone()).collect();
        match judge(&fields, &known) {
            Ok(settings) => {
                self.message = "applying, this takes up to half a minute ...".into();
                Outcome::Applies(settings)
            }
            Err((field, why)) => {
                (self.focus, self.message) = (field, why);
                Outcome::Goes
            }
        }
    }

    fn choices(&self) -> &'static [&'static str] {
        match self.focus {
            1 => &BOND_MODES,
            3 => &METHODS,
            _ => &[],
        }
    }

    fn choose(&mut self, forward: bool) {
        let choices = self.choices();
        let Some(at) = choices.iter().position(|choice| *choice == self.values[self.focus]) else { return };
        let step = if forward { 1 } else { choices.len() - 1 };
        self.values[self.focus] = choices[(at + step) % choices.len()].into();
    }

    /// To the next or previous field that counts.
    fn go(&mut self, forward: bool) {
        loop {
            self.focus = if forward {
                (self.focus + 1) % (BUTTONS + 1)
            } else {
                (self.focus + BUTTONS) % (BUTTONS + 1)
            };
            if self.focus == BUTTONS || self.counts(self.focus) {
                return;
            }
        }
    }

    fn counts(&self, field: usize) -> bool {
        match field {
            1 => self.values[0].contains(','),
            4 | 5 => self.values[3] == "static",
            7 => !self.initramfs,
            _ => true,
        }
    }

    pub fn draw(&self) -> Buffer {
        let mut buffer = Buffer::empty(AREA);
        let block = Block::bordered()
            .border_set(ASCII)
            .title(" Network set-up of the live system ")
            .title_bottom(Line::from(" up/down/tab move, enter goes on, esc leaves "));
        let inside = block.inner(AREA);
        block.render(AREA, &mut buffer);
        let (left, width) = (inside.x + 1, inside.width - 2);
        let mut y = inside.y + 1;
        for field in (0..BUTTONS).filter(|field| self.counts(*field)) {
            let label = if field == 8 && self.initramfs { SOURCE_LABEL } else { LABELS[field] };
            buffer.set_string(left, y, label, Style::new());
            self.draw_value(&mut buffer, field, left + VALUE, y, width - VALUE);
            y += 1;
        }
        let style = if self.focus == BUTTONS { reversed() } else { Style::new() };
        buffer.set_string(left + VALUE, y + 1, "[ Apply ]", style);
        let help = match self.focus {
            8 if self.initramfs => SOURCE_HELP,
            BUTTONS => "enter writes the settings, brings the network up, asks the server",
            field => HELP[field],
        };
        buffer.set_string(left, y + 3, format!("({help})"), Style::new());
        let mut rest = Rect { x: left, y: y + 5, width, height: inside.bottom() - y - 5 };
        let ports: Vec<String> = self.ports.iter().map(state).collect();
        row(&mut buffer, &mut rest, "There are", &ports.join(", "));
        if !self.message.is_empty() {
            crate::screen::skip(&mut rest);
            row(&mut buffer, &mut rest, "Result", &self.message);
        }
        buffer
    }

    /// The end of a value that is too long for its line.
    fn draw_value(&self, buffer: &mut Buffer, field: usize, x: u16, y: u16, width: u16) {
        let value = &self.values[field];
        let skipped = value.chars().count().saturating_sub(width as usize - 1);
        let shown: String = value.chars().skip(skipped).collect();
        if field == self.focus {
            buffer.set_string(x, y, format!("{shown:<40}"), reversed());
        } else {
            buffer.set_string(x, y, shown, Style::new());
        }
    }
}

fn state(port: &Port) -> String {
    let link = if port.link { "link" } else { "no link" };
    format!("{} ({link})", port.name)
}

fn reversed() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::plain;

    fn form() -> Form {
        let port = |name: &str, link| Port { name: name.into(), link, addresses: Vec::new() };
        Form::new(vec![port("eno1", false), port("eno2", true), port("bond0", true)], false)
    }

    fn press(form: &mut Form, keys: &str) -> Outcome {
        let mut outcome = Outcome::Goes;
        for character in keys.chars() {
            outcome = form.press(match character {
                '>' => Key::Down,
                '<' => Key::Up,
                '~' => Key::Right,
                '!' => Key::Enter,
                '#' => Key::Backspace,
                other => Key::Character(other),
            });
        }
        outcome
    }

    #[test]
    fn the_form_is_drawn_with_what_was_typed() {
        let mut form = form();
        press(&mut form, "192.0.2.9/24>192.0.2.1>192.0.2.53>>https://192.0.2.5:6183");
        assert_eq!(plain(&form.draw()), include_str!("snapshots/form.txt").trim_end());
    }

    #[test]
    fn a_wrong_field_gets_the_cursor_and_says_why() {
        let mut form = form();
        assert_eq!(press(&mut form, "192.0.2.9/24>198.51.100.1>>>>!"), Outcome::Goes);
        assert_eq!(form.focus, 5);
        assert!(plain(&form.draw()).contains("gateway 198.51.100.1 is not in the network of 192.0.2.9/24"));
        press(&mut form, "############192.0.2.1>>>>");
        let Outcome::Applies(settings) = press(&mut form, "!") else {
            panic!("not applied: {}", form.message)
        };
        assert_eq!(settings.ports, ["eno2"]);
        form.applied("192.0.2.5 port 6183 answers".into());
        assert!(plain(&form.draw()).contains("Result     192.0.2.5 port 6183 answers"));
    }

    #[test]
    fn fields_that_do_not_count_are_passed_over() {
        let mut form = form();
        press(&mut form, "<~");
        assert_eq!(form.values[3], "dhcp");
        press(&mut form, ">");
        assert_eq!(form.focus, 6);
        press(&mut form, "<<<");
        assert_eq!(form.focus, 0);
        press(&mut form, ",eno1>~");
        assert_eq!((form.focus, form.values[1].as_str()), (1, "802.3ad"));
        let Outcome::Applies(settings) = press(&mut form, "<<!") else {
            panic!("not applied: {}", form.message)
        };
        assert_eq!((settings.ports.len(), settings.address), (2, None));
        assert_eq!(form.press(Key::Escape), Outcome::Leaves);
    }

    #[test]
    fn whatever_is_typed_the_form_can_be_drawn() {
        let keys = [
            Key::Left,
            Key::Right,
            Key::Up,
            Key::Down,
            Key::Backspace,
            Key::Enter,
            Key::Character('\u{e9}'),
            Key::Character(','),
        ];
        let mut form = form();
        for step in 0..4000usize {
            form.press(keys[(step * step / 3 + step / 7) % keys.len()]);
            form.draw();
        }
    }
}

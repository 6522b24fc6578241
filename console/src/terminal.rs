//! This process's terminal: a screen of fixed size, drawn by lines that changed, and keys. Good for a vt100 on a serial
//! line, which cannot say how large it is.

use std::io::{self, Write};
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use ratatui::buffer::Buffer;

use crate::form::Key;
use crate::frame;

pub const WIDTH: u16 = 80;
pub const HEIGHT: u16 = 24;

pub struct Terminal {
    shown: Vec<String>,
}

impl Terminal {
    pub fn open() -> io::Result<Self> {
        enable_raw_mode()?;
        Ok(Self { shown: Vec::new() })
    }

    pub fn close(self) -> io::Result<()> {
        print!("\x1b[0m\x1b[2J\x1b[H\x1b[?25h");
        io::stdout().flush()?;
        disable_raw_mode()
    }

    /// The next `show` draws everything.
    pub fn forget(&mut self) {
        self.shown.clear();
    }

    pub fn show(&mut self, buffer: &Buffer) -> io::Result<()> {
        let lines = frame::lines(buffer);
        let text = frame::changes(&self.shown, &lines);
        self.shown = lines;
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// The next key, if one comes in time.
    pub fn key(&self, time: Duration) -> io::Result<Option<Key>> {
        if !event::poll(time)? {
            return Ok(None);
        }
        let Event::Key(key) = event::read()? else { return Ok(None) };
        if key.kind == KeyEventKind::Release || key.modifiers.contains(KeyModifiers::CONTROL) {
            return Ok(None);
        }
        Ok(match key.code {
            KeyCode::Char(character) => Some(Key::Character(character)),
            KeyCode::Backspace | KeyCode::Delete => Some(Key::Backspace),
            KeyCode::Up | KeyCode::BackTab => Some(Key::Up),
            KeyCode::Down | KeyCode::Tab => Some(Key::Down),
            KeyCode::Left => Some(Key::Left),
            KeyCode::Right => Some(Key::Right),
            KeyCode::Enter => Some(Key::Enter),
            KeyCode::Esc => Some(Key::Escape),
            _ => None,
        })
    }
}

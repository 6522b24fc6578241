//! The screen on a machine's consoles: who it is, where it is, what it does, what failed and what to do; and the form
//! for network set-up of a live system. Runs once per console, in the initramfs, the live system and on nodes.

mod apply;
mod facts;
mod form;
mod frame;
mod keyfile;
mod screen;
mod settings;
mod terminal;

use std::time::{Duration, Instant};

use anyhow::Context;
use ashlar_host::cmd::Cmd;
use clap::{Parser, Subcommand};
use form::{Form, Key, Outcome};
use terminal::Terminal;

/// How often what is shown is looked at anew.
const REFRESH: Duration = Duration::from_secs(1);
/// The kernel writes over the screen.
const REDRAW: Duration = Duration::from_secs(10);

#[derive(Parser)]
#[command(name = "ashlar-console", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the screen on this terminal until the end.
    Screen,
}

fn main() -> std::process::ExitCode {
    let Command::Screen = Arguments::parse().command;
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::from(2)
        }
    }
}

/// What the terminal shows.
enum Showing {
    Status,
    Network(Box<Form>),
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> anyhow::Result<()> {
    let place = facts::Place::here();
    let mut terminal = Terminal::open().context("taking the terminal")?;
    let mut showing = Showing::Status;
    let mut drawn = Instant::now();
    let mut read = Instant::now();
    let mut known = facts::read(&place).await;
    loop {
        if drawn.elapsed() > REDRAW {
            terminal.forget();
            drawn = Instant::now();
        }
        terminal.show(&match &showing {
            Showing::Status => screen::draw(&known),
            Showing::Network(form) => form.draw(),
        })?;
        let key = terminal.key(REFRESH)?;
        if read.elapsed() >= REFRESH {
            known = facts::read(&place).await;
            read = Instant::now();
        }
        let Some(key) = key else { continue };
        showing = match showing {
            Showing::Status => match key {
                Key::Character('n') if place.has_form() => {
                    Showing::Network(Box::new(Form::new(known.interfaces.clone(), place.is_initramfs())))
                }
                Key::Character('l') if place.has_login() => return log_in(terminal),
                Key::Character('r') => {
                    terminal.forget();
                    Showing::Status
                }
                _ => Showing::Status,
            },
            Showing::Network(mut form) => match form.press(key) {
                Outcome::Goes => Showing::Network(form),
                Outcome::Leaves => Showing::Status,
                Outcome::Applies(settings) => {
                    terminal.show(&form.draw())?;
                    form.applied(apply::apply(&settings, &place).await);
                    Showing::Network(form)
                }
            },
        };
    }
}

/// The screen comes back when the login ends: systemd starts it anew.
fn log_in(terminal: Terminal) -> anyhow::Result<()> {
    terminal.close()?;
    Err(Cmd::new("/bin/login").replace_this_process()).context("starting the login")
}

//! A server's body: a task that holds its power. Commands come from its BMC; one boot follows the other until
//! the power goes.

pub mod boot;
pub mod console;
pub mod kernel_arguments;
pub mod medium;
pub mod nspawn;
mod power_cut;
mod qemu;
mod qmp;
pub mod stack;
mod tpm;
pub mod view;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ashlar_host::cgroup;
use ashlar_host::process::Process;
use futures::future::BoxFuture;
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::rack::Rack;
use crate::spec::{Driver, ServerSpec};
use boot::Place;
use console::Console;
use nspawn::End;
use stack::Stack;

/// A real server's firmware cuts the power when the system does not stop.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(120);
/// systemd: power off.
const POWER_OFF_SIGNAL: i32 = 4;

/// Where a machine boots from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Medium { url: String },
    Disk,
    Network,
}

/// Asked at every reboot: what the BMC says the next boot is from.
pub type NextBoot = Box<dyn Fn() -> BoxFuture<'static, Source> + Send + Sync>;

#[derive(Debug)]
enum Command {
    On(Source),
    Cut,
    ShutDown,
}

/// The handle of a machine's task.
#[derive(Clone)]
pub struct Machine {
    pub server: Arc<ServerSpec>,
    commands: mpsc::UnboundedSender<Command>,
    on: watch::Receiver<bool>,
    next_boot: Arc<OnceLock<NextBoot>>,
}

struct Body {
    rack: Rack,
    server: Arc<ServerSpec>,
    console: Console,
    commands: mpsc::UnboundedReceiver<Command>,
    on: watch::Sender<bool>,
    next_boot: Arc<OnceLock<NextBoot>>,
}

impl Machine {
    /// A machine without power, and its task, which ends when the last handle is gone.
    #[must_use]
    pub fn start(rack: &Rack, server: &ServerSpec) -> (Self, tokio::task::JoinHandle<()>) {
        let (sender, commands) = mpsc::unbounded_channel();
        let (on, is_on) = watch::channel(false);
        let server = Arc::new(server.clone());
        let next_boot = Arc::new(OnceLock::new());
        let console = Console::at(&rack.console_log(&server.name));
        let handle =
            Self { server: server.clone(), commands: sender, on: is_on, next_boot: next_boot.clone() };
        let body = Body { rack: rack.clone(), server, console, commands, on, next_boot };
        (handle, tokio::spawn(body.live()))
    }

    /// Tells the machine whom to ask at a reboot; once.
    pub fn set_next_boot(&self, next_boot: NextBoot) {
        if self.next_boot.set(next_boot).is_err() {
            tracing::warn!(server = self.server.name, "the machine has a BMC already");
        }
    }

    #[must_use]
    pub fn is_on(&self) -> bool {
        *self.on.borrow()
    }

    /// Returns when the machine has power; it boots from then on.
    pub async fn power_on(&self, source: Source) {
        self.send(Command::On(source));
        self.wait_for(true).await;
    }

    /// Cuts the power and returns when everything has stopped.
    pub async fn cut(&self) {
        if self.is_on() {
            self.send(Command::Cut);
            self.wait_for(false).await;
        }
    }

    /// Presses the power button.
    pub fn shut_down(&self) {
        if self.is_on() {
            self.send(Command::ShutDown);
        }
    }

    /// Returns when the machine has no power.
    pub async fn is_off(&self) {
        self.wait_for(false).await;
    }

    fn send(&self, command: Command) {
        if self.commands.send(command).is_err() {
            tracing::error!(server = self.server.name, "the machine's task has ended");
        }
    }

    async fn wait_for(&self, power: bool) {
        let mut on = self.on.clone();
        if on.wait_for(|on| *on == power).await.is_err() {
            tracing::error!(server = self.server.name, "the machine's task has ended");
        }
    }
}

impl Body {
    #[tracing::instrument(name = "machine", skip_all, fields(server = self.server.name))]
    async fn live(mut self) {
        while let Some(command) = self.commands.recv().await {
            if let Command::On(source) = command {
                self.on.send_replace(true);
                self.run(source).await;
                self.console.say("power off");
                self.on.send_replace(false);
            }
        }
    }

    async fn run(&mut self, mut source: Source) {
        self.console.say("power on");
        while self.boot_once(source).await == End::Reboot {
            self.console.say("reset");
            source = match self.next_boot.get() {
                Some(next_boot) => next_boot().await,
                None => Source::Disk,
            };
        }
    }

    async fn boot_once(&mut self, source: Source) -> End {
        let Driver::Qemu(chassis) = self.server.driver else { return self.boot_container(source).await };
        let server = self.server.clone();
        let place = Place { rack: &self.rack, server: &server };
        let end = qemu::boot(&place, chassis, &source, &self.console, &mut self.commands).await;
        match end {
            Ok(end) => end,
            Err(error) => self.halt(&error).await,
        }
    }

    /// One boot, from the first look at medium or disk to the end of the system.
    async fn boot_container(&mut self, source: Source) -> End {
        let mut stack = Stack::new(self.rack.machine_directory(&self.server.name).join("mounts"));
        let place = Place { rack: &self.rack, server: &self.server };
        let say = |text: &str| self.console.say(text);
        let prepare = async {
            for number in 0..place.server.disks.len() {
                stack::released(&place.rack.disk(&place.server.name, number)).await?;
            }
            match source {
                Source::Medium { url } => boot::live(&place, &url, &mut stack, say).await,
                Source::Disk => boot::disk(&place, &mut stack, say).await,
                Source::Network => Err(boot::Error::Network),
            }
        };
        let prepared = tokio::select! {
            prepared = prepare => Some(prepared),
            () = power_goes(&mut self.commands) => None,
        };
        let end = match prepared {
            None => End::Off,
            Some(Ok(prepared)) => match nspawn::start(&place, &prepared, &self.console) {
                Ok(child) => self.watch(child, stack.writable()).await,
                Err(error) => self.halt(&error).await,
            },
            Some(Err(error)) => self.halt(&error).await,
        };
        stack.take_down().await;
        end
    }

    /// Nothing runs, but the machine keeps its power, as a real one does.
    async fn halt(&mut self, error: &(dyn std::error::Error + Sync)) -> End {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        self.console.say(&text);
        power_goes(&mut self.commands).await;
        End::Off
    }

    async fn watch(&mut self, mut child: Child, disks: &[u64]) -> End {
        let name = self.rack.machine_namespace(&self.server.name);
        let nspawn = child.id().and_then(|pid| Process::of(pid).ok());
        if let Some(nspawn) = nspawn {
            let written = nspawn.write(&self.rack.pid_file(&format!("machine-{}", self.server.name)));
            written.unwrap_or_else(|error| tracing::warn!(%error, "`lab down` will not find this machine"));
        }
        let mut limit = None;
        let mut power_cut = false;
        let status = loop {
            let over = async {
                match limit {
                    Some(limit) => tokio::time::sleep_until(limit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = child.wait() => break status,
                () = over => { self.console.say("the system does not stop: cutting the power"); power_cut::cut(nspawn, &name, disks); limit = None; power_cut = true; }
                command = self.commands.recv() => match command {
                    Some(Command::On(_)) => {}
                    Some(Command::ShutDown) => { press_button(nspawn); limit = Some(Instant::now() + SHUTDOWN_LIMIT); }
                    Some(Command::Cut) | None => { self.console.say("power cut"); power_cut::cut(nspawn, &name, disks); power_cut = true; }
                },
            }
        };
        for group in cgroup::find(&name) {
            if let Err(error) = cgroup::remove(&group) {
                tracing::warn!(%error, "a control group stays");
            }
        }
        nspawn::forget(&name);
        match status {
            Ok(status) => {
                tracing::info!(%status, "the system ended");
                if power_cut { End::Off } else { nspawn::end_of(status) }
            }
            Err(error) => {
                tracing::error!(%error, "cannot see how the system ended");
                End::Off
            }
        }
    }
}

/// Returns when the power is switched off while nothing runs that could be asked to stop.
async fn power_goes(commands: &mut mpsc::UnboundedReceiver<Command>) {
    while let Some(Command::On(_)) = commands.recv().await {}
}

fn press_button(nspawn: Option<Process>) {
    for first in nspawn.iter().flat_map(Process::children) {
        if let Err(error) = first.signal(libc::SIGRTMIN() + POWER_OFF_SIGNAL) {
            tracing::error!(%error, "cannot press the power button");
        }
    }
}

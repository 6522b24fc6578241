//! A rack without the rest of the product: `rack up|down|status NAME`, `rack power NAME SERVER on|off|cut|reset`,
//! `rack exec NAME PROGRAM …`, `rack console NAME SERVER`.

use std::path::Path;

use anyhow::{Context, bail};
use ashlar_lab::{DAEMON_ARGUMENT, PowerAction, RackSpec};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [DAEMON_ARGUMENT, directory] => {
            ashlar_lab::daemon::log_to_stderr();
            ashlar_lab::daemon::run(Path::new(directory)).await?;
        }
        ["up", name] => print(&ashlar_lab::up(&RackSpec::standard(name, 3, 0)).await?)?,
        ["status", name] => print(&ashlar_lab::status(name).await?)?,
        ["down", name] => ashlar_lab::down(name).await?,
        ["console", name, server] => {
            ashlar_lab::console(name, server, false, &mut std::io::stdout()).await?;
        }
        ["power", name, server, action] => {
            let action: PowerAction =
                serde_json::from_value((*action).into()).context("reading the action")?;
            ashlar_lab::power(name, server, action).await?;
        }
        ["exec", name, ..] => match ashlar_lab::exec(name, &arguments[2..])? {},
        _ => bail!(
            "usage: rack up|down|status NAME, power NAME SERVER ACTION, exec NAME PROGRAM, console NAME SERVER"
        ),
    }
    Ok(())
}

fn print(status: &ashlar_lab::Status) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(status)?);
    Ok(())
}

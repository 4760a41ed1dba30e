//! `skep devnet`: a whole network on this machine.
//!
//! ```text
//! DIR/devnet.json      says that DIR is ours, and how far the network has come
//! DIR/processes.json   what runs: process ids with start times, commands, logs
//! DIR/chain/NAME       state of one chain node
//! DIR/chain/checkpoint.json  what clients prove the roster from
//! DIR/nodes/NN         key, proof, configuration and mailbox of one messaging node
//! DIR/logs/NAME.log    what each process says
//! DIR/demo             the accounts of the last demonstration
//! ```

mod demo;
mod layout;
mod process;
mod progress;
mod stakes;
mod status;
mod up;

use crate::{context::Context, failure::Failure};
use clap::{Args, Subcommand};
use etcetera::{AppStrategy, AppStrategyArgs, choose_app_strategy};
use layout::Layout;
use process::Processes;
use serde::Serialize;
use std::{fmt, path::PathBuf};

/// Run a whole network on this machine
#[derive(Debug, Args)]
pub(crate) struct DevnetArgs {
    /// Directory of the network [default: skep/devnet in the user's state directory]
    #[arg(long, global = true, value_name = "DIR", env = "SKEP_DEVNET")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: DevnetCommand,
}

#[derive(Debug, Subcommand)]
enum DevnetCommand {
    /// Start 4 chain nodes and 24 messaging nodes, and lock stake behind each of these
    Up(up::UpArgs),
    /// Let two new people meet and write to each other; starts the network for that if it is not up
    Demo(demo::DemoArgs),
    /// Show processes, heights, swarms and memory
    Status,
    /// Stop every process of the network
    Down,
    /// Stop one process, as `status` names it
    Stop {
        /// The process.
        name: String,
        /// Kill it (SIGKILL) instead of asking it to stop
        #[arg(long)]
        kill: bool,
    },
    /// Start one stopped process again
    Start {
        /// The process.
        name: String,
    },
}

/// Runs one devnet command.
pub(crate) async fn run(args: DevnetArgs, context: &Context) -> Result<(), Failure> {
    if !cfg!(target_os = "linux") {
        return Err(Failure::usage("a devnet needs Linux: its nodes listen on 127.0.1.1, 127.0.2.1 and so on"));
    }
    let layout = Layout::new(args.dir.map_or_else(state_dir, Ok)?);
    match args.command {
        DevnetCommand::Up(args) => up::run(args, &layout, context).await,
        DevnetCommand::Demo(args) => demo::run(args, &layout, context).await,
        DevnetCommand::Status => status::run(&layout, context).await,
        DevnetCommand::Down => {
            let stopped = down(&layout).await?;
            context.output().answer(&Stopped { stopped });
            Ok(())
        }
        DevnetCommand::Stop { name, kill } => {
            let mut processes = Processes::open(&layout)?;
            processes.stop(&name, kill).await?;
            context.output().answer(&Stopped { stopped: vec![name] });
            Ok(())
        }
        DevnetCommand::Start { name } => {
            Processes::open(&layout)?.restart(&name)?;
            context.output().answer(&Started { started: name });
            Ok(())
        }
    }
}

/// Stops every recorded process; names those that ran.
async fn down(layout: &Layout) -> Result<Vec<String>, Failure> {
    Ok(Processes::open(layout)?.stop_all().await?)
}

fn state_dir() -> Result<PathBuf, Failure> {
    let names = AppStrategyArgs { top_level_domain: String::new(), author: String::new(), app_name: "skep".into() };
    let strategy = choose_app_strategy(names)
        .map_err(|_| Failure::usage("there is no home directory: say with --dir where to keep the devnet"))?;
    Ok(strategy.state_dir().unwrap_or_else(|| strategy.data_dir()).join("devnet"))
}

#[derive(Serialize)]
struct Stopped {
    stopped: Vec<String>,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stopped.as_slice() {
            [] => write!(f, "Nothing was running."),
            [one] => write!(f, "Stopped {one}."),
            many => write!(f, "Stopped {} processes.", many.len()),
        }
    }
}

#[derive(Serialize)]
struct Started {
    started: String,
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Started {}.", self.started)
    }
}

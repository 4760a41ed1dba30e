//! How much memory a node takes: idle, and with a large store of which mailboxes were read.

use crate::{
    Outcome,
    messages::{Large, NOW, directory, query},
    nodes::{Nodes, runtime},
};
use skep_mailbox::{RocksStore, Store};
use skep_measure::{Aim, Report, Row};
use std::{env, error::Error, fs, io::Write, path::Path, process::Command, sync::Arc};

/// Mailboxes read before memory is looked at.
const READ: u64 = 2000;
const MIB: f64 = 1024.0 * 1024.0;

pub(crate) fn rows(report: &mut Report, large: &Large) -> Outcome {
    let (idle, empty) = ("resident memory idle, in MiB".to_owned(), directory()?);
    let stored = format!("resident memory with {} messages, in MiB", large.messages());
    for (name, is_large) in [(idle, false), (stored, true)] {
        if !report.wants(&name) {
            continue;
        }
        let path = if is_large { large.path()? } else { empty.path() };
        // Processes of their own: memory that was used before does not count.
        let told = (0..report.runs().min(3)).map(|_| ask(path)).collect::<Result<Vec<_>, _>>()?;
        let row = Row { name, aim: Aim::None, ratios: told, detail: "a whole node".to_owned() };
        report.tell(&row)?;
    }
    Ok(())
}

fn ask(store: &Path) -> Result<f64, Box<dyn Error>> {
    let told = Command::new(env::current_exe()?).arg("resident").arg(store).output()?;
    if !told.status.success() {
        return Err(String::from_utf8_lossy(&told.stderr).into_owned().into());
    }
    Ok(String::from_utf8(told.stdout)?.trim().parse::<f64>()? / MIB)
}

/// Is a node with this store for a moment, and tells its resident bytes.
pub(crate) fn resident(store: &Path) -> Outcome {
    let store = Arc::new(RocksStore::open(store, u64::MAX)?);
    let runtime = runtime()?;
    let nodes = runtime.block_on(Nodes::start(vec![Arc::clone(&store) as Arc<dyn Store>]))?;
    for mailbox in 0..READ {
        store.retrieve(&query(mailbox), NOW)?;
    }
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("the system does not tell")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    writeln!(std::io::stdout(), "{}", kib * 1024)?;
    runtime.block_on(nodes.stop());
    Ok(())
}

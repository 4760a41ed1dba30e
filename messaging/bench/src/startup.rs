//! How long a node takes to open its message store when it starts, with nothing of it in memory.

use crate::{Outcome, messages::Large};
use skep_mailbox::{RocksStore, Store};
use skep_measure::{Aim, Report, Row, duration, quartiles, time};
use std::{
    error::Error,
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// How long it may take with a million messages (s).
const LIMIT: f64 = 5.0;

pub(crate) fn rows(report: &mut Report, large: &Large) -> Outcome {
    let name = format!("startup: the store of {} messages opened cold, vs 5 s", large.messages());
    if !report.wants(&name) {
        return Ok(());
    }
    let path = large.path()?;
    let open = || -> Result<f64, Box<dyn Error>> {
        forget(path)?;
        let mut opened = None;
        // As a node does: its quotas bound it, and what replication compares is counted.
        let seconds = time(|| opened = Some(RocksStore::open(path, u64::MAX)));
        let store = opened.ok_or("the store was not opened")??;
        let found = store.usage().messages;
        if found == large.messages() { Ok(seconds) } else { Err(format!("{found} messages were found").into()) }
    };
    let starts = (0..report.runs()).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
    let detail = duration(quartiles(&starts).median);
    let ratios = starts.iter().map(|seconds| seconds / LIMIT).collect();
    Ok(report.tell(&Row { name, aim: Aim::AtMost(1.0), ratios, detail })?)
}

/// Has the system drop what it holds of these files in memory. This needs no rights, and leaves other programs' files alone.
fn forget(store: &Path) -> Outcome {
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        let mut of = std::ffi::OsString::from("of=");
        of.push(&path);
        // What is not on disk yet stays in memory: so it is synced, and dropped then.
        let ended = Command::new("dd")
            .arg(of)
            .args(["oflag=nocache", "conv=notrunc,fdatasync", "count=0"])
            .stdin(Stdio::null())
            .output()?;
        if !ended.status.success() {
            return Err(String::from_utf8_lossy(&ended.stderr).into_owned().into());
        }
    }
    Ok(())
}

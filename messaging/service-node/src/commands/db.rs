//! `skep-messaging db`

use super::{Outcome, say};
use clap::{Args, Subcommand};
use serde_json::json;
use skep_mailbox::{Contents, Recount, RocksStore};
use skep_messaging::config::Config;
use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

/// Looks after the message store of a node that is stopped.
#[derive(Debug, Args)]
pub(crate) struct Db {
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Debug, Subcommand)]
enum DbCommand {
    /// Tells what the store holds
    Stats(Store),
    /// Reads every entry and tells what is wrong: each message's hash, indexes both ways, buckets of expiries, totals
    #[command(after_help = "Exit code: 0 if the store is sound, 3 if it is not, 1 if that could not be found out.")]
    Verify(Store),
    /// Counts every account's mail anew, which quotas go by, and puts wrong counts right
    Recount(Store),
    /// Gives the room of removed messages back to the disk; needs about as much again while it runs
    Compact(Store),
}

#[derive(Debug, Args)]
struct Store {
    /// The node's configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// The store is not sound.
#[derive(Debug, thiserror::Error)]
#[error(
    "the message store has {0} faults. Keep a copy of it, then start with an empty directory: the other members of the swarm \
     hand over what it held"
)]
pub(crate) struct Unsound(u64);

/// Beyond this many, faults are counted and not told one by one.
const MOST_TOLD: usize = 100;

impl Db {
    pub(super) fn run(self) -> Outcome {
        match self.command {
            DbCommand::Stats(store) => store.stats(),
            DbCommand::Verify(store) => store.verify(),
            DbCommand::Recount(store) => store.recount(),
            DbCommand::Compact(store) => store.compact(),
        }
    }
}

impl Store {
    fn open(&self) -> Result<(RocksStore, PathBuf), Box<dyn std::error::Error>> {
        let path = Config::load(&self.config)?.message_store();
        Ok((RocksStore::open_existing(&path)?, path))
    }

    fn stats(&self) -> Outcome {
        let (store, path) = self.open()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let contents = store.contents(u64::try_from(now)?)?;
        if self.json {
            let Contents { accounts, expired, largest_account_bytes, file_bytes, .. } = contents;
            let mut answer = counts(&contents);
            answer["accounts"] = accounts.into();
            answer["expired"] = expired.into();
            answer["largest_account_bytes"] = largest_account_bytes.into();
            answer["file_bytes"] = file_bytes.into();
            return Ok(say(&answer.to_string())?);
        }
        say(&format!("{}", path.display()))?;
        for (what, number) in [
            ("messages", contents.messages),
            ("  their bytes", contents.message_bytes),
            ("  expired, not removed yet", contents.expired),
            ("accounts", contents.accounts),
            ("  bytes of the largest", contents.largest_account_bytes),
            ("orders", contents.orders),
            ("  their bytes", contents.order_bytes),
            ("revoked subaccounts", contents.revocations),
            ("bytes of files", contents.file_bytes),
        ] {
            say(&format!("{what:<28}{number:>16}"))?;
        }
        Ok(())
    }

    fn verify(&self) -> Outcome {
        let (store, _) = self.open()?;
        let (mut number, mut told, mut failed) = (0_u64, Vec::new(), Ok(()));
        let contents = store.verify(&mut |fault| {
            number += 1;
            if told.len() < MOST_TOLD {
                if !self.json && failed.is_ok() {
                    failed = say(&fault.to_string());
                }
                told.push(fault.to_string());
            }
        })?;
        failed?;
        if self.json {
            let mut answer = counts(&contents);
            answer["sound"] = (number == 0).into();
            answer["faults"] = number.into();
            answer["first_faults"] = told.into();
            say(&answer.to_string())?;
        } else {
            let Contents { messages, orders, revocations, .. } = contents;
            say(&format!("{messages} messages, {orders} orders and {revocations} revocations read, {number} faults"))?;
        }
        if number == 0 { Ok(()) } else { Err(Unsound(number).into()) }
    }

    fn recount(&self) -> Outcome {
        let (store, _) = self.open()?;
        let Recount { wrong_accounts, wrong_total, usage, .. } = store.recount(true)?;
        if self.json {
            let (messages, bytes) = (usage.messages, usage.bytes);
            let answer = json!({
                "mended_accounts": wrong_accounts, "mended_total": wrong_total, "messages": messages, "bytes": bytes,
            });
            return Ok(say(&answer.to_string())?);
        }
        let total = if wrong_total { "put right" } else { "right" };
        Ok(say(&format!(
            "{} messages counted: {wrong_accounts} accounts put right, the total was {total}",
            usage.messages
        ))?)
    }

    fn compact(&self) -> Outcome {
        let (store, _) = self.open()?;
        let before = store.file_bytes()?;
        store.compact()?;
        let after = store.file_bytes()?;
        if self.json {
            return Ok(say(&json!({ "file_bytes_before": before, "file_bytes": after }).to_string())?);
        }
        Ok(say(&format!("{before} bytes of files before, {after} now"))?)
    }
}

fn counts(contents: &Contents) -> serde_json::Value {
    let Contents { messages, message_bytes, orders, order_bytes, revocations, .. } = contents;
    json!({
        "messages": messages,
        "message_bytes": message_bytes,
        "orders": orders,
        "order_bytes": order_bytes,
        "revocations": revocations,
    })
}

//! What a store takes from those who write while much is changed: a large store's messages at the end of their lives, or all of a
//! mailbox by its owner's order.

use crate::{
    Outcome,
    messages::{self, Large, NOW, account, record, records},
    nodes::runtime,
    store::store_all,
};
use skep_mailbox::{Change, Changed, RocksStore, Store, WriteError, Writer};
use skep_measure::{Aim, Report, Row, duration, quartiles};
use skep_proto::storage::Scope;
use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tokio::sync::oneshot;

const WRITERS: usize = 64;
const STORES: usize = 2048;
/// What a node removes in one go.
const BATCH: usize = 100;
/// Messages of one mailbox: as many as a quota allows.
const MAILBOX: u64 = 100_000;
/// How often an owner says that all of it is to end earlier.
const ORDERS: u64 = 5;

/// What was measured of a store at work.
struct Measured<T> {
    /// What the work came to.
    work: T,
    /// How long it took (s).
    took: f64,
    /// How long a store waits beside it, and without it.
    waits: String,
    ratios: Vec<f64>,
}

/// Stores by many writers, alone and beside some work.
fn beside<T: Send + 'static>(
    report: &Report,
    writer: &Arc<Writer>,
    work: impl Future<Output = Result<T, WriteError>> + Send + 'static,
) -> Result<Measured<T>, Box<dyn Error>> {
    let runtime = runtime()?;
    let store_some = |number| -> Result<f64, Box<dyn Error>> {
        let records = records(number);
        let begun = Instant::now();
        runtime.block_on(store_all(writer, records, WRITERS))?;
        Ok(begun.elapsed().as_secs_f64() / number as f64)
    };
    let alone = (0..report.runs()).map(|_| store_some(STORES)).collect::<Result<Vec<_>, _>>()?;
    let is_done = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let working = {
        let is_done = Arc::clone(&is_done);
        runtime.spawn(async move {
            let outcome = work.await;
            is_done.store(true, Ordering::Relaxed);
            outcome
        })
    };
    let mut under_way = Vec::new();
    while !is_done.load(Ordering::Relaxed) {
        under_way.push(store_some(STORES)?);
    }
    let work = runtime.block_on(working)??;
    let took = begun.elapsed().as_secs_f64();
    let before = quartiles(&alone).median;
    let ratios = under_way.iter().map(|seconds| before / seconds).collect();
    // Each writer waits for its message, so a message waits as long as all writers' take.
    let waits = |seconds: f64| duration(seconds * WRITERS as f64);
    let waits = format!("a store waits {} against {}", waits(quartiles(&under_way).median), waits(before));
    Ok(Measured { work, took, waits, ratios })
}

/// Uses the store up.
pub(crate) fn rows(report: &mut Report, large: &Large) -> Outcome {
    at_the_end(report, large)?;
    by_order(report)
}

fn at_the_end(report: &mut Report, large: &Large) -> Outcome {
    let name = format!("store by {WRITERS} writers during expiry of {}, vs without", large.messages());
    if !report.wants(&name) {
        return Ok(());
    }
    let store = Arc::new(large.open()?);
    let kept = store.usage().messages;
    let writer = Arc::new(Writer::start(Arc::clone(&store) as Arc<dyn Store>)?);
    let expiring = {
        let writer = Arc::clone(&writer);
        async move {
            let (mut removed, mut examined) = (0, 0);
            loop {
                let (done, outcome) = oneshot::channel();
                writer.expire(Large::end(), BATCH, move |outcome| {
                    let _ = done.send(outcome);
                });
                match outcome.await.unwrap_or(Err(WriteError::Closed)) {
                    Ok(expired) => {
                        removed += expired.removed as u64;
                        examined += expired.examined as u64;
                        if !expired.more {
                            return Ok((removed, examined));
                        }
                    }
                    // The queue is full for a moment, as it may be for anybody.
                    Err(WriteError::Busy) => tokio::task::yield_now().await,
                    Err(error) => return Err(error),
                }
            }
        }
    };
    let Measured { work: (removed, examined), took, waits, ratios } = beside(report, &writer, expiring)?;
    if removed != kept {
        return Err(format!("{removed} of {kept} messages were removed").into());
    }
    let took = duration(took);
    let each = examined as f64 / removed as f64;
    let detail = format!("{removed} removed in {took}, {each:.3} entries looked at for each; {waits}");
    Ok(report.tell(&Row { name, aim: Aim::None, ratios, detail })?)
}

fn by_order(report: &mut Report) -> Outcome {
    let name = format!("store by {WRITERS} writers while {MAILBOX} are to end earlier, vs without");
    if !report.wants(&name) {
        return Ok(());
    }
    const LONG: u64 = 1_000_000_000;
    let directory = messages::directory()?;
    let store = Arc::new(RocksStore::open(directory.path(), u64::MAX)?);
    let owner = account(u64::MAX);
    for _ in 0..MAILBOX / 500 {
        store.put(&(0..500).map(|_| record(owner, NOW + LONG)).collect::<Vec<_>>(), NOW)?;
    }
    store.sync()?;
    let writer = Arc::new(Writer::start(Arc::clone(&store) as Arc<dyn Store>)?);
    let ordering = {
        let writer = Arc::clone(&writer);
        async move {
            let mut changed = 0;
            for number in 1..=ORDERS {
                let expiry = NOW + LONG - number;
                let limit = Change::LimitExpiry { account: owner, scope: Scope::All, expiry, at: NOW };
                let (done, outcome) = oneshot::channel();
                writer.change(limit, None, NOW, move |outcome| {
                    let _ = done.send(outcome);
                });
                match outcome.await.unwrap_or(Err(WriteError::Closed))? {
                    Changed::Messages(touched) => changed += touched.len() as u64,
                    Changed::Tokens(_) | Changed::Unkept(_) => {}
                }
            }
            Ok(changed)
        }
    };
    let Measured { work: changed, took, waits, ratios } = beside(report, &writer, ordering)?;
    if changed != ORDERS * MAILBOX {
        return Err(format!("{changed} messages were changed by {ORDERS} orders about {MAILBOX}").into());
    }
    let detail = format!("{ORDERS} orders in {}; {waits}", duration(took));
    Ok(report.tell(&Row { name, aim: Aim::None, ratios, detail })?)
}

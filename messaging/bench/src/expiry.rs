//! Removing a large store's messages at the end of their lives, while others are stored.

use crate::{
    Outcome,
    messages::{Large, records},
    nodes::runtime,
    store::store_all,
};
use skep_mailbox::{Store, Writer};
use skep_measure::{Aim, Report, Row, duration, quartiles};
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

/// Uses the store up.
pub(crate) fn rows(report: &mut Report, large: &Large) -> Outcome {
    let name = format!("store by {WRITERS} writers during expiry of {}, vs without", large.messages());
    if !report.wants(&name) {
        return Ok(());
    }
    let store = Arc::new(large.open()?);
    let kept = store.usage().messages;
    let writer = Arc::new(Writer::start(Arc::clone(&store) as Arc<dyn Store>)?);
    let runtime = runtime()?;
    let store_some = |number| -> Result<f64, Box<dyn Error>> {
        let records = records(number);
        let begun = Instant::now();
        runtime.block_on(store_all(&writer, records, WRITERS))?;
        Ok(begun.elapsed().as_secs_f64() / number as f64)
    };
    let alone = (0..report.runs()).map(|_| store_some(STORES)).collect::<Result<Vec<_>, _>>()?;
    let is_done = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let expiring = {
        let (writer, is_done) = (Arc::clone(&writer), Arc::clone(&is_done));
        runtime.spawn(async move {
            let (mut removed, mut examined) = (0, 0);
            loop {
                let (done, outcome) = oneshot::channel();
                writer.expire(Large::end(), BATCH, move |outcome| {
                    let _ = done.send(outcome);
                });
                match outcome.await {
                    Ok(Ok(expired)) => {
                        removed += expired.removed as u64;
                        examined += expired.examined as u64;
                        if !expired.more {
                            break;
                        }
                    }
                    // The queue is full for a moment, as it may be for anybody.
                    Ok(Err(_)) => tokio::task::yield_now().await,
                    Err(_) => break,
                }
            }
            is_done.store(true, Ordering::Relaxed);
            (removed, examined)
        })
    };
    let mut under_way = Vec::new();
    while !is_done.load(Ordering::Relaxed) {
        under_way.push(store_some(STORES)?);
    }
    let (removed, examined) = runtime.block_on(expiring)?;
    let took = begun.elapsed().as_secs_f64();
    if removed != kept {
        return Err(format!("{removed} of {kept} messages were removed").into());
    }
    let before = quartiles(&alone).median;
    let ratios = under_way.iter().map(|seconds| before / seconds).collect();
    // Each writer waits for its message, so a message waits as long as all writers' take.
    let waits = |seconds: f64| duration(seconds * WRITERS as f64);
    let detail = format!(
        "{removed} removed in {}, {:.3} entries looked at for each; a store waits {} against {}",
        duration(took),
        examined as f64 / removed as f64,
        waits(quartiles(&under_way).median),
        waits(before)
    );
    Ok(report.tell(&Row { name, aim: Aim::None, ratios, detail })?)
}

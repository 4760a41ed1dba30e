//! Group commit: many requests, one sync.

use crate::{Expired, Put, Record, Store, StoreError};
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

/// Requests that may wait for the disk. Beyond this, the node is busy and says so.
const QUEUE: usize = 256;
/// Most records one sync covers.
const BATCH_RECORDS: usize = 128;
/// Most bytes one sync covers, give or take one record.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The only one who writes to a store: a thread that takes what is waiting, puts it, syncs once, and then answers.
///
/// ```text
/// put() --bounded queue--> take all waiting -> Store::put -> Store::sync -> every `done`
/// ```
///
/// Dropping it writes what is queued and waits for that.
#[derive(Debug)]
pub struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// Why something was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The queue is full.
    #[error("the message store is busy; try again")]
    Busy,
    /// The writer has stopped.
    #[error("the message store is closed")]
    Closed,
    /// The store failed; nothing is acknowledged.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Done<T> = Box<dyn FnOnce(Result<T, WriteError>) + Send>;

#[expect(clippy::large_enum_variant, reason = "most jobs are puts")]
enum Job {
    Put { record: Record, now: u64, done: Done<Put> },
    Expire { now: u64, limit: usize, done: Done<Expired> },
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's, if it has no thread left.
    pub fn start(store: Arc<dyn Store>) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        let thread = Builder::new().name("mailbox-writer".into()).spawn(move || write(&*store, &jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues `record` and returns at once. `done` is called on the writer's thread once the record is durable, or with the
    /// reason why it is not; it must be quick.
    pub fn put(&self, record: Record, now: u64, done: impl FnOnce(Result<Put, WriteError>) + Send + 'static) {
        self.queue(Job::Put { record, now, done: Box::new(done) });
    }

    /// Queues a round of expiry, as [`Writer::put`] does.
    pub fn expire(&self, now: u64, limit: usize, done: impl FnOnce(Result<Expired, WriteError>) + Send + 'static) {
        self.queue(Job::Expire { now, limit, done: Box::new(done) });
    }

    fn queue(&self, job: Job) {
        let Some(queue) = &self.queue else { return job.refuse(WriteError::Closed) };
        match queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => job.refuse(WriteError::Busy),
            Err(TrySendError::Disconnected(job)) => job.refuse(WriteError::Closed),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl Job {
    fn refuse(self, why: WriteError) {
        match self {
            Self::Put { done, .. } => done(Err(why)),
            Self::Expire { done, .. } => done(Err(why)),
        }
    }
}

fn write(store: &dyn Store, jobs: &Receiver<Job>) {
    let mut records = Vec::new();
    let mut waiting = Vec::new();
    while let Ok(first) = jobs.recv() {
        let mut clock = 0;
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Put { record, now, done } => {
                    clock = clock.max(now);
                    bytes += record.deposit().data.len();
                    records.push(record);
                    waiting.push(done);
                }
                // Removing needs no sync of its own: if it is lost, it is done again.
                Job::Expire { now, limit, done } => done(store.expire(now, limit).map_err(WriteError::from)),
            }
            if records.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
                next = jobs.try_recv().ok();
            }
        }
        if records.is_empty() {
            continue;
        }
        match store.put(&records, clock).and_then(|outcomes| store.sync().map(|()| outcomes)) {
            Ok(outcomes) => waiting.drain(..).zip(outcomes).for_each(|(done, outcome)| done(Ok(outcome))),
            Err(error) => waiting.drain(..).for_each(|done| done(Err(error.clone().into()))),
        }
        records.clear();
    }
}

#[cfg(test)]
mod tests;

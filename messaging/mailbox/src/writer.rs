//! Group commit: many requests, one sync.

use crate::{Change, Changed, Expired, Order, Put, Record, Store, StoreError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

/// Requests that may wait for the disk. Beyond this, the node is busy and says so.
const QUEUE: usize = 256;
/// Most records one sync covers, give or take one order.
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
    backlog: Arc<Backlog>,
}

/// How many jobs wait.
#[derive(Debug, Default)]
struct Backlog {
    waiting: AtomicUsize,
    /// The most since it was last asked.
    peak: AtomicUsize,
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

type Synced = Box<dyn FnOnce(Result<(), WriteError>)>;
type Done<T> = Box<dyn FnOnce(Result<T, WriteError>) + Send>;

#[expect(clippy::large_enum_variant, reason = "most jobs are puts")]
enum Job {
    Put { record: Record, now: u64, done: Done<Put> },
    Change { change: Change, order: Option<Order>, now: u64, done: Done<Changed> },
    Expire { now: u64, limit: usize, done: Done<Expired> },
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's, if it has no thread left.
    pub fn start(store: Arc<dyn Store>) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        let backlog = Arc::<Backlog>::default();
        let counted = Arc::clone(&backlog);
        let thread = Builder::new().name("mailbox-writer".into()).spawn(move || write(&*store, &jobs, &counted))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), backlog })
    }

    /// How full the queue has been since this was last asked, in percent.
    pub fn pressure(&self) -> u8 {
        let peak = self.backlog.peak.swap(self.backlog.waiting.load(Ordering::Relaxed), Ordering::Relaxed);
        u8::try_from(peak.min(QUEUE) * 100 / QUEUE).unwrap_or(100)
    }

    /// Queues `record` and returns at once. `done` is called on the writer's thread once the record is durable, or with the
    /// reason why it is not; it must be quick.
    pub fn put(&self, record: Record, now: u64, done: impl FnOnce(Result<Put, WriteError>) + Send + 'static) {
        self.queue(Job::Put { record, now, done: Box::new(done) });
    }

    /// Queues an owner's order, as [`Writer::put`] does. What was queued before is done before.
    pub fn change(
        &self,
        change: Change,
        order: Option<Order>,
        now: u64,
        done: impl FnOnce(Result<Changed, WriteError>) + Send + 'static,
    ) {
        self.queue(Job::Change { change, order, now, done: Box::new(done) });
    }

    /// Queues a round of expiry, as [`Writer::put`] does.
    pub fn expire(&self, now: u64, limit: usize, done: impl FnOnce(Result<Expired, WriteError>) + Send + 'static) {
        self.queue(Job::Expire { now, limit, done: Box::new(done) });
    }

    fn queue(&self, job: Job) {
        let Some(queue) = &self.queue else { return job.refuse(WriteError::Closed) };
        // Counted first: the thread may take it at once.
        let waiting = self.backlog.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        self.backlog.peak.fetch_max(waiting, Ordering::Relaxed);
        let (job, why) = match queue.try_send(job) {
            Ok(()) => return,
            Err(TrySendError::Full(job)) => (job, WriteError::Busy),
            Err(TrySendError::Disconnected(job)) => (job, WriteError::Closed),
        };
        self.backlog.waiting.fetch_sub(1, Ordering::Relaxed);
        job.refuse(why);
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
            Self::Change { done, .. } => done(Err(why)),
            Self::Expire { done, .. } => done(Err(why)),
        }
    }
}

/// What one sync will cover.
struct Round<'a> {
    store: &'a dyn Store,
    clock: u64,
    records: Vec<Record>,
    depositors: Vec<Done<Put>>,
    /// Told once it is durable, or why it is not.
    waiting: Vec<Synced>,
    jobs: usize,
    bytes: usize,
}

impl Round<'_> {
    fn has_room(&self) -> bool {
        self.jobs < BATCH_RECORDS && self.bytes < BATCH_BYTES
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Put { record, now, done } => {
                self.clock = self.clock.max(now);
                self.jobs += 1;
                self.bytes += record.deposit().data.len();
                self.records.push(record);
                self.depositors.push(done);
            }
            Job::Change { change, order, now, done } => {
                self.clock = self.clock.max(now);
                self.jobs += change.weight();
                self.put_all();
                match self.store.change(&change, order.as_ref(), self.clock) {
                    Ok(changed) => self.waiting.push(Box::new(|synced| done(synced.map(|()| changed)))),
                    Err(error) => done(Err(error.into())),
                }
            }
            // Removing needs no sync of its own: if it is lost, it is done again.
            Job::Expire { now, limit, done } => done(self.store.expire(now, limit).map_err(WriteError::from)),
        }
    }

    fn put_all(&mut self) {
        if self.records.is_empty() {
            return;
        }
        match self.store.put(&self.records, self.clock) {
            Ok(outcomes) => {
                for (done, outcome) in self.depositors.drain(..).zip(outcomes) {
                    self.waiting.push(Box::new(move |synced| done(synced.map(|()| outcome))));
                }
            }
            Err(error) => self.depositors.drain(..).for_each(|done| done(Err(error.clone().into()))),
        }
        self.records.clear();
    }

    fn finish(mut self) {
        self.put_all();
        if self.waiting.is_empty() {
            return;
        }
        let synced = self.store.sync().map_err(WriteError::from);
        self.waiting.into_iter().for_each(|answer| answer(synced.clone()));
    }
}

fn write(store: &dyn Store, jobs: &Receiver<Job>, backlog: &Backlog) {
    let taken = |job| {
        backlog.waiting.fetch_sub(1, Ordering::Relaxed);
        job
    };
    while let Ok(first) = jobs.recv().map(taken) {
        let mut round = Round {
            store,
            clock: 0,
            records: Vec::new(),
            depositors: Vec::new(),
            waiting: Vec::new(),
            jobs: 0,
            bytes: 0,
        };
        round.take(first);
        while round.has_room() {
            let Ok(next) = jobs.try_recv().map(taken) else { break };
            round.take(next);
        }
        round.finish();
    }
}

#[cfg(test)]
mod tests;

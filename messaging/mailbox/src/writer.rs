//! Group commit: many requests, one sync.

use crate::{
    Change, Changed, Expired, Order, Put, Record, Store, StoreError, Touched,
    store::{PART_CHANGED, PART_READ},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

/// Requests that may wait to be put. Beyond this, the node is busy and says so. What other members hand over waits beside them.
const QUEUE: usize = 256;
/// Most records put at once, give or take one order.
const BATCH_RECORDS: usize = 128;
/// Most bytes put at once, give or take one record.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Rounds that may have been put and wait for the disk; beyond this, nothing more is put.
const UNSYNCED_ROUNDS: usize = 4;

/// The only one who writes to a store, with two threads: one takes what is waiting and puts it, while the other syncs what was
/// put before, all of it at once, and then answers (decision 41).
///
/// ```text
/// put() --bounded queue--> take all waiting, Store::put --bounded queue--> take all put, Store::sync -> every `done`
/// ```
///
/// Once a sync has failed, nothing is put or acknowledged any more: nobody knows what of all that is on disk. Dropping the
/// writer writes what is queued and waits for that.
#[derive(Debug)]
pub struct Writer {
    queue: Option<SyncSender<Queued>>,
    /// In the order in which they end.
    threads: Vec<JoinHandle<()>>,
    backlog: Arc<Backlog>,
}

/// Whose job it is. All wait in one line, but neither kind takes the other's room (decision 60).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Clients', and the node's own.
    Clients,
    /// What another member hands over, which can wait.
    Members,
}

/// How many jobs wait.
#[derive(Debug, Default)]
struct Backlog {
    clients: AtomicUsize,
    /// The most since it was last asked.
    peak: AtomicUsize,
    members: AtomicUsize,
}

impl Backlog {
    /// Counts a job. False if there is no room for it.
    fn add(&self, lane: Lane) -> bool {
        let (waiting, most) = match lane {
            Lane::Clients => (&self.clients, QUEUE),
            Lane::Members => (&self.members, Writer::HANDED_OVER),
        };
        let number = waiting.fetch_add(1, Ordering::Relaxed) + 1;
        if lane == Lane::Clients {
            self.peak.fetch_max(number, Ordering::Relaxed);
        }
        let fits = number <= most;
        if !fits {
            self.remove(lane);
        }
        fits
    }

    fn remove(&self, lane: Lane) {
        match lane {
            Lane::Clients => self.clients.fetch_sub(1, Ordering::Relaxed),
            Lane::Members => self.members.fetch_sub(1, Ordering::Relaxed),
        };
    }
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

type Synced = Box<dyn FnOnce(Result<(), WriteError>) + Send>;
type Done<T> = Box<dyn FnOnce(Result<T, WriteError>) + Send>;

#[expect(clippy::large_enum_variant, reason = "most jobs are puts")]
enum Job {
    Put { record: Record, now: u64, done: Done<Put> },
    Change { change: Change, order: Option<Order>, now: u64, done: Done<Changed> },
    Expire { now: u64, limit: usize, done: Done<Expired> },
}

/// A job in the queue.
struct Queued {
    lane: Lane,
    job: Job,
}

impl Writer {
    /// What other members hand over of which so much may wait to be put.
    pub const HANDED_OVER: usize = 64;

    /// Starts the threads.
    ///
    /// # Errors
    /// The system's, if it has no thread left.
    pub fn start(store: Arc<dyn Store>) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE + Self::HANDED_OVER);
        let (put, rounds) = sync_channel(UNSYNCED_ROUNDS);
        let backlog = Arc::<Backlog>::default();
        let broken = Arc::<OnceLock<StoreError>>::default();
        let (counted, written, noted) = (Arc::clone(&backlog), Arc::clone(&store), Arc::clone(&broken));
        let write = move || write(&*written, &jobs, &put, &counted, &broken);
        let threads = vec![
            Builder::new().name("mailbox-writer".into()).spawn(write)?,
            Builder::new().name("mailbox-syncer".into()).spawn(move || sync(&*store, &rounds, &noted))?,
        ];
        Ok(Self { queue: Some(queue), threads, backlog })
    }

    /// How full clients' room in the queue has been since this was last asked, in percent.
    pub fn pressure(&self) -> u8 {
        let peak = self.backlog.peak.swap(self.backlog.clients.load(Ordering::Relaxed), Ordering::Relaxed);
        u8::try_from(peak.min(QUEUE) * 100 / QUEUE).unwrap_or(100)
    }

    /// Queues `record` and returns at once. `done` is called on a thread of the writer once the record is durable, or with the
    /// reason why it is not; it must be quick.
    pub fn put(&self, record: Record, now: u64, done: impl FnOnce(Result<Put, WriteError>) + Send + 'static) {
        self.put_for(Lane::Clients, record, now, done);
    }

    /// The same in whichever lane.
    pub fn put_for(
        &self,
        lane: Lane,
        record: Record,
        now: u64,
        done: impl FnOnce(Result<Put, WriteError>) + Send + 'static,
    ) {
        self.queue(lane, Job::Put { record, now, done: Box::new(done) });
    }

    /// Queues an owner's order, as [`Writer::put`] does. What was queued before is done before, but for orders about whole scopes,
    /// which end later.
    pub fn change(
        &self,
        change: Change,
        order: Option<Order>,
        now: u64,
        done: impl FnOnce(Result<Changed, WriteError>) + Send + 'static,
    ) {
        self.change_for(Lane::Clients, change, order, now, done);
    }

    /// The same in whichever lane.
    pub fn change_for(
        &self,
        lane: Lane,
        change: Change,
        order: Option<Order>,
        now: u64,
        done: impl FnOnce(Result<Changed, WriteError>) + Send + 'static,
    ) {
        self.queue(lane, Job::Change { change, order, now, done: Box::new(done) });
    }

    /// Queues a round of expiry, as [`Writer::put`] does.
    pub fn expire(&self, now: u64, limit: usize, done: impl FnOnce(Result<Expired, WriteError>) + Send + 'static) {
        self.queue(Lane::Clients, Job::Expire { now, limit, done: Box::new(done) });
    }

    fn queue(&self, lane: Lane, job: Job) {
        let Some(queue) = &self.queue else { return job.refuse(WriteError::Closed) };
        // Counted first: the thread may take it at once.
        if !self.backlog.add(lane) {
            return job.refuse(WriteError::Busy);
        }
        let (Queued { lane, job }, why) = match queue.try_send(Queued { lane, job }) {
            Ok(()) => return,
            Err(TrySendError::Full(queued)) => (queued, WriteError::Busy),
            Err(TrySendError::Disconnected(queued)) => (queued, WriteError::Closed),
        };
        self.backlog.remove(lane);
        job.refuse(why);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A panic there has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl Job {
    fn comes_in_parts(&self) -> bool {
        matches!(self, Self::Change { change, .. } if change.is_scoped())
    }

    fn refuse(self, why: WriteError) {
        match self {
            Self::Put { done, .. } => done(Err(why)),
            Self::Change { done, .. } => done(Err(why)),
            Self::Expire { done, .. } => done(Err(why)),
        }
    }
}

/// An order about a whole scope, which is carried out part by part: a part a round.
struct Unfinished {
    lane: Lane,
    change: Change,
    order: Option<Order>,
    now: u64,
    done: Done<Changed>,
    touched: Vec<Touched>,
    /// Where the next part goes on.
    next: Option<Vec<u8>>,
}

/// What is put at once.
struct Round<'a> {
    store: &'a dyn Store,
    unfinished: &'a mut VecDeque<Unfinished>,
    backlog: &'a Backlog,
    clock: u64,
    records: Vec<Record>,
    depositors: Vec<Done<Put>>,
    /// Told once it is durable, or why it is not.
    waiting: Vec<Synced>,
    /// Comes last, and ends the round: nobody's message waits for it.
    expiry: Option<(u64, usize, Done<Expired>)>,
    jobs: usize,
    bytes: usize,
}

impl Round<'_> {
    fn has_room(&self) -> bool {
        self.jobs < BATCH_RECORDS && self.bytes < BATCH_BYTES && self.expiry.is_none()
    }

    fn take(&mut self, Queued { lane, job }: Queued) {
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
                if change.is_scoped() {
                    let (touched, next) = (Vec::new(), None);
                    self.unfinished.push_back(Unfinished { lane, change, order, now, done, touched, next });
                    return;
                }
                self.put_all();
                match self.store.change(&change, order.as_ref(), self.clock) {
                    Ok(changed) => self.waiting.push(Box::new(|synced| done(synced.map(|()| changed)))),
                    Err(error) => done(Err(error.into())),
                }
            }
            Job::Expire { now, limit, done } => self.expiry = Some((now, limit, done)),
        }
    }

    /// Goes on with orders that are carried out part by part. What was queued before them has been put.
    fn go_on(&mut self) {
        let (mut changed, mut read) = (0, 0);
        while changed < PART_CHANGED
            && read < PART_READ
            && let Some(mut order) = self.unfinished.pop_front()
        {
            self.put_all();
            self.clock = self.clock.max(order.now);
            match self.store.change_part(&order.change, order.next.take(), self.clock) {
                Ok(part) => {
                    changed += part.touched.len();
                    read += part.read;
                    order.touched.extend(part.touched);
                    order.next = part.next;
                    match order.next {
                        Some(_) => self.unfinished.push_back(order),
                        None => self.end(order),
                    }
                }
                Err(error) => self.give_up(order, error),
            }
        }
    }

    fn give_up(&self, Unfinished { lane, done, .. }: Unfinished, why: StoreError) {
        self.backlog.remove(lane);
        done(Err(why.into()));
    }

    /// Does what is left of an order: what has come since it began, and keeping it.
    fn end(&mut self, Unfinished { lane, change, order, done, touched, .. }: Unfinished) {
        self.backlog.remove(lane);
        match self.store.change(&change, order.as_ref(), self.clock) {
            Ok(changed) => {
                let changed = changed.after(touched);
                self.waiting.push(Box::new(|synced| done(synced.map(|()| changed))));
            }
            Err(error) => done(Err(error.into())),
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

    /// Puts what is left, and hands over who waits for the sync.
    fn finish(mut self, unsynced: &SyncSender<Vec<Synced>>) {
        self.put_all();
        if !self.waiting.is_empty()
            && let Err(unsent) = unsynced.send(self.waiting)
        {
            unsent.0.into_iter().for_each(|answer| answer(Err(WriteError::Closed)));
        }
        if let Some((now, limit, done)) = self.expiry {
            // Removing needs no sync of its own: if it is lost, it is done again.
            done(self.store.expire(now, limit).map_err(WriteError::from));
        }
    }
}

/// Puts, round after round.
fn write(
    store: &dyn Store,
    jobs: &Receiver<Queued>,
    unsynced: &SyncSender<Vec<Synced>>,
    backlog: &Backlog,
    broken: &OnceLock<StoreError>,
) {
    let taken = |queued: Queued| {
        // An order about a whole scope goes on taking its place until it ends.
        if !queued.job.comes_in_parts() {
            backlog.remove(queued.lane);
        }
        queued
    };
    let mut unfinished = VecDeque::new();
    loop {
        // Nobody is waited for while there is something to go on with.
        let first = match unfinished.is_empty() {
            true => Some(jobs.recv().map(taken)).transpose(),
            false => Ok(jobs.try_recv().map(taken).ok()),
        };
        let Ok(first) = first else { return };
        if let Some(why) = broken.get() {
            if let Some(Queued { lane, job }) = first {
                if job.comes_in_parts() {
                    backlog.remove(lane);
                }
                job.refuse(why.clone().into());
            }
            for Unfinished { lane, done, .. } in unfinished.drain(..) {
                backlog.remove(lane);
                done(Err(why.clone().into()));
            }
            continue;
        }
        let mut round = Round {
            store,
            unfinished: &mut unfinished,
            backlog,
            clock: 0,
            records: Vec::new(),
            depositors: Vec::new(),
            waiting: Vec::new(),
            expiry: None,
            jobs: 0,
            bytes: 0,
        };
        first.into_iter().for_each(|queued| round.take(queued));
        while round.has_room() {
            let Ok(next) = jobs.try_recv().map(taken) else { break };
            round.take(next);
        }
        round.go_on();
        round.finish(unsynced);
    }
}

/// Makes rounds durable, as many at once as have been put meanwhile, and answers.
fn sync(store: &dyn Store, rounds: &Receiver<Vec<Synced>>, broken: &OnceLock<StoreError>) {
    while let Ok(mut waiting) = rounds.recv() {
        rounds.try_iter().for_each(|more| waiting.extend(more));
        let synced = match broken.get() {
            Some(why) => Err(why.clone()),
            None => store.sync(),
        };
        if let Err(why) = &synced {
            broken.get_or_init(|| why.clone());
        }
        let synced = synced.map_err(WriteError::from);
        waiting.into_iter().for_each(|answer| answer(synced.clone()));
    }
}

#[cfg(test)]
mod tests;

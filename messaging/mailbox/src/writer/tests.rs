use super::*;
use crate::{
    Allowance, Fetched, ItemName, MemoryStore, NameRange, Page, Part, Query, Quotas, Tally, Usage, suite::record,
};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace, RetrievedMessage, Scope, SubaccountToken},
};
use std::{
    sync::{
        Condvar, Mutex,
        mpsc::{Sender, channel},
    },
    time::{Duration, Instant},
};

/// What happened, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// A put, or a part of an order, found the gate shut, and waits there.
    Held,
    Put(usize),
    Part,
    Sync,
    Answer,
}

/// In so many an order about a whole scope is carried out.
const PARTS: usize = 3;

/// Records what it is asked; puts, parts of orders and syncs wait until their gate opens.
#[derive(Debug)]
struct Watched {
    inner: MemoryStore,
    events: Mutex<Sender<Event>>,
    gate: Gate,
    sync_gate: Gate,
    sync_fails: bool,
}

impl Watched {
    fn note(&self, event: Event) {
        let _ = self.events.lock().unwrap().send(event);
    }

    fn pass_gate(&self) {
        if !*self.gate.0.lock().unwrap() {
            self.note(Event::Held);
        }
        pass(&self.gate);
    }
}

impl Store for Watched {
    fn put(&self, records: &[Record], now: u64) -> Result<Vec<Put>, StoreError> {
        self.pass_gate();
        let outcomes = self.inner.put(records, now);
        self.note(Event::Put(records.len()));
        outcomes
    }

    fn change(&self, change: &Change, order: Option<&Order>, now: u64) -> Result<Changed, StoreError> {
        let changed = self.inner.change(change, order, now);
        self.note(Event::Put(1));
        changed
    }

    fn change_part(&self, _: &Change, from: Option<Vec<u8>>, _: u64) -> Result<Part, StoreError> {
        self.pass_gate();
        self.note(Event::Part);
        let ended = from.map_or(1, |from| from.len() + 1);
        Ok(Part { touched: vec![], read: PART_READ, next: (ended < PARTS).then(|| vec![0; ended]) })
    }

    fn expiries(
        &self,
        account: &AccountAddress,
        messages: &[MessageHash],
        now: u64,
    ) -> Result<Vec<(MessageHash, u64)>, StoreError> {
        self.inner.expiries(account, messages, now)
    }

    fn revoked(&self, account: &AccountAddress) -> Result<Vec<SubaccountToken>, StoreError> {
        self.inner.revoked(account)
    }

    fn newest(&self, change: &Change, now: u64) -> Result<Option<u64>, StoreError> {
        self.inner.newest(change, now)
    }

    fn tally(&self, range: &NameRange) -> Result<Tally, StoreError> {
        self.inner.tally(range)
    }

    fn names(&self, range: &NameRange, limit: usize) -> Result<Vec<ItemName>, StoreError> {
        self.inner.names(range, limit)
    }

    fn cuts(&self, range: &NameRange, parts: usize) -> Result<Vec<ItemName>, StoreError> {
        self.inner.cuts(range, parts)
    }

    fn has(&self, name: &ItemName) -> Result<bool, StoreError> {
        self.inner.has(name)
    }

    fn fetch(&self, name: &ItemName, now: u64) -> Result<Option<Fetched>, StoreError> {
        self.inner.fetch(name, now)
    }

    fn token_orders(&self, account: &AccountAddress, now: u64) -> Result<Vec<Order>, StoreError> {
        self.inner.token_orders(account, now)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.note(Event::Sync);
        pass(&self.sync_gate);
        if self.sync_fails {
            return Err(StoreError::Damaged("the disk"));
        }
        Ok(())
    }

    fn retrieve(&self, query: &Query, now: u64) -> Result<Page, StoreError> {
        self.inner.retrieve(query, now)
    }

    fn expire(&self, now: u64, limit: usize) -> Result<Expired, StoreError> {
        self.inner.expire(now, limit)
    }

    fn message(
        &self,
        account: &AccountAddress,
        namespace: Namespace,
        hash: &MessageHash,
        now: u64,
    ) -> Result<Option<RetrievedMessage>, StoreError> {
        self.inner.message(account, namespace, hash, now)
    }

    fn usage(&self) -> Usage {
        self.inner.usage()
    }

    fn allowance(&self, account: &AccountAddress) -> Result<Allowance, StoreError> {
        self.inner.allowance(account)
    }

    fn set_quotas(&self, quotas: Quotas) {
        self.inner.set_quotas(quotas);
    }
}

type Gate = Arc<(Mutex<bool>, Condvar)>;

fn watched(sync_fails: bool) -> (Arc<Watched>, Sender<Event>, Receiver<Event>, Gate) {
    let (sender, events) = channel();
    let (gate, sync_gate) = (Gate::default(), Gate::default());
    open(&sync_gate);
    let inner = MemoryStore::new(u64::MAX);
    let store = Watched { inner, events: Mutex::new(sender.clone()), gate: Arc::clone(&gate), sync_gate, sync_fails };
    (Arc::new(store), sender, events, gate)
}

fn shut(gate: &Gate) {
    *gate.0.lock().unwrap() = false;
}

/// Waits until the gate is open, but not for ever: a test that fails while it is shut must end.
fn pass(gate: &Gate) {
    let (open, opened) = &**gate;
    let waited = opened.wait_timeout_while(open.lock().unwrap(), Duration::from_secs(60), |open| !*open).unwrap().1;
    assert!(!waited.timed_out(), "nobody opened the gate");
}

fn open(gate: &Gate) {
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

#[test]
fn the_sync_precedes_every_answer_and_serves_many() {
    let (store, answers, events, gate) = watched(false);
    let writer = Writer::start(store).unwrap();
    for number in 0..10 {
        let answers = answers.clone();
        writer.put(record(1, 0, number, 100), 0, move |outcome| {
            assert_eq!(outcome, Ok(Put::Stored { expiry: 100, already: false }));
            answers.send(Event::Answer).unwrap();
        });
    }
    // An order sees what was queued before it, and is answered like the rest.
    let ordered = answers.clone();
    let mine = record(1, 0, 3, 100);
    let delete = Change::Delete { account: mine.deposit().account, messages: vec![mine.hash()], until: u64::MAX };
    writer.change(delete, None, 0, move |outcome| {
        assert!(matches!(outcome, Ok(Changed::Messages(gone)) if gone.len() == 1 && gone[0].hash == mine.hash()));
        ordered.send(Event::Answer).unwrap();
    });
    open(&gate);
    drop(writer);
    drop(answers);
    let events: Vec<_> = events.try_iter().collect();

    let (mut unsynced, mut owed, mut syncs) = (0, 0, 0);
    for event in &events {
        match event {
            Event::Held | Event::Part => {}
            Event::Put(records) => unsynced += records,
            Event::Sync => {
                owed += unsynced;
                unsynced = 0;
                syncs += 1;
            }
            Event::Answer => {
                assert!(owed > 0, "answered before the sync: {events:?}");
                owed -= 1;
            }
        }
    }
    assert_eq!((unsynced, owed), (0, 0), "everything synced was answered: {events:?}");
    // The first put held the thread until all ten had been queued, so at most it and one other sync were needed.
    assert!(syncs <= 2, "one sync for many: {events:?}");
}

#[test]
fn a_failed_sync_acknowledges_nothing() {
    let (store, _, _, gate) = watched(true);
    open(&gate);
    let writer = Writer::start(store).unwrap();
    let (answer, answers) = channel();
    writer.put(record(1, 0, 1, 100), 0, move |outcome| answer.send(outcome).unwrap());
    assert_eq!(answers.recv().unwrap(), Err(WriteError::Store(StoreError::Damaged("the disk"))));
}

#[test]
fn the_next_is_put_while_the_disk_is_at_work_but_waits_for_a_sync_of_its_own() {
    let (store, _, events, gate) = watched(false);
    open(&gate);
    shut(&store.sync_gate);
    let writer = Writer::start(Arc::clone(&store) as Arc<dyn Store>).unwrap();
    let (answer, answers) = channel();
    let put = |number| {
        let answer = answer.clone();
        writer.put(record(1, 0, number, 100), 0, move |outcome| answer.send((number, outcome.is_ok())).unwrap());
    };
    put(1);
    assert_eq!([events.recv().unwrap(), events.recv().unwrap()], [Event::Put(1), Event::Sync]);
    put(2);
    assert_eq!(events.recv().unwrap(), Event::Put(1), "the sync is still under way");
    assert!(answers.try_recv().is_err());
    open(&store.sync_gate);
    assert_eq!(answers.recv().unwrap(), (1, true));
    assert_eq!(events.recv().unwrap(), Event::Sync);
    assert_eq!(answers.recv().unwrap(), (2, true));
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_ever_again() {
    let (store, _, events, gate) = watched(true);
    open(&gate);
    shut(&store.sync_gate);
    let writer = Writer::start(Arc::clone(&store) as Arc<dyn Store>).unwrap();
    let (answer, answers) = channel();
    let put = |number| {
        let answer = answer.clone();
        writer.put(record(1, 0, number, 100), 0, move |outcome| answer.send(outcome).unwrap());
    };
    put(1);
    assert_eq!([events.recv().unwrap(), events.recv().unwrap()], [Event::Put(1), Event::Sync]);
    // Put before the failure is known, and another after it.
    put(2);
    assert_eq!(events.recv().unwrap(), Event::Put(1));
    open(&store.sync_gate);
    let failed = Err(WriteError::Store(StoreError::Damaged("the disk")));
    assert_eq!([answers.recv().unwrap(), answers.recv().unwrap()], [failed.clone(), failed.clone()]);
    put(3);
    assert_eq!(answers.recv().unwrap(), failed);
    drop(writer);
    assert!(events.try_recv().is_err(), "neither put nor synced again");
}

#[test]
fn expiry_keeps_no_message_waiting() {
    let (store, _, events, gate) = watched(false);
    let writer = Writer::start(store).unwrap();
    let (answer, answers) = channel();
    let (told, outcome) = channel();
    let put = |number| {
        let answer = answer.clone();
        writer.put(record(1, 0, number, 100), 0, move |outcome| answer.send(outcome.is_ok()).unwrap());
    };
    put(1);
    put(2);
    writer.expire(0, 1, move |expired| {
        // What was queued before it is answered while the writer is still busy with it.
        let answered = [(); 2].map(|()| answers.recv_timeout(Duration::from_secs(60)));
        told.send((expired.is_ok(), answered, answers)).unwrap();
    });
    put(3);
    open(&gate);
    let (expired, answered, answers) = outcome.recv().unwrap();
    assert_eq!((expired, answered), (true, [Ok(true); 2]));
    assert!(answers.recv().unwrap());
    drop(writer);
    let stored = events.try_iter().map(|event| if let Event::Put(records) = event { records } else { 0 });
    assert_eq!(stored.sum::<usize>(), 3);
}

#[test]
fn nobody_waits_for_all_of_a_mailbox() {
    let (store, _, events, gate) = watched(false);
    let writer = Writer::start(store).unwrap();
    let (answer, answers) = channel();
    let put = |number| {
        let answer = answer.clone();
        writer.put(record(1, 0, number, 100), 0, move |outcome| answer.send((number, outcome.is_ok())).unwrap());
    };
    put(1);
    assert_eq!(events.recv().unwrap(), Event::Held);
    for number in [10, 11] {
        let (answer, mine) = (answer.clone(), record(1, 0, 1, 100));
        let delete = Change::DeleteSent { account: mine.deposit().account, scope: Scope::All, until: u64::MAX };
        writer.change(delete, None, 0, move |outcome| answer.send((number, outcome.is_ok())).unwrap());
    }
    put(2);
    open(&gate);
    drop((writer, answer));
    assert_eq!(answers.iter().collect::<Vec<_>>(), [1, 2, 10, 11].map(|number| (number, true)));
    let parts = events.try_iter().filter(|event| *event == Event::Part).count();
    assert_eq!(parts, 2 * PARTS, "and what is begun is ended");
}

#[test]
fn an_order_that_comes_in_parts_takes_its_place_until_it_ends() {
    let (store, _, events, gate) = watched(false);
    let writer = Writer::start(store).unwrap();
    let (answer, answers) = channel();
    let (done, mine) = (answer.clone(), record(1, 0, 1, 100));
    let delete = Change::DeleteSent { account: mine.deposit().account, scope: Scope::All, until: u64::MAX };
    writer.change(delete, None, 0, move |outcome| done.send(outcome.map(drop)).unwrap());
    assert_eq!(events.recv().unwrap(), Event::Held);
    for number in 0..QUEUE as u64 {
        let answer = answer.clone();
        writer.put(record(1, 0, number, 100), 0, move |outcome| answer.send(outcome.map(drop)).unwrap());
    }
    assert_eq!(answers.try_recv().unwrap(), Err(WriteError::Busy), "the last");
    open(&gate);
    drop((writer, answer));
    assert_eq!(answers.iter().collect::<Vec<_>>(), [(); QUEUE].map(Ok));
}

/// Returns once everything queued so far has been taken.
fn settle(writer: &Writer) {
    let (told, outcome) = channel();
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < until, "it does not come to rest");
        let told = told.clone();
        writer.expire(0, 0, move |expired| told.send(expired).unwrap());
        if outcome.recv_timeout(Duration::from_secs(60)).unwrap().is_ok() {
            return;
        }
    }
}

#[test]
fn a_full_queue_is_busy_rather_than_slow() {
    let (store, _, events, gate) = watched(false);
    let writer = Writer::start(store).unwrap();
    let (answer, answers) = channel();
    let put = |number| {
        let answer = answer.clone();
        writer.put(record(1, 0, number, 100), 0, move |outcome| answer.send(outcome).unwrap());
    };
    // One is in the writer's hands, the queue holds the rest.
    put(0);
    assert_eq!(events.recv().unwrap(), Event::Held);
    (1..=QUEUE as u64).for_each(put);
    assert!(answers.try_recv().is_err(), "there is room for these");
    put(1_000);
    assert_eq!(answers.try_recv().unwrap(), Err(WriteError::Busy), "refused while the disk is still at work");
    assert_eq!(writer.pressure(), 100);
    open(&gate);
    settle(&writer);
    writer.pressure();
    assert_eq!(writer.pressure(), 0, "nothing waits any more");
    drop(writer);
    drop(answer);
    assert_eq!(answers.iter().filter(Result::is_ok).count(), 1 + QUEUE);
}

#[test]
fn what_is_handed_over_neither_fills_clients_room_nor_counts_as_theirs() {
    let (store, _, events, gate) = watched(false);
    let writer = Writer::start(store).unwrap();
    let (answer, answers) = channel();
    let put = |lane, number| {
        let answer = answer.clone();
        writer.put_for(lane, record(1, 0, number, 100), 0, move |outcome| answer.send((lane, outcome)).unwrap());
    };
    // One is in the writer's hands, the queue holds the rest.
    put(Lane::Members, 0);
    assert_eq!(events.recv().unwrap(), Event::Held);
    (1..=Writer::HANDED_OVER as u64).for_each(|number| put(Lane::Members, number));
    assert!(answers.try_recv().is_err(), "there is room for these");
    put(Lane::Members, 1_000);
    assert_eq!(answers.try_recv().unwrap(), (Lane::Members, Err(WriteError::Busy)));
    assert_eq!(writer.pressure(), 0);
    (0..QUEUE as u64).for_each(|number| put(Lane::Clients, 2_000 + number));
    assert_eq!(writer.pressure(), 100);
    open(&gate);
    drop(writer);
    drop(answer);
    let outcomes: Vec<_> = answers.iter().collect();
    let taken = |lane| outcomes.iter().filter(|(whose, outcome)| *whose == lane && outcome.is_ok()).count();
    assert_eq!(taken(Lane::Clients), QUEUE, "there was room for all of them");
    assert_eq!(taken(Lane::Members), 1 + Writer::HANDED_OVER);
}

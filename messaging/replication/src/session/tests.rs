use super::{
    testing::{NOW, message, store_of},
    *,
};
use crate::answer;
use proptest::prelude::*;
use prost::Message;
use skep_mailbox::{
    Allowance, Change, Changed, Expired, Fetched, MemoryStore, Order, Page, Put, Query, Quotas, Record, RocksStore,
    Standing, Tallies, Tally, Usage,
};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace, RetrievedMessage, SubaccountToken},
};
use std::collections::BTreeSet;
use tempfile::tempdir;

/// What `theirs` lacks of `mine`, as a session finds it; the bytes that took; the requests.
fn compare(mine: &dyn Store, theirs: &dyn Store) -> (BTreeSet<ItemName>, usize, usize) {
    let mut session = Session::new(vec![NameRange::ALL]);
    let (mut found, mut bytes, mut requests) = (BTreeSet::new(), 0, 0);
    loop {
        loop {
            let gifts = session.take_gifts(mine, 100).expect("reads");
            if gifts.is_empty() {
                break;
            }
            found.extend(gifts);
        }
        let Some(asked) = session.ask(mine).expect("reads") else { return (found, bytes, requests) };
        let answers = answer(theirs, &[NameRange::ALL], &asked).expect("an honest question");
        let (question, reply) = (asked.encoded_len(), answers.encoded_len());
        assert!(question.max(reply) <= 64 * 1024, "{question} and {reply} bytes");
        bytes += question + reply;
        requests += 1;
        session.handle(mine, &answers).expect("honest answers");
    }
}

fn stored(numbers: impl IntoIterator<Item = u64>) -> MemoryStore {
    let store = MemoryStore::new(u64::MAX);
    let records: Vec<_> = numbers.into_iter().map(message).collect();
    store.put(&records, NOW).and_then(|_| store.sync()).expect("memory takes everything");
    store
}

fn names(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<ItemName> {
    numbers.into_iter().map(|number| message(number).name()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn each_finds_exactly_what_the_other_lacks(
        common in proptest::collection::btree_set(0_u64..50_000, 0..600),
        mine in proptest::collection::btree_set(50_000_u64..60_000, 0..100),
        theirs in proptest::collection::btree_set(60_000_u64..70_000, 0..100),
    ) {
        let [ours, others] = [&mine, &theirs].map(|own| stored(common.iter().chain(own).copied()));
        prop_assert_eq!(compare(&ours, &others).0, names(mine));
        prop_assert_eq!(compare(&others, &ours).0, names(theirs));
    }

    #[test]
    fn any_answer_is_used_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), number in 0..400_u64) {
        let ours = store_of(0..number);
        if let Ok(asked) = peer::Reconcile::decode(bytes.as_slice()) {
            let _ = answer(&ours, &[NameRange::ALL], &peer::Reconcile { version: VERSION, ..asked });
        }
        if let Ok(answers) = peer::Reconciled::decode(bytes.as_slice()) {
            let mut session = Session::new(vec![NameRange::ALL]);
            let asked = session.ask(&ours).expect("reads");
            let _ = asked.map(|_| session.handle(&ours, &answers));
        }
    }
}

/// Names by number, with the sums of all before each: as cheap as a store's, for very many.
#[derive(Debug)]
struct Many {
    names: Vec<ItemName>,
    before: Vec<Tally>,
}

impl Many {
    fn new(numbers: impl Iterator<Item = u64>) -> Self {
        let hash = MessageHash::from([7; 32]);
        let account = AccountAddress::from_x25519([1; 32]);
        let name = |number| ItemName::message(&account, Namespace(0), &hash, (number, 0), Standing::Unproven);
        let mut names: Vec<_> = numbers.map(name).collect();
        names.sort_unstable();
        let mut before = vec![Tally::default()];
        for name in &names {
            let mut tally = *before.last().expect("one at least");
            tally.insert(name);
            before.push(tally);
        }
        Self { names, before }
    }

    fn bounds(&self, range: &NameRange) -> (usize, usize) {
        let at = |name: &ItemName| self.names.partition_point(|other| other < name);
        (at(&range.from), at(&range.to))
    }
}

/// Only what comparing needs is here.
impl Store for Many {
    fn tally(&self, range: &NameRange) -> Result<Tally, StoreError> {
        let (from, to) = self.bounds(range);
        // What is before the end, less what is before the beginning.
        let (mut tally, before) = (self.before[to], self.before[from]);
        let negative = before.sum().map(|byte| !byte);
        tally.add(&Tally::told(before.count.wrapping_neg(), negative));
        let mut one = [0; Tally::SUM_LEN];
        one[0] = 1;
        tally.add(&Tally::told(0, one));
        Ok(tally)
    }

    fn names(&self, range: &NameRange, limit: usize) -> Result<Vec<ItemName>, StoreError> {
        let (from, to) = self.bounds(range);
        Ok(self.names[from..to].iter().take(limit).copied().collect())
    }

    fn cuts(&self, range: &NameRange, parts: usize) -> Result<Vec<ItemName>, StoreError> {
        let (from, to) = self.bounds(range);
        let mut cuts: Vec<_> = (1..parts).map(|part| self.names[from + part * (to - from) / parts]).collect();
        cuts.dedup();
        Ok(cuts)
    }

    fn has(&self, name: &ItemName) -> Result<bool, StoreError> {
        Ok(self.names.binary_search(name).is_ok())
    }

    fn put(&self, _: &[Record], _: u64) -> Result<Vec<Put>, StoreError> {
        Ok(Vec::new())
    }

    fn change(&self, _: &Change, _: Option<&Order>, _: u64) -> Result<Changed, StoreError> {
        Ok(Changed::Messages(Vec::new()))
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn retrieve(&self, _: &Query, _: u64) -> Result<Page, StoreError> {
        Ok(Page::default())
    }

    fn expiries(&self, _: &AccountAddress, _: &[MessageHash], _: u64) -> Result<Vec<(MessageHash, u64)>, StoreError> {
        Ok(Vec::new())
    }

    fn revoked(&self, _: &AccountAddress) -> Result<Vec<SubaccountToken>, StoreError> {
        Ok(Vec::new())
    }

    fn newest(&self, _: &Change, _: u64) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    fn fetch(&self, _: &ItemName, _: u64) -> Result<Option<Fetched>, StoreError> {
        Ok(None)
    }

    fn token_orders(&self, _: &AccountAddress, _: u64) -> Result<Vec<Order>, StoreError> {
        Ok(Vec::new())
    }

    fn expire(&self, _: u64, _: usize) -> Result<Expired, StoreError> {
        Ok(Expired { removed: 0, examined: 0, more: false })
    }

    fn message(
        &self,
        _: &AccountAddress,
        _: Namespace,
        _: &MessageHash,
        _: u64,
    ) -> Result<Option<RetrievedMessage>, StoreError> {
        Ok(None)
    }

    fn allowance(&self, _: &AccountAddress) -> Result<Allowance, StoreError> {
        Ok(Allowance { quotas: u64::MAX.into(), mailbox: Tallies::default(), total: 0, unproven_total: 0, orders: 0 })
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }

    fn set_quotas(&self, _: Quotas) {}
}

#[test]
fn one_missing_among_many_costs_little() {
    const MANY: u64 = 1_000_000;
    let (ours, theirs) = (Many::new(0..MANY), Many::new(1..MANY));
    let (found, bytes, requests) = compare(&ours, &theirs);
    assert_eq!(found, Many::new(0..1).names.into_iter().collect());
    assert!(bytes <= 16 * 1024, "{bytes} bytes");
    assert!(requests <= 6, "{requests} requests");
    let (nothing, bytes, requests) = compare(&ours, &ours);
    assert!(nothing.is_empty() && bytes <= 256 && requests == 1, "{bytes} bytes");
    assert!(compare(&theirs, &ours).0.is_empty(), "what only the other has is not our business");
}

/// The same of the store that nodes keep their mail in, as it is written and as it is opened again: it cuts at other places.
#[test]
fn one_missing_on_a_disk_costs_little() {
    const MANY: u64 = 60_000;
    let directories = [(); 2].map(|()| tempdir().expect("a directory"));
    let open = |number: usize| RocksStore::open(directories[number].path(), u64::MAX).expect("opens");
    let fill = |store: RocksStore, numbers: std::ops::Range<u64>| {
        let records: Vec<_> = numbers.map(message).collect();
        for some in records.chunks(1_000) {
            store.put(some, NOW).expect("there is room");
        }
        store.sync().expect("syncs");
        store
    };
    let (ours, mut theirs) = (fill(open(0), 0..MANY), fill(open(1), 1..MANY));
    for again in [false, true] {
        if again {
            drop(theirs);
            theirs = open(1);
        }
        let (found, bytes, requests) = compare(&ours, &theirs);
        assert_eq!(found, names([0]));
        assert!(bytes <= 64 * 1024 && requests <= 6, "{bytes} bytes in {requests} requests");
        let (nothing, bytes, _) = compare(&theirs, &ours);
        assert!(nothing.is_empty() && bytes <= 64 * 1024, "{bytes} bytes");
    }
}

#[test]
fn an_empty_member_is_told_everything_in_one_request() {
    let ours = Many::new(0..20_000);
    let (found, _, requests) = compare(&ours, &Many::new(0..0));
    assert_eq!((found.len(), requests), (20_000, 1));
    assert_eq!(compare(&Many::new(0..0), &ours).0.len(), 0);
}

#[test]
fn what_is_anothers_is_as_good_as_gone() {
    let store = store_of(0..100);
    let names = store.names(&NameRange::ALL, 64).expect("reads");
    let own = NameRange { from: ItemName::FIRST, to: names[10] };
    let ask =
        |question| peer::Reconcile { version: VERSION, questions: vec![peer::Question { question: Some(question) }] };
    let told = |question| answer(&store, &[own], &ask(question)).expect("answers").answers.remove(0).answer;
    let missing = peer::Missing { positions: (10..64).collect() };
    assert_eq!(told(Question::Names(write_names(&names))), Some(Answer::Missing(missing)));
    let all = store.tally(&NameRange::ALL).expect("reads");
    let nothing = Some(Answer::Names(peer::Names::default()));
    assert_eq!(told(Question::Range(write_range(&NameRange::ALL, &all))), nothing);
    let part = store.tally(&own).expect("reads");
    assert_eq!(told(Question::Range(write_range(&own, &part))), Some(Answer::Equal(peer::Equal {})));
}

#[test]
fn what_is_not_a_question_is_refused() {
    let ours = store_of(0..10);
    let refused = |asked| answer(&ours, &[NameRange::ALL], &asked).expect_err("refused");
    let reconcile = |questions| peer::Reconcile { version: VERSION, questions };
    assert_eq!(refused(peer::Reconcile { version: 2, questions: vec![] }), CompareError::Version(2));
    let names = peer::Question { question: Some(Question::Names(write_names(&[]))) };
    assert_eq!(refused(reconcile(vec![names; MAX_QUESTIONS + 1])), CompareError::TooMuch);
    let all: Vec<_> = store_of(0..65).names(&NameRange::ALL, 65).expect("reads");
    let too_many = peer::Question { question: Some(Question::Names(write_names(&all))) };
    assert_eq!(refused(reconcile(vec![too_many])), CompareError::TooMuch);
    let backwards = NameRange { from: ItemName::END, to: ItemName::FIRST };
    let range = peer::Question { question: Some(Question::Range(write_range(&backwards, &Tally::default()))) };
    assert!(matches!(refused(reconcile(vec![range])), CompareError::Malformed(_)));
    assert!(matches!(refused(reconcile(vec![peer::Question { question: None }])), CompareError::Malformed(_)));
}

#[test]
fn a_peer_that_splits_for_ever_is_given_up() {
    let ours = store_of(0..1_000);
    let mut session = Session::new(vec![NameRange::ALL]);
    let outcome = loop {
        let asked = match session.ask(&ours) {
            Ok(Some(asked)) => asked,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        let answers = asked.questions.iter().map(|question| {
            let answer = match &question.question {
                Some(Question::Range(range)) => {
                    // A sliver, and the rest: never a step forward.
                    let sliver = crate::wire::read_name(&range.from).expect("ours").next();
                    let lie = Tally::told(9, [9; 32]);
                    let to = crate::wire::read_name(&range.to).expect("ours");
                    let parts = [sliver, to].map(|to| crate::wire::write_part(&to, &lie)).to_vec();
                    Answer::Parts(peer::Parts { parts })
                }
                Some(Question::Names(_)) | None => Answer::Missing(peer::Missing { positions: Vec::new() }),
            };
            peer::Answer { answer: Some(answer) }
        });
        let answers = peer::Reconciled { answers: answers.collect() };
        if let Err(error) = session.handle(&ours, &answers) {
            break Err(error);
        }
    };
    assert_eq!(outcome, Err(CompareError::TooMuch));
}

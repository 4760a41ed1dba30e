//! A random walk that compares a store with a plain model.

use super::*;

/// One step of a random walk.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Put(Vec<(u8, i16, u64, u64)>),
    Wait(u64),
    Expire(usize),
    Delete { owner: u8, numbers: Vec<u64> },
    Move { owner: u8, numbers: Vec<u64>, life: u64 },
    Read { owner: u8, namespace: i16, after: Option<u64>, count: usize },
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let message = (0..3_u8, prop_oneof![Just(0_i16), Just(-10)], 0..12_u64, 1..6 * MINUTE);
    let step = prop_oneof![
        4 => proptest::collection::vec(message, 1..4).prop_map(Step::Put),
        1 => (0..2 * MINUTE).prop_map(Step::Wait),
        1 => (0..5_usize).prop_map(Step::Expire),
        1 => (0..3_u8, proptest::collection::vec(0..12_u64, 1..4))
            .prop_map(|(owner, numbers)| Step::Delete { owner, numbers }),
        1 => (0..3_u8, proptest::collection::vec(0..12_u64, 1..4), 1..6 * MINUTE)
            .prop_map(|(owner, numbers, life)| Step::Move { owner, numbers, life }),
        3 => (0..3_u8, prop_oneof![Just(0_i16), Just(-10)], proptest::option::of(0..12_u64), 1..6_usize)
            .prop_map(|(owner, namespace, after, count)| Step::Read { owner, namespace, after, count }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Messages of one owner in either box.
fn named(owner: u8, numbers: &[u64]) -> Vec<MessageHash> {
    let both = |number: &u64| [0, -10].map(|namespace| record(owner, namespace, *number, 0).hash());
    numbers.iter().flat_map(both).collect()
}

/// A store is a list: what was put last comes last, what expired is gone.
pub(crate) fn behaves_like_a_list(store: &impl Store, steps: Vec<Step>) {
    let mut model: Vec<(Record, u64)> = Vec::new();
    let mut now = 0;
    for step in steps {
        match step {
            Step::Put(messages) => {
                let records: Vec<_> = messages
                    .iter()
                    .map(|&(owner, namespace, number, life)| record(owner, namespace, number, now + life))
                    .collect();
                let outcomes = put_all(store, &records, now).unwrap();
                model.retain(|(_, expiry)| *expiry > now);
                for (record, outcome) in records.into_iter().zip(outcomes) {
                    let life = record.deposit().expiry;
                    let known = model.iter_mut().find(|(known, _)| known.hash() == record.hash());
                    let (expiry, already) = match known {
                        Some((_, expiry)) => {
                            *expiry = life.max(*expiry);
                            (*expiry, true)
                        }
                        None => {
                            model.push((record, life));
                            (life, false)
                        }
                    };
                    assert_eq!(outcome, Put::Stored { expiry, already });
                }
            }
            Step::Wait(time) => now += time,
            Step::Delete { owner, numbers } => {
                model.retain(|(_, expiry)| *expiry > now);
                let messages = named(owner, &numbers);
                let gone = touched(
                    store,
                    &Change::Delete { account: account(owner), messages: messages.clone(), until: u64::MAX },
                    now,
                );
                let before = model.len();
                model.retain(|(record, _)| !messages.contains(&record.hash()));
                assert_eq!(gone.len(), before - model.len());
            }
            Step::Move { owner, numbers, life } => {
                model.retain(|(_, expiry)| *expiry > now);
                let messages = named(owner, &numbers);
                // Orders are stamped with the messages' timestamp at least.
                let (expiry, mode, at) = (vec![now + life], ExpiryMode::Set, now.max(7));
                let set = Change::SetExpiry { account: account(owner), messages: messages.clone(), expiry, mode, at };
                touched(store, &set, now);
                let moved = model.iter_mut().filter(|(record, _)| messages.contains(&record.hash()));
                moved.for_each(|(_, expiry)| *expiry = now + life);
            }
            Step::Expire(limit) => assert!(store.expire(now, limit).unwrap().removed <= limit),
            Step::Read { owner, namespace, after, count } => {
                model.retain(|(_, expiry)| *expiry > now);
                let of_box: Vec<_> = model
                    .iter()
                    .filter(|(record, _)| {
                        let here = query(owner, namespace);
                        (record.deposit().account, record.deposit().namespace) == (here.account, here.namespace)
                    })
                    .collect();
                let after = after.map(|number| record(owner, namespace, number, 0).hash());
                let start = after
                    .and_then(|hash| of_box.iter().position(|(record, _)| record.hash() == hash))
                    .map_or(0, |at| at + 1);
                let expected: Vec<_> =
                    of_box[start..].iter().take(count).map(|(record, expiry)| (record.hash(), *expiry)).collect();
                let window = RetrieveWindow { count, size: usize::MAX };
                let page = store.retrieve(&Query { after, window, ..query(owner, namespace) }, now).unwrap();
                let read: Vec<_> = page.messages.iter().map(|message| (message.hash, message.expiration)).collect();
                assert_eq!(read, expected);
                assert_eq!(page.more, of_box.len() - start > count);
            }
        }
    }
    let names = store.names(&NameRange::ALL, usize::MAX).unwrap();
    assert_eq!(store.tally(&NameRange::ALL).unwrap(), names.iter().collect::<Tally>());
    store.expire(u64::MAX, usize::MAX).unwrap();
    assert_eq!(store.usage(), crate::Usage::default());
    assert_eq!(store.tally(&NameRange::ALL).unwrap(), Tally::default());
    let distinct: BTreeSet<_> = model.iter().map(|(record, _)| record.hash()).collect();
    assert_eq!(distinct.len(), model.len());
}

//! Bounds, and work.

use super::*;

/// For a store of 100 bytes, and what two messages take besides.
pub(crate) fn refuses_beyond_its_capacity(store: impl Store) {
    let outcomes =
        put_all(&store, &[sized(1, 0, 1, LATER, 60), sized(1, 0, 2, LATER, 41), sized(1, 0, 3, LATER, 40)], 0);
    let stored = |expiry, already| Put::Stored { expiry, already };
    assert_eq!(outcomes.unwrap(), [stored(LATER, false), Put::Full, stored(LATER, false)]);
    let known = sized(1, 0, 1, LATER + 1, 60);
    assert_eq!(put_all(&store, &[known], 0).unwrap(), [stored(LATER + 1, true)], "what is here may be extended");
    assert_eq!(carry_out(&store, &revoking(1, 1, &[1], 10), 0), Changed::Tokens(1), "revocations need none of it");
    assert_eq!(store.revoked(&account(1)).unwrap(), [token(1)]);
    store.set_quotas((141 + 3 * RECORD_BYTES).into());
    assert_eq!(put(&store, &sized(1, 0, 2, LATER, 41), 0), stored(LATER, false), "there is more room now");
}

/// Small bounds, all of them different.
pub(crate) fn quotas() -> Quotas {
    let (proven, unproven) = (Quota { messages: 6, bytes: 300 }, Quota { messages: 4, bytes: 150 });
    let (capacity, unproven_capacity) = (800 + 20 * RECORD_BYTES, 350 + 8 * RECORD_BYTES);
    Quotas { capacity, unproven_capacity, orders: 3 * forgetting(1, 1, 0).1.charged(), proven, unproven }
}

/// An order of `owner` about nothing. All are of one size.
fn forgetting(owner: u8, number: u8, at: u64) -> (Change, Order) {
    ordered_by(
        owner,
        number,
        Action::DeleteAll { scope: Scope::One(Namespace(100 + i16::from(number))), timestamp: 1 },
        at,
    )
}

fn token(number: u8) -> SubaccountToken {
    SubaccountToken::new(5, Access::READ, &[number; 32])
}

/// An order of `owner` that revokes subaccounts.
fn revoking(owner: u8, number: u8, tokens: &[u8], at: u64) -> (Change, Order) {
    let tokens = tokens.iter().copied().map(token).collect();
    ordered_by(owner, number, Action::Revoke { tokens, timestamp: at }, at)
}

/// What is revoked is never refused, and a flood of it takes no room but its own.
pub(crate) fn revocations_have_room_of_their_own(store: impl Store) {
    let bounds = Quotas { orders: 8 * quotas().orders, ..quotas() };
    store.set_quotas(bounds);
    let revoke = |owner, tokens: &[u8], at| carry_out(&store, &revoking(owner, owner, tokens, at), 80);
    let revoked = |owner| store.revoked(&account(owner)).unwrap();
    let stored = Put::Stored { expiry: LATER, already: false };
    let mail: Vec<_> = (0..4).map(|number| weighed(1, number, false, LATER)).collect();
    let kept: Vec<_> = (0..6).map(|number| weighed(2, number, true, LATER)).collect();
    assert_eq!(put_all(&store, &[mail, kept].concat(), 80).unwrap(), [stored; 10]);
    let charged = store.allowance(&account(1)).unwrap().total;

    assert_eq!(revoke(1, &[1], 10), Changed::Tokens(1));
    assert_eq!(revoke(2, &[1, 2], 11), Changed::Tokens(2));
    let flood = (100..104).collect::<Vec<_>>();
    for owner in 10..60 {
        let at = u64::from(owner) + 10;
        assert_eq!(revoke(owner, &flood, at), Changed::Tokens(4), "never refused");
        assert_eq!(revoked(owner).len(), 4, "and carried out");
        let all: usize = (1..60).map(|owner| revoked(owner).len()).sum();
        assert!(all as u64 <= bounds.revocations(), "{all}");
    }
    assert_eq!((revoked(1), revoked(2)), (vec![token(1)], vec![token(2), token(1)]), "the flood displaces itself");
    assert_eq!(store.allowance(&account(1)).unwrap().total, charged, "mail has as much room as before");
    assert_eq!(put(&store, &weighed(3, 1, true, LATER), 80), stored);
    assert_eq!(carry_out(&store, &forgetting(3, 3, 90), 90), Changed::Messages(vec![]), "and so have orders");
    let is_kept = |(_, order): (Change, Order)| store.has(&order.name()).unwrap();
    assert!(is_kept(forgetting(3, 3, 90)));

    // Who has most loses what was revoked first.
    let many: Vec<_> = (0..MAX_REVOCATIONS as u8).collect();
    assert_eq!(revoke(4, &many, 100), Changed::Tokens(MAX_REVOCATIONS as u64), "whatever the room");
    assert_eq!(revoked(4).len(), MAX_REVOCATIONS);
    assert_eq!(revoke(1, &[9], 110), Changed::Tokens(1));
    assert_eq!(revoked(1), [token(9), token(1)]);
    assert!(revoked(4).len() < MAX_REVOCATIONS);
    let unrevoke = Change::Unrevoke { account: account(1), tokens: vec![token(9)] };
    assert_eq!(store.change(&unrevoke, None, 120).unwrap(), Changed::Tokens(1));
    assert_eq!(revoked(1), [token(1)]);
}

/// An order that is remembered has been carried out: else members that compare would take its effect for granted.
pub(crate) fn what_is_remembered_has_been_carried_out(store: impl Store) {
    store.set_quotas(Quotas { orders: quotas().orders, ..Quotas::from(0) });
    let (revoke, delete) =
        (revoking(1, 1, &[1], 10), ordered(2, Action::DeleteAll { scope: Scope::All, timestamp: 20 }, 20));
    assert_eq!(carry_out(&store, &revoke, 30), Changed::Tokens(1));
    assert_eq!(carry_out(&store, &delete, 30), Changed::Messages(vec![]));
    assert!(store.has(&revoke.1.name()).unwrap() && store.has(&delete.1.name()).unwrap());
    assert_eq!(store.revoked(&account(1)).unwrap(), [token(1)]);
    assert_eq!(put(&store, &record(2, 0, 1, LATER), 30), Put::Full, "there is no room for anything else");
}

/// For a store of what three messages take besides their data.
pub(crate) fn empty_messages_take_room(store: impl Store) {
    let empty = |owner| {
        let deposit = record(owner, 0, 1, LATER).deposit().clone();
        Record::new(StoreRequest { data: Vec::new(), ..deposit })
    };
    let stored = Put::Stored { expiry: LATER, already: false };
    let outcomes = put_all(&store, &[1, 2, 3, 4].map(empty), 0).unwrap();
    assert_eq!(outcomes, [stored, stored, stored, Put::Full], "whoever they are for");
    let Allowance { total, unproven_total, .. } = store.allowance(&account(1)).unwrap();
    assert_eq!((total, unproven_total), (3 * RECORD_BYTES, 3 * RECORD_BYTES));
    store.expire(LATER, 100).unwrap();
    assert_eq!(put(&store, &empty(4), LATER - 1), stored);
}

/// For a store within [`quotas`].
pub(crate) fn orders_have_room_of_their_own(store: impl Store) {
    for (number, owner) in (0..60).zip([1, 2, 3].into_iter().cycle()) {
        let outcome = carry_out(&store, &forgetting(owner, number, 10 + u64::from(number)), 80);
        assert_eq!(outcome, Changed::Messages(vec![]), "orders need no room");
        let Allowance { orders, total, quotas, .. } = store.allowance(&account(1)).unwrap();
        assert!(orders <= quotas.orders && total == 0, "{orders}");
    }
    assert_eq!(store.names(&NameRange::ALL, 99).unwrap().len(), 3);
    let stored = Put::Stored { expiry: LATER, already: false };
    let mail: Vec<_> = (0..4).map(|number| weighed(4, number, false, LATER)).collect();
    assert_eq!(put_all(&store, &mail, 80).unwrap(), [stored; 4], "and take none from mail");
    let (change, order) = ordered_by(4, 99, Action::Delete { messages: vec![mail[0].hash()], required: false }, 90);
    let Changed::Messages(gone) = store.change(&change, Some(&order), 90).unwrap() else { panic!("messages") };
    assert_eq!(gone.len(), 1);
    assert_eq!(put(&store, &mail[0], 90), Put::Gone, "and it is kept");
}

/// For a store within [`quotas`], so of three orders.
pub(crate) fn whoever_has_most_orders_makes_room_for_later_ones(store: impl Store) {
    let give = |owner, number, at| carry_out(&store, &forgetting(owner, number, at), 80);
    let is_kept = |owner, number, at| store.has(&forgetting(owner, number, at).1.name()).unwrap();
    let nothing = Changed::Messages(vec![]);
    for (owner, number, at) in [(1, 1, 30), (1, 2, 10), (2, 3, 5)] {
        assert_eq!(give(owner, number, at), nothing);
    }
    let unkept = Changed::Unkept(Box::new(nothing.clone()));
    assert_eq!(give(3, 4, 10), unkept, "given when what it would displace was: members do not go on for ever");
    assert!(!is_kept(3, 4, 10));
    assert_eq!(give(3, 5, 20), nothing);
    assert!(!is_kept(1, 2, 10), "the oldest of who has most");
    assert!(is_kept(1, 1, 30) && is_kept(2, 3, 5) && is_kept(3, 5, 20), "not the oldest of all");
    assert_eq!(give(2, 3, 40), nothing, "the same order, given again, takes its own place");
    assert!(is_kept(1, 1, 30) && is_kept(2, 3, 40) && is_kept(3, 5, 20));
    store.expire(u64::MAX, 100).unwrap();
    assert_eq!(store.allowance(&account(1)).unwrap().orders, 0);
    assert_eq!(give(1, 1, 30), nothing);
}

/// Message `number` of `owner`, longer the higher the number; with work or without.
fn weighed(owner: u8, number: u8, is_proven: bool, expiry: u64) -> Record {
    let deposit = sized(owner, 0, number.into(), expiry, 8 + 7 * usize::from(number)).deposit().clone();
    let (timestamp, ttl) = (deposit.timestamp, deposit.expiry.saturating_sub(deposit.timestamp));
    let work = is_proven.then(|| Work { timestamp, ttl, ..Work::default() });
    Record::new(StoreRequest { work, ..deposit })
}

/// For a store within [`quotas`].
pub(crate) fn keeps_unproven_mail_apart(store: impl Store) {
    let stored = Put::Stored { expiry: LATER, already: false };
    let fill = |owner, numbers: std::ops::Range<u8>, is_proven| {
        let records: Vec<_> = numbers.map(|number| weighed(owner, number, is_proven, LATER)).collect();
        put_all(&store, &records, 0).unwrap()
    };
    assert_eq!(fill(1, 0..5, false), [stored, stored, stored, stored, Put::Full], "four a mailbox");
    let outcomes = [stored, stored, stored, stored, stored, Put::Full, Put::Full];
    assert_eq!(fill(1, 5..12, true), outcomes, "300 bytes");
    let Allowance { mailbox, total, unproven_total, .. } = store.allowance(&account(1)).unwrap();
    assert_eq!((mailbox.unproven.messages, mailbox.unproven.bytes), (4, 74));
    assert_eq!((mailbox.proven.messages, mailbox.proven.bytes), (5, 285));
    assert_eq!((total, unproven_total), (359 + 9 * RECORD_BYTES, 74 + 4 * RECORD_BYTES));
    assert_eq!(store.retrieve(&query(1, 0), 0).unwrap().messages.len(), 9, "nothing made room for anything");

    assert_eq!(fill(2, 17..19, false), [stored, Put::Full], "150 bytes a mailbox");
    assert_eq!(fill(3, 17..18, false), [stored], "350 for all of them");
    assert_eq!(fill(4, 0..1, false), [stored]);
    assert_eq!(fill(4, 4..5, false), [Put::Full]);
    assert_eq!(fill(4, 5..6, true), [stored], "proven mail has the rest");
    store.expire(LATER, 100).unwrap();
    assert_eq!(store.allowance(&account(1)).unwrap().mailbox, Tallies::default());
    assert_eq!(store.usage(), crate::Usage::default());
}

/// For a store within [`quotas`].
pub(crate) fn what_comes_again_with_work_is_proven(store: impl Store) {
    let counts = || {
        let Tallies { proven, unproven } = store.allowance(&account(1)).unwrap().mailbox;
        (proven.messages, unproven.messages)
    };
    let standing = || {
        let names = store.names(&NameRange::ALL, 9).unwrap();
        let [name] = names[..] else { panic!("one message: {names:?}") };
        match store.fetch(&name, 0).unwrap() {
            Some(Fetched::Message { record, .. }) => record.standing(),
            other => panic!("a message: {other:?}"),
        }
    };
    put(&store, &weighed(1, 3, false, LATER), 0);
    assert_eq!((counts(), standing()), ((0, 1), Standing::Unproven));
    let again = Put::Stored { expiry: 2 * LATER, already: true };
    assert_eq!(put(&store, &weighed(1, 3, true, 2 * LATER), 0), again);
    assert_eq!((counts(), standing()), ((1, 0), Standing::Proven), "members get it with its work");
    assert_eq!(put(&store, &weighed(1, 3, false, LATER), 0), again);
    assert_eq!((counts(), standing()), ((1, 0), Standing::Proven), "less than is kept changes nothing");
    let longer = Put::Stored { expiry: 3 * LATER, already: true };
    assert_eq!(put(&store, &weighed(1, 3, false, 3 * LATER), 0), longer);
    assert_eq!((counts(), standing()), ((1, 0), Standing::Proven), "work that paid for a message stays with it");
    let sent_later = |timestamp, expiry| {
        Record::new(StoreRequest { timestamp, expiry, ..weighed(1, 3, false, LATER).deposit().clone() })
    };
    let longest = Put::Stored { expiry: 4 * LATER, already: true };
    assert_eq!(put(&store, &sent_later(2 * LATER + 1, 4 * LATER), LATER), longest);
    assert_eq!((counts(), standing()), ((0, 1), Standing::Unproven), "what it paid for is over when this is sent");
    assert_eq!(
        put(&store, &weighed(1, 3, true, 3 * LATER), LATER),
        longest,
        "work takes nothing from a message's life"
    );
    assert_eq!((counts(), standing()), ((1, 0), Standing::Proven));

    let (short, long) = (weighed(1, 2, true, LATER), weighed(1, 2, false, 2 * LATER));
    let outcomes = put_all(&store, &[short, long], 0).unwrap();
    let [first, second] = [(LATER, false), (2 * LATER, true)].map(|(expiry, already)| Put::Stored { expiry, already });
    assert_eq!((outcomes, counts()), (vec![first, second], (2, 0)), "in one batch");
    let deletion = Change::Delete { account: account(1), messages: vec![weighed(1, 2, true, 0).hash()], until: LATER };
    store.change(&deletion, None, 0).unwrap();
    assert_eq!(store.usage().messages, 1);

    for number in 4..9 {
        put(&store, &weighed(1, number, true, LATER), 0);
    }
    put(&store, &weighed(1, 0, false, LATER), 0);
    let already = Put::Stored { expiry: LATER, already: true };
    assert_eq!(put(&store, &weighed(1, 0, true, LATER), 0), already, "kept though there is no room for it as proven");
    assert_eq!(counts(), (6, 1));
}

/// An outbox whose owner has no room left keeps what it had.
pub(crate) fn a_full_mailbox_keeps_its_outbox(store: impl Store) {
    let published = sized(1, -1, 1, LATER, 200);
    put(&store, &published, 0);
    assert_eq!(put(&store, &sized(1, -1, 2, LATER, 200), 0), Put::Full);
    assert_eq!(hashes(&store.retrieve(&query(1, -1), 0).unwrap()), [published.hash()]);
}

/// One step of a random walk through a store within [`quotas`].
#[derive(Clone, Debug)]
pub(crate) enum Load {
    Put { owner: u8, number: u8, is_proven: bool, minutes: u64 },
    Delete { owner: u8, number: u8 },
    Wait { minutes: u64 },
}

pub(crate) fn loads() -> impl Strategy<Value = Vec<Load>> {
    let step = prop_oneof![
        8 => (0..3_u8, 0..16_u8, any::<bool>(), 1..60_u64)
            .prop_map(|(owner, number, is_proven, minutes)| Load::Put { owner, number, is_proven, minutes }),
        1 => (0..3_u8, 0..16_u8).prop_map(|(owner, number)| Load::Delete { owner, number }),
        1 => (0..10_u64).prop_map(|minutes| Load::Wait { minutes }),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What the model knows of a message: owner, number, whether it is proven, expiry.
type Kept = (u8, u8, bool, u64);

/// Whatever comes in whatever order: the counts are those of what is kept, no quota is passed, nothing makes room for
/// anything, and proven mail is refused for want of its own room only.
pub(crate) fn quotas_hold(store: &impl Store, steps: Vec<Load>) {
    let bounds = quotas();
    let size = |number: u8| 8 + 7 * u64::from(number);
    let sum = |kept: &[Kept], wanted: &dyn Fn(&Kept) -> bool| {
        let sizes: Vec<_> = kept.iter().filter(|kept| wanted(kept)).map(|(_, number, ..)| size(*number)).collect();
        crate::Usage { messages: sizes.len() as u64, bytes: sizes.iter().sum() }
    };
    let mut kept: Vec<Kept> = Vec::new();
    let mut now = 0;
    for step in steps {
        match step {
            Load::Put { owner, number, is_proven, minutes } => {
                let expiry = now + minutes * MINUTE;
                let outcome = put(store, &weighed(owner, number, is_proven, expiry), now);
                let of_owner = |proven| sum(&kept, &|kept| kept.0 == owner && kept.2 == proven);
                let (paid, unpaid, total) = (of_owner(true), of_owner(false), sum(&kept, &|_| true).charged());
                let charged = size(number) + RECORD_BYTES;
                let (messages, bytes) = if is_proven {
                    (paid.messages < bounds.proven.messages, paid.bytes + size(number) <= bounds.proven.bytes)
                } else {
                    let all = sum(&kept, &|kept| !kept.2).charged();
                    let bytes = unpaid.bytes + size(number) <= bounds.unproven.bytes
                        && all + charged <= bounds.unproven_capacity;
                    (unpaid.messages < bounds.unproven.messages, bytes)
                };
                if let Some(known) = kept.iter_mut().find(|kept| (kept.0, kept.1) == (owner, number)) {
                    // Each message is always sent at the same time here, so its work pays for all that comes.
                    if !is_proven || known.2 || (messages && bytes) {
                        (known.2, known.3) = (is_proven || known.2, expiry.max(known.3));
                    }
                    assert_eq!(outcome, Put::Stored { expiry: known.3, already: true });
                } else if messages && bytes && total + charged <= bounds.capacity {
                    kept.push((owner, number, is_proven, expiry));
                    assert_eq!(outcome, Put::Stored { expiry, already: false });
                } else {
                    assert_eq!(outcome, Put::Full);
                }
            }
            Load::Delete { owner, number } => {
                let messages = vec![weighed(owner, number, false, 0).hash()];
                store
                    .change(&Change::Delete { account: account(owner), messages, until: u64::MAX }, None, now)
                    .unwrap();
                kept.retain(|kept| (kept.0, kept.1) != (owner, number));
            }
            Load::Wait { minutes } => {
                now += minutes * MINUTE;
                store.expire(now, usize::MAX).unwrap();
                kept.retain(|kept| kept.3 > now);
            }
        }
        for owner in 0..3 {
            let Allowance { mailbox, total, unproven_total, .. } = store.allowance(&account(owner)).unwrap();
            assert_eq!(mailbox.proven, sum(&kept, &|kept| kept.0 == owner && kept.2));
            assert_eq!(mailbox.unproven, sum(&kept, &|kept| kept.0 == owner && !kept.2));
            assert_eq!(total, sum(&kept, &|_| true).charged());
            assert_eq!(unproven_total, sum(&kept, &|kept| !kept.2).charged());
            assert!(total <= bounds.capacity && unproven_total <= bounds.unproven_capacity);
            let shown: BTreeSet<_> = hashes(&store.retrieve(&query(owner, 0), now).unwrap()).into_iter().collect();
            let of_owner = kept.iter().filter(|kept| kept.0 == owner);
            let expected: BTreeSet<_> = of_owner.map(|kept| weighed(owner, kept.1, false, 0).hash()).collect();
            assert_eq!(shown, expected);
        }
    }
}

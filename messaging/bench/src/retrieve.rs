//! Reading a mailbox of 100 messages from a large store, against a plain scan of their data in the same database.

use crate::{
    Outcome,
    messages::{EACH, Large, NOW, account, query},
};
use rocksdb::{DB, IteratorMode, PrefixRange, ReadOptions};
use skep_mailbox::{Store, database_options};
use skep_measure::{Aim, Report, per_call};
use std::{cell::Cell, error::Error, hint::black_box, time::Duration};

const RUN: Duration = Duration::from_millis(500);

pub(crate) fn rows(report: &mut Report, large: &Large) -> Outcome {
    let messages = large.messages();
    let name = format!("retrieve of the last {EACH}, {messages} stored, vs a raw prefix scan");
    let after_one =
        format!("retrieve of the last {}, after a cursor, {messages} stored, vs a raw prefix scan", EACH - 1);
    if !report.wants(&name) && !report.wants(&after_one) {
        return Ok(());
    }
    let store = large.open()?;
    // Beside the store's own handle: reading needs no lock, and it has a cache of its own of the same size.
    let raw = DB::open_for_read_only(&database_options(), large.path()?, false)?;
    let (ours, theirs) = (Mailboxes::new(large.accounts()), Mailboxes::new(large.accounts()));
    let scan = || {
        per_call(RUN, || {
            let mailbox = theirs.next();
            let prefix = [b"d", &account(mailbox).as_bytes()[..], &[0, 0]].concat();
            let mut bounds = ReadOptions::default();
            bounds.set_iterate_range(PrefixRange(prefix));
            let mut values = Vec::new();
            for entry in raw.iterator_opt(IteratorMode::Start, bounds) {
                values.push(entry?.1);
            }
            check(values.len(), EACH)?;
            black_box(values);
            Ok(())
        })
    };
    report.speed::<Box<dyn Error>>(
        &name,
        Aim::AtLeast(0.9),
        || {
            per_call(RUN, || {
                let page = store.retrieve(&query(ours.next()), NOW)?;
                check(page.messages.len(), EACH)?;
                black_box(page);
                Ok(())
            })
        },
        scan,
    )?;
    let first = |mailbox: u64| -> Result<_, Box<dyn Error>> {
        let mut one = query(mailbox);
        one.window.count = 1;
        Ok(store.retrieve(&one, NOW)?.messages.first().ok_or("an empty mailbox")?.hash)
    };
    if report.wants(&after_one) {
        let mailboxes = Mailboxes::new(large.accounts());
        let cursors: Vec<_> = (0..large.accounts().min(2000))
            .map(|_| {
                let mailbox = mailboxes.next();
                Ok((mailbox, first(mailbox)?))
            })
            .collect::<Result<_, Box<dyn Error>>>()?;
        let place = Cell::new(0);
        report.speed::<Box<dyn Error>>(
            &after_one,
            Aim::None,
            || {
                per_call(RUN, || {
                    place.set((place.get() + 1) % cursors.len());
                    let (mailbox, cursor) = cursors[place.get()];
                    let page = store.retrieve(&skep_mailbox::Query { after: Some(cursor), ..query(mailbox) }, NOW)?;
                    check(page.messages.len(), EACH - 1)?;
                    black_box(page);
                    Ok(())
                })
            },
            scan,
        )?;
    }
    Ok(())
}

fn check(found: usize, expected: u64) -> Outcome {
    if found as u64 == expected { Ok(()) } else { Err(format!("{found} messages of {expected} were found").into()) }
}

/// Mailboxes in an order that no cache foresees, the same for everybody.
struct Mailboxes {
    accounts: u64,
    next: Cell<u64>,
}

impl Mailboxes {
    const fn new(accounts: u64) -> Self {
        Self { accounts, next: Cell::new(1) }
    }

    fn next(&self) -> u64 {
        self.next.set(self.next.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        (self.next.get() >> 33) % self.accounts
    }
}

//! How much is kept of one mailbox and of all, apart for mail that was paid for and mail that was not; pure (decision 17).

use crate::{
    Usage,
    store::{RECORD_BYTES, REVOCATION_BYTES},
};
use skep_proto::storage::limits::retrieved_size;

/// Whether a message was paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// By work, or it is in a namespace that only its owner writes.
    Proven,
    /// By nothing: a stranger left it.
    Unproven,
}

/// A bound on messages and the bytes of their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Quota {
    /// No bound.
    pub const NONE: Self = Self { messages: u64::MAX, bytes: u64::MAX };

    const fn holds(&self, used: &Usage, size: u64) -> bool {
        used.messages < self.messages && used.bytes.saturating_add(size) <= self.bytes
    }

    /// This many of the 65,536 parts of it.
    fn scaled(&self, parts: u64) -> Self {
        let scale = |whole: u64| {
            let scaled = u128::from(whole) * u128::from(parts) / u128::from(WHOLE);
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        Self { messages: scale(self.messages), bytes: scale(self.bytes) }
    }
}

/// The bounds of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Bytes of everything.
    pub capacity: u64,
    /// Bytes of unproven mail, within the capacity: the rest is proven mail's alone.
    pub unproven_capacity: u64,
    /// Bytes of owners' orders, apart from the capacity: neither takes room from the other. A quarter as much beside it is for
    /// revocations.
    pub orders: u64,
    /// Proven mail of one account.
    pub proven: Quota,
    /// Unproven mail of one account.
    pub unproven: Quota,
}

impl Quotas {
    /// Most revocations of all accounts. They outlive the orders that made them, so they have room apart from those.
    pub(crate) const fn revocations(&self) -> u64 {
        self.orders / 4 / REVOCATION_BYTES
    }
}

/// A capacity, and no other bound.
impl From<u64> for Quotas {
    fn from(capacity: u64) -> Self {
        Self { capacity, unproven_capacity: capacity, orders: u64::MAX, proven: Quota::NONE, unproven: Quota::NONE }
    }
}

/// Messages of one account, by standing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Paid for.
    pub proven: Usage,
    /// Not.
    pub unproven: Usage,
}

impl Tallies {
    const fn of_mut(&mut self, standing: Standing) -> &mut Usage {
        match standing {
            Standing::Proven => &mut self.proven,
            Standing::Unproven => &mut self.unproven,
        }
    }

    /// The most that a retrieve of all of it counts ([`retrieved_size`]).
    pub fn retrieved_size(&self) -> usize {
        let number = |of: fn(&Usage) -> u64| {
            let sum = of(&self.proven).saturating_add(of(&self.unproven));
            usize::try_from(sum).unwrap_or(usize::MAX)
        };
        // Each may need its own last group of base64.
        let each = retrieved_size(1).saturating_mul(number(|usage| usage.messages));
        retrieved_size(number(|usage| usage.bytes)).saturating_add(each)
    }

    /// One message more.
    pub(crate) const fn enter(&mut self, standing: Standing, size: u64) {
        self.of_mut(standing).enter(size);
    }

    /// One message less.
    pub(crate) const fn leave(&mut self, standing: Standing, size: u64) {
        self.of_mut(standing).leave(size);
    }
}

/// What is left of a store's bounds for one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The bounds.
    pub quotas: Quotas,
    /// The account's mail.
    pub mailbox: Tallies,
    /// Bytes of everything kept but orders, as [`Usage::charged`] counts them.
    pub total: u64,
    /// Bytes of all unproven mail, counted likewise.
    pub unproven_total: u64,
    /// Bytes of all orders, as [`Order::charged`](crate::Order::charged) counts them.
    pub orders: u64,
}

/// One, where shares are counted in parts of it.
const WHOLE: u64 = 1 << 16;
/// The least part of a mailbox' unproven quota that counts while the node fills up: 1/64.
const LEAST_PARTS: u64 = WHOLE / 64;

impl Allowance {
    /// Whether a message of `size` bytes may be kept. What is kept is never removed to make room.
    pub fn holds(&self, standing: Standing, size: u64) -> bool {
        let Self { quotas, mailbox, total, unproven_total, .. } = self;
        let charged = size.saturating_add(RECORD_BYTES);
        let fits = total.saturating_add(charged) <= quotas.capacity;
        match standing {
            Standing::Proven => fits && quotas.proven.holds(&mailbox.proven, size),
            Standing::Unproven => {
                fits && unproven_total.saturating_add(charged) <= quotas.unproven_capacity
                    && quotas.unproven.holds(&mailbox.unproven, size)
            }
        }
    }

    /// Whether a message of `size` bytes that is kept may have this standing instead of the other.
    pub(crate) const fn may_change_to(&self, standing: Standing, size: u64) -> bool {
        let Self { quotas, mailbox, unproven_total, .. } = self;
        match standing {
            Standing::Proven => quotas.proven.holds(&mailbox.proven, size),
            Standing::Unproven => {
                unproven_total.saturating_add(size).saturating_add(RECORD_BYTES) <= quotas.unproven_capacity
                    && quotas.unproven.holds(&mailbox.unproven, size)
            }
        }
    }

    /// Draws whether a stranger's unproven message of `size` bytes is taken; `dice` is random. Always, while less than half
    /// of the account's bucket and of the node's room is used; beyond that the more seldom the fuller it is (with the fourth
    /// power of what is left of the second half), so that a flood has no better odds than anyone else and never takes the
    /// last place at once. Each step of `load` halves the odds. As the node fills up, the buckets that are fullest close
    /// first.
    pub fn draws(&self, size: u64, load: u32, dice: u32) -> bool {
        if !self.holds(Standing::Unproven, size) {
            return false;
        }
        let Self { quotas, mailbox: Tallies { unproven: used, .. }, total, unproven_total, .. } = self;
        let node = share_left(*unproven_total, quotas.unproven_capacity).min(share_left(*total, quotas.capacity));
        let bucket = quotas.unproven.scaled((node * node / WHOLE).max(LEAST_PARTS));
        let left = share_left(used.messages, bucket.messages).min(share_left(used.bytes, bucket.bytes));
        let odds = u128::from(left).pow(4) >> load.min(64);
        u128::from(dice) << 32 < odds
    }
}

/// What is left of the second half of `all`; everything while the first half is not used up.
fn share_left(used: u64, all: u64) -> u64 {
    let half = (all / 2).max(1);
    let left = u128::from(all.saturating_sub(used)) * u128::from(WHOLE) / u128::from(half);
    u64::try_from(left).map_or(WHOLE, |left| left.min(WHOLE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUOTAS: Quotas = Quotas {
        capacity: 1 << 30,
        unproven_capacity: 1 << 29,
        orders: 0,
        proven: Quota { messages: 1000, bytes: 1 << 24 },
        unproven: Quota { messages: 400, bytes: 1 << 22 },
    };

    fn allowance(messages: u64, bytes: u64, unproven_total: u64) -> Allowance {
        let unproven = Usage { messages, bytes };
        let mailbox = Tallies { unproven, proven: Usage::default() };
        Allowance { quotas: QUOTAS, mailbox, total: unproven_total, unproven_total, orders: 0 }
    }

    /// Of 1000 dice spread evenly, how many take the message.
    fn taken(allowance: &Allowance, load: u32) -> u32 {
        let dice = (0..1000_u32).map(|number| number * (u32::MAX / 1000));
        dice.map(|dice| u32::from(allowance.draws(100, load, dice))).sum()
    }

    proptest! {
        #[test]
        fn no_retrieve_counts_more_than_the_mailbox(sizes in proptest::collection::vec(0..76_800_usize, 0..50)) {
            let mut mailbox = Tallies::default();
            for (number, size) in sizes.iter().enumerate() {
                let standing = if number % 2 == 0 { Standing::Proven } else { Standing::Unproven };
                mailbox.enter(standing, *size as u64);
            }
            let counted: usize = sizes.iter().map(|size| retrieved_size(*size)).sum();
            prop_assert!(mailbox.retrieved_size() >= counted);
            prop_assert!(mailbox.retrieved_size() <= counted + (sizes.len() + 1) * retrieved_size(1));
        }
    }

    #[test]
    fn a_calm_node_takes_everything() {
        assert_eq!(taken(&allowance(0, 0, 0), 0), 1000);
        assert_eq!(taken(&allowance(200, 1 << 21, 1 << 28), 0), 1000, "half of each");
        let unbounded = Allowance { quotas: u64::MAX.into(), ..allowance(1 << 40, 1 << 50, 1 << 60) };
        assert_eq!(taken(&unbounded, 0), 1000);
    }

    #[test]
    fn the_fuller_the_more_seldom_and_never_beyond() {
        let odds = [250, 300, 350, 399].map(|messages| taken(&allowance(messages, 0, 0), 0));
        assert!(odds.is_sorted_by(|more, less| more > less) || odds[3] == 0, "{odds:?}");
        assert!((300..330).contains(&odds[0]), "three quarters of the second half to the fourth: {odds:?}");
        assert!((50..80).contains(&odds[1]), "a half to the fourth: {odds:?}");
        assert_eq!(taken(&allowance(400, 0, 0), 0), 0);
        assert_eq!(taken(&allowance(0, (1 << 22) - 50, 0), 0), 0);
        assert_eq!(taken(&allowance(0, 0, (1 << 29) - 50 - RECORD_BYTES), 0), 0);
        assert_eq!([0, 1, 2, 9].map(|load| taken(&allowance(0, 0, 0), load)), [1000, 501, 251, 2], "under load");
    }

    #[test]
    fn a_filling_node_closes_the_fullest_buckets_first() {
        let filling = QUOTAS.unproven_capacity / 10 * 9;
        assert_eq!(taken(&allowance(2, 1 << 10, filling), 0), 1000, "who has little has room");
        assert_eq!(taken(&allowance(100, 1 << 20, filling), 0), 0, "who has much has none");
        assert_eq!(taken(&allowance(100, 1 << 20, 0), 0), 1000);
    }

    proptest! {
        #[test]
        fn nothing_that_is_drawn_breaks_a_bound(
            used in (0..500_u64, 0..5_u64 << 20), rest in (0..1_u64 << 31, 0..1_u64 << 30), size in 0..80_000_u64,
            load in 0..70_u32, dice: u32,
        ) {
            let unproven = Usage { messages: used.0, bytes: used.1 };
            let (total, unproven_total) = rest;
            let mailbox = Tallies { unproven, proven: Usage::default() };
            let allowance = Allowance { quotas: QUOTAS, mailbox, total, unproven_total, orders: 0 };
            if allowance.draws(size, load, dice) {
                prop_assert!(allowance.holds(Standing::Unproven, size));
                let charged = size + RECORD_BYTES;
                prop_assert!(total + charged <= QUOTAS.capacity);
                prop_assert!(unproven_total + charged <= QUOTAS.unproven_capacity);
                prop_assert!(used.0 < QUOTAS.unproven.messages && used.1 + size <= QUOTAS.unproven.bytes);
            }
        }
    }
}

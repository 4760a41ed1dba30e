//! Names of what every member of a swarm should have, in an order in which a swarm's are neighbours.

use crate::Standing;
use blake2::{Blake2b, Digest, digest::consts::U32};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace},
};
use skep_swarm_map::ring_position;

/// Separates these names from every other use of the hash.
const LABEL: &[u8] = b"skep item v2";

/// Names one thing among members: a deposit of a message, or an owner's order as it was given at a time.
///
/// Names sort by the place of the account on the ring of swarms, so that what one swarm keeps is one stretch of them, or two
/// where the ring closes. The id is BLAKE2b-256 over a label, the kind, and all that members must agree on: for a message its
/// box, its hash, the times of its deposit and whether that was paid for, for an order its signature and when it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemName {
    place: u64,
    id: [u8; 32],
}

impl ItemName {
    /// Bytes of a name.
    pub const LEN: usize = 40;
    /// No name comes before this one.
    pub const FIRST: Self = Self { place: 0, id: [0; 32] };
    /// No name is this one or comes after it.
    pub const END: Self = Self { place: u64::MAX, id: [0; 32] };

    /// Names a deposit made at `timestamp` to last until `expiry` (ms).
    pub fn message(
        account: &AccountAddress,
        namespace: Namespace,
        hash: &MessageHash,
        (timestamp, expiry): (u64, u64),
        standing: Standing,
    ) -> Self {
        let times = [timestamp.to_be_bytes(), expiry.to_be_bytes()].concat();
        let standing = [u8::from(standing == Standing::Proven)];
        Self::of(account, b"message", &[&namespace.0.to_be_bytes(), hash.as_bytes(), &times, &standing])
    }

    /// Names an order given at a time.
    pub fn order(account: &AccountAddress, signature: &[u8; 64], at: u64) -> Self {
        Self::of(account, b"order", &[signature, &at.to_be_bytes()])
    }

    /// The first name of an account at this place of the ring.
    pub const fn at(place: u64) -> Self {
        Self { place, id: [0; 32] }
    }

    fn of(account: &AccountAddress, kind: &[u8], parts: &[&[u8]]) -> Self {
        let mut hasher = Blake2b::<U32>::new();
        hasher.update(LABEL);
        hasher.update(kind);
        hasher.update(account.as_bytes());
        parts.iter().for_each(|part| hasher.update(part));
        // The last place is the end of all ranges; an account there counts as its neighbour.
        let place = ring_position(&account.key()).min(u64::MAX - 1);
        Self { place, id: hasher.finalize().into() }
    }

    /// The name as members and the disk write it.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (place, id) = bytes.split_at_mut(8);
        place.copy_from_slice(&self.place.to_be_bytes());
        id.copy_from_slice(&self.id);
        bytes
    }

    /// The least name above this one.
    #[must_use]
    pub fn next(self) -> Self {
        let Self { place, mut id } = self;
        for byte in id.iter_mut().rev() {
            let (sum, carries) = byte.overflowing_add(1);
            *byte = sum;
            if !carries {
                return Self { place, id };
            }
        }
        Self { place: place.saturating_add(1), id }
    }
}

impl From<[u8; Self::LEN]> for ItemName {
    fn from(bytes: [u8; Self::LEN]) -> Self {
        let mut name = Self::FIRST;
        let (place, id) = bytes.split_at(8);
        name.place = place.iter().fold(0, |place, byte| place << 8 | u64::from(*byte));
        name.id.copy_from_slice(id);
        name
    }
}

/// Names from one up to another, which is not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameRange {
    /// The first.
    pub from: ItemName,
    /// The end.
    pub to: ItemName,
}

impl NameRange {
    /// All names.
    pub const ALL: Self = Self { from: ItemName::FIRST, to: ItemName::END };

    /// Whether the name lies in it.
    pub fn contains(&self, name: &ItemName) -> bool {
        self.from <= *name && *name < self.to
    }

    /// Whether no name lies in it.
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

/// How many names there are, and the sum of their ids modulo 2^256: equal sets have equal tallies, and a set's is that of its
/// parts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    sum: [u64; 4],
}

impl Tally {
    /// Bytes of a sum.
    pub const SUM_LEN: usize = 32;

    /// A tally somebody tells of.
    pub fn told(count: u64, sum: [u8; Self::SUM_LEN]) -> Self {
        Self { count, sum: lanes(&sum) }
    }

    /// The sum of the ids, its lowest byte first.
    pub fn sum(&self) -> [u8; Self::SUM_LEN] {
        let mut bytes = [0; Self::SUM_LEN];
        for (bytes, lane) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.sum) {
            *bytes = lane.to_le_bytes();
        }
        bytes
    }

    /// Counts a name in.
    pub fn insert(&mut self, name: &ItemName) {
        self.add(&Self { count: 1, sum: lanes(&name.id) });
    }

    /// Counts a name out.
    pub fn remove(&mut self, name: &ItemName) {
        self.count = self.count.wrapping_sub(1);
        let mut borrow = false;
        for (lane, other) in self.sum.iter_mut().zip(lanes(&name.id)) {
            let (difference, first) = lane.overflowing_sub(other);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            (*lane, borrow) = (difference, first || second);
        }
    }

    /// Counts another set in.
    pub fn add(&mut self, other: &Self) {
        self.count = self.count.wrapping_add(other.count);
        let mut carry = false;
        for (lane, other) in self.sum.iter_mut().zip(other.sum) {
            let (sum, first) = lane.overflowing_add(other);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*lane, carry) = (sum, first || second);
        }
    }
}

impl<'a> FromIterator<&'a ItemName> for Tally {
    fn from_iter<I: IntoIterator<Item = &'a ItemName>>(names: I) -> Self {
        let mut tally = Self::default();
        names.into_iter().for_each(|name| tally.insert(name));
        tally
    }
}

fn lanes(bytes: &[u8; 32]) -> [u64; 4] {
    let mut lanes = [0; 4];
    for (lane, bytes) in lanes.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *lane = u64::from_le_bytes(*bytes);
    }
    lanes
}

/// At most `parts - 1` of `names` (sorted), evenly spaced: where to cut a range into about equal parts.
pub(crate) fn spaced(names: &[ItemName], parts: usize) -> Vec<ItemName> {
    let cuts = parts.saturating_sub(1).min(names.len());
    (1..=cuts).filter_map(|cut| names.get(cut * names.len() / (cuts + 1)).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(bytes: [u8; 32], place: u64) -> ItemName {
        ItemName { place, id: bytes }
    }

    proptest! {
        #[test]
        fn names_sort_as_their_bytes(a: [u8; 32], b: [u8; 32], places: (u64, u64)) {
            let (a, b) = (name(a, places.0), name(b, places.1));
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
            prop_assert_eq!(ItemName::from(a.to_bytes()), a);
            prop_assert!(a.next() > a);
            prop_assert!(b <= a || b >= a.next());
        }

        #[test]
        fn tallies_add_up(ids in proptest::collection::vec(any::<[u8; 32]>(), 0..20), cut in 0..20_usize) {
            let names: Vec<_> = ids.iter().map(|id| name(*id, 0)).collect();
            let (left, right) = names.split_at(cut.min(names.len()));
            let mut together: Tally = left.iter().collect();
            together.add(&right.iter().rev().collect());
            let whole: Tally = names.iter().collect();
            prop_assert_eq!(together, whole);
            left.iter().for_each(|name| together.remove(name));
            prop_assert_eq!(together, right.iter().collect());
            prop_assert_eq!(Tally::told(whole.count, whole.sum()), whole);
        }
    }

    #[test]
    fn names_tell_all_that_matters_apart() {
        let account = AccountAddress::from_x25519([7; 32]);
        let (hash, other) = (MessageHash::from([1; 32]), MessageHash::from([2; 32]));
        let unpaid = Standing::Unproven;
        let name =
            |namespace, hash, times, standing| ItemName::message(&account, Namespace(namespace), hash, times, standing);
        let one = name(0, &hash, (1, 2), unpaid);
        for another in [
            name(1, &hash, (1, 2), unpaid),
            name(0, &other, (1, 2), unpaid),
            name(0, &hash, (2, 2), unpaid),
            name(0, &hash, (1, 3), unpaid),
            name(0, &hash, (1, 2), Standing::Proven),
        ] {
            assert_ne!(another, one);
        }
        assert_ne!(ItemName::order(&account, &[1; 64], 1), ItemName::order(&account, &[1; 64], 2));
        let elsewhere = ItemName::message(&AccountAddress::from_x25519([8; 32]), Namespace(0), &hash, (1, 2), unpaid);
        assert_ne!(elsewhere, one);
    }

    #[test]
    fn cuts_are_inside_and_apart() {
        let names: Vec<_> = (0..100).map(|place| name([0; 32], place)).collect();
        let cuts = spaced(&names, 16);
        assert_eq!(cuts.len(), 15);
        assert!(cuts.is_sorted_by(|a, b| a < b) && cuts[0] > names[0]);
        assert_eq!(spaced(&names[..3], 16).len(), 3);
        assert!(spaced(&[], 16).is_empty());
    }
}

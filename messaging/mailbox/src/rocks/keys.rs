//! How records lie in the database. All numbers are big-endian, so that keys sort as the numbers do.
//!
//! | key | value | read when |
//! |---|---|---|
//! | `h` account hash namespace | position | a message is put again; a cursor is looked up; an owner names it |
//! | `m` box position | [`Meta`] | a box is read in order of arrival |
//! | `d` box position | the record (`skep.peer.v1.Store`) | a message is shown |
//! | `e` bucket box position | - | what expires next is sought |
//! | `r` account token | time of revocation | a subaccount signs |
//! | `o` account signature | expiry, request | a replica arrives; members compare what they have |
//! | `x` expiry account signature | - | orders that need no longer be kept are sought |
//! | `q` account | [`Tallies`] | a message is put; an account's mail is counted |
//! | `s` | [`State`] | the store opens |
//!
//! A box is an account and a namespace; a position is the number of an arrival, never used twice. Changing any of this
//! needs a new [`FORMAT`].

use crate::{Standing, Tallies, Usage};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace, SubaccountToken},
};

/// Number of this layout.
pub(super) const FORMAT: u32 = 3;
/// What expires within the same minute is removed together.
pub(super) const BUCKET_MS: u64 = 60_000;

pub(super) const STATE: &[u8] = b"s";

const BOX_LEN: usize = AccountAddress::LEN + 2;
const HASH_LEN: usize = 32;

/// An account and a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BoxId([u8; BOX_LEN]);

impl BoxId {
    pub(super) fn new(account: &AccountAddress, namespace: Namespace) -> Self {
        let mut id = [0; BOX_LEN];
        let (head, tail) = id.split_at_mut(AccountAddress::LEN);
        head.copy_from_slice(account.as_bytes());
        tail.copy_from_slice(&namespace.0.to_be_bytes());
        Self(id)
    }

    pub(super) fn account(&self) -> Option<AccountAddress> {
        AccountAddress::from_slice(self.0.get(..AccountAddress::LEN)?).ok()
    }

    /// Where the account's mail is counted.
    pub(super) fn tallies(&self) -> Vec<u8> {
        let (account, _) = self.0.split_at(AccountAddress::LEN);
        [b"q", account].concat()
    }

    pub(super) fn namespace(&self) -> Namespace {
        let [.., high, low] = self.0;
        Namespace(i16::from_be_bytes([high, low]))
    }

    pub(super) fn by_hash(&self, hash: &MessageHash) -> Vec<u8> {
        let (account, namespace) = self.0.split_at(AccountAddress::LEN);
        [b"h", account, hash.as_bytes(), namespace].concat()
    }

    pub(super) fn meta(&self, position: u64) -> Vec<u8> {
        [b"m", &self.0[..], &position.to_be_bytes()].concat()
    }

    /// Beginning of the keys made by [`Self::meta`].
    pub(super) fn meta_prefix(&self) -> Vec<u8> {
        [b"m", &self.0[..]].concat()
    }

    pub(super) fn data(&self, position: u64) -> Vec<u8> {
        [b"d", &self.0[..], &position.to_be_bytes()].concat()
    }

    pub(super) fn expiry(&self, bucket: u64, position: u64) -> Vec<u8> {
        [b"e", &bucket.to_be_bytes()[..], &self.0, &position.to_be_bytes()].concat()
    }

    /// The box and position in a key made by [`Self::meta`].
    pub(super) fn read_meta(key: &[u8]) -> Option<(Self, u64)> {
        let (id, position) = key.get(1..)?.split_first_chunk()?;
        Some((Self(*id), u64::from_be_bytes(position.try_into().ok()?)))
    }

    /// The box in a key made by [`Self::by_hash`].
    pub(super) fn read_by_hash(key: &[u8]) -> Option<Self> {
        let (account, rest) = key.get(1..)?.split_at_checked(AccountAddress::LEN)?;
        let namespace = rest.get(HASH_LEN..)?;
        [account, namespace].concat().try_into().ok().map(Self)
    }
}

/// Where an account's mail is counted.
pub(super) fn tallies(account: &AccountAddress) -> Vec<u8> {
    [b"q", &account.as_bytes()[..]].concat()
}

/// The account in a key made by [`tallies`].
pub(super) fn read_tallies_key(key: &[u8]) -> Option<AccountAddress> {
    AccountAddress::from_slice(key.get(1..)?).ok()
}

/// How many messages of an account are kept.
pub(super) fn write_tallies(Tallies { proven, unproven }: &Tallies) -> Vec<u8> {
    let numbers = [proven.messages, proven.bytes, unproven.messages, unproven.bytes].map(u64::to_be_bytes);
    numbers.as_flattened().to_vec()
}

/// What [`write_tallies`] wrote.
pub(super) fn read_tallies(bytes: &[u8]) -> Option<Tallies> {
    let (numbers, []) = bytes.as_chunks::<8>() else { return None };
    let numbers: [[u8; 8]; 4] = numbers.try_into().ok()?;
    let [messages, bytes, unproven_messages, unproven_bytes] = numbers.map(u64::from_be_bytes);
    let unproven = Usage { messages: unproven_messages, bytes: unproven_bytes };
    Some(Tallies { proven: Usage { messages, bytes }, unproven })
}

/// Beginning of the keys made by [`BoxId::by_hash`] for one message in whichever box.
pub(super) fn hash_prefix(account: &AccountAddress, hash: &MessageHash) -> Vec<u8> {
    [b"h", &account.as_bytes()[..], hash.as_bytes()].concat()
}

/// Beginning of the keys made by [`BoxId::meta`] for all messages of an account.
pub(super) fn meta_prefix(account: &AccountAddress) -> Vec<u8> {
    [b"m", &account.as_bytes()[..]].concat()
}

/// Beginning of the keys made by [`revocation`].
pub(super) fn revocation_prefix(account: &AccountAddress) -> Vec<u8> {
    [b"r", &account.as_bytes()[..]].concat()
}

/// Where a revocation stands.
pub(super) fn revocation(account: &AccountAddress, token: &SubaccountToken) -> Vec<u8> {
    [b"r", &account.as_bytes()[..], token.as_bytes()].concat()
}

/// The token in a key made by [`revocation`].
pub(super) fn read_revocation(key: &[u8]) -> Option<SubaccountToken> {
    let token: [u8; SubaccountToken::LEN] = key.get(1 + AccountAddress::LEN..)?.try_into().ok()?;
    Some(token.into())
}

/// First key of a bucket.
pub(super) fn bucket_start(bucket: u64) -> Vec<u8> {
    [b"e", &bucket.to_be_bytes()[..]].concat()
}

/// What a key made by [`BoxId::expiry`] says.
pub(super) fn read_expiry(key: &[u8]) -> Option<(u64, BoxId, u64)> {
    let (bucket, rest) = key.get(1..)?.split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*bucket), BoxId(*id), u64::from_be_bytes(rest.try_into().ok()?)))
}

/// The bucket that may be removed as soon as something expiring at `expiry` has expired.
pub(super) const fn bucket_of(expiry: u64) -> u64 {
    expiry.div_ceil(BUCKET_MS)
}

/// The last bucket of which everything has expired at `now`.
pub(super) const fn last_expired(now: u64) -> u64 {
    now / BUCKET_MS
}

/// Beginning of the keys made by [`order`].
pub(super) fn order_prefix(account: &AccountAddress) -> Vec<u8> {
    [b"o", &account.as_bytes()[..]].concat()
}

/// Where an order stands.
pub(super) fn order(account: &AccountAddress, signature: &[u8; 64]) -> Vec<u8> {
    [b"o", &account.as_bytes()[..], signature].concat()
}

/// Account and signature in a key made by [`order`].
pub(super) fn read_order(key: &[u8]) -> Option<(AccountAddress, [u8; 64])> {
    let (account, signature) = key.get(1..)?.split_at_checked(AccountAddress::LEN)?;
    Some((AccountAddress::from_slice(account).ok()?, signature.try_into().ok()?))
}

/// First key of the orders that are kept until `expiry`.
pub(super) fn order_expiry_start(expiry: u64) -> Vec<u8> {
    [b"x", &expiry.to_be_bytes()[..]].concat()
}

/// Where the end of an order stands.
pub(super) fn order_expiry(expiry: u64, account: &AccountAddress, signature: &[u8; 64]) -> Vec<u8> {
    [b"x", &expiry.to_be_bytes()[..], account.as_bytes(), signature].concat()
}

/// Account and signature in a key made by [`order_expiry`].
pub(super) fn read_order_expiry(key: &[u8]) -> Option<(AccountAddress, [u8; 64])> {
    read_order(key.get(8..)?)
}

/// What is told of a message without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) hash: MessageHash,
    pub(super) timestamp: u64,
    pub(super) expiry: u64,
    /// Where it stands in the index of expiries.
    pub(super) bucket: u64,
    /// Bytes of its data.
    pub(super) size: u32,
    pub(super) standing: Standing,
}

impl Meta {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        [
            &self.hash.as_bytes()[..],
            &self.timestamp.to_be_bytes(),
            &self.expiry.to_be_bytes(),
            &self.bucket.to_be_bytes(),
            &self.size.to_be_bytes(),
            &[u8::from(self.standing == Standing::Proven)],
        ]
        .concat()
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (hash, rest) = bytes.split_first_chunk::<32>()?;
        let (timestamp, rest) = rest.split_first_chunk()?;
        let (expiry, rest) = rest.split_first_chunk()?;
        let (bucket, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let standing = match rest {
            [0] => Standing::Unproven,
            [1] => Standing::Proven,
            _ => return None,
        };
        Some(Self {
            hash: (*hash).into(),
            timestamp: u64::from_be_bytes(*timestamp),
            expiry: u64::from_be_bytes(*expiry),
            bucket: u64::from_be_bytes(*bucket),
            size: u32::from_be_bytes(*size),
            standing,
        })
    }
}

/// What the store knows about itself; written with every batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The next arrival's position.
    pub(super) next: u64,
    /// No bucket below this one has anything in it.
    pub(super) first_bucket: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Bytes of unproven mail.
    pub(super) unproven: u64,
}

impl State {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let numbers = [self.next, self.first_bucket, self.messages, self.bytes, self.unproven].map(u64::to_be_bytes);
        [&FORMAT.to_be_bytes()[..], numbers.as_flattened()].concat()
    }

    /// The layout's number and, if it is ours, the state.
    pub(super) fn read(bytes: &[u8]) -> Option<(u32, Option<Self>)> {
        let (format, rest) = bytes.split_first_chunk()?;
        let format = u32::from_be_bytes(*format);
        if format != FORMAT {
            return Some((format, None));
        }
        let (numbers, []) = rest.as_chunks::<8>() else { return None };
        let [next, first_bucket, messages, bytes, unproven] = *numbers else { return None };
        let number = u64::from_be_bytes;
        let state = Self {
            next: number(next),
            first_bucket: number(first_bucket),
            messages: number(messages),
            bytes: number(bytes),
            unproven: number(unproven),
        };
        Some((format, Some(state)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skep_proto::storage::Access;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            key: [u8; 32], namespace: i16, position: u64, bucket: u64, hash: [u8; 32], times: (u64, u64), size: u32,
            proven: bool,
        ) {
            let id = BoxId::new(&AccountAddress::from_x25519(key), Namespace(namespace));
            prop_assert_eq!(BoxId::read_meta(&id.meta(position)), Some((id, position)));
            prop_assert_eq!(BoxId::read_by_hash(&id.by_hash(&hash.into())), Some(id));
            prop_assert_eq!(id.namespace(), Namespace(namespace));
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&hash);
            let owner = AccountAddress::from_x25519(key);
            prop_assert_eq!(read_order(&order(&owner, &signature)), Some((owner, signature)));
            let end = order_expiry(position, &owner, &signature);
            prop_assert_eq!(read_order_expiry(&end), Some((owner, signature)));
            let (account, token) = (AccountAddress::from_x25519(key), SubaccountToken::new(5, Access::READ, &hash));
            prop_assert_eq!(read_revocation(&revocation(&account, &token)), Some(token));
            prop_assert_eq!(read_expiry(&id.expiry(bucket, position)), Some((bucket, id, position)));
            let standing = if proven { Standing::Proven } else { Standing::Unproven };
            let meta = Meta { hash: hash.into(), timestamp: times.0, expiry: times.1, bucket, size, standing };
            prop_assert_eq!(Meta::read(&meta.to_bytes()), Some(meta));
            let counts = Tallies {
                proven: Usage { messages: position, bytes: times.0 },
                unproven: Usage { messages: bucket, bytes: times.1 },
            };
            prop_assert_eq!(read_tallies(&write_tallies(&counts)), Some(counts));
            prop_assert_eq!((read_tallies_key(&tallies(&owner)), id.tallies()), (Some(owner), tallies(&owner)));
            let unproven = times.1 / 2;
            let state = State { next: position, first_bucket: bucket, messages: times.0, bytes: times.1, unproven };
            prop_assert_eq!(State::read(&state.to_bytes()), Some((FORMAT, Some(state))));
        }

        #[test]
        fn other_bytes_are_refused_quietly(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = (Meta::read(&bytes), State::read(&bytes), read_expiry(&bytes), BoxId::read_meta(&bytes));
            let _ = (read_tallies(&bytes), read_tallies_key(&bytes));
            let _ = (BoxId::read_by_hash(&bytes), read_revocation(&bytes), read_order(&bytes), read_order_expiry(&bytes));
        }

        #[test]
        fn keys_sort_as_their_numbers(key: [u8; 32], a: u64, b: u64) {
            let id = BoxId::new(&AccountAddress::from_x25519(key), Namespace(3));
            prop_assert_eq!(id.meta(a).cmp(&id.meta(b)), a.cmp(&b));
            prop_assert_eq!(id.expiry(a, 0).cmp(&id.expiry(b, 0)), a.cmp(&b));
        }
    }

    #[test]
    fn a_bucket_goes_when_all_of_it_has_expired() {
        for expiry in [0, 1, BUCKET_MS - 1, BUCKET_MS, BUCKET_MS + 1] {
            let bucket = bucket_of(expiry);
            assert!(last_expired(expiry.saturating_sub(1)) < bucket || expiry == 0);
            assert!(last_expired(bucket * BUCKET_MS) >= bucket);
        }
    }
}

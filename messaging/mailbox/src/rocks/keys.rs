//! How records lie in the database. All numbers are big-endian, so that keys sort as the numbers do.
//!
//! | key | value | read when |
//! |---|---|---|
//! | `h` account hash namespace | position | a message is put again; a cursor is looked up; an owner names it |
//! | `m` box position | [`Meta`] | a box is read in order of arrival |
//! | `d` box position | the record (`skep.peer.v1.Store`) | a message is shown |
//! | `e` bucket box position | - | what expires next is sought |
//! | `r` account token | [`Revoked`] | a subaccount signs |
//! | `v` number account | - | room for revocations is sought |
//! | `o` account signature | time, request | an order is handed on |
//! | `i` account hash | [`Word`]s | a message named in an order is put or changed |
//! | `g` account scope | [`Word`]s | any message of the scope is put or changed |
//! | `t` account signature | - | subaccounts are revoked, or let act again |
//! | `y` account time signature | size | an account has too many orders |
//! | `z` account | number and bytes of its orders | an order is kept |
//! | `w` bytes account | - | room for orders is sought |
//! | `x` expiry account signature | size | orders that need no longer be kept are sought |
//! | `c` name | [`Place`] | members compare what they have |
//! | `q` account | [`Tallies`] | a message is put; an account's mail is counted |
//! | `s` | [`State`] | the store opens |
//! | `u` | - | the store opens, if it was being brought up to date |
//!
//! A box is an account and a namespace; a position is the number of an arrival, never used twice. Changing any of this
//! needs a new [`FORMAT`].

#[cfg(doc)]
use super::words::Word;
use crate::{ItemName, Standing, Tallies, Usage};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace, Scope, SubaccountToken},
};

/// Number of this layout.
pub(super) const FORMAT: u32 = 7;
/// With a key for each word: like those before, brought up to date when it is opened.
pub(super) const FORMAT_6: u32 = 6;
/// Without `v` besides, and with a [`State`] that counts revocations among all bytes.
pub(super) const FORMAT_5: u32 = 5;
/// Without `w` besides, and with a [`State`] that counts orders among all bytes too, and no unproven messages.
pub(super) const FORMAT_4: u32 = 4;
/// What expires within the same minute is removed together.
pub(super) const BUCKET_MS: u64 = 60_000;

pub(super) const STATE: &[u8] = b"s";
/// There while a store is brought up to date.
pub(super) const UPGRADING: &[u8] = b"u";

const BOX_LEN: usize = AccountAddress::LEN + 2;
const HASH_LEN: usize = 32;

/// Where the mail of an account is counted.
pub(super) type TalliesKey = [u8; 1 + AccountAddress::LEN];

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
    pub(super) fn tallies(&self) -> TalliesKey {
        let (account, _) = self.0.split_at(AccountAddress::LEN);
        tallies_of(account)
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
pub(super) fn tallies(account: &AccountAddress) -> TalliesKey {
    tallies_of(account.as_bytes())
}

fn tallies_of(account: &[u8]) -> TalliesKey {
    let mut key = [b'q'; _];
    let (_, tail) = key.split_at_mut(1);
    tail.copy_from_slice(account);
    key
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

/// Where it stands how many revocations an account has, if it has any.
pub(super) fn revocation_holder(number: u64, account: &AccountAddress) -> Vec<u8> {
    [b"v", &number.to_be_bytes()[..], account.as_bytes()].concat()
}

/// What a key made by [`revocation_holder`] says.
pub(super) fn read_revocation_holder(key: &[u8]) -> Option<(u64, AccountAddress)> {
    read_order_holder(key)
}

/// The token in a key made by [`revocation`].
pub(super) fn read_revocation(key: &[u8]) -> Option<SubaccountToken> {
    let token: [u8; SubaccountToken::LEN] = key.get(1 + AccountAddress::LEN..)?.try_into().ok()?;
    Some(token.into())
}

/// When a subaccount was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Revoked {
    /// As the owner signed it.
    pub(super) at: u64,
    /// When a member was told. Zero in what was written without it.
    pub(super) given: u64,
}

impl Revoked {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        [self.at, self.given].map(u64::to_be_bytes).concat()
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks::<8>() else { return None };
        let number = u64::from_be_bytes;
        match *numbers {
            [at] => Some(Self { at: number(at), given: 0 }),
            [at, given] => Some(Self { at: number(at), given: number(given) }),
            _ => None,
        }
    }
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

/// The account in a key that begins with one.
pub(super) fn read_account(key: &[u8]) -> Option<AccountAddress> {
    AccountAddress::from_slice(key.get(1..=AccountAddress::LEN)?).ok()
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

/// Where the orders of an account are counted.
pub(super) fn order_count(account: &AccountAddress) -> Vec<u8> {
    [b"z", &account.as_bytes()[..]].concat()
}

/// Where it stands how much the orders of an account count.
pub(super) fn order_holder(charged: u64, account: &AccountAddress) -> Vec<u8> {
    [b"w", &charged.to_be_bytes()[..], account.as_bytes()].concat()
}

/// What a key made by [`order_holder`] says.
pub(super) fn read_order_holder(key: &[u8]) -> Option<(u64, AccountAddress)> {
    let (charged, account) = key.get(1..)?.split_first_chunk()?;
    Some((u64::from_be_bytes(*charged), AccountAddress::from_slice(account).ok()?))
}

/// Number and bytes of the orders of an account, as they stand at [`order_count`].
pub(super) fn read_order_count(bytes: &[u8]) -> Option<(u64, u64)> {
    let (numbers, []) = bytes.as_chunks::<8>() else { return None };
    let [number, bytes] = *numbers else { return None };
    Some((u64::from_be_bytes(number), u64::from_be_bytes(bytes)))
}

/// Beginning of the keys made by [`order_time`].
pub(super) fn order_time_prefix(account: &AccountAddress) -> Vec<u8> {
    [b"y", &account.as_bytes()[..]].concat()
}

/// Where the time of an order stands.
pub(super) fn order_time(account: &AccountAddress, at: u64, signature: &[u8; 64]) -> Vec<u8> {
    [b"y", &account.as_bytes()[..], &at.to_be_bytes(), signature].concat()
}

/// Time and signature in a key made by [`order_time`].
pub(super) fn read_order_time(key: &[u8]) -> Option<(u64, [u8; 64])> {
    let (at, signature) = key.get(1 + AccountAddress::LEN..)?.split_first_chunk()?;
    Some((u64::from_be_bytes(*at), signature.try_into().ok()?))
}

/// Where stands what orders say of one message by name.
pub(super) fn named(account: &AccountAddress, hash: &MessageHash) -> Vec<u8> {
    [b"i", &account.as_bytes()[..], hash.as_bytes()].concat()
}

/// Where stands what orders say of all messages of a scope.
pub(super) fn scoped(account: &AccountAddress, scope: Scope) -> Vec<u8> {
    let (kind, namespace) = match scope {
        Scope::All => (0, 0),
        Scope::One(namespace) => (1, namespace.0),
    };
    [b"g", &account.as_bytes()[..], &[kind], &namespace.to_be_bytes()].concat()
}

/// Beginning of the keys of orders about subaccounts.
pub(super) fn about_tokens_prefix(account: &AccountAddress) -> Vec<u8> {
    [b"t", &account.as_bytes()[..]].concat()
}

/// An order about subaccounts.
pub(super) fn about_tokens(account: &AccountAddress, signature: &[u8; 64]) -> Vec<u8> {
    [&about_tokens_prefix(account)[..], signature].concat()
}

/// The signature in a key made by [`about_tokens`].
pub(super) fn read_about_tokens(key: &[u8]) -> Option<[u8; 64]> {
    key.get(1 + AccountAddress::LEN..)?.try_into().ok()
}

/// Where it stands what a name stands for.
pub(super) fn name(name: &ItemName) -> Vec<u8> {
    [b"c", &name.to_bytes()[..]].concat()
}

/// The name in a key made by [`name`].
pub(super) fn read_name(key: &[u8]) -> Option<ItemName> {
    let bytes: [u8; ItemName::LEN] = key.get(1..)?.try_into().ok()?;
    Some(bytes.into())
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Message(BoxId, u64),
    Order(AccountAddress, [u8; 64]),
}

impl Place {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Message(id, position) => [b"m", &id.0[..], &position.to_be_bytes()].concat(),
            Self::Order(account, signature) => [b"o", &account.as_bytes()[..], &signature].concat(),
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? {
            b'm' => BoxId::read_meta(bytes).map(|(id, position)| Self::Message(id, position)),
            b'o' => read_order(bytes).map(|(account, signature)| Self::Order(account, signature)),
            _ => None,
        }
    }
}

/// What is told of a message without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) hash: MessageHash,
    /// When the deposit that is kept was sent.
    pub(super) timestamp: u64,
    /// When the first deposit that came here was sent, which is what clients are told.
    pub(super) sent: u64,
    pub(super) expiry: u64,
    /// When its deposit expires, whatever has been ordered since.
    pub(super) deposited: u64,
    /// Where it stands in the index of expiries.
    pub(super) bucket: u64,
    /// Bytes of its data.
    pub(super) size: u32,
    pub(super) standing: Standing,
}

impl Meta {
    /// Its name among members, as one of this box.
    pub(super) fn name(&self, id: &BoxId) -> Option<ItemName> {
        let account = id.account()?;
        let times = (self.timestamp, self.deposited);
        Some(ItemName::message(&account, id.namespace(), &self.hash, times, self.standing))
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let sent = self.sent.to_be_bytes();
        [
            &self.hash.as_bytes()[..],
            &self.timestamp.to_be_bytes(),
            &self.expiry.to_be_bytes(),
            &self.deposited.to_be_bytes(),
            &self.bucket.to_be_bytes(),
            &self.size.to_be_bytes(),
            &[u8::from(self.standing == Standing::Proven)],
            // Few messages are deposited twice.
            if self.sent == self.timestamp { &[] } else { &sent },
        ]
        .concat()
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (hash, rest) = bytes.split_first_chunk::<32>()?;
        let (timestamp, rest) = rest.split_first_chunk()?;
        let (expiry, rest) = rest.split_first_chunk()?;
        let (deposited, rest) = rest.split_first_chunk()?;
        let (bucket, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (standing, sent) = rest.split_first()?;
        let standing = match standing {
            0 => Standing::Unproven,
            1 => Standing::Proven,
            _ => return None,
        };
        let sent = if sent.is_empty() { timestamp } else { sent.try_into().ok()? };
        Some(Self {
            hash: (*hash).into(),
            timestamp: u64::from_be_bytes(*timestamp),
            sent: u64::from_be_bytes(*sent),
            expiry: u64::from_be_bytes(*expiry),
            deposited: u64::from_be_bytes(*deposited),
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
    /// All mail.
    pub(super) kept: Usage,
    /// Of that, unproven mail.
    pub(super) unproven: Usage,
    /// Bytes of orders, as they are charged.
    pub(super) orders: u64,
    /// Revocations of all accounts.
    pub(super) revocations: u64,
}

impl State {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let Self { next, first_bucket, kept, unproven, orders, revocations } = self;
        let mail = [kept.messages, kept.bytes, unproven.messages, unproven.bytes];
        let numbers = [&[next, first_bucket][..], &mail, &[orders, revocations]].concat();
        let numbers: Vec<_> = numbers.into_iter().map(u64::to_be_bytes).collect();
        [&FORMAT.to_be_bytes()[..], numbers.as_flattened()].concat()
    }

    /// The layout's number and, if it is ours or one before, the state. Of the oldest it counts nothing.
    pub(super) fn read(bytes: &[u8]) -> Option<(u32, Option<Self>)> {
        let (format, rest) = bytes.split_first_chunk()?;
        let format = u32::from_be_bytes(*format);
        let (numbers, is_whole) = rest.as_chunks::<8>();
        let number = u64::from_be_bytes;
        let usage = |messages, bytes| Usage { messages: number(messages), bytes: number(bytes) };
        let state = match (format, numbers, is_whole) {
            (
                FORMAT | FORMAT_6,
                &[next, first_bucket, messages, bytes, unproven_messages, unproven, orders, revocations],
                [],
            ) => Self {
                next: number(next),
                first_bucket: number(first_bucket),
                kept: usage(messages, bytes),
                unproven: usage(unproven_messages, unproven),
                orders: number(orders),
                revocations: number(revocations),
            },
            (FORMAT_5, &[next, first_bucket, _, _, _, _, _], []) | (FORMAT_4, &[next, first_bucket, _, _, _], []) => {
                Self { next: number(next), first_bucket: number(first_bucket), ..Self::default() }
            }
            (FORMAT | FORMAT_6 | FORMAT_5 | FORMAT_4, ..) => return None,
            _ => return Some((format, None)),
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
            let given = order_time(&owner, position, &signature);
            prop_assert_eq!(read_order_time(&given), Some((position, signature)));
            prop_assert_eq!(read_about_tokens(&about_tokens(&owner, &signature)), Some(signature));
            for key in [named(&owner, &hash.into()), scoped(&owner, Scope::One(Namespace(namespace)))] {
                prop_assert_eq!(read_account(&key), Some(owner));
            }
            let item = ItemName::order(&owner, &signature, position);
            prop_assert_eq!(read_name(&name(&item)), Some(item));
            for place in [Place::Message(id, position), Place::Order(owner, signature)] {
                prop_assert_eq!(Place::read(&place.to_bytes()), Some(place));
            }
            let end = order_expiry(position, &owner, &signature);
            prop_assert_eq!(read_order_expiry(&end), Some((owner, signature)));
            let (account, token) = (AccountAddress::from_x25519(key), SubaccountToken::new(5, Access::READ, &hash));
            prop_assert_eq!(read_revocation(&revocation(&account, &token)), Some(token));
            prop_assert_eq!(read_expiry(&id.expiry(bucket, position)), Some((bucket, id, position)));
            let standing = if proven { Standing::Proven } else { Standing::Unproven };
            let meta = Meta {
                hash: hash.into(), timestamp: times.0, sent: times.0, expiry: times.1, deposited: times.0, bucket, size,
                standing,
            };
            prop_assert_eq!(Meta::read(&meta.to_bytes()), Some(meta));
            let twice = Meta { sent: times.1, ..meta };
            prop_assert_eq!(Meta::read(&twice.to_bytes()), Some(twice));
            let revoked = Revoked { at: times.0, given: times.1 };
            prop_assert_eq!(Revoked::read(&revoked.to_bytes()), Some(revoked));
            let counts = Tallies {
                proven: Usage { messages: position, bytes: times.0 },
                unproven: Usage { messages: bucket, bytes: times.1 },
            };
            prop_assert_eq!(read_tallies(&write_tallies(&counts)), Some(counts));
            prop_assert_eq!((read_tallies_key(&tallies(&owner)), id.tallies()), (Some(owner), tallies(&owner)));
            prop_assert_eq!(read_order_holder(&order_holder(position, &owner)), Some((position, owner)));
            let state = State {
                next: position, first_bucket: bucket, kept: counts.proven, unproven: counts.unproven, orders: times.1,
                revocations: position,
            };
            prop_assert_eq!(State::read(&state.to_bytes()), Some((FORMAT, Some(state))));
        }

        #[test]
        fn other_bytes_are_refused_quietly(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = (Meta::read(&bytes), State::read(&bytes), read_expiry(&bytes), BoxId::read_meta(&bytes));
            let _ = (read_tallies(&bytes), read_tallies_key(&bytes));
            let _ = (BoxId::read_by_hash(&bytes), read_revocation(&bytes), read_order(&bytes), read_order_expiry(&bytes));
            let _ = (read_order_holder(&bytes), read_order_count(&bytes));
            let _ = (read_order_time(&bytes), read_about_tokens(&bytes), read_name(&bytes), Place::read(&bytes));
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

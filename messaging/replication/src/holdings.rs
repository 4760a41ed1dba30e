//! Sets of items, ready to be compared.

use blake2::{Blake2b, Digest, digest::consts::U32};
use negentropy::{Id, NegentropyStorageVector};
use skep_mailbox::Item;
use skep_primitives::SwarmId;
use std::collections::{BTreeMap, HashMap};

/// Separates these names from every other use of the hash.
const LABEL: &[u8] = b"skep replica v1";

/// Names an item among members: BLAKE2b-256 over a label, the kind, and what the item names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub(crate) [u8; 32]);

impl From<&Item> for ItemId {
    fn from(item: &Item) -> Self {
        let mut hasher = Blake2b::<U32>::new();
        hasher.update(LABEL);
        match item {
            Item::Message { account, namespace, hash } => {
                hasher.update(b"message");
                hasher.update(account.as_bytes());
                hasher.update(namespace.0.to_be_bytes());
                hasher.update(hash.as_bytes());
            }
            Item::Order { account, signature } => {
                hasher.update(b"order");
                hasher.update(account.as_bytes());
                hasher.update(signature);
            }
        }
        Self(hasher.finalize().into())
    }
}

/// What a node holds for one swarm.
#[derive(Debug)]
pub struct Holdings {
    pub(crate) set: NegentropyStorageVector,
    items: HashMap<ItemId, Item>,
}

impl Holdings {
    /// The set of `items`.
    pub fn new(items: impl IntoIterator<Item = Item>) -> Self {
        let items: HashMap<_, _> = items.into_iter().map(|item| (ItemId::from(&item), item)).collect();
        let mut set = NegentropyStorageVector::with_capacity(items.len());
        for id in items.keys() {
            // Members may have got an item at different times, so that ids alone order them. A set that is not sealed takes
            // everything.
            let _ = set.insert(0, Id::from_byte_array(id.0));
        }
        let _ = set.seal();
        Self { set, items }
    }

    /// The item of that name.
    pub fn item(&self, id: &ItemId) -> Option<&Item> {
        self.items.get(id)
    }

    /// Every item.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// `items` by the swarm they belong to now. What belongs to none is left out.
pub fn holdings(
    items: impl IntoIterator<Item = Item>,
    swarm_of: impl Fn(&[u8; 32]) -> Option<SwarmId>,
) -> BTreeMap<SwarmId, Holdings> {
    let mut by_swarm = BTreeMap::<SwarmId, Vec<Item>>::new();
    for item in items {
        if let Some(swarm) = swarm_of(&item.account().key()) {
            by_swarm.entry(swarm).or_default().push(item);
        }
    }
    by_swarm.into_iter().map(|(swarm, items)| (swarm, Holdings::new(items))).collect()
}

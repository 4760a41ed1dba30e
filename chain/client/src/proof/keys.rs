//! Where the chain's state keeps what is read here: storage keys as FRAME computes them.

use skep_primitives::BlockNumber;
use twox_hash::XxHash64;

/// The key of a pallet's single value.
pub(super) fn value(pallet: &str, item: &str) -> Vec<u8> {
    [twox_128(pallet.as_bytes()), twox_128(item.as_bytes())].concat()
}

/// The key of a block's hash in the state of later blocks.
pub(super) fn block_hash(number: BlockNumber) -> Vec<u8> {
    let number = number.to_le_bytes();
    let hash = XxHash64::oneshot(0, &number).to_le_bytes();
    [&value("System", "BlockHash")[..], &hash, &number].concat()
}

fn twox_128(name: &[u8]) -> [u8; 16] {
    let halves = [0, 1].map(|seed| XxHash64::oneshot(seed, name));
    let number = u128::from(halves[0]) | u128::from(halves[1]) << 64;
    number.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_every_substrate_chain_uses() {
        // As wallets and explorers show them.
        let now = "f0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb";
        assert_eq!(hex::encode(value("Timestamp", "Now")), now);
        let genesis = "26aa394eea5630e07c48ae0c9558cef7a44704b568d21667356a5a050c118746b4def25cfda6ef3a00000000";
        assert_eq!(hex::encode(block_hash(0)), genesis);
    }
}

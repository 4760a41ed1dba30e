//! Keys and rounds for tests.

use ed25519_dalek::{Signer, SigningKey};
use skep_primitives::{BlockHash, BlockNumber, Findings, NodeState, ServiceNodeId, TestingRound};
use std::sync::LazyLock;

pub(crate) const GENESIS: BlockHash = [9; 32];
pub(crate) const SECOND: u64 = 1_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;

pub(crate) fn key(number: usize) -> SigningKey {
    SigningKey::from_bytes(&[number as u8 + 1; 32])
}

pub(crate) fn id(number: usize) -> ServiceNodeId {
    // Whole networks ask for these all the time.
    static IDS: LazyLock<Vec<ServiceNodeId>> =
        LazyLock::new(|| (0..32).map(|number| ServiceNodeId(key(number).verifying_key().to_bytes())).collect());
    IDS[number]
}

pub(crate) fn sign(number: usize) -> impl Fn(&[u8]) -> [u8; 64] {
    move |message| key(number).sign(message).to_bytes()
}

/// A round that begins at this block and lasts 100 blocks.
pub(crate) fn round(
    number: u32,
    begins_at: BlockNumber,
    testers: impl IntoIterator<Item = usize>,
    targets: impl IntoIterator<Item = usize>,
) -> TestingRound {
    TestingRound {
        round: number,
        block: [number as u8; 32],
        begins_at,
        ends_at: begins_at + 99,
        testers: testers.into_iter().map(id).collect(),
        targets: targets.into_iter().map(id).collect(),
    }
}

pub(crate) const ACTIVE: NodeState = NodeState::Active { since: 1 };

pub(crate) fn decommissioned(since: BlockNumber, credit_ends_at: BlockNumber) -> NodeState {
    NodeState::Decommissioned { since, credit_ends_at, findings: Findings::default(), leave: None }
}

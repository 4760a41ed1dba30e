//! Announcements from end to end: the bytes a messaging node sends, through the pool's own check, into a block.

use super::*;
use skep_primitives::Announcement;
use sp_runtime::transaction_validity::UnknownTransaction;

const VERSION: SoftwareVersion = SoftwareVersion([0, 2, 0]);

fn announced(chain: &mut Chain, number: u8, ipv4: [u8; 4], after: u32) -> UncheckedExtrinsic {
    let key = ed25519::Pair::from_seed(&[number; 32]);
    let endpoint = Endpoint { ipv4, https_port: 22021, quic_port: 22020 };
    let announcement = Announcement { node: ServiceNodeId(key.public().0), endpoint, version: VERSION, after };
    let signature = key.sign(&signing::announcement(&chain.genesis.0, &announcement)).0;
    authorized(chain, &Authorized::Announcement { announcement, signature })
}

/// A chain with one node that was registered some blocks ago.
fn begun() -> Chain {
    let mut chain = Chain::begin(Engine::Native, presets::DEV);
    let genesis = chain.genesis;
    chain.make_block(&[]);
    chain.make_block(&[register(Sr25519Keyring::Alice, 0, genesis, 1, 100 * UNIT)]);
    for _ in 0..3 {
        chain.make_block(&[]);
    }
    chain
}

#[test]
fn the_pool_takes_an_announcement_and_a_block_carries_it_out_once() {
    let mut chain = begun();
    chain.engine = blob();
    let after = chain.head.number;
    let good = announced(&mut chain, 1, [127, 0, 9, 1], after);
    let stranger = announced(&mut chain, 2, [127, 0, 9, 1], after);
    assert_eq!(
        validate(&mut chain, TransactionSource::External, &stranger),
        Err(UnknownTransaction::Custom(3).into()),
        "nobody registered this node"
    );
    let validity = validate(&mut chain, TransactionSource::External, &good).expect("the pool takes it");
    assert!(validity.propagate && validity.longevity > 1);
    let before = chain.state.execute_with(Balances::total_issuance);
    let alice =
        |chain: &mut Chain| chain.state.execute_with(|| Balances::free_balance(Sr25519Keyring::Alice.to_account_id()));
    let free = alice(&mut chain);
    chain.make_block(std::slice::from_ref(&good));
    let entry = chain.roster()[0].clone();
    assert_eq!((entry.endpoint.ipv4, entry.version), ([127, 0, 9, 1], VERSION));
    let after_it = chain.state.execute_with(Balances::total_issuance);
    assert!(after_it >= before && alice(&mut chain) >= free, "nobody paid for it");
    assert_eq!(validate(&mut chain, TransactionSource::External, &good), Err(InvalidTransaction::Stale.into()));
    // The same call bare is no announcement.
    let bare = UncheckedExtrinsic::new_bare(good.function.clone());
    assert!(validate(&mut chain, TransactionSource::External, &bare).is_err());
}

#[test]
fn an_announcement_survives_a_reorganisation() {
    // Two chains from the same blocks; one loses its last, in which the announcement was.
    let (mut lost, mut kept) = (begun(), begun());
    let after = lost.head.number;
    let said = announced(&mut lost, 1, [127, 0, 9, 1], after);
    lost.make_block(std::slice::from_ref(&said));
    assert_eq!(validate(&mut lost, TransactionSource::External, &said), Err(InvalidTransaction::Stale.into()));
    // On the branch that stays, the pool takes it again, in a later block and once.
    kept.make_block(&[]);
    kept.make_block(&[]);
    validate(&mut kept, TransactionSource::External, &said).expect("as good as before");
    kept.make_block(std::slice::from_ref(&said));
    assert_eq!(kept.roster()[0].endpoint.ipv4, [127, 0, 9, 1]);
    assert_eq!(validate(&mut kept, TransactionSource::External, &said), Err(InvalidTransaction::Stale.into()));
    // One made on the longer branch waits there: here its block lies ahead.
    let ahead = announced(&mut lost, 1, [127, 0, 10, 1], after + 9);
    assert_eq!(validate(&mut lost, TransactionSource::External, &ahead), Err(UnknownTransaction::Custom(1).into()));
}

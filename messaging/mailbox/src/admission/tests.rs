use super::*;
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;
use skep_proto::{
    account::AccountAddress,
    storage::{
        HexKey,
        limits::{MAX_TTL_PRIVATE, MAX_TTL_PUBLIC},
    },
};
use skep_work::{Challenge, WorkError, solve};

const NOW: u64 = 1_700_000_000_000;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn auth(key: &SigningKey, message: &[u8], timestamp: u64) -> OwnerAuth {
    let ed25519_key = Some(HexKey(key.verifying_key().to_bytes()));
    OwnerAuth { signature: key.sign(message).to_bytes(), ed25519_key, timestamp }
}

fn deposit(namespace: i16) -> StoreRequest {
    let namespace = Namespace(namespace);
    let auth = (!namespace.anyone_may_store()).then(|| auth(&key(), &signed::store(namespace, NOW), NOW));
    StoreRequest {
        account: AccountAddress::from_x25519(key().verifying_key().to_montgomery().to_bytes()),
        namespace,
        timestamp: NOW,
        expiry: NOW + 60_000,
        data: b"hello".to_vec(),
        auth,
        work: None,
    }
}

fn retrieval(namespace: i16) -> RetrieveRequest {
    let StoreRequest { account, namespace, .. } = deposit(namespace);
    let auth = Some(auth(&key(), &signed::retrieve(namespace, NOW), NOW));
    RetrieveRequest { account, namespace, last_hash: None, max_count: None, max_size: None, auth }
}

fn judge(deposit: StoreRequest, origin: Origin) -> Result<Record, StoreRefusal> {
    admit(deposit, &Admission { now: NOW, origin, least_effort: 2, is_recent_block: &|block| *block == [9; 32] })
}

fn at(timestamp: u64, ttl: u64, namespace: i16) -> StoreRequest {
    StoreRequest { timestamp, expiry: timestamp + ttl, ..deposit(namespace) }
}

#[test]
fn lives_have_bounds_by_namespace() {
    for (namespace, longest) in [(0, MAX_TTL_PUBLIC), (-10, MAX_TTL_PUBLIC), (5, MAX_TTL_PRIVATE)] {
        for (ttl, outcome) in [
            (MIN_TTL - 1, Err(StoreRefusal::Lifetime)),
            (MIN_TTL, Ok(())),
            (longest, Ok(())),
            (longest + 1, Err(StoreRefusal::Lifetime)),
        ] {
            assert_eq!(judge(at(NOW, ttl, namespace), Origin::Client).map(drop), outcome, "{namespace} {ttl}");
        }
    }
    let backwards = StoreRequest { expiry: NOW - 1, ..deposit(0) };
    assert_eq!(judge(backwards, Origin::Client), Err(StoreRefusal::Lifetime));
}

#[test]
fn clocks_may_differ_a_little_more_among_members() {
    let hour = 3_600_000;
    for (origin, tolerance) in [(Origin::Client, STORE_TOLERANCE), (Origin::Member, STORE_TOLERANCE + 10_000)] {
        for (timestamp, outcome) in [
            (NOW + tolerance, Ok(())),
            (NOW + tolerance + 1, Err(StoreRefusal::Clock)),
            (NOW - hour - tolerance, Ok(())),
            (NOW - hour - tolerance - 1, Err(StoreRefusal::Clock)),
        ] {
            assert_eq!(judge(at(timestamp, hour, 0), origin).map(drop), outcome, "{origin:?} {timestamp}");
        }
    }
    for (origin, tolerance) in [(Origin::Client, 60_000), (Origin::Member, 70_000)] {
        for (signed_at, outcome) in [
            (NOW - tolerance, Ok(())),
            (NOW + tolerance, Ok(())),
            (NOW - tolerance - 1, Err(StoreRefusal::SignatureClock)),
            (NOW + tolerance + 1, Err(StoreRefusal::SignatureClock)),
        ] {
            let auth = Some(auth(&key(), &signed::store(Namespace(5), signed_at), signed_at));
            let outcome_now = judge(StoreRequest { auth, ..deposit(5) }, origin).map(drop);
            assert_eq!(outcome_now, outcome, "{origin:?} {signed_at}");
        }
    }
}

#[test]
fn private_namespaces_are_their_owners() {
    assert!(judge(deposit(5), Origin::Client).is_ok());
    let unsigned = StoreRequest { auth: None, ..deposit(5) };
    assert_eq!(judge(unsigned, Origin::Member), Err(StoreRefusal::SignatureRequired(Namespace(5))));
    let elsewhere = Some(auth(&key(), &signed::store(Namespace(6), NOW), NOW));
    let stranger = Some(auth(&SigningKey::from_bytes(&[8; 32]), &signed::store(Namespace(5), NOW), NOW));
    for auth in [elsewhere, stranger] {
        assert_eq!(judge(StoreRequest { auth, ..deposit(5) }, Origin::Client), Err(StoreRefusal::Signature));
    }
    assert_eq!(judge(deposit(-21), Origin::Client), Err(StoreRefusal::Outbox(Namespace(-21))));
}

#[test]
fn mailboxes_are_read_by_their_owners() {
    assert!(may_retrieve(&retrieval(0), NOW).is_ok());
    let unsigned = |namespace| RetrieveRequest { auth: None, ..retrieval(namespace) };
    assert_eq!(may_retrieve(&unsigned(0), NOW), Err(RetrieveRefusal::SignatureRequired));
    assert_eq!(may_retrieve(&unsigned(5), NOW), Err(RetrieveRefusal::SignatureRequired));
    assert!(may_retrieve(&unsigned(-10), NOW).is_ok());
    assert_eq!(may_retrieve(&unsigned(-1), NOW), Err(RetrieveRefusal::Outbox(Namespace(-1))));
    assert!(may_retrieve(&retrieval(0), NOW + 60_000).is_ok());
    assert_eq!(may_retrieve(&retrieval(0), NOW + 60_001), Err(RetrieveRefusal::SignatureClock));
    let elsewhere = RetrieveRequest { namespace: Namespace(5), ..retrieval(0) };
    assert_eq!(may_retrieve(&elsewhere, NOW), Err(RetrieveRefusal::Signature));
    // A signature that was not needed must still be right.
    let wrong = RetrieveRequest { namespace: Namespace(-10), ..retrieval(0) };
    assert_eq!(may_retrieve(&wrong, NOW), Err(RetrieveRefusal::Signature));
}

fn worked(deposit: StoreRequest, effort: u32, block_hash: [u8; 32]) -> StoreRequest {
    let StoreRequest { account, namespace, timestamp, expiry, .. } = deposit;
    let hash = Record::new(deposit.clone()).hash();
    let challenge = Challenge { account, namespace, hash, timestamp, ttl: expiry - timestamp, effort, block_hash };
    let proof = solve(&challenge, [0; 16], || true).expect("never gives up");
    StoreRequest { work: Some(challenge.to_wire(&proof)), ..deposit }
}

#[test]
fn work_is_judged_where_it_is_attached() {
    let refused = |deposit, why| assert_eq!(judge(deposit, Origin::Member), Err(StoreRefusal::Work(why)));
    let good = worked(deposit(0), 2, [9; 32]);
    assert!(judge(good.clone(), Origin::Client).is_ok());
    refused(worked(deposit(0), 1, [9; 32]), WorkRefusal::TooLittle);
    refused(worked(deposit(0), 2, [8; 32]), WorkRefusal::Block);
    refused(StoreRequest { timestamp: NOW - 1, ..good.clone() }, WorkRefusal::OtherDeposit);
    refused(StoreRequest { expiry: good.expiry + 1, ..good.clone() }, WorkRefusal::OtherDeposit);
    assert!(judge(StoreRequest { expiry: good.expiry - 1, ..good.clone() }, Origin::Client).is_ok());
    for foreign in [
        StoreRequest { data: b"other".to_vec(), ..good.clone() },
        StoreRequest { namespace: Namespace(10), ..good.clone() },
        StoreRequest { account: AccountAddress::from_x25519([1; 32]), ..good },
    ] {
        assert!(matches!(
            judge(foreign, Origin::Client),
            Err(StoreRefusal::Work(WorkRefusal::Invalid(WorkError::Effort | WorkError::Unsolved)))
        ));
    }
}

proptest! {
    #[test]
    fn nothing_admitted_outlives_its_limit(
        namespace: i16,
        timestamp in prop_oneof![any::<u64>(), NOW - 100_000..NOW + 100_000],
        ttl in prop_oneof![any::<u64>(), 0..2 * MAX_TTL_PRIVATE],
    ) {
        let expiry = timestamp.saturating_add(ttl);
        let deposit = StoreRequest { timestamp, expiry, ..deposit(namespace) };
        if let Ok(record) = judge(deposit, Origin::Client) {
            let latest = NOW + STORE_TOLERANCE + max_ttl(Namespace(namespace));
            prop_assert!(record.deposit().expiry <= latest);
            prop_assert!(record.deposit().expiry + STORE_TOLERANCE >= NOW);
        }
    }
}

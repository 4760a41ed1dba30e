use super::*;
use crate::Standing;
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;
use skep_proto::{
    account::AccountAddress,
    storage::{
        Delegation, HexKey, OwnerAuth, SubaccountToken,
        limits::{MAX_TTL_PRIVATE, MAX_TTL_PUBLIC},
    },
};
use skep_work::{Challenge, WorkError, solve};

const NOW: u64 = 1_700_000_000_000;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn auth(key: &SigningKey, message: &[u8], timestamp: u64) -> TimedAuth {
    let ed25519_key = Some(HexKey(key.verifying_key().to_bytes()));
    let auth = OwnerAuth { signature: key.sign(message).to_bytes(), ed25519_key, subaccount: None };
    TimedAuth { auth, timestamp }
}

/// `auth` signed by a subaccount with the rights `access` instead.
fn delegated(message: &[u8], access: Access) -> TimedAuth {
    let user = SigningKey::from_bytes(&[9; 32]);
    let token = SubaccountToken::new(5, access, &user.verifying_key().to_bytes());
    let subaccount = Some(Delegation { token, signature: key().sign(token.as_bytes()).to_bytes() });
    let TimedAuth { auth, timestamp } = auth(&key(), message, NOW);
    TimedAuth { auth: OwnerAuth { signature: user.sign(message).to_bytes(), subaccount, ..auth }, timestamp }
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
    judge_unless(deposit, origin, false)
}

fn judge_unless(deposit: StoreRequest, origin: Origin, is_revoked: bool) -> Result<Record, StoreRefusal> {
    let is_recent_block = &|block: &[u8; 32]| *block == [9; 32];
    authorize(weigh(deposit, &Admission { now: NOW, origin, least_effort: 9, is_recent_block })?, is_revoked)
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
    assert!(judge(deposit(-21), Origin::Client).is_ok());
    let unsigned = StoreRequest { auth: None, ..deposit(-21) };
    assert_eq!(judge(unsigned, Origin::Client), Err(StoreRefusal::SignatureRequired(Namespace(-21))));
}

#[test]
fn subaccounts_store_with_the_right_to_write() {
    let by = |namespace, access| {
        let auth = Some(delegated(&signed::store(Namespace(namespace), NOW), access));
        StoreRequest { auth, ..deposit(namespace) }
    };
    let refused = Err(StoreRefusal::Signature);
    assert!(judge(by(5, Access::WRITE), Origin::Member).is_ok());
    assert_eq!(judge_unless(by(5, Access::WRITE), Origin::Client, true), refused, "revoked");
    assert_eq!(judge(by(5, Access::READ | Access::DELETE), Origin::Client), refused);
    assert_eq!(judge(by(-1, Access::WRITE), Origin::Client), refused, "storing into an outbox deletes");
    assert!(judge(by(-1, Access::WRITE | Access::DELETE), Origin::Client).is_ok());
}

#[test]
fn subaccounts_read_until_they_are_revoked() {
    let by = |namespace, access| {
        let auth = Some(delegated(&signed::retrieve(Namespace(namespace), NOW), access));
        RetrieveRequest { auth, ..retrieval(namespace) }
    };
    assert!(may_retrieve(&by(0, Access::READ), NOW, false).is_ok());
    assert_eq!(may_retrieve(&by(0, Access::READ), NOW, true), Err(RetrieveRefusal::Signature("retrieve")));
    assert!(may_retrieve(&by(-11, Access::READ), NOW, true).is_ok(), "where the revocation is told");
    assert_eq!(may_retrieve(&by(0, Access::WRITE), NOW, false), Err(RetrieveRefusal::Signature("retrieve")));
}

#[test]
fn mailboxes_are_read_by_their_owners() {
    assert!(may_retrieve(&retrieval(0), NOW, false).is_ok());
    let unsigned = |namespace| RetrieveRequest { auth: None, ..retrieval(namespace) };
    assert_eq!(may_retrieve(&unsigned(0), NOW, false), Err(RetrieveRefusal::SignatureRequired("retrieve")));
    assert_eq!(may_retrieve(&unsigned(5), NOW, false), Err(RetrieveRefusal::SignatureRequired("retrieve")));
    assert!(may_retrieve(&unsigned(-10), NOW, false).is_ok());
    assert!(may_retrieve(&unsigned(-1), NOW, false).is_ok());
    assert!(may_retrieve(&retrieval(0), NOW + 60_000, false).is_ok());
    assert_eq!(may_retrieve(&retrieval(0), NOW + 60_001, false), Err(RetrieveRefusal::SignatureClock("retrieve")));
    let elsewhere = RetrieveRequest { namespace: Namespace(5), ..retrieval(0) };
    assert_eq!(may_retrieve(&elsewhere, NOW, false), Err(RetrieveRefusal::Signature("retrieve")));
    // A signature that was not needed must still be right.
    let wrong = RetrieveRequest { namespace: Namespace(-10), ..retrieval(0) };
    assert_eq!(may_retrieve(&wrong, NOW, false), Err(RetrieveRefusal::Signature("retrieve")));
}

#[test]
fn who_may_read_may_have_it_pushed() {
    let monitor = |namespace, message: &[u8]| {
        let RetrieveRequest { account, namespace, .. } = retrieval(namespace);
        MonitorRequest { account, namespace, auth: Some(auth(&key(), message, NOW)) }
    };
    let good = monitor(5, &signed::monitor(Namespace(5), NOW));
    assert_eq!(may_monitor(&good, NOW, false), Ok(()));
    assert_eq!(may_monitor(&good, NOW + 60_001, false), Err(RetrieveRefusal::SignatureClock("monitor")));
    assert_eq!(may_monitor(&good, NOW, true), Err(RetrieveRefusal::Signature("monitor")), "revoked");
    let recorded = monitor(5, &signed::retrieve(Namespace(5), NOW));
    let refused = may_monitor(&recorded, NOW, false).expect_err("a signature for something else");
    assert_eq!(refused.to_string(), "monitor signature verification failed");
    let unsigned = |namespace| MonitorRequest { auth: None, ..monitor(namespace, b"") };
    assert_eq!(may_monitor(&unsigned(0), NOW, false), Err(RetrieveRefusal::SignatureRequired("monitor")));
    assert_eq!(may_monitor(&unsigned(-10), NOW, false), Ok(()));
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
    let good = worked(deposit(0), 9, [9; 32]);
    assert!(judge(good.clone(), Origin::Client).is_ok_and(|record| record.standing() == Standing::Proven));
    refused(worked(deposit(0), 8, [9; 32]), WorkRefusal::TooLittle);
    refused(worked(deposit(0), 9, [8; 32]), WorkRefusal::Block);
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

#[test]
fn work_comes_before_signatures() {
    let deposit = StoreRequest { work: Some(skep_proto::peer::Work::default()), ..deposit(5) };
    let forged = StoreRequest { auth: Some(auth(&key(), b"another text", NOW)), ..deposit };
    assert!(matches!(judge(forged, Origin::Client), Err(StoreRefusal::Work(_))));
}

#[test]
fn what_nobody_paid_for_is_unproven() {
    let standing = |namespace| judge(deposit(namespace), Origin::Client).expect("admitted").standing();
    assert_eq!(
        [0, -10, 5, -1].map(standing),
        [Standing::Unproven, Standing::Unproven, Standing::Proven, Standing::Proven]
    );
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

use super::*;
use crate::{Body, Content, Crossed, Prekeys, Ratchet, ReceiptKind, content::tests::text, crossed_requests};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, aead::Aead};
use hmac::{Hmac, Mac};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};

const GENESIS: [u8; 32] = [0x6e; 32];

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn people() -> (Identity, Identity) {
    (Identity::generate(&mut rng(1)), Identity::generate(&mut rng(2)))
}

fn request(introduction: &str) -> FriendRequest {
    let (_, bundle) = Prekeys::new(people().0.account()).bundle();
    FriendRequest::new(1_790_000_000_000, introduction.to_owned(), "Ada".parse().unwrap(), bundle).unwrap()
}

/// A message that starts a session, and one that does not.
fn messages(content: &Content) -> [RatchetMessage; 2] {
    let (alice, bob) = people();
    let (of_alice, bundle) = Prekeys::new(alice.account()).bundle();
    let of_bob = Prekeys::new(bob.account());
    let (_, start) = Ratchet::start(&of_bob, alice.account(), &bundle).unwrap().encrypt(content).unwrap();
    let heard = Ratchet::receive(&of_alice, None, bob.account(), &start).unwrap();
    let (_, message) = heard.ratchet.encrypt(content).unwrap();
    [start, message]
}

fn payloads() -> [Payload; 3] {
    let [start, message] = messages(&text("hello"));
    [Payload::FriendRequest(request("Hi!")), Payload::Ratchet(start), Payload::Ratchet(message)]
}

fn sealed(from: &Identity, to: &Identity, payload: &Payload) -> Vec<u8> {
    seal(from, &GENESIS, &to.account(), payload, &mut rng(3)).unwrap()
}

/// Seals an envelope as it is, whoever made it.
fn sealed_envelope(to: &Identity, envelope: Vec<u8>) -> Vec<u8> {
    let info = info(SEAL, &GENESIS, &to.account());
    let padded = padding::pad(envelope).unwrap();
    encryption::encrypt(None, &to.account().key(), Context { info: &info, aad: &[] }, &padded, &mut rng(4)).unwrap()
}

#[test]
fn what_is_sealed_opens_for_the_recipient_only() {
    let (alice, bob) = people();
    for payload in payloads() {
        let sealed = sealed(&alice, &bob, &payload);
        let opened = Opened { source: alice.account(), payload };
        assert_eq!(open(&bob, &GENESIS, &sealed), Ok(opened));
        assert_eq!(open(&alice, &GENESIS, &sealed), Err(OpenError::Foreign));
        assert_eq!(open(&bob, &[0; 32], &sealed), Err(OpenError::Foreign));
    }
}

#[test]
fn half_an_opening_tells_what_is_claimed_and_proves_nothing() {
    let (alice, bob) = people();
    for payload in payloads() {
        let is_request = matches!(payload, Payload::FriendRequest(_));
        let sealed = sealed(&alice, &bob, &payload);
        let unsealed = unseal(&bob, &GENESIS, &sealed).unwrap();
        assert_eq!((unsealed.claimed_source(), unsealed.is_friend_request()), (alice.account(), is_request));
    }
    let envelope = Envelope {
        kind: Kind::FriendRequest.into(),
        source: alice.account().as_bytes().to_vec().into(),
        content: vec![1; 100].into(),
    };
    let forged = sealed_envelope(&bob, envelope.encode_to_vec());
    let unsealed = unseal(&bob, &GENESIS, &forged).unwrap();
    assert!(unsealed.is_friend_request());
    assert_eq!(unsealed.open(), Err(OpenError::Forged(alice.account())));
}

#[test]
fn short_payloads_of_all_kinds_look_alike() {
    let (alice, bob) = people();
    let name = "n".repeat(100);
    let (_, prekeys) = Prekeys::new(people().0.account()).bundle();
    let longest_request =
        FriendRequest::new(u64::MAX, "x".repeat(FriendRequest::MAX_INTRODUCTION), name.parse().unwrap(), prekeys);
    let mut payloads = vec![Payload::FriendRequest(longest_request.unwrap()), Payload::FriendRequest(request(""))];
    let listening = Some(crate::Listening { node: [1; 32], handle: [2; 32], token: [3; 32] });
    let sync = Some(crate::Sync { stamp: 1_790_000_000_000, heard: 1_790_000_000_000, listening });
    for body in [
        Body::FriendAccept { display_name: name.parse().unwrap(), prekeys },
        Body::Text("x".repeat(300).into()),
        Body::Typing(true),
        Body::Receipt(ReceiptKind::Read, vec![text("").id; 10]),
    ] {
        let content = Content { timestamp: u64::MAX, sync, body: Some(body), ..text("") };
        payloads.extend(messages(&content).map(Payload::Ratchet));
    }
    for payload in payloads {
        assert_eq!(sealed(&alice, &bob, &payload).len(), SIZE_CLASSES[0], "{payload:?}");
    }
}

#[test]
fn the_longest_message_can_be_stored() {
    let (alice, bob) = people();
    let overhead = text("").encode(&alice.account(), &bob.account()).len();
    let longest = text(&"x".repeat(Ratchet::MAX_CONTENT - overhead - 8));
    for message in messages(&longest) {
        let payload = Payload::Ratchet(message);
        let sealed = sealed(&alice, &bob, &payload);
        assert_eq!(Some(&sealed.len()), SIZE_CLASSES.last());
        assert_eq!(open(&bob, &GENESIS, &sealed).map(|opened| opened.payload), Ok(payload));
    }
}

#[test]
fn not_everything_can_be_written_to() {
    let (alice, _) = people();
    let payload = Payload::FriendRequest(request(""));
    let write_to = |account: AccountAddress| seal(&alice, &GENESIS, &account, &payload, &mut rng(3));
    let group = AccountAddress::from_slice(&[3; 33]).unwrap();
    assert_eq!(write_to(group), Err(SealError::NotAPerson(group)));
    let weak = AccountAddress::from_x25519([0; 32]);
    assert_eq!(write_to(weak), Err(SealError::WeakKey(weak)));
}

#[test]
fn nobody_writes_in_anothers_name() {
    let (alice, bob) = people();
    let mallory = Identity::generate(&mut rng(9));
    let info_for = |kind| info(label(kind), &GENESIS, &bob.account());
    let named = |kind: Kind, content: Vec<u8>| {
        let source = alice.account().as_bytes().to_vec().into();
        let envelope = Envelope { kind: kind.into(), source, content: content.into() };
        open(&bob, &GENESIS, &sealed_envelope(&bob, envelope.encode_to_vec()))
    };
    let forged = Err(OpenError::Forged(alice.account()));
    let words = request("I am Alice").encode();
    let info = info_for(Kind::FriendRequest);
    let encrypt = |sender: Option<&[u8; 32]>| {
        let context = Context { info: &info, aad: &[] };
        encryption::encrypt(sender, &bob.account().key(), context, &words, &mut rng(5)).unwrap()
    };
    assert_eq!(named(Kind::FriendRequest, encrypt(Some(mallory.agreement_key()))), forged);
    assert_eq!(named(Kind::FriendRequest, encrypt(None)), forged);
    assert_eq!(named(Kind::FriendRequest, words.clone()), forged);
    // Alice's own words, passed off as something else.
    let genuine = encrypt(Some(alice.agreement_key()));
    assert_eq!(named(Kind::SessionStart, genuine.clone()), forged);
    assert!(named(Kind::FriendRequest, genuine).is_ok());
}

/// The recipient can make every friend request it got all by itself, so it proves nothing to anyone else. This is
/// `AuthEncap` of RFC 9180 section 4.1 with `DH(skR, pkS)` in the place of `DH(skS, pkR)`, which is the same.
#[test]
fn the_recipient_could_have_written_it() {
    let (alice, bob) = people();
    let request = request("Alice never said this");
    let content = forge(&alice.account(), &bob, label(Kind::FriendRequest), &request.encode());
    let source = alice.account().as_bytes().to_vec().into();
    let envelope = Envelope { kind: Kind::FriendRequest.into(), source, content: content.into() };
    let opened = open(&bob, &GENESIS, &sealed_envelope(&bob, envelope.encode_to_vec()));
    assert_eq!(opened, Ok(Opened { source: alice.account(), payload: Payload::FriendRequest(request) }));
}

fn forge(sender: &AccountAddress, recipient: &Identity, label: &[u8], plaintext: &[u8]) -> Vec<u8> {
    fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        let mut hmac = <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap();
        parts.iter().for_each(|part| hmac.update(part));
        hmac.finalize().into_bytes().to_vec()
    }
    const KEM: &[u8] = b"KEM\x00\x20";
    const HPKE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";
    let extract = |suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]| hmac(salt, &[b"HPKE-v1", suite, label, ikm]);
    let expand = |suite: &[u8], prk: &[u8], label: &[u8], info: &[u8], len: u8| {
        let mut out = hmac(prk, &[&[0, len], b"HPKE-v1", suite, label, info, &[1]]);
        out.truncate(len.into());
        out
    };
    let ephemeral = StaticSecret::from([0x42; 32]);
    let encapped = PublicKey::from(&ephemeral);
    let [pk_r, pk_s] = [recipient.account().key(), sender.key()];
    let sk_r = StaticSecret::from(*recipient.agreement_key());
    let dh = [ephemeral.diffie_hellman(&pk_r.into()).to_bytes(), sk_r.diffie_hellman(&pk_s.into()).to_bytes()].concat();
    let kem_context = [*encapped.as_bytes(), pk_r, pk_s].concat();
    let shared = expand(KEM, &extract(KEM, b"", b"eae_prk", &dh), b"shared_secret", &kem_context, 32);
    let info = info(label, &GENESIS, &recipient.account());
    let schedule = [vec![2], extract(HPKE, b"", b"psk_id_hash", b""), extract(HPKE, b"", b"info_hash", &info)].concat();
    let secret = extract(HPKE, &shared, b"secret", b"");
    let key = expand(HPKE, &secret, b"key", &schedule, 32);
    let nonce = expand(HPKE, &secret, b"base_nonce", &schedule, 12);
    let cipher = ChaCha20Poly1305::new_from_slice(&key).unwrap();
    let ciphertext = cipher.encrypt(nonce.as_slice().into(), plaintext).unwrap();
    [encapped.as_bytes().as_slice(), &ciphertext].concat()
}

#[test]
fn broken_and_newer_senders_are_told_apart() {
    let (alice, bob) = people();
    let account = alice.account().as_bytes().to_vec();
    let open_with = |kind: i32, source: &[u8]| {
        let envelope = Envelope { kind, source: source.to_vec().into(), content: vec![1, 2, 3].into() };
        open(&bob, &GENESIS, &sealed_envelope(&bob, envelope.encode_to_vec())).unwrap_err()
    };
    assert_eq!(open_with(99, &account), OpenError::UnknownKind(99));
    assert_eq!(open_with(0, &account), OpenError::UnknownKind(0));
    assert_eq!(open_with(3, &account), OpenError::Malformed("the session message"));
    assert_eq!(open_with(3, &account[1..]), OpenError::Malformed("the source"));
    assert_eq!(open_with(3, &[3; 33]), OpenError::Malformed("the source"));
    assert_eq!(open_with(1, &account), OpenError::Forged(alice.account()));
}

/// The whole acquaintance, when both ask at the same time.
#[test]
fn crossed_requests_become_one_conversation() {
    let mut people = <[Identity; 2]>::from(people());
    people.sort_by_key(Identity::account);
    let [low, high] = people;
    let (low_keys, low_bundle) = Prekeys::new(low.account()).bundle();
    let (high_keys, high_bundle) = Prekeys::new(high.account()).bundle();
    let requests = [low_bundle, high_bundle]
        .map(|bundle| FriendRequest::new(0, String::new(), "Ada".parse().unwrap(), bundle).unwrap());
    let to_high = sealed(&low, &high, &Payload::FriendRequest(requests[0].clone()));

    assert_eq!(crossed_requests(&low.account(), &high.account()), Crossed::KeepOurs);
    assert_eq!(crossed_requests(&high.account(), &low.account()), Crossed::AcceptTheirs);
    let Payload::FriendRequest(theirs) = open(&high, &GENESIS, &to_high).unwrap().payload else { panic!() };
    let started = Ratchet::start(&high_keys, low.account(), theirs.prekeys()).unwrap();
    let (_, acceptance) = started.encrypt(&text("accepted")).unwrap();
    let to_low = sealed(&high, &low, &Payload::Ratchet(acceptance));

    let Opened { source, payload: Payload::Ratchet(message) } = open(&low, &GENESIS, &to_low).unwrap() else {
        panic!()
    };
    assert_eq!(source, high.account());
    let received = Ratchet::receive(&low_keys, None, source, &message).unwrap();
    assert_eq!(received.content, Ok(text("accepted")));
}

/// Pins the sealed form: friend requests are kept for two weeks and read by later versions.
#[test]
fn pinned_vector() {
    let (alice, bob) = people();
    let bundle = crate::PrekeyBundle { identity_key: [1; 32], one_time_key: [2; 32], fallback_key: [3; 32] };
    let request = FriendRequest::new(1_790_000_000_000, "Hi!".into(), "Ada".parse().unwrap(), bundle).unwrap();
    let payload = Payload::FriendRequest(request);
    let sealed = sealed(&alice, &bob, &payload);
    let digest = <Sha256 as sha2::Digest>::digest(&sealed);
    assert_eq!(hex::encode(digest), "cde001709a462fc238f5dda955e949938b827eb9875f78749bc27cfda2bfc2cb");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_changed_bit_is_noticed(bit in 0_usize..1024 * 8) {
        let (alice, bob) = people();
        let mut sealed = sealed(&alice, &bob, &Payload::FriendRequest(request("Hi!")));
        // X25519 ignores the last bit of a key; HPKE binds the bytes all the same.
        sealed[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(open(&bob, &GENESIS, &sealed), Err(OpenError::Foreign));
    }

    #[test]
    fn strangers_bytes_never_panic(mut bytes: Vec<u8>, resized: bool) {
        let (_, bob) = people();
        if resized {
            bytes.resize(SIZE_CLASSES[0], 0);
        }
        let expected = if resized { OpenError::Foreign } else { OpenError::Size(bytes.len()) };
        prop_assert_eq!(open(&bob, &GENESIS, &bytes), Err(expected));
    }

    #[test]
    fn strangers_envelopes_never_panic(bytes: Vec<u8>, kind in 0_i32..6, content: Vec<u8>) {
        let (alice, bob) = people();
        prop_assert!(open(&bob, &GENESIS, &sealed_envelope(&bob, bytes)).is_err());
        let source = alice.account().as_bytes().to_vec().into();
        let envelope = Envelope { kind, source, content: content.into() };
        let opened = open(&bob, &GENESIS, &sealed_envelope(&bob, envelope.encode_to_vec()));
        if let Ok(Opened { payload: Payload::Ratchet(message), .. }) = opened {
            let prekeys = Prekeys::new(bob.account());
            prop_assert!(Ratchet::receive(&prekeys, None, alice.account(), &message).is_err());
        }
    }

    /// Whatever Alice's program says inside the authenticated encryption.
    #[test]
    fn broken_senders_never_panic(start: bool, content: Vec<u8>) {
        let (alice, bob) = people();
        let kind = if start { Kind::SessionStart } else { Kind::FriendRequest };
        let info = info(label(kind), &GENESIS, &bob.account());
        let context = Context { info: &info, aad: &[] };
        let sender = Some(alice.agreement_key());
        let content = encryption::encrypt(sender, &bob.account().key(), context, &content, &mut rng(6)).unwrap();
        let source = alice.account().as_bytes().to_vec().into();
        let envelope = Envelope { kind: kind.into(), source, content: content.into() };
        prop_assert!(open(&bob, &GENESIS, &sealed_envelope(&bob, envelope.encode_to_vec())).is_err());
    }
}

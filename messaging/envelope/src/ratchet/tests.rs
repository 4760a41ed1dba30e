use super::*;
use crate::content::tests::{accounts, text};
use proptest::prelude::*;

/// One side of a conversation.
struct Side {
    contact: AccountAddress,
    prekeys: Prekeys,
    ratchet: Option<Ratchet>,
}

impl Side {
    fn new(owner: AccountAddress, contact: AccountAddress) -> Self {
        Self { contact, prekeys: Prekeys::new(owner), ratchet: None }
    }

    fn alice() -> Self {
        let [alice, bob] = accounts();
        Self::new(alice, bob)
    }

    fn bob() -> Self {
        let [alice, bob] = accounts();
        Self::new(bob, alice)
    }

    fn bundle(&mut self) -> PrekeyBundle {
        let (prekeys, bundle) = self.prekeys.bundle();
        self.prekeys = prekeys;
        bundle
    }

    fn start(&mut self, bundle: &PrekeyBundle) {
        self.ratchet = Some(Ratchet::start(&self.prekeys, self.contact, bundle).unwrap());
    }

    fn restart(&mut self, bundle: &PrekeyBundle) {
        self.ratchet = Some(self.ratchet.as_ref().unwrap().restart(&self.prekeys, bundle).unwrap());
    }

    fn say(&mut self, words: &str) -> RatchetMessage {
        let (ratchet, message) = self.ratchet.as_ref().unwrap().encrypt(&text(words)).unwrap();
        self.ratchet = Some(ratchet);
        over_the_wire(&message)
    }

    fn hear(&mut self, message: &RatchetMessage) -> Result<(String, bool), ReceiveError> {
        let received = Ratchet::receive(&self.prekeys, self.ratchet.as_ref(), self.contact, message)?;
        self.ratchet = Some(received.ratchet);
        if let Some(prekeys) = received.prekeys {
            self.prekeys = prekeys;
        }
        let Some(crate::Body::Text(words)) = received.content.unwrap().body else { panic!("not a text") };
        let words = words.text;
        Ok((words, received.identity_changed))
    }

    #[track_caller]
    fn hears(&mut self, message: &RatchetMessage, words: &str) {
        assert_eq!(self.hear(message).unwrap(), (words.to_owned(), false));
    }

    fn reload(&mut self) {
        self.prekeys = Prekeys::unpickle(&self.prekeys.pickle()).unwrap();
        self.ratchet = self.ratchet.take().map(|ratchet| Ratchet::unpickle(&ratchet.pickle()).unwrap());
    }
}

fn over_the_wire(message: &RatchetMessage) -> RatchetMessage {
    let bytes = message.encode();
    let decode = if message.starts_session() { RatchetMessage::decode_start } else { RatchetMessage::decode };
    let read = decode(&bytes).unwrap();
    assert_eq!(&read, message);
    read
}

/// Bob accepted Alice's request and Alice has answered.
fn acquainted() -> (Side, Side) {
    let (mut alice, mut bob) = (Side::alice(), Side::bob());
    let request = alice.bundle();
    bob.start(&request);
    let acceptance = bob.say("accepted");
    assert!(acceptance.starts_session());
    alice.hears(&acceptance, "accepted");
    let answer = alice.say("hello");
    assert!(!answer.starts_session());
    bob.hears(&answer, "hello");
    (alice, bob)
}

#[test]
fn two_sides_talk_across_restarts_of_the_program() {
    let (mut alice, mut bob) = acquainted();
    for _ in 0..3 {
        alice.reload();
        let question = alice.say("how are you?");
        bob.reload();
        bob.hears(&question, "how are you?");
        let answer = bob.say("fine");
        assert!(!answer.starts_session());
        alice.hears(&answer, "fine");
    }
}

#[test]
fn every_message_starts_the_session_until_something_is_heard() {
    let (mut alice, mut bob) = (Side::alice(), Side::bob());
    bob.start(&alice.bundle());
    let [lost, second, third] = ["accepted", "two", "three"].map(|words| bob.say(words));
    assert!(lost.starts_session() && second.starts_session() && third.starts_session());
    alice.hears(&third, "three");
    alice.hears(&second, "two");
    alice.hears(&lost, "accepted");
    let answer = alice.say("hello");
    bob.hears(&answer, "hello");
    assert!(!bob.say("four").starts_session());
}

#[test]
fn nothing_is_read_twice() {
    let (mut alice, mut bob) = (Side::alice(), Side::bob());
    bob.start(&alice.bundle());
    let acceptance = bob.say("accepted");
    alice.hears(&acceptance, "accepted");
    assert!(matches!(alice.hear(&acceptance), Err(ReceiveError::Decrypt(_))));
    // The one-time key is used up, whatever became of the session.
    alice.ratchet = None;
    assert!(matches!(alice.hear(&acceptance), Err(ReceiveError::Start(_))));

    let (mut alice, mut bob) = acquainted();
    let message = alice.say("once");
    bob.hears(&message, "once");
    assert!(matches!(bob.hear(&message), Err(ReceiveError::Decrypt(_))));
}

/// What was read cannot be read again with a state seized later: its key is gone.
#[test]
fn a_later_state_does_not_read_earlier_messages() {
    let (mut alice, mut bob) = acquainted();
    let earlier: Vec<_> = (0..5).map(|_| alice.say("secret")).collect();
    for message in &earlier {
        bob.hears(message, "secret");
    }
    let reply = bob.say("read");
    alice.hears(&reply, "read");
    let next = alice.say("next");
    bob.hears(&next, "next");
    bob.reload();
    for message in &earlier {
        assert!(matches!(bob.hear(message), Err(ReceiveError::Decrypt(_))));
    }
}

#[test]
fn forty_messages_may_overtake_one() {
    let (mut alice, mut bob) = acquainted();
    let messages: Vec<_> = (0..42).map(|_| alice.say("words")).collect();
    bob.hears(&messages[41], "words");
    assert!(bob.hear(&messages[0]).is_err());
    bob.hears(&messages[1], "words");
}

#[test]
fn a_message_needs_its_session() {
    let (mut alice, mut bob) = acquainted();
    let message = alice.say("hello");
    assert!(matches!(Side::bob().hear(&message), Err(ReceiveError::NoSession)));
    let (_, mut stranger) = acquainted();
    assert!(matches!(stranger.hear(&message), Err(ReceiveError::Decrypt(_))));
    bob.hears(&message, "hello");
}

#[test]
fn a_session_starts_only_with_our_keys() {
    let (mut alice, mut bob, mut carol) = (Side::alice(), Side::bob(), Side::alice());
    bob.start(&alice.bundle());
    let acceptance = bob.say("accepted");
    assert!(matches!(carol.hear(&acceptance), Err(ReceiveError::Start(_))));
    alice.hears(&acceptance, "accepted");
}

/// Mallory gives Alice's prekeys to Bob as her own, and Bob's answer to Alice as her own: Alice must not take Bob's words for
/// Mallory's.
#[test]
fn sessions_cannot_be_passed_off() {
    let [alice, bob] = accounts();
    let mallory = AccountAddress::from_x25519([9; 32]);
    let mut alice = Side::new(alice, mallory);
    let mut bob = Side::new(bob, mallory);
    bob.start(&alice.bundle());
    let relayed = bob.say("I like you, Mallory");
    let before = alice.prekeys.pickle();
    assert!(matches!(alice.hear(&relayed), Err(ReceiveError::Misdirected)));
    assert!(alice.ratchet.is_none());
    assert_eq!(alice.prekeys.pickle(), before);
}

#[test]
fn a_conversation_is_with_one_contact() {
    let (mut alice, bob) = acquainted();
    let message = alice.say("hello");
    let other = AccountAddress::from_x25519([9; 32]);
    let received = Ratchet::receive(&bob.prekeys, bob.ratchet.as_ref(), other, &message);
    assert!(matches!(received, Err(ReceiveError::NoSession)));
}

#[test]
fn keys_of_small_order_start_nothing() {
    let mut alice = Side::alice();
    let bundle = alice.bundle();
    for weak in [PrekeyBundle { one_time_key: [0; 32], ..bundle }, PrekeyBundle { identity_key: [0; 32], ..bundle }] {
        assert!(Ratchet::start(&Side::bob().prekeys, alice.prekeys.owner, &weak).is_err());
    }
}

#[test]
fn a_conversation_starts_anew_on_the_fallback_key() {
    let (mut alice, mut bob) = acquainted();
    let bundle = alice.bundle();
    let under_way = alice.say("sent before");
    bob.restart(&bundle);
    let first = bob.say("again");
    assert!(first.starts_session());
    alice.hears(&first, "again");
    bob.hears(&under_way, "sent before");
    let answer = alice.say("fine");
    bob.hears(&answer, "fine");
}

#[test]
fn both_sides_may_start_anew_at_once() {
    let (mut alice, mut bob) = acquainted();
    let (of_alice, of_bob) = (alice.bundle(), bob.bundle());
    alice.restart(&of_bob);
    bob.restart(&of_alice);
    let (from_alice, from_bob) = (alice.say("a"), bob.say("b"));
    alice.hears(&from_bob, "b");
    bob.hears(&from_alice, "a");
    for _ in 0..3 {
        let message = alice.say("c");
        bob.hears(&message, "c");
        let message = bob.say("d");
        alice.hears(&message, "d");
    }
}

#[test]
fn a_restored_contact_is_noticed() {
    let (mut alice, _) = acquainted();
    let bundle = alice.bundle();
    let mut bob = Side::bob();
    bob.start(&bundle);
    let message = bob.say("new phone");
    assert_eq!(alice.hear(&message).unwrap(), ("new phone".to_owned(), true));
    let second = bob.say("still me");
    alice.hears(&second, "still me");
}

#[test]
fn sessions_are_bounded() {
    let (mut alice, mut bob) = acquainted();
    for _ in 0..10 {
        let bundle = alice.bundle();
        bob.restart(&bundle);
        let message = bob.say("again");
        alice.hears(&message, "again");
    }
    assert_eq!(alice.ratchet.as_ref().unwrap().sessions.len(), Ratchet::MAX_SESSIONS);
    assert_eq!(bob.ratchet.as_ref().unwrap().sessions.len(), Ratchet::MAX_SESSIONS);
}

#[test]
fn every_changed_bit_is_refused() {
    let (mut alice, mut bob) = (Side::alice(), Side::bob());
    bob.start(&alice.bundle());
    let start = bob.say("accepted");
    let refuse_changed = |hearer: &mut Side, message: &RatchetMessage| {
        let decode = if message.starts_session() { RatchetMessage::decode_start } else { RatchetMessage::decode };
        let bytes = message.encode();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // Olm compares keys as points: another spelling of a key is the same key. (The sealing tells them apart.)
            if let Some(changed) = decode(&changed).ok().filter(|changed| changed != message) {
                assert!(hearer.hear(&changed).is_err(), "bit {bit}");
            }
        }
    };
    refuse_changed(&mut alice, &start);
    alice.hears(&start, "accepted");
    let message = alice.say("hello");
    refuse_changed(&mut bob, &message);
    bob.hears(&message, "hello");
}

#[test]
fn nothing_changes_when_a_message_is_refused() {
    let (mut alice, mut bob) = acquainted();
    let message = alice.say("hello");
    let mut bytes = message.encode();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let before = bob.ratchet.as_ref().unwrap().pickle();
    assert!(bob.hear(&RatchetMessage::decode(&bytes).unwrap()).is_err());
    assert_eq!(bob.ratchet.as_ref().unwrap().pickle(), before);
    bob.hears(&message, "hello");
}

#[test]
fn too_long_a_message_is_refused() {
    let (alice, _) = acquainted();
    let content = text(&"x".repeat(Ratchet::MAX_CONTENT));
    assert!(matches!(alice.ratchet.unwrap().encrypt(&content), Err(EncryptError::TooLong(_))));
}

#[test]
fn nonsense_inside_a_session_moves_it_on() {
    let (mut alice, mut bob) = acquainted();
    let message = alice.ratchet.as_mut().unwrap().sessions[0].encrypt([0xff]).unwrap();
    let message = RatchetMessage(message);
    let received = Ratchet::receive(&bob.prekeys, bob.ratchet.as_ref(), bob.contact, &message).unwrap();
    assert!(received.content.is_err());
    bob.ratchet = Some(received.ratchet);
    let next = alice.say("sorry");
    bob.hears(&next, "sorry");
}

#[test]
fn every_bundle_has_its_own_one_time_key() {
    let mut alice = Side::alice();
    let (one, other) = (alice.bundle(), alice.bundle());
    assert_ne!(one.one_time_key, other.one_time_key);
    assert_eq!((one.identity_key, one.fallback_key), (other.identity_key, other.fallback_key));
    assert_ne!(one.fallback_key, one.identity_key);
}

#[test]
fn damaged_states_are_told() {
    let (alice, _) = acquainted();
    let kept = alice.ratchet.unwrap().pickle();
    let error = Ratchet::unpickle(&kept[1..]).unwrap_err();
    assert_eq!(error.to_string(), "the kept conversation is damaged or from another version");
    assert!(Prekeys::unpickle(&kept).is_err());
}

#[test]
fn secrets_are_not_shown() {
    let (alice, _) = acquainted();
    assert_eq!(format!("{:?}", alice.ratchet.unwrap()), "Ratchet { sessions: 1, .. }");
    let shown = format!("{:?}", alice.prekeys);
    assert_eq!(shown, format!("Prekeys {{ identity_key: {:?}, .. }}", hex::encode(alice.prekeys.identity_key())));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever is lost, doubled or overtaken on the way: what arrives first is read, what arrives again is not. (Eight
    /// messages make at most the five chains a session keeps.)
    #[test]
    fn messages_arrive_in_any_order(
        order in prop::collection::vec((0_usize..8, any::<bool>()), 0..25), talk in prop::collection::vec(any::<bool>(), 8),
    ) {
        let (mut alice, mut bob) = acquainted();
        let mut sent: Vec<(bool, usize, RatchetMessage)> = Vec::new();
        let mut heard = std::collections::HashSet::new();
        for (position, by_alice) in talk.into_iter().enumerate() {
            let words = "x".repeat(position);
            sent.push((by_alice, position, if by_alice { alice.say(&words) } else { bob.say(&words) }));
            for (pick, arrives) in order.iter().skip(position * 3).take(3) {
                let (by_alice, position, message) = &sent[*pick % sent.len()];
                if *arrives {
                    let hearer = if *by_alice { &mut bob } else { &mut alice };
                    match hearer.hear(message) {
                        Ok((words, _)) => {
                            prop_assert_eq!(words.len(), *position);
                            prop_assert!(heard.insert(*position), "read twice");
                        }
                        Err(_) => prop_assert!(heard.contains(position), "not read at all"),
                    }
                }
            }
        }
    }

    #[test]
    fn strangers_bytes_never_panic(bytes: Vec<u8>, version in 0_u8..6) {
        let framed = [&[version], bytes.as_slice()].concat();
        for bytes in [&bytes, &framed] {
            for message in [RatchetMessage::decode(bytes), RatchetMessage::decode_start(bytes)].into_iter().flatten() {
                prop_assert!(Side::bob().hear(&message).is_err());
            }
        }
    }
}

use super::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use skep_envelope::{Identity, open, seal};
use std::collections::BTreeMap;

const GENESIS: [u8; 32] = [1; 32];
const NOW: Moment = 1_800_000_000_000;

/// A client without disk and network.
struct Person {
    identity: Identity,
    name: DisplayName,
    prekeys: Prekeys,
    contacts: BTreeMap<AccountAddress, Contact>,
    rng: ChaCha20Rng,
}

impl Person {
    fn new(number: u64, name: &str) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(number);
        let identity = Identity::generate(&mut rng);
        let prekeys = Prekeys::new(identity.account());
        Self { identity, name: name.parse().unwrap(), prekeys, contacts: BTreeMap::new(), rng }
    }

    /// The same account after its state was lost.
    fn restored(&self) -> Self {
        let identity = Identity::from_phrase(&self.identity.phrase()).unwrap();
        let prekeys = Prekeys::new(identity.account());
        Self { identity, name: self.name.clone(), prekeys, contacts: BTreeMap::new(), rng: self.rng.clone() }
    }

    fn account(&self) -> AccountAddress {
        self.identity.account()
    }

    fn own(&self) -> Own<'_> {
        Own { account: self.account(), name: &self.name, prekeys: &self.prekeys, listening: None }
    }

    fn status(&self, other: &Self) -> Option<ContactStatus> {
        self.contacts.get(&other.account()).map(Contact::status)
    }

    /// Keeps the change; returns what is to be stored for `to`, and the events.
    fn keep(&mut self, to: AccountAddress, change: Change) -> (Option<Vec<u8>>, Vec<Event>) {
        self.contacts.extend(change.contact.map(|contact| (contact.account, contact)));
        self.prekeys = change.prekeys.unwrap_or(Prekeys::unpickle(&self.prekeys.pickle()).unwrap());
        let sealed = change
            .outgoing
            .map(|outgoing| seal(&self.identity, &GENESIS, &to, &outgoing.payload, &mut self.rng).unwrap());
        (sealed, change.events)
    }

    fn ask(&mut self, other: &Self, text: &str, now: Moment) -> Result<Vec<u8>, RequestError> {
        let to = other.account();
        let change = request(self.own(), self.contacts.get(&to), to, text.into(), now)?;
        Ok(self.keep(to, change).0.unwrap())
    }

    fn accept(&mut self, other: &Self, now: Moment) -> Result<Vec<u8>, AcceptError> {
        let to = other.account();
        let mut rng = self.rng.clone();
        let change = accept(self.own(), &self.contacts[&to], now, &mut rng)?;
        Ok(self.keep(to, change).0.unwrap())
    }

    fn say(&mut self, other: &Self, text: &str) -> Result<Vec<u8>, SayError> {
        let to = other.account();
        let id = MessageId::random(&mut self.rng);
        let change = say(&self.contacts[&to], Manner::default(), id, Body::Text(text.to_owned().into()), NOW)?;
        Ok(self.keep(to, change).0.unwrap())
    }

    fn hear(&mut self, sealed: &[u8], now: Moment) -> Result<(Option<Vec<u8>>, Vec<Event>), Unusable> {
        let opened = open(&self.identity, &GENESIS, sealed).unwrap();
        let source = opened.source;
        let mut rng = self.rng.clone();
        let change = receive(self.own(), self.contacts.get(&source), opened, Way::Mail, now, &mut rng)?;
        Ok(self.keep(source, change))
    }
}

fn texts(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| if let Event::Message { text, .. } = event { Some(text.as_str()) } else { None })
        .collect()
}

/// Two people who can write to each other.
fn met() -> (Person, Person) {
    let (mut alice, mut bob) = (Person::new(1, "Alice"), Person::new(2, "Bob"));
    let request = alice.ask(&bob, "Hello, it is me", NOW).unwrap();
    bob.hear(&request, NOW).unwrap();
    let acceptance = bob.accept(&alice, NOW).unwrap();
    alice.hear(&acceptance, NOW).unwrap();
    (alice, bob)
}

#[test]
fn two_people_meet_and_write_to_each_other() {
    let (mut alice, mut bob) = (Person::new(1, "Alice"), Person::new(2, "Bob"));
    let request = alice.ask(&bob, "Hello, it is me", NOW).unwrap();
    assert_eq!(alice.status(&bob), Some(ContactStatus::Requested));
    let (_, events) = bob.hear(&request, NOW).unwrap();
    let expected = Event::Request {
        sender: alice.account(),
        name: alice.name.clone(),
        text: "Hello, it is me".into(),
        timestamp: NOW,
    };
    assert_eq!((events, bob.status(&alice)), (vec![expected], Some(ContactStatus::Asking)));
    assert_eq!(bob.contacts[&alice.account()].introduction(), Some("Hello, it is me"));

    let acceptance = bob.accept(&alice, NOW).unwrap();
    let first = bob.say(&alice, "Nice to meet you").unwrap();
    let (_, events) = alice.hear(&acceptance, NOW).unwrap();
    let expected = Event::Accepted { sender: bob.account(), name: Some(bob.name.clone()), timestamp: NOW };
    assert_eq!(events, [expected]);
    assert_eq!(texts(&alice.hear(&first, NOW).unwrap().1), ["Nice to meet you"]);
    let answer = alice.say(&bob, "Me too").unwrap();
    assert_eq!(texts(&bob.hear(&answer, NOW).unwrap().1), ["Me too"]);
    assert!(matches!(bob.hear(&answer, NOW), Err(Unusable::Receive(_))));
}

#[test]
fn a_message_that_overtakes_the_acceptance_shows_it() {
    let (mut alice, mut bob) = (Person::new(1, "Alice"), Person::new(2, "Bob"));
    let request = alice.ask(&bob, "", NOW).unwrap();
    bob.hear(&request, NOW).unwrap();
    let acceptance = bob.accept(&alice, NOW).unwrap();
    let first = bob.say(&alice, "first").unwrap();
    let (_, events) = alice.hear(&first, NOW).unwrap();
    assert!(matches!(events.first(), Some(Event::Accepted { name: None, .. })));
    assert_eq!(texts(&events), ["first"]);
    assert!(alice.hear(&acceptance, NOW).unwrap().1.is_empty());
    assert_eq!(alice.contacts[&bob.account()].name, Some(bob.name.clone()));
}

#[test]
fn crossed_requests_make_one_conversation() {
    for (first, second) in [(1, 2), (2, 1), (3, 4), (5, 6)] {
        let (mut alice, mut bob) = (Person::new(first, "Alice"), Person::new(second, "Bob"));
        let from_alice = alice.ask(&bob, "a", NOW).unwrap();
        let from_bob = bob.ask(&alice, "b", NOW).unwrap();
        let (answer_of_alice, _) = alice.hear(&from_bob, NOW).unwrap();
        let (answer_of_bob, _) = bob.hear(&from_alice, NOW).unwrap();
        // One of the answers accepts; the other is the request once more.
        let heard_by_bob = bob.hear(&answer_of_alice.unwrap(), NOW);
        let heard_by_alice = alice.hear(&answer_of_bob.unwrap(), NOW);
        assert!(heard_by_alice.is_ok() != heard_by_bob.is_ok());
        assert_eq!(alice.status(&bob), Some(ContactStatus::Established));
        assert_eq!(bob.status(&alice), Some(ContactStatus::Established));
        let message = alice.say(&bob, "hi").unwrap();
        assert_eq!(texts(&bob.hear(&message, NOW).unwrap().1), ["hi"]);
        let message = bob.say(&alice, "ho").unwrap();
        assert_eq!(texts(&alice.hear(&message, NOW).unwrap().1), ["ho"]);
    }
}

#[test]
fn steps_out_of_turn_are_refused_and_change_nothing() {
    let (mut alice, mut bob) = (Person::new(1, "Alice"), Person::new(2, "Bob"));
    let twin = alice.restored();
    assert!(matches!(alice.ask(&twin, "", NOW), Err(RequestError::Oneself)));
    assert!(matches!(
        alice.ask(&bob, &"x".repeat(401), NOW),
        Err(RequestError::Introduction(FriendRequestError::IntroductionTooLong(401)))
    ));
    let request = alice.ask(&bob, "", NOW).unwrap();
    assert!(matches!(alice.say(&bob, "too early"), Err(SayError::NotAccepted(_))));
    assert!(matches!(alice.accept(&bob, NOW), Err(AcceptError::NotAsked(_))));
    bob.hear(&request, NOW).unwrap();
    assert!(matches!(bob.hear(&request, NOW), Err(Unusable::StaleRequest)));
    assert!(matches!(bob.say(&alice, "too early"), Err(SayError::NotAnswered(_))));
    assert!(matches!(bob.ask(&alice, "", NOW), Err(RequestError::TheyAsked(_))));
    let acceptance = bob.accept(&alice, NOW).unwrap();
    alice.hear(&acceptance, NOW).unwrap();
    assert!(matches!(bob.ask(&alice, "", NOW), Err(RequestError::Established(_))));
    assert!(matches!(bob.accept(&alice, NOW), Err(AcceptError::NotAsked(_))));
    // A late copy of the request, and a request that is older than nodes keep any.
    assert!(matches!(bob.hear(&request, NOW), Err(Unusable::StaleRequest)));
    let mut carol = Person::new(3, "Carol");
    assert!(matches!(
        carol.ask(&bob, "", NOW).map(|old| bob.hear(&old, NOW + ttl::FRIEND_REQUEST + 1)),
        Ok(Err(Unusable::StaleRequest))
    ));
}

#[test]
fn strangers_start_no_sessions() {
    let (mut alice, mut bob) = met();
    // Bob forgets Alice; her messages mean nothing to him then, but he hears who writes.
    bob.contacts.clear();
    let message = alice.say(&bob, "still there?").unwrap();
    assert!(matches!(bob.hear(&message, NOW), Err(Unusable::Stranger { proven: false })));
    assert!(bob.contacts.is_empty());
    // The first messages of a session prove the account.
    let mut bob = bob.restored();
    let (mut alice, mut twin) = (alice.restored(), Person::new(7, "Carol"));
    let request = bob.ask(&alice, "", NOW).unwrap();
    alice.hear(&request, NOW).unwrap();
    let acceptance = alice.accept(&bob, NOW).unwrap();
    bob.contacts.clear();
    assert!(matches!(bob.hear(&acceptance, NOW), Err(Unusable::Stranger { proven: true })));
    let request = twin.ask(&bob, "", NOW).unwrap();
    assert!(bob.hear(&request, NOW).is_ok());
}

#[test]
fn a_restored_contact_asks_anew_and_is_welcome_at_once() {
    let (mut alice, bob) = met();
    let mut bob = bob.restored();
    let request = bob.ask(&alice, "me again", NOW + 1).unwrap();
    let (welcome, events) = alice.hear(&request, NOW + 1).unwrap();
    let expected =
        [Event::IdentityChanged { sender: bob.account() }, Event::SessionReset { sender: bob.account(), ours: false }];
    assert_eq!(events, expected);
    assert_eq!(alice.status(&bob), Some(ContactStatus::Established));
    let (_, events) = bob.hear(&welcome.unwrap(), NOW + 2).unwrap();
    assert!(matches!(events.as_slice(), [Event::Accepted { .. }]));
    let message = bob.say(&alice, "back").unwrap();
    assert_eq!(texts(&alice.hear(&message, NOW + 2).unwrap().1), ["back"]);
    let message = alice.say(&bob, "welcome back").unwrap();
    assert_eq!(texts(&bob.hear(&message, NOW + 2).unwrap().1), ["welcome back"]);
    // A late copy changes nothing.
    assert!(matches!(alice.hear(&request, NOW + 3), Err(Unusable::StaleRequest)));
}

/// Bob with the contacts he has, but another ratchet identity and no sessions that can be written on: a backup restored.
fn from_backup(mut bob: Person) -> Person {
    bob.prekeys = Prekeys::new(bob.account());
    for contact in bob.contacts.values_mut() {
        if let Standing::Established(session) = &mut contact.standing {
            (session.lost, session.reset, session.told) = (true, 0, 0);
        }
    }
    bob
}

fn reset_by(person: &mut Person, other: &Person, now: Moment) -> Option<Vec<u8>> {
    let to = other.account();
    let mut rng = person.rng.clone();
    let change = reset(person.own(), &person.contacts[&to], now, &mut rng)?;
    assert!(change.events.contains(&Event::SessionReset { sender: to, ours: true }));
    person.keep(to, change).0
}

#[test]
fn a_lost_session_is_started_anew_and_both_sides_see_it() {
    // Either side, with the prekeys of the acceptance or, where there were none, by a request.
    for bob_loses in [true, false] {
        let (alice, bob) = met();
        let (mut keeper, loser) = if bob_loses { (alice, bob) } else { (bob, alice) };
        let mut loser = from_backup(loser);
        assert!(matches!(loser.say(&keeper, "too early"), Err(SayError::Lost(_))));
        let now = NOW + 1;
        let anew = reset_by(&mut loser, &keeper, now).unwrap();
        let (_, events) = keeper.hear(&anew, now).unwrap();
        assert!(events.contains(&Event::IdentityChanged { sender: loser.account() }));
        assert!(events.contains(&Event::SessionReset { sender: loser.account(), ours: false }));
        let message = keeper.say(&loser, "heard you").unwrap();
        assert_eq!(texts(&loser.hear(&message, now).unwrap().1), ["heard you"]);
        let message = loser.say(&keeper, "good").unwrap();
        assert_eq!(texts(&keeper.hear(&message, now).unwrap().1), ["good"]);
        // Not again soon.
        assert!(reset_by(&mut loser, &keeper, now + 1).is_none());
    }
}

#[test]
fn a_message_of_an_unknown_session_starts_another_but_not_often() {
    let (mut alice, mut bob) = met();
    // The same two accounts in a session that this Bob has never seen, or has lost.
    let (mut other_alice, other_bob) = met();
    let strange = other_alice.say(&other_bob, "?").unwrap();

    let (answer, events) = bob.hear(&strange, NOW).unwrap();
    assert!(matches!(events.as_slice(), [Event::Unreadable { .. }, Event::SessionReset { ours: true, .. }]));
    assert!(matches!(bob.hear(&strange, NOW + 1), Err(Unusable::Receive(_))));
    let (_, events) = alice.hear(&answer.unwrap(), NOW).unwrap();
    assert_eq!(events, [Event::SessionReset { sender: bob.account(), ours: false }]);
    let message = alice.say(&bob, "fine again").unwrap();
    assert_eq!(texts(&bob.hear(&message, NOW).unwrap().1), ["fine again"]);
}

#[test]
fn an_acceptance_of_a_request_that_was_lost_is_asked_for_again() {
    let (mut alice, mut bob) = (Person::new(1, "Alice"), Person::new(2, "Bob"));
    let request = alice.ask(&bob, "", NOW).unwrap();
    bob.hear(&request, NOW).unwrap();
    let mut alice = from_backup(alice);
    let acceptance = bob.accept(&alice, NOW).unwrap();
    let (again, _) = alice.hear(&acceptance, NOW + 1).unwrap();
    let (acceptance, events) = bob.hear(&again.unwrap(), NOW + 1).unwrap();
    assert!(events.contains(&Event::SessionReset { sender: alice.account(), ours: false }));
    alice.hear(&acceptance.unwrap(), NOW + 2).unwrap();
    let message = alice.say(&bob, "at last").unwrap();
    assert_eq!(texts(&bob.hear(&message, NOW + 2).unwrap().1), ["at last"]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(12))]

    /// What a network may do: messages of both sides overtake each other, get lost and come twice. What arrives is read once,
    /// nothing is taken for a lost session, and the conversation goes on.
    #[test]
    fn a_bad_network_confuses_nobody(steps in proptest::collection::vec((proptest::bool::ANY, 0_usize..4, 0_usize..3), 1..40)) {
        let (mut alice, mut bob) = met();
        let mut waiting: [Vec<(usize, Vec<u8>)>; 2] = Default::default();
        let mut read = std::collections::BTreeSet::new();
        for (number, (from_alice, position, copies)) in steps.into_iter().enumerate() {
            let (speaker, listener, queue) = match from_alice {
                true => (&mut alice, &bob, &mut waiting[0]),
                false => (&mut bob, &alice, &mut waiting[1]),
            };
            queue.push((number, speaker.say(listener, &number.to_string()).unwrap()));
            // A session remembers five turns of the other side: nothing is later than that here.
            let position = if queue.len() > 3 { 0 } else { position };
            if position >= queue.len() {
                continue;
            }
            let (sent, sealed) = queue.remove(position);
            // None: lost.
            for copy in 0..copies {
                let hearer = if from_alice { &mut bob } else { &mut alice };
                match hearer.hear(&sealed, NOW) {
                    Ok((answer, events)) => {
                        proptest::prop_assert!(copy == 0 && answer.is_none());
                        proptest::prop_assert_eq!(texts(&events), [sent.to_string()]);
                        proptest::prop_assert!(read.insert(sent));
                    }
                    Err(error) => proptest::prop_assert!(copy > 0 && matches!(error, Unusable::Receive(_))),
                }
            }
        }
        let (message, answer) = (alice.say(&bob, "end").unwrap(), bob.say(&alice, "end").unwrap());
        let heard = [bob.hear(&message, NOW).unwrap().1, alice.hear(&answer, NOW).unwrap().1];
        proptest::prop_assert!(heard.iter().all(|events| texts(events) == ["end"]));
    }
}

#[test]
fn late_and_repeated_messages_start_nothing_anew() {
    let (mut alice, mut bob) = met();
    let first = alice.say(&bob, "first").unwrap();
    bob.hear(&first, NOW).unwrap();
    let late = alice.say(&bob, "late").unwrap();
    // A session keeps forty keys of messages that were overtaken.
    let overtaking: Vec<_> = (0..41).map(|_| alice.say(&bob, "more").unwrap()).collect();
    bob.hear(overtaking.last().unwrap(), NOW).unwrap();
    // Its key is forgotten by now.
    assert!(matches!(bob.hear(&late, NOW), Err(Unusable::Receive(_))));
    assert!(matches!(bob.hear(&first, NOW), Err(Unusable::Receive(_))));
}

#[test]
fn new_prekeys_reach_the_contact_and_start_the_next_session() {
    let (mut alice, mut bob) = met();
    let to = bob.account();
    alice.prekeys = alice.prekeys.rotated();
    let mut rng = alice.rng.clone();
    let change = replenish(alice.own(), &alice.contacts[&to], NOW, &mut rng).unwrap();
    let told = alice.keep(to, change).0.unwrap();
    assert!(bob.hear(&told, NOW).unwrap().1.is_empty());
    let mut bob = from_backup(bob);
    let anew = reset_by(&mut bob, &alice, NOW + 1).unwrap();
    alice.hear(&anew, NOW + 1).unwrap();
    let message = alice.say(&bob, "hi").unwrap();
    assert_eq!(texts(&bob.hear(&message, NOW + 1).unwrap().1), ["hi"]);
    // Their one-time key is used up: Alice owes Bob another.
    assert_eq!(alice.contacts[&to].session().map(|session| session.told), Some(0));
}

#[test]
fn who_is_declined_or_blocked_is_not_heard() {
    let (mut alice, mut bob) = (Person::new(1, "Alice"), Person::new(2, "Bob"));
    let request = alice.ask(&bob, "please", NOW).unwrap();
    bob.hear(&request, NOW).unwrap();
    let change = decline(&bob.contacts[&alice.account()], NOW).unwrap();
    bob.keep(alice.account(), change);
    assert_eq!(bob.status(&alice), Some(ContactStatus::Declined));
    let again = alice.ask(&bob, "please!", NOW + 1).unwrap();
    assert!(matches!(bob.hear(&again, NOW + 1), Err(Unusable::Unwanted)));
    let later = NOW + DECLINE_REST + 1;
    let again = alice.ask(&bob, "and now?", later).unwrap();
    assert!(bob.hear(&again, later).is_ok());
    // One may change one's mind.
    let acceptance = bob.accept(&alice, later).unwrap();
    alice.hear(&acceptance, later).unwrap();

    bob.contacts.get_mut(&alice.account()).unwrap().blocked = true;
    let message = alice.say(&bob, "hi").unwrap();
    assert!(matches!(bob.hear(&message, later), Err(Unusable::Unwanted)));
    assert!(matches!(bob.say(&alice, "hi"), Err(SayError::Blocked(_))));
    let restored = alice.restored();
    let mut restored = restored;
    let request = restored.ask(&bob, "", later + 1).unwrap();
    assert!(matches!(bob.hear(&request, later + 1), Err(Unusable::Unwanted)));
}

#[test]
fn what_is_said_besides_texts_arrives() {
    let (mut alice, mut bob) = met();
    let (to, sender) = (bob.account(), alice.account());
    let ids = vec![MessageId([7; 16])];
    let mut tell = |body: Body, now: Moment| {
        let change = say(&alice.contacts[&to], Manner::default(), MessageId([1; 16]), body, NOW).unwrap();
        let sealed = alice.keep(to, change).0.unwrap();
        bob.hear(&sealed, now).unwrap().1
    };
    let kind = ReceiptKind::Read;
    assert_eq!(tell(Body::Receipt(kind, ids.clone()), NOW), [Event::Receipt { sender, kind, ids: ids.clone() }]);
    assert_eq!(tell(Body::Unsend(ids.clone()), NOW), [Event::Unsent { sender, ids }]);
    assert_eq!(tell(Body::Typing(true), NOW), [Event::Typing { sender, started: true }]);
    assert_eq!(tell(Body::Typing(true), NOW + ttl::TYPING + 1), []);
    assert_eq!(tell(Body::Timer(60), NOW), [Event::Timer { sender, disappear_after: 60 }]);
    assert_eq!(alice.contacts[&to].disappear_after(), 60);
    assert_eq!(bob.contacts[&sender].disappear_after(), 60);
}

#[test]
fn events_are_one_flat_object() {
    let (mut alice, mut bob) = met();
    let message = alice.say(&bob, "hi").unwrap();
    let (_, events) = bob.hear(&message, NOW).unwrap();
    let json = serde_json::to_value(&events[0]).unwrap();
    assert_eq!(json["event"], "message");
    assert_eq!(json["sender"], alice.account().to_string());
    assert_eq!((&json["name"], &json["text"], &json["timestamp"]), (&"Alice".into(), &"hi".into(), &NOW.into()));
}

#[test]
fn who_asks_again_and_again_is_told_of_once_and_their_newest_keys_count() {
    let (mut alice, mut bob) = (Person::new(1, "Alice"), Person::new(2, "Bob"));
    let first = alice.ask(&bob, "hello", NOW).unwrap();
    assert_eq!(bob.hear(&first, NOW).unwrap().1.len(), 1);
    for minute in 1..5 {
        let again = alice.ask(&bob, "hello!", NOW + minute * 60_000).unwrap();
        assert_eq!(bob.hear(&again, NOW + minute * 60_000).unwrap().1, []);
    }
    assert_eq!(bob.contacts[&alice.account()].introduction(), Some("hello!"));
    let later = NOW + 2 * 3_600_000;
    let again = alice.ask(&bob, "still here", later).unwrap();
    assert_eq!(bob.hear(&again, later).unwrap().1.len(), 1);
    let acceptance = bob.accept(&alice, later).unwrap();
    alice.hear(&acceptance, later).unwrap();
    let message = alice.say(&bob, "at last").unwrap();
    assert_eq!(texts(&bob.hear(&message, later).unwrap().1), ["at last"]);
}

/// Somebody's clock says what they like: how often they are heard is measured by ours.
#[test]
fn a_clock_that_is_ahead_makes_nobody_be_heard_more_often() {
    const DAY: Moment = 24 * 60 * 60 * 1000;
    let (mut alice, mut bob) = (Person::new(1, "Alice"), Person::new(2, "Bob"));
    // No clock is that far ahead.
    let future = alice.ask(&bob, "", NOW + 2 * DAY).unwrap();
    assert!(matches!(bob.hear(&future, NOW), Err(Unusable::StaleRequest)));
    // Each is an hour and a half later, as they say, and comes within a minute.
    let mut told = 0;
    for number in 0..10 {
        let request = alice.ask(&bob, "me", NOW + number * RESET_REST * 3 / 2).unwrap();
        told += bob.hear(&request, NOW + number * 1_000).map_or(0, |(_, events)| events.len());
    }
    assert_eq!(told, 1);
    // Declined is declined.
    let change = decline(&bob.contacts[&alice.account()], NOW + DAY).unwrap();
    bob.keep(alice.account(), change);
    let again = alice.ask(&bob, "please", NOW + 2 * DAY).unwrap();
    assert!(matches!(bob.hear(&again, NOW + DAY + 1), Err(Unusable::Unwanted)));
}

#[test]
fn a_contact_that_comes_with_another_identity_again_and_again_is_welcome_once_an_hour() {
    let (mut alice, mut bob) = met();
    let mut welcomed = 0;
    for number in 1..=8 {
        bob = bob.restored();
        let request = bob.ask(&alice, "", NOW + number * 7_200_000).unwrap();
        welcomed += usize::from(alice.hear(&request, NOW + number * 60_000).is_ok());
    }
    assert_eq!(welcomed, 1);
    let later = NOW + 3 * RESET_REST;
    let request = bob.ask(&alice, "", later).unwrap();
    let (welcome, _) = alice.hear(&request, later).unwrap();
    bob.hear(&welcome.unwrap(), later).unwrap();
    let message = alice.say(&bob, "again").unwrap();
    assert_eq!(texts(&bob.hear(&message, later).unwrap().1), ["again"]);
}

#[test]
fn stamps_go_on_when_a_contact_is_welcomed_anew() {
    let (mut alice, bob) = met();
    let mut bob = bob.restored();
    alice.say(&bob, "one").unwrap();
    let stamps =
        |person: &Person, other: &Person| person.contacts[&other.account()].session().map(|session| session.stamps);
    let before = stamps(&alice, &bob).unwrap();
    let request = bob.ask(&alice, "", NOW + 1).unwrap();
    alice.hear(&request, NOW + 1).unwrap();
    let after = stamps(&alice, &bob).unwrap();
    assert!(after.last > before.last && after.heard == before.heard && before.heard > 0, "{before:?} {after:?}");
}

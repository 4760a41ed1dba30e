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
        Own { account: self.account(), name: &self.name, prekeys: &self.prekeys }
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
        let (change, _) = say(&self.contacts[&to], text.into(), NOW, &mut self.rng)?;
        Ok(self.keep(to, change).0.unwrap())
    }

    fn hear(&mut self, sealed: &[u8], now: Moment) -> Result<(Option<Vec<u8>>, Vec<Event>), Unusable> {
        let opened = open(&self.identity, &GENESIS, sealed).unwrap();
        let source = opened.source;
        let mut rng = self.rng.clone();
        let change = receive(self.own(), self.contacts.get(&source), opened, now, &mut rng)?;
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
        renewed: false,
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
    // Bob forgets Alice; her messages mean nothing to him then.
    bob.contacts.clear();
    let message = alice.say(&bob, "still there?").unwrap();
    assert!(matches!(bob.hear(&message, NOW), Err(Unusable::Stranger)));
    assert!(bob.contacts.is_empty());
}

#[test]
fn a_restored_contact_asks_anew_and_must_be_accepted() {
    let (mut alice, bob) = met();
    let mut bob = bob.restored();
    let request = bob.ask(&alice, "me again", NOW + 1).unwrap();
    let (_, events) = alice.hear(&request, NOW + 1).unwrap();
    assert!(matches!(events.as_slice(), [Event::Request { renewed: true, .. }]));
    assert_eq!(alice.status(&bob), Some(ContactStatus::Asking));
    let acceptance = alice.accept(&bob, NOW + 2).unwrap();
    bob.hear(&acceptance, NOW + 2).unwrap();
    let message = bob.say(&alice, "back").unwrap();
    assert_eq!(texts(&alice.hear(&message, NOW + 2).unwrap().1), ["back"]);
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

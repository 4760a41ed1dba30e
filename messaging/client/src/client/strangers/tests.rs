use super::*;
use crate::{
    ContactStatus, Passphrase, RequestError, RosterSource, SendError, clock,
    conversation::{Own, request},
    requests::{AN_HOUR, HOUR, MOST_ASKING, MOST_PUT_OFF},
};
use skep_envelope::{Identity, Prekeys, seal};
use skep_primitives::ServiceNodeId;
use skep_proto::{
    account::AccountAddress,
    storage::{Namespace, RetrievedMessage},
};
use std::path::Path;
use tempfile::TempDir;

const GENESIS: BlockHash = [7; 32];
const MEMBER: ServiceNodeId = ServiceNodeId([1; 32]);

fn passphrase() -> Passphrase {
    Passphrase::new("secret".to_owned().into()).unwrap()
}

fn nowhere() -> RosterSource {
    RosterSource::trusting("ws://127.0.0.1:1".parse().unwrap())
}

fn client(home: &Path) -> Client {
    Client::create(home, &passphrase(), &"Bob".parse().unwrap(), nowhere()).unwrap()
}

/// A friend request of somebody to `client`, as its mailbox has it.
fn sealed_by(stranger: &Identity, client: &Client, now: Moment) -> RetrievedMessage {
    let (name, prekeys) = ("Stranger".parse().unwrap(), Prekeys::new(stranger.account()));
    let own = Own { account: stranger.account(), name: &name, prekeys: &prekeys, listening: None };
    let payload = request(own, None, client.account(), "Hi!".into(), now).unwrap().outgoing.unwrap().payload;
    let data = seal(stranger, &GENESIS, &client.account(), &payload, &mut rand::rng()).unwrap();
    let hash = MessageHash::of(&client.account(), Namespace::DEFAULT, &data);
    RetrievedMessage { hash, data, timestamp: now, expiration: now + ttl::FRIEND_REQUEST }
}

/// So many strangers ask.
fn flood(client: &mut Client, count: u32, now: Moment) -> Vec<AccountAddress> {
    let strangers: Vec<_> = (0..count).map(|_| Identity::generate(&mut rand::rng())).collect();
    for stranger in &strangers {
        let message = sealed_by(stranger, client, now);
        let mut events = Vec::new();
        client.take_in(&GENESIS, MEMBER, vec![message], &mut events).unwrap();
        assert_eq!(events, [], "nothing is told before it is looked at");
    }
    strangers.iter().map(Identity::account).collect()
}

fn look(client: &mut Client, now: Moment) -> Vec<AccountAddress> {
    let mut events = Vec::new();
    client.look_at_strangers(&GENESIS, now, &mut events).unwrap();
    let asks = |event| if let Event::Request { sender, .. } = event { sender } else { panic!("{event:?}") };
    events.into_iter().map(asks).collect()
}

#[test]
fn of_a_flood_some_an_hour_are_shown_and_the_others_later_even_after_a_restart() {
    let home = TempDir::new().unwrap();
    let home = home.path().join("bob");
    let mut bob = client(&home);
    let now = clock::now();
    // Few are shown at once, in the order in which they came.
    let first = flood(&mut bob, 3, now);
    assert_eq!(look(&mut bob, now), first);

    let mut waiting = flood(&mut bob, 40, now);
    let mut shown = look(&mut bob, now);
    assert_eq!(shown.len(), 27);
    assert_eq!((bob.state.count_asking().unwrap(), bob.requests_put_off().unwrap()), (AN_HOUR, 13));
    drop(bob);
    let mut bob = Client::open(&home, &passphrase(), nowhere()).unwrap();
    for later in [now, now + HOUR - 1] {
        assert_eq!(look(&mut bob, later), [], "the hour is not over");
    }
    shown.extend(look(&mut bob, now + HOUR));
    shown.sort();
    waiting.sort();
    assert_eq!(shown, waiting, "each is shown, and once");
    assert_eq!(bob.requests_put_off().unwrap(), 0);
    assert_eq!(bob.state.requests(Asker::Strangers, now + HOUR).unwrap(), (13, Some(now + HOUR)));

    // A clock that was ahead stops nobody once it is right.
    let more = flood(&mut bob, 1, now);
    assert_eq!(look(&mut bob, now), more);
}

#[test]
fn who_was_asked_is_no_stranger_and_meets_us_in_a_flood() {
    let home = TempDir::new().unwrap();
    let mut bob = client(home.path());
    let now = clock::now();
    flood(&mut bob, AN_HOUR + 1, now);
    assert_eq!(look(&mut bob, now).len(), 30);
    let friend = Identity::generate(&mut rand::rng());
    let asked = request(bob.own_to(&friend.account()), None, friend.account(), String::new(), now).unwrap();
    bob.keep(friend.account(), asked, None, |_| Ok(())).unwrap();
    let message = sealed_by(&friend, &bob, now);
    bob.take_in(&GENESIS, MEMBER, vec![message], &mut Vec::new()).unwrap();
    // By the rule of crossed requests their request is accepted, or ours is made again.
    assert_eq!(bob.state.outbox().unwrap().len(), 1, "it is answered");
    assert_eq!(bob.requests_put_off().unwrap(), 1);
    assert_eq!(look(&mut bob, now), []);
}

#[test]
fn what_waits_is_bounded_and_what_is_no_request_takes_no_room() {
    let home = TempDir::new().unwrap();
    let mut bob = client(home.path());
    let now = clock::now();
    let forged = |number: u32| {
        let data = number.to_be_bytes().repeat(SIZE_CLASSES[0] / 4);
        (MessageHash::of(&bob.account(), Namespace::DEFAULT, &data), data)
    };
    let forged: Vec<_> = (0..MOST_PUT_OFF + 20).map(forged).collect();
    bob.state.write(|writer| forged.iter().try_for_each(|(hash, data)| put_off(writer, hash, data, now))).unwrap();
    assert_eq!(bob.requests_put_off().unwrap(), MOST_PUT_OFF);
    // The newest comes in, in the place of another.
    let honest = flood(&mut bob, 1, now);
    assert_eq!(bob.requests_put_off().unwrap(), MOST_PUT_OFF);
    assert_eq!(look(&mut bob, now), honest, "whatever was drawn before");
    assert_eq!(bob.requests_put_off().unwrap(), 0);
    assert_eq!(bob.state.requests(Asker::Strangers, now).unwrap().0, 1);

    // No request is that long.
    bob.state.write(|writer| put_off(writer, &forged[0].0, &[0; 2048], now)).unwrap();
    assert_eq!(bob.requests_put_off().unwrap(), 0);

    // Nobody waits for ever.
    flood(&mut bob, 1, now);
    bob.state.write(|writer| writer.forget_strangers(now + ttl::FRIEND_REQUEST + HOUR)).unwrap();
    assert_eq!(look(&mut bob, now), []);
}

#[test]
fn where_too_many_wait_for_an_answer_the_next_wait_unseen() {
    let home = TempDir::new().unwrap();
    let mut bob = client(home.path());
    let mut now = clock::now();
    let mut shown = Vec::new();
    for _ in 0..7 {
        flood(&mut bob, AN_HOUR, now);
        shown.extend(look(&mut bob, now));
        now += HOUR;
    }
    assert_eq!(shown.len(), MOST_ASKING as usize);
    assert_eq!(bob.requests_put_off().unwrap(), 10);
    bob.decline(shown[0]).unwrap();
    assert_eq!(look(&mut bob, now).len(), 1);
    let declined = bob.find_contact(&shown[0].to_string()).unwrap();
    assert_eq!(declined.status(), ContactStatus::Declined);
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_go_on() {
    let home = TempDir::new().unwrap();
    let mut bob = client(home.path());
    let now = clock::now();
    bob.state.write(|writer| (0..AN_HOUR).try_for_each(|_| writer.count_request(Asker::We, now))).unwrap();
    let stranger = Identity::generate(&mut rand::rng()).account();
    let refused = bob.request_contact(stranger, String::new()).await.unwrap_err();
    assert!(
        matches!(&refused, SendError::Refused(RequestError::TooMany { wait }) if (HOUR - 60_000..=HOUR).contains(wait)),
        "{refused}"
    );
    assert!(refused.to_string().ends_with("ask again in 60 min"), "{refused}");
    assert!(bob.contacts().unwrap().is_empty());
    assert_eq!(bob.wait_to_ask(now + HOUR).unwrap(), None);
}

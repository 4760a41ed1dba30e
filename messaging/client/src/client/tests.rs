use super::*;
use crate::{
    Account, ContactStatus, MessageState, SayError,
    conversation::{accept, request, say},
};
use skep_envelope::{Body, ReceiptKind};
use skep_primitives::ServiceNodeId;
use skep_proto::storage::RetrievedMessage;
use tempfile::TempDir;

const GENESIS: BlockHash = [7; 32];
const MEMBER: ServiceNodeId = ServiceNodeId([1; 32]);
const MINUTE: Moment = 60_000;

fn passphrase() -> Passphrase {
    Passphrase::new("secret".to_owned().into()).unwrap()
}

fn nowhere() -> RosterSource {
    RosterSource::trusting("ws://127.0.0.1:1".parse().unwrap())
}

/// A client of a network that it knows and that does not answer.
fn client(directory: &TempDir, name: &str) -> Client {
    let mut client =
        Client::create(&directory.path().join(name), &passphrase(), &name.parse().unwrap(), nowhere()).unwrap();
    client.state.bind_network(&GENESIS).unwrap();
    client
}

fn reopened(directory: &TempDir, client: Client) -> Client {
    let name = client.display_name().to_string();
    drop(client);
    Client::open(&directory.path().join(name), &passphrase(), nowhere()).unwrap()
}

/// What waits in the outbox, as the recipient's mailbox has it.
fn stored(sender: &Client) -> Vec<RetrievedMessage> {
    let items = sender.state.outbox().unwrap().into_iter();
    items
        .map(|OutboxItem { hash, data, timestamp, ttl, .. }| RetrievedMessage {
            hash,
            data,
            timestamp,
            expiration: timestamp + ttl,
        })
        .collect()
}

fn read(reader: &mut Client, messages: Vec<RetrievedMessage>) -> Vec<Event> {
    let mut events = Vec::new();
    reader.take_in(&GENESIS, MEMBER, messages, &mut events).unwrap();
    reader.look_at_strangers(&GENESIS, clock::now(), &mut events).unwrap();
    events
}

/// Everything that waits is stored, and read.
fn deliver(sender: &mut Client, reader: &mut Client) -> Vec<Event> {
    let messages = stored(sender);
    sender.state.write(|writer| messages.iter().try_for_each(|message| writer.sent(&message.hash, []))).unwrap();
    read(reader, messages)
}

fn texts(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| if let Event::Message { text, .. } = event { Some(text.as_str()) } else { None })
        .collect()
}

/// Two who can write to each other.
fn met(directory: &TempDir) -> (Client, Client) {
    let (mut alice, mut bob) = (client(directory, "Alice"), client(directory, "Bob"));
    let (a, b) = (alice.account(), bob.account());
    let asked = request(alice.own_to(&b), None, b, String::new(), clock::now()).unwrap();
    alice.queue_change(&GENESIS, b, asked, |_, _| Ok(())).unwrap();
    deliver(&mut alice, &mut bob);
    let asking = bob.state.contact(&a).unwrap().unwrap();
    let accepted = accept(bob.own_to(&a), &asking, clock::now(), &mut rand::rng()).unwrap();
    bob.queue_change(&GENESIS, a, accepted, |_, _| Ok(())).unwrap();
    deliver(&mut bob, &mut alice);
    (alice, bob)
}

/// Queues something to say, as sending does.
fn queue(from: &mut Client, to: AccountAddress, body: Body) -> MessageId {
    let (id, timestamp) = (MessageId::random(&mut rand::rng()), clock::now());
    let contact = from.state.contact(&to).unwrap().unwrap();
    let text = if let Body::Text(text) = &body { Some(text.clone()) } else { None };
    let change = say(&contact, from.by_mail(&to), id, body, timestamp).unwrap();
    from.queue_change(&GENESIS, to, change, |writer, hash| {
        let Some(text) = &text else { return Ok(()) };
        let origin = Origin::Sent(hash.unwrap());
        writer.put_message(&NewMessage { contact: to, origin, id, text, timestamp }).map(drop)
    })
    .unwrap();
    id
}

fn text(text: &str) -> Body {
    Body::Text(text.to_owned().into())
}

#[tokio::test]
async fn what_is_said_where_nobody_answers_is_kept_and_never_with_one_key_twice() {
    let directory = TempDir::new().unwrap();
    let (mut alice, mut bob) = met(&directory);
    let account = bob.account();
    for number in 1..=3 {
        // The program ends after each.
        alice = reopened(&directory, alice);
        let sent = alice.send(account, &number.to_string()).await;
        assert!(
            matches!(sent, Err(SendError::Undelivered(DeliverError::Network(NetworkError::Connect(_))))),
            "{sent:?}"
        );
    }
    let kept = alice.history(account, None, 10).unwrap();
    assert!(kept.iter().all(|message| message.state == MessageState::Queued) && kept.len() == 3, "{kept:?}");
    assert_eq!(texts(&deliver(&mut alice, &mut bob)), ["1", "2", "3"]);
    // A text that makes no sense is not kept.
    let refused = alice.send(account, &"x".repeat(100_000)).await;
    assert!(matches!(refused, Err(SendError::Refused(SayError::Encrypt(_)) | SendError::Seal(_))), "{refused:?}");
    assert_eq!(alice.history(account, None, 10).unwrap().len(), 3);
}

#[tokio::test]
async fn an_answer_and_having_read_the_question_are_kept_together() {
    let directory = TempDir::new().unwrap();
    let (mut alice, mut bob) = met(&directory);
    let account = alice.account();
    let [first, second] = ["one", "two"].map(|question| queue(&mut alice, bob.account(), text(question)));
    deliver(&mut alice, &mut bob);
    let refused = bob.answer(account, "x".repeat(100_000), Some(first), &[first]).await;
    assert!(!matches!(refused, Ok(_) | Err(SendError::Undelivered(_))), "{refused:?}");
    assert_eq!(bob.unread_messages(account, 10).unwrap().len(), 2);
    let kept = bob.answer(account, "yes".into(), Some(first), &[first]).await;
    assert!(matches!(kept, Err(SendError::Undelivered(_))), "{kept:?}");
    let unread: Vec<_> = bob.unread_messages(account, 10).unwrap().iter().map(|message| message.id).collect();
    assert_eq!(unread, [second]);
}

#[tokio::test]
async fn an_account_that_is_closed_at_once_has_kept_what_was_said() {
    let directory = TempDir::new().unwrap();
    let (alice, bob) = met(&directory);
    let (home, account) = (directory.path().join("Alice"), bob.account());
    let (alice, _) = Account::start(alice);
    let conversation = alice.conversation(account);
    let mut said = Vec::new();
    for number in 0..10 {
        let mut saying = Box::pin(conversation.send(number.to_string(), None));
        assert!(futures::poll!(&mut saying).is_pending());
        said.push(saying);
    }
    // Other handles keep nothing open.
    let other = alice.clone();
    alice.close().await;
    assert!(other.settings().await.is_err());
    drop(said);
    let mut alice = Client::open(&home, &passphrase(), nowhere()).unwrap();
    assert_eq!(alice.history(account, None, 20).unwrap().len(), 10);
}

#[test]
fn everything_that_had_not_arrived_is_said_again_but_not_as_often_as_a_contact_likes() {
    let directory = TempDir::new().unwrap();
    let (mut alice, mut bob) = met(&directory);
    let account = bob.account();
    for number in 0..230 {
        queue(&mut alice, account, text(&number.to_string()));
    }
    let on_the_swarm = stored(&alice);
    let sent = |alice: &mut Client| {
        let hashes: Vec<_> = alice.state.outbox().unwrap().iter().map(|item| item.hash).collect();
        alice.state.write(|writer| hashes.iter().try_for_each(|hash| writer.sent(hash, []))).unwrap();
        hashes.len()
    };
    assert_eq!(sent(&mut alice), on_the_swarm.len());
    let want = |alice: &mut Client| {
        alice.state.write(|writer| writer.want_resent(&account)).unwrap();
        alice.resend_due(&GENESIS).unwrap();
    };
    let began = clock::now();
    want(&mut alice);
    let events = deliver(&mut alice, &mut bob);
    assert_eq!(texts(&events).len(), 230);
    // A contact may have to start anew more than once, but each time costs work.
    for expected in [230, 230, 0, 0] {
        want(&mut alice);
        assert_eq!(sent(&mut alice), expected);
    }
    // It is not forgotten.
    let later = clock::now() + 61 * MINUTE;
    assert_eq!(alice.state.resends_due(began + 59 * MINUTE).unwrap(), []);
    assert_eq!(alice.state.resends_due(later).unwrap(), [(account, 0)]);
    // Nor what is done counted where nothing can be said.
    alice.set_blocked(account, true).unwrap();
    assert_eq!(alice.state.resends_due(later).unwrap(), []);
}

#[test]
fn what_has_disappeared_or_was_unsent_is_not_shown_when_it_comes_again() {
    let directory = TempDir::new().unwrap();
    let (mut alice, mut bob) = met(&directory);
    let (a, b) = (alice.account(), bob.account());
    let brief = Text { text: "brief".into(), reply_to: None, disappear_after: 5 };
    let id = queue(&mut alice, b, Body::Text(brief));
    assert_eq!(texts(&deliver(&mut alice, &mut bob)), ["brief"]);
    assert_eq!(bob.mark_shown(a, &[id]).unwrap(), 1);
    let done = |writer: &Writer<'_>| writer.put_acknowledged(&a, ReceiptKind::Delivered, &[id]);
    bob.state.write(done).unwrap();
    bob.state.write(|writer| writer.forget_disappeared(clock::now() + MINUTE)).unwrap();
    assert!(bob.history(a, None, 10).unwrap().is_empty());
    // The acknowledgement was lost: it comes once more, and is acknowledged once more.
    alice.state.write(|writer| writer.want_resent(&b)).unwrap();
    alice.resend_due(&GENESIS).unwrap();
    let copy = stored(&alice).pop().unwrap().hash;
    assert_eq!(deliver(&mut alice, &mut bob), []);
    assert!(bob.history(a, None, 10).unwrap().is_empty());
    let owed = |bob: &Client| bob.state.unacknowledged(ReceiptKind::Delivered, 10).unwrap();
    assert_eq!(owed(&bob)[&a], [id]);
    assert_eq!(bob.state.trash(10).unwrap().iter().filter(|hash| **hash == copy).count(), 1);
    bob.state.write(done).unwrap();
    assert!(owed(&bob).is_empty());

    // What was unsent overtakes it.
    let slip = queue(&mut alice, b, text("slip"));
    let late = stored(&alice);
    deliver(&mut alice, &mut client(&directory, "nobody"));
    queue(&mut alice, b, Body::Unsend(vec![slip]));
    assert_eq!(deliver(&mut alice, &mut bob), []);
    assert_eq!(read(&mut bob, late), []);
    // Names are not remembered for ever.
    bob.state.write(|writer| writer.forget_gone(clock::now() + 2 * ttl::MESSAGE)).unwrap();
    let message = NewMessage { contact: a, origin: Origin::Theirs, id, text: &"x".to_owned().into(), timestamp: 1 };
    assert!(bob.state.write(|writer| writer.put_message(&message)).unwrap());
}

#[test]
fn names_of_what_was_unsent_before_it_came_do_not_fill_the_disk() {
    let directory = TempDir::new().unwrap();
    let (alice, mut bob) = met(&directory);
    let a = alice.account();
    let ids: Vec<_> = (0..3_000_u128).map(|number| MessageId(number.to_be_bytes())).collect();
    bob.state.write(|writer| writer.refuse(&a, &ids, clock::now() + MINUTE)).unwrap();
    let text = "x".to_owned().into();
    let kept = |id: &MessageId| {
        let message = NewMessage { contact: a, origin: Origin::Theirs, id: *id, text: &text, timestamp: 1 };
        bob.state.write(|writer| writer.put_message(&message)).unwrap()
    };
    assert_eq!(ids.iter().map(kept).filter(|kept| !kept).count(), 1_000);
}

#[test]
fn junk_of_a_member_moves_its_cursor_and_little_else() {
    let directory = TempDir::new().unwrap();
    let (mut alice, mut bob) = met(&directory);
    let junk = |data: Vec<u8>| {
        let hash = MessageHash::of(&bob.account(), Namespace::DEFAULT, &data);
        RetrievedMessage { hash, data, timestamp: 1, expiration: 2 }
    };
    let tiny: Vec<_> = (0..2_000_u32).map(|number| junk(number.to_be_bytes().to_vec())).collect();
    let sized: Vec<_> = (0..20_u8).map(|number| junk(vec![number; 1024])).collect();
    queue(&mut alice, bob.account(), text("in between"));
    let [last, message] = [tiny[1_999].hash, stored(&alice)[0].hash];
    let mut page = tiny;
    page.splice(500..500, stored(&alice));
    let forged = RetrievedMessage { hash: MessageHash::from([9; 32]), ..sized[0].clone() };
    let before = bob.state.changes();
    let events = read(&mut bob, page);
    assert_eq!(texts(&events), ["in between"]);
    assert!(bob.state.changes() - before < 30, "not one for each: {}", bob.state.changes() - before);
    assert_eq!(bob.state.cursors().unwrap(), [(MEMBER, last)]);
    assert!(bob.state.is_seen(&message).unwrap() && !bob.state.is_seen(&last).unwrap());
    // What could have been a message is looked at once.
    assert_eq!(read(&mut bob, sized.iter().cloned().chain([forged]).collect()), []);
    assert!(sized.iter().all(|junk| bob.state.is_seen(&junk.hash).unwrap()));
    assert_eq!(bob.state.cursors().unwrap(), [(MEMBER, sized[19].hash)]);
}

#[test]
fn a_request_that_a_put_back_state_withdraws_is_made_again() {
    let directory = TempDir::new().unwrap();
    let (mut alice, mut bob) = (client(&directory, "Alice"), client(&directory, "Bob"));
    let (a, b) = (alice.account(), bob.account());
    let asked = request(alice.own_to(&b), None, b, "It is me".into(), clock::now()).unwrap();
    alice.queue_change(&GENESIS, b, asked, |_, _| Ok(())).unwrap();
    alice.start_anew(5).unwrap();
    assert!(stored(&alice).is_empty(), "its keys are gone");
    for _ in 0..2 {
        alice.heal(&GENESIS, &mut Vec::new()).unwrap();
        assert_eq!(stored(&alice).len(), 1, "once");
    }
    let events = deliver(&mut alice, &mut bob);
    assert!(
        matches!(&events[..], [Event::Request { sender, text, .. }] if *sender == a && text == "It is me"),
        "{events:?}"
    );
    assert_eq!(alice.state.contact(&b).unwrap().map(|contact| contact.status()), Some(ContactStatus::Requested));
}

use super::*;
use crate::history::MessageState;
use crate::{
    conversation::{ContactStatus, Manner, Own, Way, accept, receive, request, say},
    paths::Purpose,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use skep_envelope::{Body, MessageId, ReceiptKind, Text, open, seal};
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

const NOW: Moment = 1_800_000_000_000;

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned().into()).unwrap()
}

fn person(number: u64, name: &str) -> (TempDir, State, StoredAccount) {
    let home = TempDir::new().unwrap();
    let identity = Identity::generate(&mut ChaCha20Rng::seed_from_u64(number));
    let name = name.parse().unwrap();
    let state = State::create(&home.path().join("skep"), &passphrase("secret"), &identity, &name).unwrap();
    let account = state.account().unwrap();
    (home, state, account)
}

fn reopened(home: &TempDir, state: State) -> State {
    drop(state);
    State::open(&home.path().join("skep"), &passphrase("secret")).unwrap()
}

fn own(account: &StoredAccount) -> Own<'_> {
    Own { account: account.identity.account(), name: &account.name, prekeys: &account.prekeys, listening: None }
}

#[test]
fn the_account_survives_in_files_of_its_owner_alone() {
    let (home, state, account) = person(1, "Alice");
    let state = reopened(&home, state);
    let again = state.account().unwrap();
    assert_eq!(again.identity.account(), account.identity.account());
    assert_eq!((again.name, again.prekeys.identity_key()), (account.name, account.prekeys.identity_key()));

    let directory = home.path().join("skep");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let mut names = Vec::new();
    for file in fs::read_dir(&directory).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["state.db", "state.db-wal", "state.salt"]);
    // Neither the format nor a word of the phrase can be seen.
    let bytes = ["state.db", "state.db-wal"].map(|name| fs::read(directory.join(name)).unwrap()).concat();
    let phrase = account.identity.phrase();
    for text in ["SQLite format 3"].into_iter().chain(phrase.split(' ')).chain(["CREATE TABLE"]) {
        assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
    drop(state);
    assert!(!directory.join("state.db-wal").exists(), "a program that ends in order leaves one file and the salt");
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let (home, state, _) = person(1, "Alice");
    drop(state);
    let home = home.path().join("skep");
    assert!(matches!(State::open(&home, &passphrase("Secret")), Err(StateError::WrongPassphrase)));
    assert!(State::open(&home, &passphrase("secret")).is_ok());
    assert!(matches!(Passphrase::new(String::new().into()), Err(PassphraseError::Empty)));
}

#[test]
fn a_changed_passphrase_is_the_only_one() {
    let (home, mut state, account) = person(1, "Alice");
    let home = home.path().join("skep");
    state.set_passphrase(&home, &passphrase("another")).unwrap();
    drop(state);
    assert!(matches!(State::open(&home, &passphrase("secret")), Err(StateError::WrongPassphrase)));
    let state = State::open(&home, &passphrase("another")).unwrap();
    assert_eq!(state.account().unwrap().identity.account(), account.identity.account());
}

#[test]
fn a_damaged_file_is_not_read() {
    let (home, state, _) = person(1, "Alice");
    drop(state);
    let path = home.path().join("skep").join(DATABASE);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let damaged = State::open(&home.path().join("skep"), &passphrase("secret"));
    assert!(matches!(damaged, Err(StateError::WrongPassphrase)), "{damaged:?}");
}

#[test]
fn one_home_holds_one_account_and_one_program() {
    let (home, state, account) = person(1, "Alice");
    let home = home.path().join("skep");
    let again = State::create(&home, &passphrase("other"), &account.identity, &account.name);
    assert!(matches!(again, Err(StateError::Exists(_))));
    // A second program gives up after the wait.
    let second = State::open(&home, &passphrase("secret"));
    assert!(matches!(second, Err(StateError::InUse)), "{second:?}");
    drop(state);
    assert!(State::open(&home, &passphrase("secret")).is_ok());
    let nowhere = State::open(&home.join("nowhere"), &passphrase("secret"));
    assert!(matches!(nowhere, Err(StateError::NoAccount(_))));
}

#[test]
fn an_interrupted_creation_can_be_repeated() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join(DRAFT), b"half").unwrap();
    let identity = Identity::generate(&mut ChaCha20Rng::seed_from_u64(1));
    State::create(home.path(), &passphrase("secret"), &identity, &"Alice".parse().unwrap()).unwrap();
    assert!(!home.path().join(DRAFT).exists());
}

#[test]
fn a_state_of_a_newer_version_is_left_alone() {
    let (home, state, _) = person(1, "Alice");
    state.database.pragma_update(None, "user_version", 1_000).unwrap();
    drop(state);
    let newer = State::open(&home.path().join("skep"), &passphrase("secret"));
    assert!(matches!(newer, Err(StateError::Newer(1_000))));
}

#[test]
fn a_state_belongs_to_one_network() {
    let (home, mut state, _) = person(1, "Alice");
    state.bind_network(&[1; 32]).unwrap();
    state.bind_network(&[1; 32]).unwrap();
    let mut state = reopened(&home, state);
    assert!(matches!(state.bind_network(&[2; 32]), Err(StateError::OtherNetwork(genesis)) if genesis == [1; 32]));
}

#[test]
fn paths_survive() {
    let (home, mut state, _) = person(1, "Alice");
    state.bind_network(&[1; 32]).unwrap();
    let mut paths = PathBook::default();
    paths.failed(Purpose::Sending, ServiceNodeId([3; 32]), NOW);
    state.keep_paths(&paths).unwrap();
    assert_eq!(reopened(&home, state).paths().unwrap(), paths);
}

#[test]
fn contacts_survive_at_every_standing() {
    let (alice_home, mut alice_state, alice) = person(1, "Alice");
    let (bob_home, mut bob_state, bob) = person(2, "Bob");
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let (alice_account, bob_account) = (alice.identity.account(), bob.identity.account());
    let genesis = [1; 32];

    let change = request(own(&alice), None, bob_account, "hello".into(), NOW).unwrap();
    alice_state
        .write(|writer| {
            writer.put_contact(change.contact.as_ref().unwrap())?;
            writer.put_prekeys(change.prekeys.as_ref().unwrap())
        })
        .unwrap();
    let alice_state = reopened(&alice_home, alice_state);
    let alice = alice_state.account().unwrap();
    let requested = alice_state.contact(&bob_account).unwrap().unwrap();
    assert_eq!((requested.status(), &requested.name), (ContactStatus::Requested, &None));

    let sealed = seal(&alice.identity, &genesis, &bob_account, &change.outgoing.unwrap().payload, &mut rng).unwrap();
    let opened = open(&bob.identity, &genesis, &sealed).unwrap();
    let change = receive(own(&bob), None, opened, Way::Mail, NOW, &mut rng).unwrap();
    bob_state.write(|writer| writer.put_contact(change.contact.as_ref().unwrap())).unwrap();
    let mut bob_state = reopened(&bob_home, bob_state);
    let asking = bob_state.contact(&alice_account).unwrap().unwrap();
    assert_eq!((asking.status(), asking.introduction()), (ContactStatus::Asking, Some("hello")));
    assert_eq!(asking.name, Some("Alice".parse().unwrap()));

    let change = accept(own(&bob), &asking, NOW, &mut rng).unwrap();
    bob_state
        .write(|writer| {
            writer.put_contact(change.contact.as_ref().unwrap())?;
            writer.put_prekeys(change.prekeys.as_ref().unwrap())
        })
        .unwrap();
    let bob_state = reopened(&bob_home, bob_state);
    let established = bob_state.contacts().unwrap().pop().unwrap();
    assert_eq!(established.status(), ContactStatus::Established);
    // Both kept states go on where they were.
    let sealed = seal(&bob.identity, &genesis, &alice_account, &change.outgoing.unwrap().payload, &mut rng).unwrap();
    let opened = open(&alice.identity, &genesis, &sealed).unwrap();
    let accepted = receive(own(&alice), Some(&requested), opened, Way::Mail, NOW, &mut rng).unwrap();
    assert_eq!(accepted.contact.as_ref().map(Contact::status), Some(ContactStatus::Established));
    assert!(say(&established, Manner::default(), MessageId([1; 16]), Body::Text("hi".to_owned().into()), NOW).is_ok());
}

#[test]
fn changes_are_kept_as_a_whole_or_not_at_all() {
    let (home, mut state, alice) = person(1, "Alice");
    let account = alice.identity.account();
    let item = OutboxItem {
        hash: MessageHash::from([5; 32]),
        recipient: account,
        data: vec![1, 2, 3],
        timestamp: NOW,
        ttl: 10_000,
    };
    let failed = state.write(|writer| {
        writer.queue(&item)?;
        Err::<(), _>(StateError::Damaged("on purpose"))
    });
    assert!(failed.is_err());
    assert!(state.outbox().unwrap().is_empty());

    state.write(|writer| writer.queue(&item)).unwrap();
    let mut state = reopened(&home, state);
    assert_eq!(state.outbox().unwrap(), std::slice::from_ref(&item));
    let receipt = Receipt { member: ServiceNodeId([1; 32]), signature: [2; 64], expiry: NOW };
    state.write(|writer| writer.sent(&item.hash, [&receipt])).unwrap();
    assert!(state.outbox().unwrap().is_empty());
    let kept: ([u8; 32], [u8; 64]) = state
        .database
        .query_row("SELECT member, signature FROM receipts WHERE hash = ?1", [item.hash.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(kept, (receipt.member.0, receipt.signature));
}

#[test]
fn what_was_read_is_remembered_as_long_as_needed() {
    let (home, mut state, _) = person(1, "Alice");
    let (member, hash) = (ServiceNodeId([1; 32]), MessageHash::from([2; 32]));
    state
        .write(|writer| {
            writer.put_seen(&hash, NOW)?;
            writer.put_cursor(&member, &MessageHash::from([9; 32]))?;
            writer.put_cursor(&member, &hash)
        })
        .unwrap();
    let mut state = reopened(&home, state);
    assert_eq!(state.cursors().unwrap(), [(member, hash)]);
    state.write(|writer| writer.forget_seen(NOW)).unwrap();
    assert!(state.is_seen(&hash).unwrap());
    state.write(|writer| writer.forget_seen(NOW + 1)).unwrap();
    assert!(!state.is_seen(&hash).unwrap());
}

const CONTACT: [u8; 32] = [7; 32];

fn contact() -> AccountAddress {
    AccountAddress::from_x25519(CONTACT)
}

fn keep(state: &mut State, origin: Origin, number: u8, text: &Text) -> bool {
    let id = MessageId([number; 16]);
    let message = NewMessage { contact: contact(), origin, id, text, timestamp: NOW };
    state.write(|writer| writer.put_message(&message)).unwrap()
}

fn text(text: &str) -> Text {
    text.to_owned().into()
}

#[test]
fn a_text_is_kept_once_on_each_side() {
    let (_home, mut state, _) = person(1, "Alice");
    let ours = Origin::Sent(MessageHash::from([1; 32]));
    let added = [Origin::Theirs, ours, Origin::Theirs].map(|origin| keep(&mut state, origin, 1, &text("hi")));
    assert_eq!(added, [true, true, false]);
}

#[test]
fn a_message_of_ours_says_how_far_it_has_come() {
    let (_home, mut state, _) = person(1, "Alice");
    let hash = MessageHash::from([1; 32]);
    let item = OutboxItem { hash, recipient: contact(), data: vec![1], timestamp: NOW, ttl: 10 };
    state.write(|writer| writer.queue(&item)).unwrap();
    keep(&mut state, Origin::Sent(hash), 1, &text("hi"));
    let id = MessageId([1; 16]);
    let state_of = |state: &State| state.message(&contact(), &id).unwrap().unwrap().state;
    assert_eq!(state_of(&state), MessageState::Queued);
    assert_eq!(state.undelivered(&contact(), 0, 0, 10).unwrap().len(), 1);
    let receipts =
        [1, 2, 3].map(|number| Receipt { member: ServiceNodeId([number; 32]), signature: [2; 64], expiry: NOW });
    state.write(|writer| writer.sent(&hash, &receipts)).unwrap();
    assert_eq!(state_of(&state), MessageState::OnSwarm { receipts: 3 });
    let told = |state: &mut State, kind, at| {
        state.write(|writer| writer.acknowledged(&contact(), kind, &[id, MessageId([9; 16])], at)).unwrap()
    };
    assert_eq!(told(&mut state, ReceiptKind::Delivered, NOW + 1), [id]);
    assert_eq!(state_of(&state), MessageState::Delivered { at: NOW + 1 });
    assert!(told(&mut state, ReceiptKind::Delivered, NOW + 2).is_empty());
    assert_eq!(told(&mut state, ReceiptKind::Read, NOW + 3), [id]);
    assert_eq!(state_of(&state), MessageState::Read { at: NOW + 3 });
    // What was read was delivered.
    assert!(told(&mut state, ReceiptKind::Delivered, NOW + 4).is_empty());
    assert!(state.undelivered(&contact(), 0, 0, 10).unwrap().is_empty());
    // One that was given up.
    let lost = MessageHash::from([2; 32]);
    keep(&mut state, Origin::Sent(lost), 2, &text("lost"));
    assert!(state.write(|writer| writer.put_failed(&lost)).unwrap());
    assert_eq!(state.message(&contact(), &MessageId([2; 16])).unwrap().unwrap().state, MessageState::Failed);
}

#[test]
fn a_message_of_theirs_is_acknowledged_once() {
    let (_home, mut state, _) = person(1, "Alice");
    keep(&mut state, Origin::Theirs, 1, &text("one"));
    keep(&mut state, Origin::Theirs, 2, &text("two"));
    assert_eq!(state.unread().unwrap()[&contact()], 2);
    let waiting = |state: &State, kind| state.unacknowledged(kind, 10).unwrap().remove(&contact()).unwrap_or_default();
    assert_eq!(waiting(&state, ReceiptKind::Delivered).len(), 2);
    assert!(waiting(&state, ReceiptKind::Read).is_empty());
    let first = state.history(&contact(), None, 10).unwrap()[0].sequence;
    assert_eq!(state.write(|writer| writer.put_read(&contact(), first, NOW)).unwrap(), 1);
    assert_eq!(state.unread().unwrap()[&contact()], 1);
    let read = waiting(&state, ReceiptKind::Read);
    assert_eq!(read, [MessageId([1; 16])]);
    state.write(|writer| writer.put_acknowledged(&contact(), ReceiptKind::Read, &read)).unwrap();
    assert!(waiting(&state, ReceiptKind::Read).is_empty());
    assert_eq!(waiting(&state, ReceiptKind::Delivered), [MessageId([2; 16])]);
}

#[test]
fn history_is_told_in_pages_and_messages_by_their_beginning() {
    let (_home, mut state, _) = person(1, "Alice");
    for number in 1..=5 {
        keep(&mut state, Origin::Theirs, number, &text(&number.to_string()));
    }
    let texts = |messages: Vec<crate::Message>| messages.into_iter().filter_map(|m| m.text).collect::<Vec<_>>();
    let newest = state.history(&contact(), None, 2).unwrap();
    let before = newest[0].sequence;
    assert_eq!(texts(newest), ["4", "5"]);
    assert_eq!(texts(state.history(&contact(), Some(before), 2).unwrap()), ["2", "3"]);
    assert_eq!(texts(state.all_messages(before, 10).unwrap()), ["5"]);
    assert_eq!(state.messages_beginning(&contact(), "0303").unwrap().len(), 1);
    assert_eq!(state.messages_beginning(&contact(), "0").unwrap().len(), 2);
}

#[test]
fn messages_are_unsent_and_disappear() {
    let (_home, mut state, _) = person(1, "Alice");
    let brief = Text { disappear_after: 10, ..text("brief") };
    keep(&mut state, Origin::Theirs, 1, &brief);
    keep(&mut state, Origin::Sent(MessageHash::from([1; 32])), 2, &brief);
    keep(&mut state, Origin::Theirs, 3, &text("stays"));
    let ids = |state: &State| {
        state.history(&contact(), None, 10).unwrap().into_iter().map(|message| message.id.0[0]).collect::<Vec<_>>()
    };
    let forget = |state: &mut State, now| state.write(|writer| writer.forget_disappeared(now)).unwrap();
    // Ours from sending, theirs from reading.
    assert_eq!((forget(&mut state, NOW + 9_999), forget(&mut state, NOW + 10_000)), (0, 1));
    assert_eq!(ids(&state), [1, 3]);
    state.write(|writer| writer.put_read(&contact(), i64::MAX, NOW + 20_000)).unwrap();
    assert_eq!((forget(&mut state, NOW + 29_999), forget(&mut state, NOW + 30_000)), (0, 1));
    assert_eq!(ids(&state), [3]);
    // Nobody unsends for the other.
    let unsend = |state: &mut State, mine| state.write(|w| w.unsend(&contact(), mine, &[MessageId([3; 16])])).unwrap();
    assert!(unsend(&mut state, true).is_empty());
    assert_eq!(unsend(&mut state, false).len(), 1);
    assert_eq!(state.history(&contact(), None, 10).unwrap()[0].text, None);
}

/// A state as the first version left it: a contact who asks, and a text of each side.
#[test]
fn a_state_of_the_first_version_opens() {
    let (home, state, alice) = person(1, "Alice");
    drop(state);
    let home = home.path().join("skep");
    let path = home.join(DATABASE);
    fs::remove_file(&path).unwrap();
    make_file(&path).unwrap();
    let old = Connection::open(&path).unwrap();
    let key = passphrase("secret").database_key(&key::read_salt(&home).unwrap()).unwrap();
    old.pragma_update(None, "key", key.as_str()).unwrap();
    schema::make_version_1(&old);
    let account = contact();
    old.execute(
        "INSERT INTO account (id, phrase, name, prekeys) VALUES (1, ?1, 'Alice', ?2)",
        params![alice.identity.phrase().as_str(), alice.prekeys.pickle().as_slice()],
    )
    .unwrap();
    old.execute(
        "INSERT INTO contacts VALUES (?1, 'Bob', 'asking', 5, 'hello', ?2, NULL)",
        params![account.as_bytes(), [1_u8; 96]],
    )
    .unwrap();
    for (sent_as, id) in [(None, [1_u8; 16]), (Some([2_u8; 32]), [2; 16])] {
        old.execute(
            "INSERT INTO messages (contact, sent_as, id, text, timestamp) VALUES (?1, ?2, ?3, 'hi', 9)",
            params![account.as_bytes(), sent_as, id],
        )
        .unwrap();
    }
    drop(old);

    let state = State::open(&home, &passphrase("secret")).unwrap();
    let again = state.account().unwrap();
    assert_eq!(again.prekeys.identity_key(), alice.prekeys.identity_key());
    assert_eq!(again.settings, Settings { read_receipts: true, typing: true, presence: true });
    let bob = state.contact(&account).unwrap().unwrap();
    assert_eq!((bob.status(), bob.introduction(), bob.is_blocked()), (ContactStatus::Asking, Some("hello"), false));
    let states: Vec<_> = state.history(&account, None, 10).unwrap().iter().map(|m| (m.mine, m.state)).collect();
    assert_eq!(states, [(false, MessageState::Read { at: 9 }), (true, MessageState::OnSwarm { receipts: 0 })]);
    assert!(state.unacknowledged(ReceiptKind::Delivered, 10).unwrap().is_empty());
    // Nobody was told of the request by this clock, and nothing is to be said again.
    let crate::conversation::Standing::Asking(request) = &bob.standing else { panic!("{bob:?}") };
    assert_eq!((request.timestamp, request.told), (5, 0));
    assert_eq!(state.resends_due(NOW).unwrap(), []);
    assert_eq!(state.genesis().unwrap(), None);
}

#[test]
fn a_file_is_published_where_there_are_no_links_and_replaces_none() {
    let directory = TempDir::new().unwrap();
    let [draft, path] = ["draft", "path"].map(|name| directory.path().join(name));
    for publish in [publish, publish_without_links] {
        fs::write(&draft, b"complete").unwrap();
        publish(&draft, &path).unwrap();
        assert_eq!((fs::read(&path).unwrap(), draft.exists()), (b"complete".to_vec(), false));
        fs::write(&draft, b"another").unwrap();
        assert_eq!(publish(&draft, &path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), draft.exists()), (b"complete".to_vec(), true));
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_backup_is_one_file_that_restores_all_but_the_sessions() {
    let (directory, mut state, alice) = person(1, "Alice");
    keep(&mut state, Origin::Theirs, 1, &text("remember"));
    let change = request(own(&alice), None, contact(), "hello".into(), NOW).unwrap();
    state.write(|writer| writer.put_contact(change.contact.as_ref().unwrap())).unwrap();
    let path = directory.path().join("alice.backup");
    state.backup(&path, &passphrase("secret")).unwrap();
    assert!(matches!(state.backup(&path, &passphrase("secret")), Err(StateError::Io { .. })));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // The state goes on as before.
    keep(&mut state, Origin::Theirs, 2, &text("later"));
    drop(state);

    // As files come back from elsewhere.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let second = directory.path().join("second");
    let wrong = State::restore_backup(&second, &path, &passphrase("other"));
    assert!(matches!(wrong, Err(StateError::NotABackup(_))), "{wrong:?}");
    drop(State::restore_backup(&second, &path, &passphrase("secret")).unwrap());
    let restored = State::open(&second, &passphrase("secret")).unwrap();
    for file in fs::read_dir(&second).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
    }
    let account = restored.account().unwrap();
    assert_eq!(account.identity.account(), alice.identity.account());
    assert_ne!(account.prekeys.identity_key(), alice.prekeys.identity_key());
    assert_eq!(restored.contact(&contact()).unwrap().map(|contact| contact.status()), Some(ContactStatus::Requested));
    assert_eq!(restored.history(&contact(), None, 10).unwrap().len(), 1);
    let again = State::restore_backup(&second, &path, &passphrase("secret"));
    assert!(matches!(again, Err(StateError::Exists(_))));
}

/// Whatever is lost after a crash, no key is used for two messages by who keeps the ratchet first, as `Client` does.
#[test]
fn a_ratchet_that_was_kept_never_uses_a_key_twice() {
    let (home, mut state, alice) = person(1, "Alice");
    let (_bob_home, _, bob) = person(2, "Bob");
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let (alice_account, bob_account) = (alice.identity.account(), bob.identity.account());
    let hear = |bob: &StoredAccount, known: Option<&Contact>, payload| {
        let opened = skep_envelope::Opened { source: alice_account, payload };
        receive(own(bob), known, opened, Way::Mail, NOW, &mut ChaCha20Rng::seed_from_u64(3))
    };
    // Bob asks, Alice accepts; she keeps that.
    let asked = request(own(&bob), None, alice_account, String::new(), NOW).unwrap();
    let bob = StoredAccount { prekeys: asked.prekeys.unwrap(), ..bob };
    let opened = skep_envelope::Opened { source: bob_account, payload: asked.outgoing.unwrap().payload };
    let asking = receive(own(&alice), None, opened, Way::Mail, NOW, &mut rng).unwrap().contact.unwrap();
    let accepted = accept(own(&alice), &asking, NOW, &mut rng).unwrap();
    state.write(|writer| writer.put_contact(accepted.contact.as_ref().unwrap())).unwrap();
    let met = hear(&bob, asked.contact.as_ref(), accepted.outgoing.unwrap().payload).unwrap();
    let (bob, mut bobs_alice) = (StoredAccount { prekeys: met.prekeys.unwrap(), ..bob }, met.contact.unwrap());

    let mut texts = Vec::new();
    for number in 1..=3 {
        // The program ends after each message was kept, before it is known whether it left.
        state = reopened(&home, state);
        let contact = state.contact(&bob_account).unwrap().unwrap();
        let body = Body::Text(text(&number.to_string()));
        let change = say(&contact, Manner::default(), MessageId([number; 16]), body, NOW).unwrap();
        state.write(|writer| writer.put_contact(change.contact.as_ref().unwrap())).unwrap();
        let heard = hear(&bob, Some(&bobs_alice), change.outgoing.unwrap().payload).unwrap();
        bobs_alice = heard.contact.unwrap();
        texts.extend(heard.events);
    }
    // Each has a key of its own: the second use of one would be refused as a duplicate.
    assert_eq!(texts.len(), 3);
    assert!(texts.iter().all(|event| matches!(event, crate::Event::Message { .. })), "{texts:?}");
}

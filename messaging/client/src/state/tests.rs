use super::*;
use crate::{
    conversation::{ContactStatus, Own, accept, receive, request, say},
    paths::Purpose,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use skep_envelope::{open, seal};
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
    Own { account: account.identity.account(), name: &account.name, prekeys: &account.prekeys }
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
    assert_eq!(names, ["state.db", "state.salt"]);
    // Neither the format nor a word of the phrase can be seen.
    let bytes = fs::read(directory.join(DATABASE)).unwrap();
    let phrase = account.identity.phrase();
    for text in ["SQLite format 3"].into_iter().chain(phrase.split(' ')).chain(["CREATE TABLE"]) {
        assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
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
    let change = receive(own(&bob), None, opened, NOW, &mut rng).unwrap();
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
    let accepted = receive(own(&alice), Some(&requested), opened, NOW, &mut rng).unwrap();
    assert_eq!(accepted.contact.as_ref().map(Contact::status), Some(ContactStatus::Established));
    assert!(say(&established, "hi".into(), NOW, &mut rng).is_ok());
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

#[test]
fn a_text_is_kept_once_on_each_side() {
    let (_home, mut state, alice) = person(1, "Alice");
    let (_, bob) = (0, Identity::generate(&mut ChaCha20Rng::seed_from_u64(2)).account());
    let change = request(own(&alice), None, bob, String::new(), NOW).unwrap();
    let theirs = StoredText { contact: bob, sent_as: None, id: MessageId([1; 16]), text: "hi", timestamp: NOW };
    let ours = StoredText { sent_as: Some(MessageHash::from([1; 32])), ..theirs.clone() };
    let added = state
        .write(|writer| {
            writer.put_contact(change.contact.as_ref().unwrap())?;
            Ok([writer.put_text(&theirs)?, writer.put_text(&ours)?, writer.put_text(&theirs)?])
        })
        .unwrap();
    assert_eq!(added, [true, true, false]);
}

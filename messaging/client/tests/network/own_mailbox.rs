//! What a client does in its own mailbox.

use super::*;
use std::{fs, path::Path, time::Duration};
use tokio::time::{Instant, sleep};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for file in fs::read_dir(from).expect("there") {
        let file = file.expect("there");
        fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}

/// Puts back a copy of `person`'s state that was made before a message to `friend`.
async fn put_back_after_a_message(person: &Person, friend: &Person) {
    person.receive().await;
    let aside = person.home.with_file_name("aside");
    copy(&person.home, &aside);
    person.send(friend, "after the copy was made").await;
    assert_eq!(friend.receive_texts().await, ["after the copy was made"]);
    fs::remove_dir_all(&person.home).expect("removed");
    copy(&aside, &person.home);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_was_put_back_is_noticed_and_its_sessions_start_anew() {
    let network = Network::start(12).await;
    let (alice, bob) = met(&network).await;
    let (alice_account, bob_account) = (alice.client().account(), bob.client().account());
    put_back_after_a_message(&bob, &alice).await;
    let events = bob.receive().await;
    assert!(events.contains(&Event::StateRolledBack { account: bob_account }), "{events:?}");
    assert!(events.contains(&Event::SessionReset { sender: alice_account, ours: true }), "{events:?}");
    let events = alice.receive().await;
    assert!(events.contains(&Event::SessionReset { sender: bob_account, ours: false }), "{events:?}");
    // Noticed once; and both go on.
    let rolled_back = |events: &[Event]| events.iter().any(|event| matches!(event, Event::StateRolledBack { .. }));
    assert!(!rolled_back(&bob.receive().await));
    bob.send(&alice, "with fresh keys").await;
    assert_eq!(alice.receive_texts().await, ["with fresh keys"]);
    alice.send(&bob, "and back").await;
    let events = bob.receive().await;
    assert!(
        events.iter().any(|event| matches!(event, Event::Message { text, .. } if text == "and back")),
        "{events:?}"
    );
    // A state that only went on is not suspected.
    assert!(!rolled_back(&alice.receive().await));
}

/// What is said is kept before anybody is asked; nothing of it may leave with a key that was used.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_in_a_state_that_was_put_back_goes_in_a_new_session() {
    let network = Network::start(12).await;
    let (alice, bob) = met(&network).await;
    let bob_account = bob.client().account();
    put_back_after_a_message(&bob, &alice).await;
    bob.send(&alice, "from the copy").await;
    let events = alice.receive().await;
    assert!(events.contains(&Event::SessionReset { sender: bob_account, ours: false }), "{events:?}");
    let said = |event: &Event| matches!(event, Event::Message { text, .. } if text == "from the copy");
    assert!(events.iter().any(said), "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, Event::Unreadable { .. })), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_unsent_is_gone_from_the_swarm() {
    let network = Network::start(12).await;
    let (alice, bob) = met(&network).await;
    let (alice_account, bob_account) = (alice.client().account(), bob.client().account());
    let sent = alice.send(&bob, "a slip").await;
    let kept = alice.send(&bob, "no slip").await;
    bob.receive().await;
    assert!(network.copies(bob_account, sent.hash) >= 3);
    let id = sent.id.expect("named");
    alice.client().unsend(bob_account, id).await.expect("delivered");
    let events = bob.receive().await;
    assert!(events.contains(&Event::Unsent { sender: alice_account, ids: vec![id] }), "{events:?}");
    // A member that was busy learns of it from the others.
    let deadline = Instant::now() + Duration::from_secs(180);
    while network.copies(bob_account, sent.hash) > 0 {
        assert!(Instant::now() < deadline, "still there");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(network.copies(bob_account, kept.hash) >= 3);
}

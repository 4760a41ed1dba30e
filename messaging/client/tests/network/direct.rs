//! Messages between two who are online.

use super::*;
use skep_client::{AccountAddress, MessageId};
use skep_mailbox::Store;
use skep_proto::storage::MessageHash;
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep, timeout},
};

/// How long anything may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A program of somebody's that runs on threads of its own, so that it can be killed.
struct Running {
    account: Account,
    runtime: Option<Runtime>,
}

impl Running {
    async fn start(person: &Person) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let deadline = Instant::now() + PATIENCE;
        // The program before may not have let go of the files yet.
        let client = loop {
            match Client::open(&person.home, &passphrase(), person.chain()) {
                Ok(client) => break client,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            sleep(Duration::from_millis(50)).await;
        };
        let (account, _) = {
            let _inside = runtime.enter();
            Account::start(client)
        };
        Self { account, runtime: Some(runtime) }
    }

    /// Ends at once, in the middle of whatever it does.
    fn kill(self) {
        drop(self);
    }

    async fn texts(&self, contact: AccountAddress) -> Vec<(bool, String)> {
        let history = self.account.conversation(contact).history(None, 1_000).await.expect("read");
        history.into_iter().filter_map(|message| Some((message.mine, message.text?))).collect()
    }

    async fn state(&self, contact: AccountAddress, id: MessageId) -> MessageState {
        let history = self.account.conversation(contact).history(None, 1_000).await.expect("read");
        history.into_iter().find(|message| message.id == id && message.mine).expect("there").state
    }

    /// Waits until the contact's texts are these, in any order, each once.
    async fn hears(&self, contact: AccountAddress, expected: &BTreeSet<String>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let texts = self.texts(contact).await.into_iter().filter(|(mine, _)| !mine).map(|(_, text)| text);
            let texts: Vec<_> = texts.collect();
            let once: BTreeSet<_> = texts.iter().cloned().collect();
            assert_eq!(once.len(), texts.len(), "something came twice: {texts:?}");
            if once == *expected {
                return;
            }
            assert!(Instant::now() < deadline, "{once:?} of {expected:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the contact is known to have the message.
    async fn is_acknowledged(&self, contact: AccountAddress, id: MessageId) {
        let deadline = Instant::now() + PATIENCE;
        while !matches!(self.state(contact, id).await, MessageState::Delivered { .. } | MessageState::Read { .. }) {
            assert!(Instant::now() < deadline, "no acknowledgement");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Writes, numbering from `number` on, each once the one before has arrived, until this many went directly. What was said.
    async fn talk_directly(&self, contact: AccountAddress, name: &str, wanted: usize) -> Vec<(String, Delivery)> {
        let (mut said, mut directly, deadline) = (Vec::new(), 0, Instant::now() + PATIENCE);
        while directly < wanted {
            assert!(Instant::now() < deadline, "only {directly} of {} went directly", said.len());
            let text = format!("{name} {}", said.len());
            let sent =
                self.account.conversation(contact).send(text.clone(), None).await.expect("sent").expect("to another");
            directly += usize::from(sent.direct);
            self.is_acknowledged(contact, sent.id.expect("named")).await;
            said.push((text, sent));
        }
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Network {
    /// How many nodes keep this message of an account.
    pub(crate) fn copies(&self, account: AccountAddress, hash: MessageHash) -> usize {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let now = u64::try_from(now).expect("before long");
        let kept = |store: &&Arc<MemoryStore>| !store.expiries(&account, &[hash], now).expect("reads").is_empty();
        self.stores.iter().filter(kept).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_are_online_write_directly_and_nothing_is_stored() {
    let network = Network::start(12).await;
    let (alice, bob) = met(&network).await;
    let (alice_account, bob_account) = (alice.client().account(), bob.client().account());
    let (alice, bob) = (Running::start(&alice).await, Running::start(&bob).await);
    let said = alice.talk_directly(bob_account, "alice", 3).await;
    let answered = bob.talk_directly(alice_account, "bob", 3).await;
    for (account, sent) in [(bob_account, &said), (alice_account, &answered)] {
        for (text, sent) in sent {
            let copies = network.copies(account, sent.hash);
            assert_eq!(copies == 0, sent.direct, "{text}: {copies}");
            assert_eq!(sent.receipts.is_empty(), sent.direct, "{text}");
        }
    }
    bob.hears(alice_account, &said.into_iter().map(|(text, _)| text).collect()).await;
    alice.hears(bob_account, &answered.into_iter().map(|(text, _)| text).collect()).await;

    // Who turns presence off says so: the next message goes by mail, not into the void.
    let settings = bob.account.settings().await.expect("read");
    bob.account.set_settings(Settings { presence: false, ..settings }).await.expect("told");
    let told = timeout(PATIENCE, async {
        loop {
            let sent = alice.account.conversation(bob_account).send("still there?".into(), None).await.expect("sent");
            if !sent.expect("to another").direct {
                return;
            }
        }
    });
    told.await.expect("it goes by mail in the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_drops_in_the_middle_loses_and_doubles_nothing() {
    let network = Network::start(12).await;
    let (alice, bob) = met(&network).await;
    let (alice_account, bob_account) = (alice.client().account(), bob.client().account());
    let (mut of_alice, mut of_bob) = (Running::start(&alice).await, Running::start(&bob).await);
    let mut said: BTreeSet<_> =
        of_alice.talk_directly(bob_account, "before", 2).await.into_iter().map(|(text, _)| text).collect();

    // The listener goes while messages are under way.
    let talk = |running: &Running, name: &'static str| {
        let conversation = running.account.conversation(bob_account);
        tokio::spawn(async move {
            let mut said = Vec::new();
            for number in 0..6 {
                let text = format!("{name} {number}");
                // A program that is killed does not answer; one that answers has kept what was said.
                if conversation.send(text.clone(), None).await.is_ok() {
                    said.push(text);
                }
            }
            said
        })
    };
    let talking = talk(&of_alice, "while the listener drops");
    of_bob.kill();
    of_bob = Running::start(&bob).await;
    said.extend(talking.await.expect("no panic"));

    // The speaker goes. What it had kept, told or not, arrives once.
    let talking = talk(&of_alice, "while the speaker drops");
    sleep(Duration::from_millis(300)).await;
    of_alice.kill();
    talking.abort();
    of_alice = Running::start(&alice).await;
    let kept = of_alice.texts(bob_account).await.into_iter().filter(|(mine, _)| *mine);
    said.extend(kept.map(|(_, text)| text));

    said.extend(of_alice.talk_directly(bob_account, "after", 1).await.into_iter().map(|(text, _)| text));
    of_bob.hears(alice_account, &said).await;
}

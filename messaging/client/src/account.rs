//! An account that lives: it reads its mailbox of its own accord and tells what happens.
//!
//! One task owns the [`Client`]; everything else here is a handle that asks it. What changes is told as [`Notice`]s.

use crate::{
    AcceptError, Client, Contact, ContactStatus, Delivery, DisplayName, Event, FindContactError, Message, NetworkError,
    RequestError, SayError, SendError, Settings, StateError, UnsendError, UsedPath, clock, direct::Call,
    network::Listened,
};
use futures::{FutureExt, future::BoxFuture};
use rand::Rng;
use serde::Serialize;
use skep_envelope::MessageId;
use skep_primitives::Moment;
use skep_proto::account::AccountAddress;
use std::time::Duration;
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout, timeout_at},
};

/// Between two looks into the mailbox, at least and at most: jittered, so that they cannot be told by their rhythm.
const POLL: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5));
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long telling the listening node and the guards that the account is closed may take.
const GOODBYE: Duration = Duration::from_millis(1_500);
/// How long what was asked for before the account was closed may take together. Each is begun, and what is to be sent is
/// kept on disk before it leaves; what takes longer is done by the next program.
const LAST_JOBS: Duration = Duration::from_secs(5);
/// What a listener may be behind; one that is further behind is told so.
const MOST_NOTICES: usize = 1024;
/// Questions that wait.
const MOST_JOBS: usize = 64;

type Job = Box<dyn for<'a> FnOnce(&'a mut Client) -> BoxFuture<'a, ()> + Send>;

/// What is asked of the account's task.
enum Ask {
    Do(Job),
    /// Everything asked before is done, and nothing more is taken; to be told once the files are let go of.
    Close(oneshot::Sender<()>),
}

/// An account that reads its mailbox as long as a handle to it is there. Handles are cheap copies.
///
/// A program that ends calls [`Self::close`] before.
#[derive(Clone, Debug)]
pub struct Account {
    address: AccountAddress,
    asks: mpsc::Sender<Ask>,
    closing: watch::Sender<bool>,
    notices: broadcast::Sender<Notice>,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// This arrived.
    Event(Event),
    /// The mailbox was read, after it could not be, or for the first time.
    Online,
    /// The mailbox cannot be read, for this reason; it is tried again.
    Offline(String),
    /// The listener was too slow and missed this many notices. Nothing is lost: messages are in the history.
    Missed(u64),
}

/// The account was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account was closed")]
pub struct Closed;

/// What was asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccountError<E: std::error::Error + 'static> {
    /// There is no account any more.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// It failed.
    #[error(transparent)]
    Failed(E),
}

/// Where we stand with a contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContactSummary {
    /// The account.
    #[serde(serialize_with = "crate::event::as_text")]
    pub account: AccountAddress,
    /// What they are called, by their own word.
    #[serde(serialize_with = "crate::event::as_optional_text")]
    pub name: Option<DisplayName>,
    /// Where we stand.
    pub status: ContactStatus,
    /// What they say in a friend request that waits for our answer.
    pub introduction: Option<String>,
    /// Whether nothing they send is heard.
    pub blocked: bool,
    /// Messages that were not shown yet.
    pub unread: u32,
}

/// The people an account knows.
#[derive(Clone, Debug)]
pub struct Contacts(Account);

/// What is said between an account and one contact.
#[derive(Clone, Debug)]
pub struct Conversation {
    account: Account,
    contact: AccountAddress,
}

/// What happens, from the moment it was asked for.
#[derive(Debug)]
pub struct EventStream(broadcast::Receiver<Notice>);

impl Account {
    /// Gives the client a task of its own, on the current Tokio runtime. It ends, and lets go of the account's files, once
    /// every handle is gone. The stream tells everything from the very beginning.
    pub fn start(client: Client) -> (Self, EventStream) {
        let (asks, waiting) = mpsc::channel(MOST_JOBS);
        let (notices, told) = broadcast::channel(MOST_NOTICES);
        let (closing, is_closing) = watch::channel(false);
        let address = client.account();
        tokio::spawn(live(client, waiting, is_closing, notices.clone()));
        (Self { address, asks, closing, notices }, EventStream(told))
    }

    /// Closes the account: what was asked for before is begun and, if that takes no longer than some seconds, done; what is
    /// to be sent is on disk in any case. Nodes are told goodbye, and the files are let go of. Other handles are good for
    /// nothing then.
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        self.closing.send_replace(true);
        if self.asks.send(Ask::Close(done)).await.is_ok() {
            // An error says that the task has ended, too.
            let _ = closed.await;
        }
    }

    /// What others write to.
    pub const fn address(&self) -> AccountAddress {
        self.address
    }

    /// What happens from now on.
    pub fn events(&self) -> EventStream {
        EventStream(self.notices.subscribe())
    }

    /// The people it knows.
    pub fn contacts(&self) -> Contacts {
        Contacts(self.clone())
    }

    /// What is said with one of them; with the own account, notes to oneself.
    pub fn conversation(&self, contact: AccountAddress) -> Conversation {
        Conversation { account: self.clone(), contact }
    }

    /// What contacts are told of the account's own accord.
    pub async fn settings(&self) -> Result<Settings, AccountError<StateError>> {
        self.ask(|client| std::future::ready(Ok(client.settings())).boxed()).await
    }

    /// Changes what contacts are told of the account's own accord. Contacts that know us to be online hear of it if presence is
    /// turned off.
    pub async fn set_settings(&self, settings: Settings) -> Result<(), AccountError<NetworkError>> {
        self.ask(move |client| {
            async move {
                client.set_settings(settings)?;
                if settings.presence { Ok(client.go_online()?) } else { client.go_offline().await }
            }
            .boxed()
        })
        .await
    }

    /// The paths in use, tested now and mended where they do not work.
    pub async fn paths(&self) -> Result<Vec<UsedPath>, AccountError<NetworkError>> {
        self.ask(|client| client.paths().boxed()).await
    }

    async fn ask<T, E>(
        &self,
        question: impl for<'a> FnOnce(&'a mut Client) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    ) -> Result<T, AccountError<E>>
    where
        T: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |client| {
            // Who does not want the answer any more still wanted it done.
            question(client).map(|answer| drop(reply.send(answer))).boxed()
        });
        self.asks.send(Ask::Do(job)).await.map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)?.map_err(AccountError::Failed)
    }
}

impl Contacts {
    /// Everybody, ordered by name and account.
    pub async fn list(&self) -> Result<Vec<ContactSummary>, AccountError<StateError>> {
        let list = |client: &mut Client| {
            let unread = client.unread()?;
            let summary = |contact: Contact| ContactSummary {
                account: contact.account,
                status: contact.status(),
                introduction: contact.introduction().map(str::to_owned),
                blocked: contact.is_blocked(),
                unread: unread.get(&contact.account).copied().unwrap_or_default(),
                name: contact.name,
            };
            Ok(client.contacts()?.into_iter().map(summary).collect())
        };
        self.0.ask(move |client| std::future::ready(list(client)).boxed()).await
    }

    /// The account of the contact with this account or this name; the own one for `self`.
    pub async fn find(&self, text: String) -> Result<AccountAddress, AccountError<FindContactError>> {
        self.0.ask(move |client| std::future::ready(client.resolve(&text)).boxed()).await
    }

    /// Asks somebody to talk.
    pub async fn request(
        &self,
        account: AccountAddress,
        introduction: String,
    ) -> Result<Delivery, AccountError<SendError<RequestError>>> {
        self.0.ask(move |client| client.request_contact(account, introduction).boxed()).await
    }

    /// Accepts a friend request.
    pub async fn accept(&self, account: AccountAddress) -> Result<Delivery, AccountError<SendError<AcceptError>>> {
        self.0.ask(move |client| client.accept(account).boxed()).await
    }

    /// Declines a friend request.
    pub async fn decline(&self, account: AccountAddress) -> Result<(), AccountError<SendError<AcceptError>>> {
        self.0.ask(move |client| std::future::ready(client.decline(account)).boxed()).await
    }
}

impl Conversation {
    /// With whom.
    pub const fn contact(&self) -> AccountAddress {
        self.contact
    }

    /// The newest messages before the one with the number `before`, oldest first.
    pub async fn history(&self, before: Option<i64>, limit: u32) -> Result<Vec<Message>, AccountError<StateError>> {
        let contact = self.contact;
        self.account.ask(move |client| std::future::ready(client.history(contact, before, limit)).boxed()).await
    }

    /// The oldest messages that were not shown yet.
    pub async fn unread(&self, limit: u32) -> Result<Vec<Message>, AccountError<StateError>> {
        let contact = self.contact;
        self.account.ask(move |client| std::future::ready(client.unread_messages(contact, limit)).boxed()).await
    }

    /// Says something. To oneself it is a note, which is delivered nowhere: None.
    pub async fn send(
        &self,
        text: String,
        reply_to: Option<MessageId>,
    ) -> Result<Option<Delivery>, AccountError<SendError<SayError>>> {
        let (contact, own) = (self.contact, self.account.address);
        self.account
            .ask(move |client| {
                async move {
                    if contact == own {
                        client.note(text, reply_to)?;
                        return Ok(None);
                    }
                    client.send_text(contact, text, reply_to).await.map(Some)
                }
                .boxed()
            })
            .await
    }

    /// Says something; as soon as it is kept, and not before, these messages count as shown.
    pub async fn answer(
        &self,
        text: String,
        reply_to: Option<MessageId>,
        shown: Vec<MessageId>,
    ) -> Result<Delivery, AccountError<SendError<SayError>>> {
        let contact = self.contact;
        self.account
            .ask(move |client| async move { client.answer(contact, text, reply_to, &shown).await }.boxed())
            .await
    }

    /// Takes a message back.
    pub async fn unsend(&self, id: MessageId) -> Result<Option<Delivery>, AccountError<SendError<UnsendError>>> {
        let contact = self.contact;
        self.account.ask(move |client| client.unsend(contact, id).boxed()).await
    }

    /// Messages up to this number were shown.
    pub async fn mark_read(&self, up_to: i64) -> Result<usize, AccountError<StateError>> {
        let contact = self.contact;
        self.account.ask(move |client| std::future::ready(client.mark_read(contact, up_to)).boxed()).await
    }

    /// These messages were shown, and no others.
    pub async fn mark_shown(&self, ids: Vec<MessageId>) -> Result<usize, AccountError<StateError>> {
        let contact = self.contact;
        self.account.ask(move |client| std::future::ready(client.mark_shown(contact, &ids)).boxed()).await
    }

    /// We are writing, or have stopped.
    pub async fn set_typing(&self, started: bool) -> Result<(), AccountError<SendError<SayError>>> {
        let contact = self.contact;
        self.account.ask(move |client| client.set_typing(contact, started).boxed()).await
    }
}

impl EventStream {
    /// The next notice; none once the account is closed.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.0.recv().await {
            Ok(notice) => Some(notice),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Notice::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Does what is asked, listens and reads the mailbox in between, until nobody can ask any more or the account is closed.
async fn live(
    mut client: Client,
    mut asks: mpsc::Receiver<Ask>,
    closing: watch::Receiver<bool>,
    notices: broadcast::Sender<Notice>,
) {
    if let Err(error) = client.go_online() {
        tracing::warn!(%error, "messages do not go directly");
    }
    let mut told = Vec::new();
    {
        let closed = async {
            is_closing(closing.clone()).await;
            tokio::time::sleep(LAST_JOBS).await;
        };
        let mut attention = Attention::new(notices);
        let going_on = async {
            while let Some(ask) = attention.next_ask(&mut client, &mut asks, closing.clone()).await {
                match ask {
                    Ask::Do(job) => job(&mut client).await,
                    Ask::Close(done) => {
                        told.push(done);
                        break;
                    }
                }
            }
        };
        tokio::select! {
            () = going_on => {}
            () = closed => {}
        }
    }
    // What was asked for before the end.
    let until = Instant::now() + LAST_JOBS;
    if !told.is_empty() {
        asks.close();
    }
    if *closing.borrow() {
        while let Some(ask) = asks.recv().await {
            match ask {
                // Even without any time left, it is begun.
                Ask::Do(job) => drop(timeout_at(until, job(&mut client)).await),
                Ask::Close(done) => {
                    asks.close();
                    told.push(done);
                }
            }
        }
    }
    let _ = timeout(GOODBYE, async {
        client.hang_up().await;
        client.close_paths().await;
    })
    .await;
    drop(client);
    for done in told {
        // Who closed it may have gone.
        let _ = done.send(());
    }
}

/// Waits until the account is being closed.
async fn is_closing(mut closing: watch::Receiver<bool>) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        // No handle is left, so nobody closes it; that nobody asks any more is seen elsewhere.
        std::future::pending::<()>().await;
    }
}

/// What the account's task does while nothing is asked of it.
struct Attention {
    notices: broadcast::Sender<Notice>,
    /// Calls to the listening node.
    calls: JoinSet<(Call, Listened)>,
    /// When the mailbox is looked into.
    next: Instant,
    online: Option<bool>,
    failures: u32,
}

impl Attention {
    fn new(notices: broadcast::Sender<Notice>) -> Self {
        Self { notices, calls: JoinSet::new(), next: Instant::now(), online: None, failures: 0 }
    }

    /// Listens and reads the mailbox until something is asked. None: it is over. Whatever it is at gives way to the end.
    async fn next_ask(
        &mut self,
        client: &mut Client,
        asks: &mut mpsc::Receiver<Ask>,
        closing: watch::Receiver<bool>,
    ) -> Option<Ask> {
        tokio::select! {
            biased;
            () = is_closing(closing) => None,
            ask = self.attend(client, asks) => ask,
        }
    }

    async fn attend(&mut self, client: &mut Client, asks: &mut mpsc::Receiver<Ask>) -> Option<Ask> {
        loop {
            if Instant::now() >= self.next {
                self.look(client).await;
            }
            if let Err(error) = client.mind_lines().await {
                tracing::debug!(%error, "direct lines cannot be minded");
            }
            if let Some(call) = client.listen().await {
                self.calls.spawn(call);
            }
            let minding = client.lines_timeout().map_or(self.next, |at| self.next.min(instant(at)));
            tokio::select! {
                Some(ended) = self.calls.join_next() => {
                    let Ok((call, listened)) = ended else { continue };
                    match client.listened(&call, listened) {
                        Ok(events) => self.tell(events),
                        Err(error) => tracing::debug!(%error, "not everything that came directly was dealt with"),
                    }
                    if let Err(error) = client.acknowledge_direct().await {
                        tracing::debug!(%error, "not everything that came directly was acknowledged");
                    }
                }
                ask = asks.recv() => return ask,
                () = sleep_until(minding) => {}
            }
        }
    }

    /// Reads the mailbox.
    async fn look(&mut self, client: &mut Client) {
        match client.receive().await {
            Ok(events) => {
                self.failures = 0;
                if self.online != Some(true) {
                    let _ = self.notices.send(Notice::Online);
                }
                self.online = Some(true);
                self.tell(events);
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                if self.online != Some(false) {
                    let _ = self.notices.send(Notice::Offline(error.to_string()));
                }
                self.online = Some(false);
            }
        }
        self.next = Instant::now() + pause(self.failures, &mut rand::rng());
    }

    /// Nobody has to listen to notices.
    fn tell(&self, events: Vec<Event>) {
        events.into_iter().for_each(|event| drop(self.notices.send(Notice::Event(event))));
    }
}

/// A time of the wall clock as this program's clock has it; soon, if it is past.
fn instant(at: Moment) -> Instant {
    const SOON: Duration = Duration::from_millis(50);
    Instant::now() + Duration::from_millis(at.saturating_sub(clock::now())).max(SOON)
}

/// How long to wait before the next look: longer the more have failed in a row.
fn pause(failures: u32, rng: &mut impl Rng) -> Duration {
    let (least, most) = POLL;
    let stretch = 1_u32 << failures.min(5);
    rng.random_range(least..=most).saturating_mul(stretch).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    #[test]
    fn pauses_are_jittered_and_grow_to_a_limit() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let calm: Vec<_> = (0..50).map(|_| pause(0, &mut rng)).collect();
        assert!(calm.iter().all(|pause| (POLL.0..=POLL.1).contains(pause)));
        assert!(calm.iter().any(|pause| *pause != calm[0]));
        assert!(pause(3, &mut rng) > POLL.1);
        assert_eq!(pause(u32::MAX, &mut rng), LONGEST_PAUSE);
    }
}

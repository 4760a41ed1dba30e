//! One account's client: local state, conversations and network put together.

use crate::{
    clock,
    conversation::{
        AcceptError, Change, Contact, Event, Own, RequestError, SayError, Unusable, accept, receive, request, say,
    },
    network::{DeliverError, Delivery, Network, NetworkError, Read},
    state::{OutboxItem, Passphrase, State, StateError, StoredAccount, StoredText, Writer},
};
use rand::seq::SliceRandom;
use skep_chain_client::ChainUrls;
use skep_envelope::{DisplayName, Identity, MessageId, OpenError, PhraseError, SealError, open, seal, ttl};
use skep_primitives::{BlockHash, ServiceNodeId};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace, RetrievedMessage},
};
use std::{collections::BTreeMap, path::Path};
use zeroize::Zeroizing;

/// Members of the own swarm that are read: one may be behind, or keep something back.
const READERS: usize = 2;
/// Pages read from one member at once; the rest comes the next time.
const MOST_PAGES: usize = 100;
/// How long a message that was dealt with is remembered (ms): longer than any node keeps it.
const REMEMBER_MS: u64 = 2 * ttl::MESSAGE;

/// One account's client.
///
/// Nothing is asked of the network before it is needed. Everything a call changes is on disk before anything leaves; a
/// message that could not be delivered stays in the outbox and is sent with the next call.
#[derive(Debug)]
pub struct Client {
    state: State,
    account: StoredAccount,
    chain: ChainUrls,
    network: Option<Network>,
}

/// An account cannot be made here.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The words spell no account.
    #[error(transparent)]
    Phrase(#[from] PhraseError),
    /// The state cannot be made.
    #[error(transparent)]
    State(#[from] StateError),
}

/// No contact, or more than one, is called so.
#[derive(Debug, thiserror::Error)]
pub enum FindContactError {
    /// None.
    #[error("no contact is called {0:?}: list contacts, or name the account (66 hexadecimal digits)")]
    Unknown(String),
    /// More than one.
    #[error("{name:?} is the name of several contacts ({}): name the account", listed(.accounts))]
    Ambiguous {
        /// The name.
        name: String,
        /// Whose it is.
        accounts: Vec<AccountAddress>,
    },
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Nothing was sent, or not far enough. `E` says what the step itself may refuse.
#[derive(Debug, thiserror::Error)]
pub enum SendError<E: std::error::Error + 'static> {
    /// The step makes no sense now. Nothing has changed.
    #[error(transparent)]
    Refused(E),
    /// The account is unknown. Nothing has changed.
    #[error("{0} is no contact: send a friend request first")]
    NoContact(AccountAddress),
    /// It cannot be encrypted to that account. Nothing has changed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The network cannot be asked. Nothing has changed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// It is in the outbox, not delivered yet.
    #[error("not delivered yet, but kept: it is sent again with the next message or when you receive")]
    Undelivered(#[source] DeliverError),
}

/// The mailbox cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The network is of no use now.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// No member of the own swarm gave anything.
    #[error("no member of your swarm could be read: {0}. Try again")]
    NoMember(String),
    /// Nodes see another time.
    #[error("service nodes say that this clock is wrong: set it, then try again")]
    Clock,
    /// The state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Client {
    /// Makes a new account in the directory `home`. Show its [`Self::recovery_phrase`] once.
    pub fn create(
        home: &Path,
        passphrase: &Passphrase,
        name: &DisplayName,
        chain: ChainUrls,
    ) -> Result<Self, CreateError> {
        Self::with_identity(home, passphrase, &Identity::generate(&mut rand::rng()), name, chain)
    }

    /// Restores an account from its recovery phrase into the directory `home`. Its contacts have to be asked anew.
    pub fn restore(
        home: &Path,
        passphrase: &Passphrase,
        phrase: &str,
        name: &DisplayName,
        chain: ChainUrls,
    ) -> Result<Self, CreateError> {
        Self::with_identity(home, passphrase, &Identity::from_phrase(phrase)?, name, chain)
    }

    fn with_identity(
        home: &Path,
        passphrase: &Passphrase,
        identity: &Identity,
        name: &DisplayName,
        chain: ChainUrls,
    ) -> Result<Self, CreateError> {
        let state = State::create(home, passphrase, identity, name)?;
        let account = state.account()?;
        Ok(Self { state, account, chain, network: None })
    }

    /// Opens the account in the directory `home`.
    pub fn open(home: &Path, passphrase: &Passphrase, chain: ChainUrls) -> Result<Self, StateError> {
        let state = State::open(home, passphrase)?;
        let account = state.account()?;
        Ok(Self { state, account, chain, network: None })
    }

    /// The account: what others write to.
    pub const fn account(&self) -> AccountAddress {
        self.account.identity.account()
    }

    /// What contacts see as the account's name.
    pub const fn display_name(&self) -> &DisplayName {
        &self.account.name
    }

    /// The 13 words that restore the account. Whoever has them has the account.
    pub fn recovery_phrase(&self) -> Zeroizing<String> {
        self.account.identity.phrase()
    }

    /// Everybody known, ordered by name and account.
    pub fn contacts(&self) -> Result<Vec<Contact>, StateError> {
        self.state.contacts()
    }

    /// The contact with this account or this name.
    pub fn find_contact(&self, text: &str) -> Result<Contact, FindContactError> {
        if let Ok(account) = text.parse() {
            return self.state.contact(&account)?.ok_or_else(|| FindContactError::Unknown(text.to_owned()));
        }
        let mut named = self.state.contacts()?;
        named.retain(|contact| contact.name.as_ref().is_some_and(|name| name.as_str() == text));
        match (named.pop(), named.as_slice()) {
            (None, _) => Err(FindContactError::Unknown(text.to_owned())),
            (Some(contact), []) => Ok(contact),
            (Some(contact), others) => {
                let accounts = others.iter().chain([&contact]).map(|contact| contact.account).collect();
                Err(FindContactError::Ambiguous { name: text.to_owned(), accounts })
            }
        }
    }

    /// Asks an account to talk; again, if it has not answered.
    pub async fn request_contact(
        &mut self,
        account: AccountAddress,
        introduction: String,
    ) -> Result<Delivery, SendError<RequestError>> {
        self.ready_to_send().await?;
        let known = self.state.contact(&account)?;
        let change = request(self.own(), known.as_ref(), account, introduction, clock::now());
        self.send_change(account, change.map_err(SendError::Refused)?, None).await
    }

    /// Accepts an account's friend request.
    pub async fn accept(&mut self, account: AccountAddress) -> Result<Delivery, SendError<AcceptError>> {
        self.ready_to_send().await?;
        let contact = self.state.contact(&account)?.ok_or(SendError::NoContact(account))?;
        let change = accept(self.own(), &contact, clock::now(), &mut rand::rng());
        self.send_change(account, change.map_err(SendError::Refused)?, None).await
    }

    /// Sends a text to a contact.
    pub async fn send(&mut self, account: AccountAddress, text: &str) -> Result<Delivery, SendError<SayError>> {
        self.ready_to_send().await?;
        let contact = self.state.contact(&account)?.ok_or(SendError::NoContact(account))?;
        let (change, id) =
            say(&contact, text.to_owned(), clock::now(), &mut rand::rng()).map_err(SendError::Refused)?;
        self.send_change(account, change, Some((id, text))).await
    }

    /// Fetches what has arrived, and sends what waits in the outbox.
    ///
    /// What was fetched is told even if something fails afterwards: it is dealt with, and not fetched again.
    pub async fn receive(&mut self) -> Result<Vec<Event>, ReceiveError> {
        let mut events = Vec::new();
        match self.receive_into(&mut events).await {
            Err(error) if events.is_empty() => Err(error),
            Err(error) => {
                tracing::warn!(%error, "not everything could be fetched");
                Ok(events)
            }
            Ok(()) => Ok(events),
        }
    }

    async fn receive_into(&mut self, events: &mut Vec<Event>) -> Result<(), ReceiveError> {
        self.connect().await?;
        self.flush(Some(events)).await?;
        self.read_mailbox(events).await?;
        // Answers to what has arrived.
        self.flush(Some(events)).await?;
        Ok(())
    }

    fn own(&self) -> Own<'_> {
        Own { account: self.account(), name: &self.account.name, prekeys: &self.account.prekeys }
    }

    /// The network, connected to at the first call.
    async fn connect(&mut self) -> Result<&mut Network, NetworkError> {
        match self.network.take() {
            Some(mut network) => {
                let refreshed = network.refresh().await;
                let network = self.network.insert(network);
                refreshed.map(|()| network)
            }
            None => {
                let network = Network::connect(self.chain.clone(), &mut self.state).await?;
                Ok(self.network.insert(network))
            }
        }
    }

    /// Connects, and sends what was to be sent before.
    async fn ready_to_send(&mut self) -> Result<(), NetworkError> {
        self.connect().await?;
        self.flush(None).await
    }

    /// Sends what waits in the outbox; what fails stays there. A message that waited too long is given up once somebody is
    /// there to be told.
    async fn flush(&mut self, mut events: Option<&mut Vec<Event>>) -> Result<(), NetworkError> {
        for item in self.state.outbox()? {
            if item.timestamp.saturating_add(item.ttl) <= clock::now() {
                let Some(events) = &mut events else { continue };
                self.state.write(|writer| writer.unqueue(&item.hash))?;
                events.push(Event::Expired { recipient: item.recipient, timestamp: item.timestamp });
            } else if let Err(error) = self.deliver(&item).await {
                tracing::warn!(%error, "a message of the outbox is still not delivered");
            }
        }
        Ok(())
    }

    async fn send_change<E: std::error::Error + 'static>(
        &mut self,
        to: AccountAddress,
        change: Change,
        text: Option<(MessageId, &str)>,
    ) -> Result<Delivery, SendError<E>> {
        let genesis = self.connect().await?.genesis();
        let sealed = self.seal(&genesis, to, &change)?;
        self.keep(to, change, sealed.as_ref(), |writer| {
            let Some((id, text)) = text else { return Ok(()) };
            let (sent_as, timestamp) = (sealed.as_ref().map(|item| item.hash), clock::now());
            writer.put_text(&StoredText { contact: to, sent_as, id, text, timestamp }).map(drop)
        })?;
        // Every step of ours sends something.
        let item = sealed.ok_or(StateError::Damaged("nothing to send"))?;
        self.deliver(&item).await.map_err(SendError::Undelivered)
    }

    /// What a change sends, encrypted for storage.
    fn seal(
        &self,
        genesis: &BlockHash,
        recipient: AccountAddress,
        change: &Change,
    ) -> Result<Option<OutboxItem>, SealError> {
        let Some(outgoing) = &change.outgoing else { return Ok(None) };
        let data = seal(&self.account.identity, genesis, &recipient, &outgoing.payload, &mut rand::rng())?;
        let hash = MessageHash::of(&recipient, Namespace::DEFAULT, &data);
        Ok(Some(OutboxItem { hash, recipient, data, timestamp: clock::now(), ttl: outgoing.ttl }))
    }

    /// Keeps a change and everything that belongs to it, or nothing. The events to tell.
    fn keep(
        &mut self,
        account: AccountAddress,
        change: Change,
        sealed: Option<&OutboxItem>,
        more: impl FnOnce(&Writer<'_>) -> Result<(), StateError>,
    ) -> Result<Vec<Event>, StateError> {
        let Change { contact, prekeys, outgoing: _, mut events } = change;
        debug_assert!(contact.as_ref().is_none_or(|contact| contact.account == account));
        self.state.write(|writer| {
            contact.iter().try_for_each(|contact| writer.put_contact(contact))?;
            prekeys.iter().try_for_each(|prekeys| writer.put_prekeys(prekeys))?;
            sealed.iter().try_for_each(|item| writer.queue(item))?;
            let mut failure = Ok(());
            events.retain(|event| {
                let Event::Message { sender, id, text, timestamp, .. } = event else { return true };
                let text = StoredText { contact: *sender, sent_as: None, id: *id, text, timestamp: *timestamp };
                writer.put_text(&text).unwrap_or_else(|error| {
                    failure = Err(error);
                    false
                })
            });
            failure?;
            more(writer)
        })?;
        if let Some(prekeys) = prekeys {
            self.account.prekeys = prekeys;
        }
        Ok(events)
    }

    /// Brings a queued message into its recipient's swarm, and keeps the receipts.
    async fn deliver(&mut self, item: &OutboxItem) -> Result<Delivery, DeliverError> {
        self.connect().await?;
        let Self { state, network: Some(network), .. } = self else {
            return Err(NetworkError::NoSwarm.into());
        };
        let delivery = network.deliver(state, item).await?;
        let kept = state.write(|writer| writer.sent(&item.hash, &delivery.receipts));
        kept.map_err(NetworkError::from)?;
        Ok(delivery)
    }

    /// Reads the own mailbox from some members of the own swarm.
    async fn read_mailbox(&mut self, events: &mut Vec<Event>) -> Result<(), ReceiveError> {
        let now = clock::now();
        self.state.write(|writer| writer.forget_seen(now))?;
        let cursors: BTreeMap<_, _> = self.state.cursors()?.into_iter().collect();
        let account = self.account();
        let (_, members) = self.connect().await?.swarm_of(&account)?;
        let (mut read, mut wrong_swarm, mut wrong_clock, mut reason) = (0, false, false, String::new());
        for member in reading_order(members, &cursors, &mut rand::rng()) {
            match self.read_member(member, cursors.get(&member).copied(), events).await {
                Ok(None) => read += 1,
                Ok(Some(Read::WrongClock)) => wrong_clock = true,
                Ok(Some(Read::WrongSwarm)) => wrong_swarm = true,
                Ok(Some(Read::Failed(failure))) => reason = format!("{member}: {failure}"),
                Ok(Some(Read::Page(_))) => {}
                // One member's word is enough when the network gives no more.
                Err(ReceiveError::Network(error)) if read > 0 => {
                    tracing::debug!(%error, "only one member could be read");
                    break;
                }
                Err(error) => return Err(error),
            }
            if read == READERS {
                break;
            }
        }
        match () {
            () if read > 0 => Ok(()),
            () if wrong_clock => Err(ReceiveError::Clock),
            () if wrong_swarm => {
                // The roster at hand was too old: the next call has a newer one.
                self.network = None;
                Err(ReceiveError::NoMember("they say that the mailbox is another swarm's".into()))
            }
            () => Err(ReceiveError::NoMember(reason)),
        }
    }

    /// Reads one member to its end. None: done; else why not.
    async fn read_member(
        &mut self,
        member: ServiceNodeId,
        mut cursor: Option<MessageHash>,
        events: &mut Vec<Event>,
    ) -> Result<Option<Read>, ReceiveError> {
        for _ in 0..MOST_PAGES {
            let Self { state, account, network: Some(network), .. } = &mut *self else { break };
            let genesis = network.genesis();
            let page = match network.read(state, &account.identity, member, cursor).await? {
                Read::Page(page) => page,
                refused @ (Read::WrongSwarm | Read::WrongClock | Read::Failed(_)) => return Ok(Some(refused)),
            };
            let Some(last) = page.messages.last().map(|message| message.hash) else { break };
            for message in page.messages {
                events.extend(self.take_in(&genesis, member, message)?);
            }
            if !page.more || cursor == Some(last) {
                break;
            }
            cursor = Some(last);
        }
        Ok(None)
    }

    /// Deals with one stored message, once.
    fn take_in(
        &mut self,
        genesis: &BlockHash,
        member: ServiceNodeId,
        message: RetrievedMessage,
    ) -> Result<Vec<Event>, StateError> {
        let RetrievedMessage { hash, data, .. } = message;
        let now = clock::now();
        let dealt_with = |writer: &Writer<'_>| {
            writer.put_seen(&hash, now.saturating_add(REMEMBER_MS))?;
            writer.put_cursor(&member, &hash)
        };
        if MessageHash::of(&self.account(), Namespace::DEFAULT, &data) != hash {
            tracing::debug!(%member, "a member gave a message that does not fit its hash");
            return Ok(Vec::new());
        }
        if self.state.is_seen(&hash)? {
            self.state.write(|writer| writer.put_cursor(&member, &hash))?;
            return Ok(Vec::new());
        }
        let opened = match open(&self.account.identity, genesis, &data) {
            Ok(opened) => opened,
            Err(error) => {
                if matches!(error, OpenError::UnknownKind(_)) {
                    tracing::warn!(%error, "a message cannot be read");
                } else {
                    tracing::debug!(%error, "what was stored is no message");
                }
                return self.state.write(dealt_with).map(|()| Vec::new());
            }
        };
        let source = opened.source;
        let known = self.state.contact(&source)?;
        match receive(self.own(), known.as_ref(), opened, now, &mut rand::rng()) {
            Ok(change) => {
                let sealed = self.seal(genesis, source, &change).unwrap_or_else(|error| {
                    tracing::warn!(%error, "a friend request cannot be answered");
                    None
                });
                self.keep(source, change, sealed.as_ref(), dealt_with)
            }
            Err(error) => {
                tracing::debug!(%error, "a message is of no use");
                self.state.write(dealt_with)?;
                Ok(match error {
                    Unusable::Receive(reason) => {
                        vec![Event::Unreadable { sender: source, reason: reason.to_string() }]
                    }
                    Unusable::Stranger | Unusable::StaleRequest | Unusable::Answer(_) => Vec::new(),
                })
            }
        }
    }
}

/// Members in the order in which they are read: those read before first, which have the least to tell.
fn reading_order(
    mut members: Vec<ServiceNodeId>,
    cursors: &BTreeMap<ServiceNodeId, MessageHash>,
    rng: &mut impl rand::Rng,
) -> Vec<ServiceNodeId> {
    members.shuffle(rng);
    members.sort_by_key(|member| !cursors.contains_key(member));
    members
}

fn listed(accounts: &[AccountAddress]) -> String {
    accounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

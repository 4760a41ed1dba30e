//! One account's client: local state, conversations and network put together.

mod contacts;
mod direct;
mod mailbox;
mod mark;
mod messages;
mod strangers;

use crate::{
    clock,
    conversation::{Change, Contact, Outgoing, Own, Way},
    direct::Lines,
    event::Event,
    network::{DeliverError, Delivery, Network, NetworkError, UsedPath},
    state::{NewMessage, Origin, OutboxItem, Passphrase, Settings, State, StateError, StoredAccount, Writer},
};
pub use contacts::{FindContactError, Verification};
pub use mailbox::ReceiveError;
pub use messages::{FindMessageError, UnsendError};
use skep_chain_client::RosterSource;
use skep_envelope::{DisplayName, Identity, MessageId, Payload, PhraseError, SealError, Text, seal, ttl};
use skep_primitives::{BlockHash, Moment};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace},
};
use std::{collections::BTreeSet, path::Path};
use zeroize::Zeroizing;

/// One account's client.
///
/// The roster of service nodes comes from a [`RosterSource`]: proven by chain nodes that are not believed, or told by one's
/// own. Nothing is asked of the network before it is needed. Everything a call changes is on disk before anything leaves, and
/// what is said before the network is asked for anything; a message that could not be delivered stays in the outbox and is sent
/// with the next call.
#[derive(Debug)]
pub struct Client {
    state: State,
    account: StoredAccount,
    chain: RosterSource,
    network: Option<Network>,
    /// Direct lines, while the program is online.
    lines: Option<Lines>,
    /// When the mark in the mailbox was last raised (ms).
    marked: Option<Moment>,
    /// What the user is told with what arrives next.
    notices: Vec<Event>,
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

impl Client {
    /// Makes a new account in the directory `home`. Show its [`Self::recovery_phrase`] once.
    pub fn create(
        home: &Path,
        passphrase: &Passphrase,
        name: &DisplayName,
        chain: impl Into<RosterSource>,
    ) -> Result<Self, CreateError> {
        Self::with_identity(home, passphrase, &Identity::generate(&mut rand::rng()), name, chain)
    }

    /// Restores an account from its recovery phrase into the directory `home`. Its contacts have to be asked anew.
    pub fn restore(
        home: &Path,
        passphrase: &Passphrase,
        phrase: &str,
        name: &DisplayName,
        chain: impl Into<RosterSource>,
    ) -> Result<Self, CreateError> {
        Self::with_identity(home, passphrase, &Identity::from_phrase(phrase)?, name, chain)
    }

    fn with_identity(
        home: &Path,
        passphrase: &Passphrase,
        identity: &Identity,
        name: &DisplayName,
        chain: impl Into<RosterSource>,
    ) -> Result<Self, CreateError> {
        Ok(Self::with_state(State::create(home, passphrase, identity, name)?, chain)?)
    }

    /// Opens the account in the directory `home`.
    pub fn open(home: &Path, passphrase: &Passphrase, chain: impl Into<RosterSource>) -> Result<Self, StateError> {
        Self::with_state(State::open(home, passphrase)?, chain)
    }

    fn with_state(state: State, chain: impl Into<RosterSource>) -> Result<Self, StateError> {
        let account = state.account()?;
        let chain = chain.into();
        Ok(Self { state, account, chain, network: None, lines: None, marked: None, notices: Vec::new() })
    }

    /// Whether there is an account in the directory `home`.
    pub fn exists(home: &Path) -> bool {
        State::exists(home)
    }

    /// Makes the state in the directory `home` from a backup made with the same passphrase.
    ///
    /// Contacts and history are as they were; sessions are started anew, since a ratchet must never go back.
    pub fn restore_backup(
        home: &Path,
        backup: &Path,
        passphrase: &Passphrase,
        chain: impl Into<RosterSource>,
    ) -> Result<Self, StateError> {
        Self::with_state(State::restore_backup(home, backup, passphrase)?, chain)
    }

    /// Writes an encrypted copy of everything to `path`, where nothing may be. The passphrase opens it.
    pub fn backup(&self, path: &Path, passphrase: &Passphrase) -> Result<(), StateError> {
        self.state.backup(path, passphrase)
    }

    /// Opens with this passphrase from now on. Backups that were made keep theirs.
    pub fn set_passphrase(&mut self, home: &Path, passphrase: &Passphrase) -> Result<(), StateError> {
        self.state.set_passphrase(home, passphrase)
    }

    /// What contacts are told of the account's own accord.
    pub const fn settings(&self) -> Settings {
        self.account.settings
    }

    /// Changes what contacts are told of the account's own accord.
    ///
    /// Presence concerns programs that stay: see [`Account::set_settings`](crate::Account::set_settings).
    pub fn set_settings(&mut self, settings: Settings) -> Result<(), StateError> {
        self.state.write(|writer| writer.put_settings(settings))?;
        self.account.settings = settings;
        Ok(())
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

    /// The paths in use, tested now and mended where they do not work.
    pub async fn paths(&mut self) -> Result<Vec<UsedPath>, NetworkError> {
        self.connect().await?;
        let Self { state, network: Some(network), .. } = self else { return Err(NetworkError::NoSwarm) };
        network.used_paths(state).await
    }

    /// We, in a conversation with this contact.
    fn own_to(&self, contact: &AccountAddress) -> Own<'_> {
        let (account, listening) = (self.account(), self.listening_for(contact));
        Own { account, name: &self.account.name, prekeys: &self.account.prekeys, listening }
    }

    /// The network, connected to at the first call.
    async fn connect(&mut self) -> Result<&mut Network, NetworkError> {
        match &mut self.network {
            Some(network) => {
                network.refresh().await?;
                network.keep_roster(&mut self.state)?;
            }
            None => self.network = Some(Network::connect(self.chain.clone(), &mut self.state).await?),
        }
        self.check_mark().await?;
        self.network.as_mut().ok_or(NetworkError::NoSwarm)
    }

    /// The network's name: asked for once, and known from then on.
    async fn genesis(&mut self) -> Result<BlockHash, NetworkError> {
        if let Some(network) = &self.network {
            return Ok(network.genesis());
        }
        match self.state.genesis()? {
            Some(genesis) => Ok(genesis),
            None => Ok(self.connect().await?.genesis()),
        }
    }

    /// Starts lost sessions anew, and queues what comes before anything else that is said. Asks nobody, unless the network was
    /// never met: what is said is kept even where nobody answers.
    async fn ready_to_send(&mut self) -> Result<BlockHash, NetworkError> {
        let genesis = self.genesis().await?;
        self.heal(&genesis, &mut Vec::new())?;
        self.mail_all_direct(&genesis)?;
        Ok(genesis)
    }

    /// The contact to write to, once everything that comes before is queued; and the network's name.
    async fn ready_for<E: std::error::Error + 'static>(
        &mut self,
        account: AccountAddress,
    ) -> Result<(BlockHash, Contact), SendError<E>> {
        let genesis = self.ready_to_send().await?;
        Ok((genesis, self.state.contact(&account)?.ok_or(SendError::NoContact(account))?))
    }

    /// Sends what waits in the outbox; what fails stays there. A message that waited too long is given up once somebody is
    /// there to be told.
    async fn flush(&mut self, events: Option<&mut Vec<Event>>) -> Result<(), NetworkError> {
        self.flush_others(events, None).await
    }

    /// The same for all but one recipient.
    async fn flush_others(
        &mut self,
        mut events: Option<&mut Vec<Event>>,
        but: Option<AccountAddress>,
    ) -> Result<(), NetworkError> {
        let mut stuck: BTreeSet<_> = but.into_iter().collect();
        for item in self.state.outbox()? {
            if item.is_over(clock::now()) {
                let Some(events) = &mut events else { continue };
                let told = self.state.write(|writer| {
                    writer.unqueue(&item.hash)?;
                    writer.put_failed(&item.hash)
                })?;
                let requested = |contact: Contact| contact.status() == crate::ContactStatus::Requested;
                if told || self.state.contact(&item.recipient)?.is_some_and(requested) {
                    events.push(Event::Expired { recipient: item.recipient, timestamp: item.timestamp });
                }
            } else if stuck.contains(&item.recipient) {
                // What was written first is read first: a ratchet does not keep skipped keys for ever.
            } else if let Err(error) = self.deliver(&item).await {
                tracing::warn!(%error, "a message of the outbox is still not delivered");
                stuck.insert(item.recipient);
            }
        }
        Ok(())
    }

    /// Sends what waits: first for this recipient, in its order, then for others. What came of the recipient's last.
    async fn deliver_all(&mut self, recipient: AccountAddress) -> Result<Delivery, DeliverError> {
        self.connect().await?;
        let delivered = self.deliver_to(recipient).await;
        if let Err(error) = self.flush_others(None, Some(recipient)).await {
            tracing::warn!(%error, "what waits for others is still not delivered");
        }
        delivered
    }

    async fn deliver_to(&mut self, recipient: AccountAddress) -> Result<Delivery, DeliverError> {
        // Where the network shows that this state was put back, what was queued is withdrawn, and said in another session.
        for _ in 0..2 {
            let genesis = self.genesis().await?;
            self.heal(&genesis, &mut Vec::new())?;
            let waiting = self.state.outbox().map_err(NetworkError::from)?;
            let now = clock::now();
            let mut last = None;
            for item in waiting.into_iter().filter(|item| item.recipient == recipient && !item.is_over(now)) {
                last = self.deliver(&item).await?.or(last);
            }
            if let Some(delivery) = last {
                return Ok(delivery);
            }
        }
        Err(DeliverError::Withdrawn)
    }

    /// Keeps a change, seals what it sends and sends it. Nothing is awaited before it is kept: what the network tells meanwhile may
    /// change the contact.
    async fn send_change<E: std::error::Error + 'static>(
        &mut self,
        genesis: &BlockHash,
        to: AccountAddress,
        change: Change,
        more: impl FnOnce(&Writer<'_>, MessageHash) -> Result<(), StateError>,
    ) -> Result<Delivery, SendError<E>> {
        let sealed = self.seal(genesis, to, &change)?;
        // Every step of ours sends something.
        let item = sealed.ok_or(StateError::Damaged("nothing to send"))?;
        self.keep(to, change, Some(&item), |writer| more(writer, item.hash))?;
        self.deliver_all(to).await.map_err(SendError::Undelivered)
    }

    /// Keeps a change and queues what it sends. The events to tell.
    fn queue_change(
        &mut self,
        genesis: &BlockHash,
        to: AccountAddress,
        change: Change,
        more: impl FnOnce(&Writer<'_>, Option<MessageHash>) -> Result<(), StateError>,
    ) -> Result<Vec<Event>, StateError> {
        let sealed = self.seal(genesis, to, &change).unwrap_or_else(|error| {
            tracing::warn!(%error, "something cannot be sent");
            None
        });
        let hash = sealed.as_ref().map(|item| item.hash);
        self.keep(to, change, sealed.as_ref(), |writer| more(writer, hash))
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
        let Change { contact, prekeys, outgoing, events, resend, told: _ } = change;
        debug_assert!(contact.as_ref().is_none_or(|contact| contact.account == account));
        let events = self.state.write(|writer| {
            contact.iter().try_for_each(|contact| writer.put_contact(contact))?;
            prekeys.iter().try_for_each(|prekeys| writer.put_prekeys(prekeys))?;
            sealed.iter().try_for_each(|item| writer.queue(item))?;
            if resend {
                writer.want_resent(&account)?;
            }
            let events: Result<Vec<_>, _> =
                events.into_iter().filter_map(|event| noted(writer, event).transpose()).collect();
            more(writer)?;
            events
        })?;
        if let Some(prekeys) = prekeys {
            self.account.prekeys = prekeys;
        }
        if let (Some(Outgoing { payload: Payload::Ratchet(_), .. }), Some(lines)) = (outgoing, &mut self.lines) {
            lines.tells(&account);
        }
        Ok(events)
    }

    /// Keeps what a contact's message changes, and everything that belongs to it. The events to tell.
    fn take_change(
        &mut self,
        genesis: &BlockHash,
        source: AccountAddress,
        change: Change,
        way: Way,
        more: impl FnOnce(&Writer<'_>) -> Result<(), StateError>,
    ) -> Result<Vec<Event>, StateError> {
        let (resend, told, now) = (change.resend, change.told, clock::now());
        let acknowledged: Vec<_> = change.events.iter().filter_map(acknowledged).flatten().copied().collect();
        let events = self.queue_change(genesis, source, change, |writer, _| more(writer))?;
        if let (Some(lines), Some(told)) = (&mut self.lines, told) {
            if told.sync.is_some_and(|sync| sync.listening.is_some()) {
                lines.attend(source, now, &mut rand::rng());
            }
            lines.told(&source, &told, way, now);
            lines.acknowledged(&source, &acknowledged);
        }
        if resend {
            self.resend_due(genesis)?;
        }
        Ok(events)
    }

    /// Brings a queued message into its recipient's swarm, and keeps the receipts. None: it was withdrawn meanwhile.
    async fn deliver(&mut self, item: &OutboxItem) -> Result<Option<Delivery>, DeliverError> {
        self.connect().await?;
        if !self.state.is_queued(&item.hash).map_err(NetworkError::from)? {
            return Ok(None);
        }
        let Self { state, network: Some(network), .. } = self else {
            return Err(NetworkError::NoSwarm.into());
        };
        let delivery = network.deliver(state, item).await?;
        let kept = state.write(|writer| writer.sent(&item.hash, &delivery.receipts));
        kept.map_err(NetworkError::from)?;
        Ok(Some(delivery))
    }
}

/// Writes what an event says into the history. None: it says nothing new.
fn noted(writer: &Writer<'_>, event: Event) -> Result<Option<Event>, StateError> {
    Ok(match event {
        Event::Message { sender, name, id, text, timestamp, reply_to, disappear_after } => {
            let text = Text { text, reply_to, disappear_after };
            let message = NewMessage { contact: sender, origin: Origin::Theirs, id, text: &text, timestamp };
            let new = writer.put_message(&message)?;
            if !new {
                writer.acknowledge_again(&sender, &id)?;
            }
            let Text { text, .. } = text;
            new.then_some(Event::Message { sender, name, id, text, timestamp, reply_to, disappear_after })
        }
        Event::Receipt { sender, kind, ids } => {
            writer.drop_direct(&sender, &ids)?;
            let ids = writer.acknowledged(&sender, kind, &ids, clock::now())?;
            (!ids.is_empty()).then_some(Event::Receipt { sender, kind, ids })
        }
        Event::Unsent { sender, ids } => {
            let until = clock::now().saturating_add(ttl::MESSAGE);
            writer.discard_messages(&sender, &ids, until)?;
            writer.refuse(&sender, &ids, until)?;
            let ids = writer.unsend(&sender, false, &ids)?;
            (!ids.is_empty()).then_some(Event::Unsent { sender, ids })
        }
        other @ (Event::Request { .. }
        | Event::Accepted { .. }
        | Event::Typing { .. }
        | Event::Timer { .. }
        | Event::SessionReset { .. }
        | Event::UnknownSession { .. }
        | Event::Renamed { .. }
        | Event::IdentityChanged { .. }
        | Event::Expired { .. }
        | Event::StateRolledBack { .. }
        | Event::Unreadable { .. }) => Some(other),
    })
}

/// The messages of ours that an event acknowledges.
#[expect(clippy::wildcard_enum_match_arm, reason = "nothing else acknowledges")]
fn acknowledged(event: &Event) -> Option<&[MessageId]> {
    match event {
        Event::Receipt { ids, .. } => Some(ids),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

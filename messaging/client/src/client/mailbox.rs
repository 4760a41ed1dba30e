//! The own mailbox: reading it, and what has to be done of the program's own accord.

use super::{Client, strangers::put_off};
use crate::{
    clock,
    conversation::{Contact, Unusable, Way, receive, replenish, reset, say},
    event::Event,
    network::{NetworkError, Read},
    state::{StateError, Writer},
};
use rand::seq::SliceRandom;
use skep_envelope::{Body, MessageId, OpenError, Opened, ReceiptKind, Text, ttl, unseal};
use skep_primitives::{BlockHash, Moment, ServiceNodeId};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace, RetrievedMessage},
};
use std::collections::BTreeMap;

/// Members of the own swarm that are read: one may be behind, or keep something back.
const READERS: usize = 2;
/// Pages read from one member at once; the rest comes the next time.
const MOST_PAGES: usize = 100;
/// How long a message that was dealt with is remembered (ms): longer than any node keeps it.
const REMEMBER_MS: u64 = 2 * ttl::MESSAGE;
/// How long a fallback key is told to contacts before another takes its place (ms).
const FALLBACK_LIFE: Moment = 30 * 24 * 60 * 60 * 1000;
/// Contacts told new prekeys at a time, since each message costs work.
const REPLENISHED_AT_ONCE: usize = 5;
/// Messages acknowledged at a time.
const ACKNOWLEDGED_AT_ONCE: u32 = 500;
/// Messages deleted in the mailbox at a time.
const MOST_DELETED: u32 = 100;
/// Messages sent once more in a new session.
const MOST_RESENT: u32 = 100;

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
        let genesis = self.connect().await?.genesis();
        events.append(&mut self.notices);
        self.heal(events)?;
        self.mail_all_direct(&genesis)?;
        self.flush(Some(events)).await?;
        self.read_mailbox(events).await?;
        self.look_at_strangers(&genesis, clock::now(), events)?;
        tell_once(events);
        // Answers to what has arrived.
        self.keep_house().await?;
        self.flush(Some(events)).await?;
        self.empty_trash().await?;
        Ok(())
    }

    /// Reads the own mailbox from some members of the own swarm.
    async fn read_mailbox(&mut self, events: &mut Vec<Event>) -> Result<(), ReceiveError> {
        let now = clock::now();
        self.state.write(|writer| {
            writer.forget_seen(now)?;
            writer.forget_strangers(now)?;
            writer.forget_trash(now)?;
            writer.forget_disappeared(now)
        })?;
        if self.read_members(events).await? {
            return Ok(());
        }
        // The roster at hand was too old.
        self.connect().await?.ask_roster().await?;
        if self.read_members(events).await? {
            return Ok(());
        }
        Err(ReceiveError::NoMember("they say that the mailbox is another swarm's".into()))
    }

    /// Reads members of the swarm the roster tells. False: they say that it is another one.
    async fn read_members(&mut self, events: &mut Vec<Event>) -> Result<bool, ReceiveError> {
        let cursors: BTreeMap<_, _> = self.state.cursors()?.into_iter().collect();
        let account = self.account();
        let (_, members) = self.connect().await?.swarm_of(&account)?;
        let (mut read, mut wrong_swarm, mut wrong_clock, mut reason) = (0, false, false, String::new());
        let order = reading_order(members, &cursors, &mut rand::rng());
        for member in order {
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
            () if read > 0 => Ok(true),
            () if wrong_clock => Err(ReceiveError::Clock),
            () if wrong_swarm => Ok(false),
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
    pub(super) fn take_in(
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
        let of_no_use = |error: OpenError| {
            if matches!(error, OpenError::UnknownKind(_)) {
                tracing::warn!(%error, "a message cannot be read");
            } else {
                tracing::debug!(%error, "what was stored is no message");
            }
        };
        let unsealed = match unseal(&self.account.identity, genesis, &data) {
            Ok(unsealed) => unsealed,
            Err(error) => {
                of_no_use(error);
                return self.state.write(dealt_with).map(|()| Vec::new());
            }
        };
        let known = self.state.contact(&unsealed.claimed_source())?;
        if known.is_none() && unsealed.is_friend_request() {
            self.state.write(|writer| {
                put_off(writer, &hash, &data, now)?;
                dealt_with(writer)
            })?;
            return Ok(Vec::new());
        }
        match unsealed.open() {
            Ok(opened) => {
                let source = opened.source;
                self.take_opened(genesis, known.as_ref(), opened, now, |writer, id| {
                    id.iter().try_for_each(|id| writer.put_stored(&source, id, &hash))?;
                    dealt_with(writer)
                })
            }
            Err(error) => {
                of_no_use(error);
                self.state.write(dealt_with).map(|()| Vec::new())
            }
        }
    }

    /// Deals with what came by mail; `more` is kept with it, and learns which message it was, if it was one.
    pub(super) fn take_opened(
        &mut self,
        genesis: &BlockHash,
        known: Option<&Contact>,
        opened: Opened,
        now: Moment,
        more: impl FnOnce(&Writer<'_>, Option<MessageId>) -> Result<(), StateError>,
    ) -> Result<Vec<Event>, StateError> {
        let source = opened.source;
        match receive(self.own_to(&source), known, opened, Way::Mail, now, &mut rand::rng()) {
            Ok(change) => {
                let id = change.told.map(|told| told.id);
                self.take_change(genesis, source, change, Way::Mail, |writer| more(writer, id))
            }
            Err(error) => {
                tracing::debug!(%error, "a message is of no use");
                self.state.write(|writer| more(writer, None))?;
                Ok(match error {
                    Unusable::Receive(reason) => {
                        vec![Event::Unreadable { sender: source, reason: reason.to_string() }]
                    }
                    Unusable::Stranger { proven } => vec![Event::UnknownSession { sender: source, proven }],
                    Unusable::Unwanted | Unusable::StaleRequest | Unusable::Answer(_) => Vec::new(),
                })
            }
        }
    }

    /// Tells contacts now what has been read, instead of with the next [`Self::receive`]. What fails waits in the outbox.
    pub async fn tell_read(&mut self) -> Result<(), NetworkError> {
        self.connect().await?;
        self.keep_house().await?;
        self.flush(None).await
    }

    /// Has the own swarm delete what is to be deleted. What fails is tried again the next time.
    async fn empty_trash(&mut self) -> Result<(), StateError> {
        let hashes = self.state.trash(MOST_DELETED)?;
        let Self { state, account, network: Some(network), .. } = self else { return Ok(()) };
        if hashes.is_empty() {
            return Ok(());
        }
        match network.delete_own(state, &account.identity, hashes.clone()).await {
            Ok(true) => state.write(|writer| writer.discarded(&hashes)),
            Ok(false) => Ok(()),
            Err(NetworkError::State(error)) => Err(error),
            Err(error) => {
                tracing::debug!(%error, "what was unsent is not deleted in the mailbox yet");
                Ok(())
            }
        }
    }

    /// Starts the lost sessions anew.
    pub(super) fn heal(&mut self, events: &mut Vec<Event>) -> Result<(), NetworkError> {
        let Some(genesis) = self.network.as_ref().map(|network| network.genesis()) else { return Ok(()) };
        let lost = |contact: &Contact| contact.session().is_some_and(|session| session.lost);
        for contact in self.state.contacts()?.into_iter().filter(lost) {
            let account = contact.account;
            let own = self.own_to(&account);
            let Some(change) = reset(own, &contact, clock::now(), &mut rand::rng()) else { continue };
            let resend = change.resend;
            events.extend(self.queue_change(&genesis, account, change, |_, _| Ok(()))?);
            if resend {
                self.resend(&genesis, account)?;
            }
        }
        Ok(())
    }

    /// Queues what a contact has not received, in the session of now. Each message keeps its name, so none is shown twice.
    pub(super) fn resend(&mut self, genesis: &BlockHash, account: AccountAddress) -> Result<(), StateError> {
        let since = clock::now().saturating_sub(ttl::MESSAGE);
        for message in self.state.undelivered(&account, since, MOST_RESENT)? {
            let Some(contact) = self.state.contact(&account)? else { return Ok(()) };
            let (id, reply_to, disappear_after) = (message.id, message.reply_to, message.disappear_after);
            let text = Text { text: message.text.unwrap_or_default(), reply_to, disappear_after };
            let manner = self.by_mail(&account);
            let Ok(change) = say(&contact, manner, id, Body::Text(text), message.timestamp) else { return Ok(()) };
            self.queue_change(genesis, account, change, |writer, hash| {
                hash.iter().try_for_each(|hash| writer.sent_again(&account, &id, hash))
            })?;
        }
        // What else was said directly meanwhile.
        self.mail_direct(genesis, account)
    }

    /// Renews keys, tells contacts new ones, acknowledges messages. Nothing leaves yet.
    pub(super) async fn keep_house(&mut self) -> Result<(), NetworkError> {
        let Some(genesis) = self.network.as_ref().map(|network| network.genesis()) else { return Ok(()) };
        self.rotate()?;
        let rotated = self.account.rotated;
        let outdated = |contact: &Contact| {
            let session = contact.session().filter(|session| !session.lost && !contact.blocked);
            session.is_some_and(|session| session.told == 0 || session.told < rotated)
        };
        let outdated: Vec<_> = self.state.contacts()?.into_iter().filter(outdated).collect();
        for contact in outdated.iter().take(REPLENISHED_AT_ONCE) {
            let own = self.own_to(&contact.account);
            if let Ok(change) = replenish(own, contact, clock::now(), &mut rand::rng()) {
                self.queue_change(&genesis, contact.account, change, |_, _| Ok(()))?;
            }
        }
        // What was read needs not be called delivered, unless nobody is told that it was.
        let kinds = match self.account.settings.read_receipts {
            true => [ReceiptKind::Read, ReceiptKind::Delivered],
            false => [ReceiptKind::Delivered, ReceiptKind::Read],
        };
        for kind in kinds {
            self.acknowledge(&genesis, kind).await?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), StateError> {
        let now = clock::now();
        let rotated = match self.account.rotated {
            // A ratchet identity that was just made has a fresh key.
            0 => skep_envelope::Prekeys::unpickle(&self.account.prekeys.pickle())
                .map_err(|_| StateError::Damaged("ratchet identity"))?,
            last if last.saturating_add(FALLBACK_LIFE) < now => self.account.prekeys.rotated(),
            _ => return Ok(()),
        };
        self.state.write(|writer| writer.put_rotated(&rotated, now))?;
        (self.account.prekeys, self.account.rotated) = (rotated, now);
        Ok(())
    }

    /// Acknowledges messages, all of a contact's at once: directly if that can be, else what is said is queued.
    async fn acknowledge(&mut self, genesis: &BlockHash, kind: ReceiptKind) -> Result<(), NetworkError> {
        let wanted = kind == ReceiptKind::Delivered || self.account.settings.read_receipts;
        for (account, ids) in self.state.unacknowledged(kind, ACKNOWLEDGED_AT_ONCE)? {
            let body = Body::Receipt(kind, ids.clone());
            // Those that cannot be told, or shall not, are not asked about again.
            let done = |writer: &Writer<'_>| writer.put_acknowledged(&account, kind, &ids);
            if wanted {
                self.tell(genesis, account, Some(body), done).await?;
            } else {
                self.state.write(done)?;
            }
        }
        Ok(())
    }
}

/// Who writes in sessions that are unknown is told of once, however much of that there is.
fn tell_once(events: &mut Vec<Event>) {
    let mut unknown = BTreeMap::<_, bool>::new();
    for event in &*events {
        if let Event::UnknownSession { sender, proven } = event {
            *unknown.entry(*sender).or_default() |= proven;
        }
    }
    events.retain_mut(|event| {
        let Event::UnknownSession { sender, proven } = event else { return true };
        unknown.remove(sender).is_some_and(|certain| {
            *proven = certain;
            true
        })
    });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_sessions_are_told_once_a_sender() {
        let [ada, bob] = [1, 2].map(|number| AccountAddress::from_x25519([number; 32]));
        let unknown = |sender, proven| Event::UnknownSession { sender, proven };
        let other = Event::Typing { sender: ada, started: true };
        let mut events = vec![unknown(ada, false), other.clone(), unknown(bob, false), unknown(ada, true)];
        tell_once(&mut events);
        assert_eq!(events, [unknown(ada, true), other, unknown(bob, false)]);
    }
}

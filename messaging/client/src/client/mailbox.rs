//! The own mailbox: reading it, and what has to be done of the program's own accord.

use super::{Client, strangers::put_off};
use crate::{
    clock,
    conversation::{Change, Contact, Unusable, Way, ask_again, receive, replenish, reset, say},
    event::Event,
    network::{Network, NetworkError, Read},
    state::{StateError, Writer},
};
use rand::seq::SliceRandom;
use skep_envelope::{Body, OpenError, Opened, ReceiptKind, SIZE_CLASSES, Text, ttl, unseal};
use skep_primitives::{BlockHash, Moment, ServiceNodeId};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace, RetrievedMessage},
};
use std::collections::{BTreeMap, BTreeSet};

/// Members of the own swarm that are read: one may be behind, or keep something back.
const READERS: usize = 2;
/// Pages, and messages, read from one member at once; the rest comes the next time. A member can serve any number of bytes of which
/// nothing comes, and other members are waiting.
const MOST_PAGES: usize = 100;
const MOST_READ: usize = 10_000;
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
/// Messages looked at together that are sent once more in a new session.
const RESENT_AT_ONCE: u32 = 100;

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
        self.heal(&genesis, events)?;
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
            writer.forget_gone(now)?;
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
        let guard = self.network.as_ref().and_then(Network::reading_guard);
        let order = reading_order(members, &cursors, guard, &mut rand::rng());
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
        let mut left = MOST_READ;
        for _ in 0..MOST_PAGES {
            let Self { state, account, network: Some(network), .. } = &mut *self else { break };
            let genesis = network.genesis();
            let mut page = match network.read(state, &account.identity, member, cursor).await? {
                Read::Page(page) => page,
                refused @ (Read::WrongSwarm | Read::WrongClock | Read::Failed(_)) => return Ok(Some(refused)),
            };
            page.messages.truncate(left);
            let Some(last) = page.messages.last().map(|message| message.hash) else { break };
            left = left.saturating_sub(page.messages.len());
            self.take_in(&genesis, member, page.messages, events)?;
            if !page.more || cursor == Some(last) || left == 0 {
                break;
            }
            cursor = Some(last);
        }
        Ok(None)
    }

    /// Deals with stored messages, each once. What changes no conversation is kept together: junk costs no flush to the disk each.
    pub(super) fn take_in(
        &mut self,
        genesis: &BlockHash,
        member: ServiceNodeId,
        messages: Vec<RetrievedMessage>,
        events: &mut Vec<Event>,
    ) -> Result<(), StateError> {
        let mut passed = Passed::default();
        for RetrievedMessage { hash, data, .. } in messages {
            let now = clock::now();
            match self.sort(genesis, hash, data, now)? {
                Sorted::Forged => {
                    tracing::debug!(%member, "a member gave a message that does not fit its hash");
                }
                Sorted::Known => passed.cursor = Some(hash),
                Sorted::Useless(told) => {
                    events.extend(told);
                    passed.useless.push(hash);
                    passed.cursor = Some(hash);
                }
                Sorted::Request(sealed) => {
                    passed.requests.push((hash, sealed));
                    passed.useless.push(hash);
                    passed.cursor = Some(hash);
                }
                Sorted::Change(source, change) => {
                    // The cursor must not pass what is not kept.
                    self.put_passed(&member, std::mem::take(&mut passed), now)?;
                    let id = change.told.map(|told| told.id);
                    events.extend(self.take_change(genesis, source, *change, Way::Mail, |writer| {
                        let until = now.saturating_add(ttl::MESSAGE);
                        id.iter().try_for_each(|id| writer.put_stored(&source, id, &hash, until))?;
                        writer.put_seen(&hash, now.saturating_add(REMEMBER_MS))?;
                        writer.put_cursor(&member, &hash)
                    })?);
                }
            }
        }
        self.put_passed(&member, passed, clock::now())
    }

    /// What a stored message is. Changes nothing.
    fn sort(&self, genesis: &BlockHash, hash: MessageHash, data: Vec<u8>, now: Moment) -> Result<Sorted, StateError> {
        if MessageHash::of(&self.account(), Namespace::DEFAULT, &data) != hash {
            return Ok(Sorted::Forged);
        }
        // Nobody who seals a message gives it another size; what no member can know to be junk is not even remembered.
        if !SIZE_CLASSES.contains(&data.len()) || self.state.is_seen(&hash)? {
            return Ok(Sorted::Known);
        }
        let of_no_use = |error: OpenError| {
            if matches!(error, OpenError::UnknownKind(_)) {
                tracing::warn!(%error, "a message cannot be read");
            } else {
                tracing::debug!(%error, "what was stored is no message");
            }
            Ok(Sorted::Useless(None))
        };
        let unsealed = match unseal(&self.account.identity, genesis, &data) {
            Ok(unsealed) => unsealed,
            Err(error) => return of_no_use(error),
        };
        let known = self.state.contact(&unsealed.claimed_source())?;
        if known.is_none() && unsealed.is_friend_request() {
            return Ok(Sorted::Request(data));
        }
        match unsealed.open() {
            Ok(opened) => Ok(self.sort_opened(known.as_ref(), opened, now)),
            Err(error) => of_no_use(error),
        }
    }

    /// What something is that came by mail.
    fn sort_opened(&self, known: Option<&Contact>, opened: Opened, now: Moment) -> Sorted {
        let source = opened.source;
        match receive(self.own_to(&source), known, opened, Way::Mail, now, &mut rand::rng()) {
            Ok(change) => Sorted::Change(source, Box::new(change)),
            Err(error) => {
                tracing::debug!(%error, "a message is of no use");
                Sorted::Useless(match error {
                    Unusable::Receive(reason) => Some(Event::Unreadable { sender: source, reason: reason.to_string() }),
                    Unusable::Stranger { proven } => Some(Event::UnknownSession { sender: source, proven }),
                    Unusable::Unwanted | Unusable::StaleRequest | Unusable::Answer(_) => None,
                })
            }
        }
    }

    fn put_passed(&mut self, member: &ServiceNodeId, passed: Passed, now: Moment) -> Result<(), StateError> {
        let Passed { useless, requests, cursor: Some(cursor) } = passed else { return Ok(()) };
        self.state.write(|writer| {
            requests.iter().try_for_each(|(hash, sealed)| put_off(writer, hash, sealed, now))?;
            useless.iter().try_for_each(|hash| writer.put_seen(hash, now.saturating_add(REMEMBER_MS)))?;
            writer.put_cursor(member, &cursor)
        })
    }

    /// Deals with a friend request that was put off; `more` is kept with it.
    pub(super) fn take_opened(
        &mut self,
        genesis: &BlockHash,
        known: Option<&Contact>,
        opened: Opened,
        now: Moment,
        more: impl FnOnce(&Writer<'_>) -> Result<(), StateError>,
    ) -> Result<Vec<Event>, StateError> {
        match self.sort_opened(known, opened, now) {
            Sorted::Change(source, change) => self.take_change(genesis, source, *change, Way::Mail, more),
            Sorted::Useless(told) => {
                self.state.write(more)?;
                Ok(told.into_iter().collect())
            }
            Sorted::Forged | Sorted::Known | Sorted::Request(_) => Ok(Vec::new()),
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

    /// Starts the lost sessions anew, asks again where a request was lost, and sends once more what is due.
    pub(super) fn heal(&mut self, genesis: &BlockHash, events: &mut Vec<Event>) -> Result<(), NetworkError> {
        for account in self.state.lost_requests()? {
            let Some(contact) = self.state.contact(&account)? else { continue };
            let Some(change) = ask_again(self.own_to(&account), &contact, clock::now()) else { continue };
            self.queue_change(genesis, account, change, |_, _| Ok(()))?;
        }
        let lost = |contact: &Contact| contact.session().is_some_and(|session| session.lost);
        for contact in self.state.contacts()?.into_iter().filter(lost) {
            let account = contact.account;
            let own = self.own_to(&account);
            let Some(change) = reset(own, &contact, clock::now(), &mut rand::rng()) else { continue };
            events.extend(self.queue_change(genesis, account, change, |_, _| Ok(()))?);
        }
        Ok(self.resend_due(genesis)?)
    }

    /// Queues what contacts have not received once more, where that is wanted and was not done often lately.
    pub(super) fn resend_due(&mut self, genesis: &BlockHash) -> Result<(), StateError> {
        let now = clock::now();
        for (account, after) in self.state.resends_due(now)? {
            self.state.write(|writer| writer.count_resend(&account, now))?;
            if self.resend(genesis, account, after)? {
                self.state.write(|writer| writer.all_resent(&account))?;
            }
        }
        Ok(())
    }

    /// Queues what a contact has not received of the messages after this one, in the session of now. Each message keeps its name,
    /// so none is shown twice. False: not all, since nothing can be said now.
    fn resend(&mut self, genesis: &BlockHash, account: AccountAddress, mut after: i64) -> Result<bool, StateError> {
        let since = clock::now().saturating_sub(ttl::MESSAGE);
        loop {
            let page = self.state.undelivered(&account, since, after, RESENT_AT_ONCE)?;
            let Some(last) = page.last() else { break };
            after = last.sequence;
            for message in page {
                let Some(contact) = self.state.contact(&account)? else { return Ok(true) };
                let (id, reply_to, disappear_after) = (message.id, message.reply_to, message.disappear_after);
                let text = Text { text: message.text.unwrap_or_default(), reply_to, disappear_after };
                let manner = self.by_mail(&account);
                let said = say(&contact, manner, id, Body::Text(text), message.timestamp);
                let Ok(change) = said else { return Ok(false) };
                self.queue_change(genesis, account, change, |writer, hash| {
                    writer.put_resent(&account, message.sequence)?;
                    hash.iter().try_for_each(|hash| writer.sent_again(&account, &id, hash))
                })?;
            }
        }
        // What else was said directly meanwhile.
        self.mail_direct(genesis, account)?;
        Ok(true)
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

/// What a stored message is.
enum Sorted {
    /// A member made it up.
    Forged,
    /// Dealt with before, or nothing anybody has sealed.
    Known,
    /// Nothing comes of it but what is told.
    Useless(Option<Event>),
    /// A stranger asks: the sealed request.
    Request(Vec<u8>),
    /// It changes something with this account.
    Change(AccountAddress, Box<Change>),
}

/// Messages that change no conversation.
#[derive(Default)]
struct Passed {
    useless: Vec<MessageHash>,
    requests: Vec<(MessageHash, Vec<u8>)>,
    /// The last of them.
    cursor: Option<MessageHash>,
}

/// Who writes in sessions that are unknown, and in whose name something comes that cannot be read, is told of once, however much
/// of that there is: anybody can send such a thing in another's name.
fn tell_once(events: &mut Vec<Event>) {
    let mut unreadable = BTreeSet::new();
    events.retain(|event| if let Event::Unreadable { sender, .. } = event { unreadable.insert(*sender) } else { true });
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

/// Members in the order in which they are read: one that was read before, which has the least to tell, then any, so that no few can
/// withhold a message for long. The guard of the path for reading comes last: it cannot be read through itself.
fn reading_order(
    mut members: Vec<ServiceNodeId>,
    cursors: &BTreeMap<ServiceNodeId, MessageHash>,
    guard: Option<ServiceNodeId>,
    rng: &mut impl rand::Rng,
) -> Vec<ServiceNodeId> {
    members.shuffle(rng);
    members.sort_by_key(|member| Some(*member) == guard);
    if let Some(read) = members.iter().position(|member| cursors.contains_key(member) && Some(*member) != guard) {
        members.swap(0, read);
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_members_are_always_the_ones_that_are_read() {
        let members: Vec<_> = (1..=7).map(|number| ServiceNodeId([number; 32])).collect();
        let cursors = members.iter().take(2).map(|member| (*member, MessageHash::from([1; 32]))).collect();
        let orders: Vec<_> =
            (0..200).map(|_| reading_order(members.clone(), &cursors, Some(members[6]), &mut rand::rng())).collect();
        assert!(orders.iter().all(|order| cursors.contains_key(&order[0]) && order[6] == members[6]));
        let second: BTreeSet<_> = orders.iter().map(|order| order[1]).collect();
        assert_eq!(second.len(), 6, "each but the guard");
        // A guard that is the whole swarm is still asked, and one that was read before is not first.
        assert_eq!(reading_order(vec![members[0]], &cursors, Some(members[0]), &mut rand::rng()), [members[0]]);
        let order = reading_order(members[..3].to_vec(), &cursors, Some(members[0]), &mut rand::rng());
        assert_eq!((order[0], order[2]), (members[1], members[0]));
    }

    #[test]
    fn what_cannot_be_read_is_told_once_a_sender() {
        let [ada, bob] = [1, 2].map(|number| AccountAddress::from_x25519([number; 32]));
        let unreadable = |sender, reason: &str| Event::Unreadable { sender, reason: reason.to_owned() };
        let mut events = vec![unreadable(ada, "a"), unreadable(bob, "b"), unreadable(ada, "c")];
        tell_once(&mut events);
        assert_eq!(events, [unreadable(ada, "a"), unreadable(bob, "b")]);
    }

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

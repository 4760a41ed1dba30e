//! Being online: listening for contacts, and giving them messages directly. The rules are in [`crate::direct`].

use super::{Client, SendError};
use crate::{
    clock,
    conversation::{Contact, Manner, Way, is_acknowledged, may_go_directly, receive, say},
    direct::{Call, Delivered, Lines, ListenFailure, MOST_LINES, Refusal},
    event::Event,
    network::{Delivery, Listened, Network, NetworkError, Waiting},
    state::{DirectMessage, StateError, Writer},
};
use rand::rng;
use skep_envelope::{Body, Listening, MessageId, ReceiptKind, open};
use skep_primitives::{BlockHash, Moment};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, listening::MAX_DELIVERY_BYTES},
};

/// What came of saying something directly.
enum Given {
    /// The contact's node has it.
    Queued(Delivery),
    /// It cannot go directly, and nothing was said.
    NotDirectly,
    /// It could not be given. What was in flight is queued to go by mail; if this message is to arrive, so is it.
    Refused,
}

impl Client {
    /// Is online from now on, unless the settings say not to tell: whoever calls this stays, calls [`Self::listen`] and
    /// [`Self::mind_lines`], and takes in what comes.
    pub(crate) fn go_online(&mut self) -> Result<(), StateError> {
        if self.account.settings.presence && self.lines.is_none() {
            let mut lines = Lines::default();
            for contact in self.state.latest_contacts(MOST_LINES)? {
                lines.attend(contact, clock::now(), &mut rng());
            }
            self.lines = Some(lines);
        }
        Ok(())
    }

    /// Is online no more, and tells contacts that believe it: directly, or by mail. What was not acknowledged goes by mail.
    pub(crate) async fn go_offline(&mut self) -> Result<(), NetworkError> {
        let Some(lines) = &mut self.lines else { return Ok(()) };
        let believers = lines.believers();
        if let Some(genesis) = self.network.as_ref().map(|network| network.genesis()) {
            // From here on nobody is told of a handle.
            lines.silence();
            for contact in believers {
                self.tell(&genesis, contact, None, |_| Ok(())).await?;
            }
            self.hang_up().await;
            self.mail_all_direct(&genesis)?;
            self.flush(None).await?;
        }
        self.lines = None;
        Ok(())
    }

    /// Listens no more: who tries to deliver directly from now on learns at once that nobody does.
    pub(crate) async fn hang_up(&mut self) {
        if let Some(lines) = &mut self.lines {
            lines.hang_up();
        }
        self.unlisten().await;
        self.lines = None;
    }

    /// The client ends: hops need not keep its paths until those are idle for long.
    pub(crate) async fn close_paths(&mut self) {
        if let Some(network) = &mut self.network {
            network.close_paths().await;
        }
    }

    /// A call to the listening node, if one is to be made now.
    pub(crate) async fn listen(&mut self) -> Option<Waiting> {
        let now = clock::now();
        let own = self.account();
        let Self { state, lines: Some(lines), network: Some(network), .. } = self else { return None };
        if lines.node().is_some_and(|node| !network.is_own_member(&own, &node)) || lines.needs_node(now) {
            match network.listening_node(&own, lines.node()) {
                Ok(node) => lines.listen_on(node, &mut rng()),
                Err(error) => {
                    tracing::debug!(%error, "there is no node to listen on");
                    lines.pause(now);
                }
            }
        }
        let call = lines.poll_listen(now, &mut rng())?;
        match network.listen(state, call.clone()).await {
            Ok(waiting) => Some(waiting),
            Err(error) => {
                tracing::debug!(%error, "the listening node cannot be asked");
                lines.handle_failed(&call, ListenFailure::Silent, clock::now());
                None
            }
        }
    }

    /// A call to the listening node came to an end. What it brought is kept, and told before it is acknowledged.
    pub(crate) fn listened(&mut self, call: &Call, listened: Listened) -> Result<Vec<Event>, NetworkError> {
        let Self { lines: Some(lines), network: Some(network), .. } = self else { return Ok(Vec::new()) };
        let genesis = network.genesis();
        let delivered = match listened {
            Listened::Answered(answer) => lines.handle_listened(call, answer, clock::now()),
            Listened::Failed(failure) => {
                lines.handle_failed(call, failure, clock::now());
                network.doubt_listening();
                return Ok(Vec::new());
            }
        };
        let (mut events, mut useful) = (Vec::new(), delivered.is_empty());
        for message in delivered {
            if let Some(told) = self.take_in_direct(&genesis, message)? {
                useful = true;
                events.extend(told);
            }
        }
        if let (Some(lines), false) = (&mut self.lines, useful) {
            // The node may have made it up, and would be called without a pause.
            lines.handle_failed(call, ListenFailure::Silent, clock::now());
        }
        Ok(events)
    }

    /// When [`Self::mind_lines`] has something to do of its own accord (ms).
    pub(crate) fn lines_timeout(&self) -> Option<Moment> {
        self.lines.as_ref().and_then(Lines::poll_timeout)
    }

    /// Does what the lines need: messages that were not acknowledged in time go by mail, contacts hear where we listen now,
    /// nodes forget sessions that are over.
    pub(crate) async fn mind_lines(&mut self) -> Result<(), NetworkError> {
        let now = clock::now();
        let Self { lines: Some(lines), network: Some(network), .. } = self else { return Ok(()) };
        let genesis = network.genesis();
        let fallen = lines.handle_timeout(now, &mut rng());
        for contact in &fallen {
            tracing::debug!("a contact does not acknowledge: what it was given goes by mail");
            self.mail_direct(&genesis, *contact)?;
        }
        for contact in self.lines.as_ref().map(|lines| lines.to_be_told(now)).unwrap_or_default() {
            self.tell_directly(&genesis, contact).await?;
        }
        self.unlisten().await;
        if fallen.is_empty() { Ok(()) } else { self.flush(None).await }
    }

    /// What a contact is told of where we listen for it.
    pub(super) fn listening_for(&self, contact: &AccountAddress) -> Option<Listening> {
        self.lines.as_ref().and_then(|lines| lines.listening_for(contact))
    }

    /// How something is said by mail.
    pub(super) fn by_mail(&self, contact: &AccountAddress) -> Manner {
        Manner { way: Way::Mail, listening: self.listening_for(contact) }
    }

    /// The contact matters now: it is listened for.
    pub(super) fn attend(&mut self, contact: AccountAddress) {
        if let Some(lines) = &mut self.lines {
            lines.attend(contact, clock::now(), &mut rng());
        }
    }

    /// Says something to a contact: directly if that can be, else by mail, for which `more` is told the hash. Something that could
    /// not be given directly goes by mail at once.
    pub(super) async fn send_body<E: std::error::Error + 'static>(
        &mut self,
        genesis: &BlockHash,
        contact: &Contact,
        (id, body, timestamp): (MessageId, Body, Moment),
        refused: impl Fn(crate::SayError) -> E,
        more: impl FnOnce(&Writer<'_>, MessageHash) -> Result<(), StateError>,
    ) -> Result<Delivery, SendError<E>> {
        let account = contact.account;
        self.attend(account);
        let Some(to) = self.direct_address(contact, &body)? else {
            let change = say(contact, self.by_mail(&account), id, body, timestamp);
            let change = change.map_err(|error| SendError::Refused(refused(error)))?;
            return self.send_change(genesis, account, change, more).await;
        };
        let mut more = Some(more);
        let given = self
            .give(genesis, contact, &to, (id, Some(&body), timestamp), |writer, hash| {
                more.take().map_or(Ok(()), |more| more(writer, hash))
            })
            .await
            .map_err(|error| match error {
                SendError::Refused(error) => SendError::Refused(refused(error)),
                SendError::NoContact(account) => SendError::NoContact(account),
                SendError::Seal(error) => SendError::Seal(error),
                SendError::Network(error) => SendError::Network(error),
                SendError::State(error) => SendError::State(error),
                SendError::Undelivered(error) => SendError::Undelivered(error),
            })?;
        match given {
            Given::Queued(delivery) => Ok(delivery),
            Given::NotDirectly => {
                let change = say(contact, self.by_mail(&account), id, body, timestamp);
                let change = change.map_err(|error| SendError::Refused(refused(error)))?;
                let more = |writer: &Writer<'_>, hash| more.take().map_or(Ok(()), |more| more(writer, hash));
                self.send_change(genesis, account, change, more).await
            }
            Given::Refused => self.deliver_all(account).await.map_err(SendError::Undelivered),
        }
    }

    /// Says something of our own accord: directly if that can be, else it is queued to go by mail. `more` is kept with it.
    pub(super) async fn tell(
        &mut self,
        genesis: &BlockHash,
        account: AccountAddress,
        body: Option<Body>,
        more: impl FnOnce(&Writer<'_>) -> Result<(), StateError>,
    ) -> Result<(), NetworkError> {
        let (id, timestamp) = (MessageId::random(&mut rng()), clock::now());
        let Some(contact) = self.state.contact(&account)? else { return Ok(self.state.write(more)?) };
        let directly = body.as_ref().is_none_or(may_go_directly);
        let to = if directly { self.address(&contact)? } else { None };
        let mut more = Some(more);
        if let Some(to) = to {
            let given = self.give(genesis, &contact, &to, (id, body.as_ref(), timestamp), |writer, _| {
                more.take().map_or(Ok(()), |more| more(writer))
            });
            match given.await {
                Ok(Given::Queued(_)) => return Ok(()),
                // It is queued already.
                Ok(Given::Refused) if body.as_ref().is_some_and(is_acknowledged) => return Ok(()),
                Ok(Given::Refused | Given::NotDirectly) => {}
                Err(SendError::State(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::debug!(%error, "something cannot be said");
                    return Ok(more.take().map_or(Ok(()), |more| self.state.write(more))?);
                }
            }
        }
        // The ratchet may have moved.
        let contact = self.state.contact(&account)?.unwrap_or(contact);
        let change = say(&contact, self.by_mail(&account), id, body, timestamp).ok();
        let mut more = |writer: &Writer<'_>| more.take().map_or(Ok(()), |more| more(writer));
        match change {
            Some(change) => self.queue_change(genesis, account, change, |writer, _| more(writer)).map(drop)?,
            None => self.state.write(more)?,
        }
        Ok(())
    }

    /// We are writing to a contact, or have stopped. False: it cannot go directly.
    pub(super) async fn type_directly(
        &mut self,
        genesis: &BlockHash,
        contact: &Contact,
        started: bool,
    ) -> Result<bool, SendError<crate::SayError>> {
        let body = Body::Typing(started);
        let Some(to) = self.direct_address(contact, &body)? else { return Ok(false) };
        let said = (MessageId::random(&mut rng()), Some(&body), clock::now());
        // Nobody misses one that was refused.
        let given = self.give(genesis, contact, &to, said, |_, _| Ok(())).await?;
        Ok(!matches!(given, Given::NotDirectly))
    }

    /// What was given to a contact's node and is not acknowledged goes by mail, in its order.
    pub(super) fn mail_direct(&mut self, genesis: &BlockHash, account: AccountAddress) -> Result<(), StateError> {
        for message in self.state.direct(&account)? {
            self.mail_one(genesis, account, message)?;
        }
        Ok(())
    }

    /// The same for every contact, but those whose lines stand.
    pub(super) fn mail_all_direct(&mut self, genesis: &BlockHash) -> Result<(), NetworkError> {
        let standing = self.lines.as_ref().map(Lines::in_flight).unwrap_or_default();
        for contact in self.state.direct_contacts()?.into_iter().filter(|contact| !standing.contains(contact)) {
            self.mail_direct(genesis, contact)?;
        }
        Ok(())
    }

    fn mail_one(
        &mut self,
        genesis: &BlockHash,
        account: AccountAddress,
        DirectMessage { id, body, timestamp }: DirectMessage,
    ) -> Result<(), StateError> {
        let (Some(contact), Ok(body)) = (self.state.contact(&account)?, Body::decode(&body)) else {
            return self.state.write(|writer| writer.drop_direct(&account, &[id]));
        };
        // To whom nothing can be said now, it is said when the session has been started anew.
        let Ok(change) = say(&contact, self.by_mail(&account), id, body, timestamp) else { return Ok(()) };
        self.queue_change(genesis, account, change, |writer, hash| match hash {
            Some(hash) => writer.sent_again(&account, &id, &hash),
            None => writer.drop_direct(&account, &[id]),
        })?;
        Ok(())
    }

    fn address(&self, contact: &Contact) -> Result<Option<Listening>, StateError> {
        let (Some(lines), Some(session)) = (&self.lines, contact.session()) else { return Ok(None) };
        let address = lines.address(&contact.account, session.stamps, clock::now());
        Ok(if self.state.has_outgoing(&contact.account)? { None } else { address })
    }

    fn direct_address(&self, contact: &Contact, body: &Body) -> Result<Option<Listening>, StateError> {
        if may_go_directly(body) { self.address(contact) } else { Ok(None) }
    }

    /// Says something directly. `more` is kept with it, before it leaves. Nothing is awaited before.
    async fn give(
        &mut self,
        genesis: &BlockHash,
        contact: &Contact,
        to: &Listening,
        (id, body, timestamp): (MessageId, Option<&Body>, Moment),
        more: impl FnOnce(&Writer<'_>, MessageHash) -> Result<(), StateError>,
    ) -> Result<Given, SendError<crate::SayError>> {
        let account = contact.account;
        let manner = Manner { way: Way::Direct, listening: self.listening_for(&account) };
        let change = say(contact, manner, id, body.cloned(), timestamp).map_err(SendError::Refused)?;
        let Some(item) = self.seal(genesis, account, &change)?.filter(|item| item.data.len() <= MAX_DELIVERY_BYTES)
        else {
            return Ok(Given::NotDirectly);
        };
        let Some(Ok((swarm, _))) = self.network.as_ref().map(|network| network.swarm_of(&account)) else {
            return Ok(Given::NotDirectly);
        };
        let kept = body.filter(|body| is_acknowledged(body));
        let kept = kept.map(|body| DirectMessage { id, body: body.encode(), timestamp });
        self.keep(account, change, None, |writer| {
            kept.iter().try_for_each(|message| writer.put_direct(&account, message))?;
            more(writer, item.hash)
        })?;
        let Self { state, network: Some(network), lines: Some(lines), .. } = self else {
            return Err(NetworkError::NoSwarm.into());
        };
        let given = network.give(state, account, to, item.data).await;
        let now = clock::now();
        match given {
            Ok(path) => {
                if kept.is_some() {
                    lines.given(&account, id, now);
                }
                Ok(Given::Queued(Delivery {
                    id: Some(id),
                    hash: item.hash,
                    path: path.ids(),
                    diversity: path.diversity,
                    swarm,
                    receipts: Vec::new(),
                    direct: true,
                }))
            }
            Err(refusal) => {
                tracing::debug!(?refusal, "a contact's node did not take a message");
                lines.refused(&account, refusal, now, &mut rng());
                match (refusal, kept) {
                    (Refusal::Dead, _) => self.mail_direct(genesis, account)?,
                    (Refusal::Busy, Some(message)) => self.mail_one(genesis, account, message)?,
                    (Refusal::Busy, None) => {}
                }
                Ok(Given::Refused)
            }
        }
    }

    /// Deals with one message that came directly. It is a copy of what its sender keeps: what is of no use is passed over. None: it
    /// was of none.
    fn take_in_direct(&mut self, genesis: &BlockHash, message: Delivered) -> Result<Option<Vec<Event>>, StateError> {
        let Delivered { contact, data } = message;
        let opened = match open(&self.account.identity, genesis, &data) {
            Ok(opened) if opened.source == contact => opened,
            Ok(_) => return Ok(None),
            Err(error) => {
                tracing::debug!(%error, "what came directly is no message");
                return Ok(None);
            }
        };
        let known = self.state.contact(&contact)?;
        match receive(self.own_to(&contact), known.as_ref(), opened, Way::Direct, clock::now(), &mut rng()) {
            Ok(change) => self.take_change(genesis, contact, change, Way::Direct, |_| Ok(())).map(Some),
            Err(error) => {
                tracing::debug!(%error, "what came directly is of no use");
                Ok(None)
            }
        }
    }

    /// Acknowledges what came directly.
    pub(crate) async fn acknowledge_direct(&mut self) -> Result<(), NetworkError> {
        let Some(genesis) = self.network.as_ref().map(Network::genesis) else { return Ok(()) };
        for contact in self.lines.as_ref().map(Lines::debtors).unwrap_or_default() {
            let Some(ids) = self.lines.as_mut().map(|lines| lines.owed(&contact)) else { return Ok(()) };
            let body = Some(Body::Receipt(ReceiptKind::Delivered, ids.clone()));
            self.tell(&genesis, contact, body, |writer| {
                writer.put_acknowledged(&contact, ReceiptKind::Delivered, &ids)
            })
            .await?;
        }
        // What could not go directly.
        if self.state.outbox()?.is_empty() { Ok(()) } else { self.flush(None).await }
    }

    /// Tells a contact that is online where we listen now, if it can be told directly.
    async fn tell_directly(&mut self, genesis: &BlockHash, account: AccountAddress) -> Result<(), NetworkError> {
        let Some(contact) = self.state.contact(&account)? else { return Ok(()) };
        if self.address(&contact)?.is_some() { self.tell(genesis, account, None, |_| Ok(())).await } else { Ok(()) }
    }

    /// Nodes forget sessions that are over. One that does not answer is told again later.
    async fn unlisten(&mut self) {
        let Self { state, lines: Some(lines), network: Some(network), .. } = self else { return };
        if let Some((node, request)) = lines.poll_unlisten()
            && !network.unlisten(state, node, request).await
        {
            lines.still_ended(node, request);
        }
    }
}

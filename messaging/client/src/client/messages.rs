//! What is said: sending, unsending, reading what was said before.

use super::{Client, SendError};
use crate::{
    clock,
    conversation::{SayError, say},
    history::Message,
    network::Delivery,
    state::{NewMessage, Origin, StateError},
};
use skep_envelope::{Body, MessageId, Text};
use skep_proto::account::AccountAddress;
use std::collections::BTreeMap;

/// Messages of one page of an export.
const EXPORT_PAGE: u32 = 500;

/// No message, or more than one, is named so.
#[derive(Debug, thiserror::Error)]
pub enum FindMessageError {
    /// It is no name.
    #[error("{0:?} names no message: give the first hexadecimal digits of its id, as the history shows them")]
    NoName(String),
    /// None.
    #[error("no message of this conversation begins with {0}")]
    Unknown(String),
    /// More than one.
    #[error("several messages of this conversation begin with {0}: give more digits")]
    Ambiguous(String),
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A message cannot be unsent.
#[derive(Debug, thiserror::Error)]
pub enum UnsendError {
    /// It is the contact's, or gone.
    #[error("only messages that you wrote, and that are still there, can be unsent")]
    NotOurs,
    /// The contact cannot be told.
    #[error(transparent)]
    Say(#[from] SayError),
}

impl Client {
    /// Sends a text to a contact.
    pub async fn send(&mut self, account: AccountAddress, text: &str) -> Result<Delivery, SendError<SayError>> {
        self.send_text(account, text.to_owned(), None).await
    }

    /// Sends a text to a contact, as an answer to another message if one is named. It disappears as the conversation is set.
    pub async fn send_text(
        &mut self,
        account: AccountAddress,
        text: String,
        reply_to: Option<MessageId>,
    ) -> Result<Delivery, SendError<SayError>> {
        self.answer(account, text, reply_to, &[]).await
    }

    /// The same; as soon as the text is kept, and not before, these messages of the contact count as shown.
    pub async fn answer(
        &mut self,
        account: AccountAddress,
        text: String,
        reply_to: Option<MessageId>,
        shown: &[MessageId],
    ) -> Result<Delivery, SendError<SayError>> {
        let (genesis, contact) = self.ready_for(account).await?;
        let text = Text { text, reply_to, disappear_after: contact.disappear_after };
        let (id, timestamp) = (MessageId::random(&mut rand::rng()), clock::now());
        let said = (id, Body::Text(text.clone()), timestamp);
        let sent = self.send_body(
            &genesis,
            &contact,
            said,
            |error| error,
            |writer, hash| {
                let origin = Origin::Sent(hash);
                writer.put_message(&NewMessage { contact: account, origin, id, text: &text, timestamp })?;
                writer.put_shown(&account, shown, timestamp).map(drop)
            },
        );
        Ok(Delivery { id: Some(id), ..sent.await? })
    }

    /// Keeps a note to oneself. It does not leave this machine.
    pub fn note(&mut self, text: String, reply_to: Option<MessageId>) -> Result<MessageId, StateError> {
        let (id, timestamp, contact) = (MessageId::random(&mut rand::rng()), clock::now(), self.account());
        let text = Text { text, reply_to, disappear_after: 0 };
        let note = NewMessage { contact, origin: Origin::Note, id, text: &text, timestamp };
        self.state.write(|writer| writer.put_message(&note))?;
        Ok(id)
    }

    /// Forgets what one of our messages said, and asks the contact to do the same. None: nobody needs to be asked.
    pub async fn unsend(
        &mut self,
        account: AccountAddress,
        id: MessageId,
    ) -> Result<Option<Delivery>, SendError<UnsendError>> {
        let message = self.state.message(&account, &id)?.filter(|message| message.mine && message.text.is_some());
        if message.is_none() {
            return Err(SendError::Refused(UnsendError::NotOurs));
        }
        if account == self.account() {
            self.state.write(|writer| writer.unsend(&account, true, &[id]))?;
            return Ok(None);
        }
        let (genesis, contact) = self.ready_for(account).await?;
        let said = (MessageId::random(&mut rand::rng()), Body::Unsend(vec![id]), clock::now());
        let sent = self.send_body(&genesis, &contact, said, UnsendError::Say, |writer, _| {
            // What has not left does not leave any more.
            writer.withdraw(&account, &id)?;
            writer.unsend(&account, true, &[id]).map(drop)
        });
        sent.await.map(|delivery| Some(Delivery { id: None, ..delivery }))
    }

    /// Sets after how many seconds messages of a conversation disappear, on both sides; 0: they stay.
    pub async fn set_disappearing(
        &mut self,
        account: AccountAddress,
        seconds: u32,
    ) -> Result<Delivery, SendError<SayError>> {
        let (genesis, contact) = self.ready_for(account).await?;
        let id = MessageId::random(&mut rand::rng());
        let manner = self.by_mail(&account);
        let change = say(&contact, manner, id, Body::Timer(seconds), clock::now()).map_err(SendError::Refused)?;
        self.send_change(&genesis, account, change, |_, _| Ok(())).await
    }

    /// Tells a contact that we are writing, or have stopped, unless the settings say not to. It is not sent again if it fails.
    pub async fn set_typing(&mut self, account: AccountAddress, started: bool) -> Result<(), SendError<SayError>> {
        if !self.account.settings.typing || account == self.account() {
            return Ok(());
        }
        let genesis = self.connect().await?.genesis();
        let contact = self.state.contact(&account)?.ok_or(SendError::NoContact(account))?;
        if self.type_directly(&genesis, &contact, started).await? {
            return Ok(());
        }
        let id = MessageId::random(&mut rand::rng());
        let manner = self.by_mail(&account);
        let change = say(&contact, manner, id, Body::Typing(started), clock::now()).map_err(SendError::Refused)?;
        let Some(item) = self.seal(&genesis, account, &change)? else { return Ok(()) };
        self.keep(account, change, None, |_| Ok(()))?;
        let Self { state, network: Some(network), .. } = self else { return Ok(()) };
        network.deliver(state, &item).await.map_err(SendError::Undelivered)?;
        Ok(())
    }

    /// The newest `limit` messages of a conversation before the one with the number `before`, oldest first.
    pub fn history(
        &mut self,
        account: AccountAddress,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Message>, StateError> {
        let now = clock::now();
        self.state.write(|writer| writer.forget_disappeared(now))?;
        self.state.history(&account, before, limit)
    }

    /// Hands over every message of every conversation, oldest first, until `take` says stop.
    pub fn export(&mut self, mut take: impl FnMut(Message) -> bool) -> Result<(), StateError> {
        let now = clock::now();
        self.state.write(|writer| writer.forget_disappeared(now))?;
        let mut after = 0;
        loop {
            let page = self.state.all_messages(after, EXPORT_PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.sequence;
            if !page.into_iter().all(&mut take) {
                return Ok(());
            }
        }
    }

    /// One message of a conversation.
    pub fn message(&self, account: AccountAddress, id: &MessageId) -> Result<Option<Message>, StateError> {
        self.state.message(&account, id)
    }

    /// The message of a conversation whose id begins with these hexadecimal digits.
    pub fn find_message(&self, account: AccountAddress, digits: &str) -> Result<Message, FindMessageError> {
        let valid = (1..=32).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !valid {
            return Err(FindMessageError::NoName(digits.to_owned()));
        }
        let mut found = self.state.messages_beginning(&account, digits)?;
        match (found.pop(), found.is_empty()) {
            (None, _) => Err(FindMessageError::Unknown(digits.to_owned())),
            (Some(message), true) => Ok(message),
            (Some(_), false) => Err(FindMessageError::Ambiguous(digits.to_owned())),
        }
    }

    /// How many messages of each contact were not shown yet.
    pub fn unread(&self) -> Result<BTreeMap<AccountAddress, u32>, StateError> {
        self.state.unread()
    }

    /// The oldest `limit` messages of a contact that were not shown yet, oldest first.
    pub fn unread_messages(&self, account: AccountAddress, limit: u32) -> Result<Vec<Message>, StateError> {
        self.state.unread_messages(&account, limit)
    }

    /// Messages of a conversation up to this number were shown. The contact hears of it when messages are next received,
    /// unless the settings say not to. How many were new.
    pub fn mark_read(&mut self, account: AccountAddress, up_to: i64) -> Result<usize, StateError> {
        let now = clock::now();
        self.state.write(|writer| writer.put_read(&account, up_to, now))
    }

    /// These messages of a contact were shown, and no others. How many were new.
    pub fn mark_shown(&mut self, account: AccountAddress, ids: &[MessageId]) -> Result<usize, StateError> {
        let now = clock::now();
        self.state.write(|writer| writer.put_shown(&account, ids, now))
    }
}

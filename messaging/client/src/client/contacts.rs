//! People: whom we know and where we stand with them.

use super::{Client, SendError};
use crate::{
    clock,
    conversation::{AcceptError, Contact, RequestError, accept, decline, request, say},
    network::{Delivery, NetworkError},
    state::{Asker, StateError},
};
use skep_envelope::{Body, DisplayName, MessageId, SafetyNumber};
use skep_proto::account::AccountAddress;

/// The name of the conversation with oneself.
const ONESELF: &str = "self";

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

/// What two people compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The same on both sides, if nobody is between them.
    pub number: SafetyNumber,
    /// Whether this number was compared before.
    pub verified: bool,
    /// Whether another number was compared before: the contact restored its account, or somebody poses as them.
    pub changed: bool,
}

impl Client {
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

    /// The account of the contact with this account or this name; the own one for `self`.
    pub fn resolve(&self, text: &str) -> Result<AccountAddress, FindContactError> {
        if text == ONESELF || text.parse() == Ok(self.account()) {
            return Ok(self.account());
        }
        self.find_contact(text).map(|contact| contact.account)
    }

    /// Asks an account to talk; again, if it has not answered.
    pub async fn request_contact(
        &mut self,
        account: AccountAddress,
        introduction: String,
    ) -> Result<Delivery, SendError<RequestError>> {
        let now = clock::now();
        if let Some(wait) = self.wait_to_ask(now)? {
            return Err(SendError::Refused(RequestError::TooMany { wait }));
        }
        let genesis = self.ready_to_send().await?;
        let known = self.state.contact(&account)?;
        let change = request(self.own_to(&account), known.as_ref(), account, introduction, now);
        let change = change.map_err(SendError::Refused)?;
        self.send_change(&genesis, account, change, |writer, _| writer.count_request(Asker::We, now)).await
    }

    /// Accepts an account's friend request.
    pub async fn accept(&mut self, account: AccountAddress) -> Result<Delivery, SendError<AcceptError>> {
        let (genesis, contact) = self.ready_for(account).await?;
        let change = accept(self.own_to(&account), &contact, clock::now(), &mut rand::rng());
        self.send_change(&genesis, account, change.map_err(SendError::Refused)?, |_, _| Ok(())).await
    }

    /// Declines an account's friend request. They are not told, and not heard if they ask again soon.
    pub fn decline(&mut self, account: AccountAddress) -> Result<(), SendError<AcceptError>> {
        let contact = self.state.contact(&account)?.ok_or(SendError::NoContact(account))?;
        let change = decline(&contact, clock::now()).map_err(SendError::Refused)?;
        self.keep(account, change, None, |_| Ok(()))?;
        Ok(())
    }

    /// Hears a contact no more, or again. They are not told. False: there is no such contact.
    pub fn set_blocked(&mut self, account: AccountAddress, blocked: bool) -> Result<bool, StateError> {
        if let (Some(lines), true) = (&mut self.lines, blocked) {
            lines.forget(&account);
        }
        self.change_contact(account, |contact| contact.blocked = blocked)
    }

    /// What to compare with a contact over another channel. None: there is no session with them.
    pub fn verification(&self, account: AccountAddress) -> Result<Option<Verification>, StateError> {
        let Some(contact) = self.state.contact(&account)? else { return Ok(None) };
        let Some(session) = contact.session() else { return Ok(None) };
        let number = SafetyNumber::of(&self.account.prekeys, &session.ratchet);
        let verified = contact.verified.as_deref() == Some(number.to_string().as_str());
        Ok(Some(Verification { number, verified, changed: contact.verified.is_some() && !verified }))
    }

    /// The number was compared and is the same on both sides.
    pub fn set_verified(&mut self, account: AccountAddress, number: &SafetyNumber) -> Result<bool, StateError> {
        self.change_contact(account, |contact| contact.verified = Some(number.to_string()))
    }

    /// Takes another name, and tells every contact.
    pub async fn rename(&mut self, name: DisplayName) -> Result<(), NetworkError> {
        let genesis = self.connect().await?.genesis();
        self.state.write(|writer| writer.put_name(&name))?;
        self.account.name = name.clone();
        for contact in self.state.contacts()? {
            let id = MessageId::random(&mut rand::rng());
            // Who cannot be written to learns it with the next friend request.
            if let Ok(change) =
                say(&contact, self.by_mail(&contact.account), id, Body::Profile(name.clone()), clock::now())
            {
                self.queue_change(&genesis, contact.account, change, |_, _| Ok(()))?;
            }
        }
        self.flush(None).await
    }

    fn change_contact(
        &mut self,
        account: AccountAddress,
        change: impl FnOnce(&mut Contact),
    ) -> Result<bool, StateError> {
        let Some(mut contact) = self.state.contact(&account)? else { return Ok(false) };
        change(&mut contact);
        self.state.write(|writer| writer.put_contact(&contact))?;
        Ok(true)
    }
}

fn listed(accounts: &[AccountAddress]) -> String {
    accounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

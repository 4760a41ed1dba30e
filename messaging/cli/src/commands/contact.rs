//! People.

use crate::{commands::send::Sent, context::Context, failure::Failure, output::Shown};
use clap::Subcommand;
use serde::Serialize;
use skep_client::{AccountAddress, Contact, ContactStatus, FindContactError};
use std::fmt;

/// What to do with them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask somebody to talk; they see your name and your introduction
    Request {
        /// Their account: 66 hexadecimal digits, beginning with 05
        account: AccountAddress,
        /// Who you are, in at most 400 bytes
        #[arg(long, default_value = "")]
        introduction: String,
    },
    /// Accept a friend request that was received
    Accept {
        /// Their account, or their name
        contact: String,
    },
    /// List everybody: who was asked, who asks, and who can be written to
    List,
}

/// Does it.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let mut client = context.client()?;
    match command {
        Command::Request { account, introduction } => {
            let delivery = client.request_contact(account, introduction).await?;
            context.output().answer(&Sent::of(&delivery));
        }
        Command::Accept { contact } => {
            let account = client.find_contact(&contact).map_err(find_failure)?.account;
            let delivery = client.accept(account).await?;
            context.output().answer(&Sent::of(&delivery));
        }
        Command::List => {
            let contacts = client.contacts().map_err(Failure::account)?;
            if contacts.is_empty() {
                context.output().remark("no contacts yet: ask somebody (contact request), or receive");
            }
            for contact in &contacts {
                context.output().answer(&Listed::from(contact));
            }
        }
    }
    Ok(())
}

pub(crate) fn find_failure(error: FindContactError) -> Failure {
    match error {
        FindContactError::State(error) => Failure::account(error),
        FindContactError::Unknown(_) | FindContactError::Ambiguous { .. } => Failure::usage(error),
    }
}

/// One contact in the answer of `contact list`.
#[derive(Serialize)]
struct Listed {
    account: String,
    name: Option<String>,
    status: ContactStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    introduction: Option<String>,
}

impl From<&Contact> for Listed {
    fn from(contact: &Contact) -> Self {
        Self {
            account: contact.account.to_string(),
            name: contact.name.as_ref().map(ToString::to_string),
            status: contact.status(),
            introduction: contact.introduction().map(str::to_owned),
        }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, name, status, introduction } = self;
        let status = match status {
            ContactStatus::Requested => "asked, no answer yet",
            ContactStatus::Asking => "asks you: accept with `contact accept`",
            ContactStatus::Established => "can be written to",
        };
        write!(f, "{account}  {}  {status}", Shown(name.as_deref().unwrap_or("(no name yet)")))?;
        match introduction.as_deref() {
            Some("") | None => Ok(()),
            Some(text) => write!(f, "\n  {}", Shown(text)),
        }
    }
}

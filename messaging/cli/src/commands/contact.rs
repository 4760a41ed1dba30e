//! People.

use crate::{
    commands::{receive::remark_put_off, send::Sent},
    context::Context,
    failure::Failure,
    output::{Said, Shown},
    people::Names,
};
use clap::Subcommand;
use serde::Serialize;
use skep_client::{AccountAddress, Client, Contact, ContactStatus};
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
    /// Decline a friend request; they are not told
    Decline {
        /// Their account, or their name
        contact: String,
    },
    /// Hear somebody no more; they are not told
    Block {
        /// Their account, or their name
        contact: String,
    },
    /// Hear somebody again
    Unblock {
        /// Their account, or their name
        contact: String,
    },
    /// Show the safety number, to be compared over another channel: the same on both sides, nobody is between you
    ///
    /// It changes when either of you restores the account.
    Verify {
        /// Their account, or their name
        contact: String,
        /// Remember that you have compared it and that it is the same
        #[arg(long)]
        confirm: bool,
    },
    /// Let messages of a conversation disappear, on both sides
    Disappear {
        /// Their account, or their name
        contact: String,
        /// Seconds after a message was read; 0: messages stay
        seconds: u32,
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
            let account = client.find_contact(&contact)?.account;
            let delivery = client.accept(account).await?;
            context.output().answer(&Sent::of(&delivery));
        }
        Command::Decline { contact } => {
            let account = client.find_contact(&contact)?.account;
            client.decline(account)?;
            context.output().answer(&listed(&client, account)?);
        }
        Command::Block { contact } => set_blocked(&mut client, &contact, true, context)?,
        Command::Unblock { contact } => set_blocked(&mut client, &contact, false, context)?,
        Command::Verify { contact, confirm } => {
            let account = client.find_contact(&contact)?.account;
            let none = || Failure::failed(format!("there is no session with {account} yet: nothing to compare"));
            let mut verification = client.verification(account)?.ok_or_else(none)?;
            if confirm {
                client.set_verified(account, &verification.number)?;
                (verification.verified, verification.changed) = (true, false);
            }
            let names = Names::of(&client)?;
            context.output().answer(&Safety {
                with: names.person(&account).to_string(),
                account: account.to_string(),
                safety_number: verification.number.to_string(),
                verified: verification.verified,
                changed: verification.changed,
            });
        }
        Command::Disappear { contact, seconds } => {
            let account = client.find_contact(&contact)?.account;
            let delivery = client.set_disappearing(account, seconds).await?;
            context.output().answer(&Sent::of(&delivery));
        }
        Command::List => {
            let contacts = client.contacts().map_err(Failure::account)?;
            if contacts.is_empty() {
                context.output().remark("no contacts yet: ask somebody (contact request), or receive");
            }
            let unread = client.unread()?;
            for contact in &contacts {
                let unread = unread.get(&contact.account).copied().unwrap_or_default();
                context.output().answer(&Listed::of(contact, unread));
            }
            remark_put_off(&client, context.output())?;
        }
    }
    Ok(())
}

fn set_blocked(client: &mut Client, contact: &str, blocked: bool, context: &Context) -> Result<(), Failure> {
    let account = client.find_contact(contact)?.account;
    client.set_blocked(account, blocked)?;
    context.output().answer(&listed(client, account)?);
    Ok(())
}

fn listed(client: &Client, account: AccountAddress) -> Result<Listed, Failure> {
    Ok(Listed::of(&client.find_contact(&account.to_string())?, 0))
}

/// The answer of `contact verify`.
#[derive(Serialize)]
struct Safety {
    /// Who that is, for people.
    #[serde(skip)]
    with: String,
    account: String,
    safety_number: String,
    verified: bool,
    changed: bool,
}

impl fmt::Display for Safety {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { with, account: _, safety_number, verified, changed } = self;
        write!(f, "you and {with}\n\n  {safety_number}\n\n")?;
        match (verified, changed) {
            (true, _) => write!(f, "compared, and the same on both sides"),
            (false, true) => write!(
                f,
                "ANOTHER NUMBER THAN THE ONE YOU COMPARED: they restored the account, or somebody poses as them. Compare again"
            ),
            (false, false) => write!(f, "not compared yet: if they see the same, say so with --confirm"),
        }
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
    blocked: bool,
    unread: u32,
    /// Seconds after which messages disappear; 0: they stay.
    disappear_after: u32,
}

impl Listed {
    fn of(contact: &Contact, unread: u32) -> Self {
        Self {
            account: contact.account.to_string(),
            name: contact.name.as_ref().map(ToString::to_string),
            status: contact.status(),
            introduction: contact.introduction().map(str::to_owned),
            blocked: contact.is_blocked(),
            unread,
            disappear_after: contact.disappear_after(),
        }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, name, status, introduction, blocked, unread, disappear_after } = self;
        let status = match status {
            _ if *blocked => "blocked",
            ContactStatus::Requested => "asked, no answer yet",
            ContactStatus::Asking => "asks you: accept with `contact accept`, or decline",
            ContactStatus::Declined => "declined",
            ContactStatus::Established => "can be written to",
        };
        write!(f, "{account}  {}  {status}", Shown(name.as_deref().unwrap_or("(no name yet)")))?;
        if *unread > 0 {
            write!(f, ", {unread} unread")?;
        }
        if *disappear_after > 0 {
            write!(f, ", messages disappear {disappear_after} s after they were read")?;
        }
        match introduction.as_deref() {
            Some("") | None => Ok(()),
            Some(text) => write!(f, "\n  {}", Said(text)),
        }
    }
}

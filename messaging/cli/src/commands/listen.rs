//! Staying and telling what arrives, and bots.

mod outgoing;

use crate::{commands::receive::tell, context::Context, failure::Failure, output::Output, people::Names};
use clap::Args;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use skep_client::{Account, AccountAddress, AccountError, Event, Message, Notice};
use std::{error::Error, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    sync::mpsc,
    time::timeout,
};

/// Most bytes of a command's output that are sent back.
const MOST_OUTPUT: u64 = 64 * 1024;
/// Messages handed to the command before looking at other contacts.
const AT_ONCE: u32 = 20;
/// How long to wait before a message is handed to a command again that failed with it.
const RETRY: Duration = Duration::from_secs(30);

/// How to.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Run this command with sh for every message: it finds the message as JSON on standard input, and
    /// `SKEP_SENDER`, `SKEP_MESSAGE_ID`, `SKEP_TIMESTAMP` and `SKEP_TEXT` in its environment
    ///
    /// Messages are handed over one after the other, oldest first. A message counts as read once the command has succeeded
    /// with it; if it fails, takes too long, or `skep` ends, the same message is handed over again.
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    /// Send back what the command prints
    #[arg(long, requires = "exec")]
    reply: bool,
    /// Seconds the command may take
    #[arg(long, value_name = "SECONDS", default_value = "60", requires = "exec")]
    exec_timeout: u64,
    /// Accept every friend request
    #[arg(long)]
    accept: bool,
    /// Send what comes on standard input, one JSON object a line: {"to": CONTACT, "text": TEXT}
    ///
    /// `reply_to` may name the message it answers by its whole id, and `ref` comes back with what became of it: an event
    /// `sent`, or `not_sent` with `kind` and `error`. One whose kind is `network` is kept and sent later. The end of the input
    /// ends nothing.
    #[arg(long)]
    send: bool,
}

/// Listens until it is interrupted.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Failure> {
    let (account, mut events) = Account::start(context.client()?);
    context.output().remark(format_args!("listening for {}; stop with Ctrl-C", account.address()));
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut lines = if arguments.send { Some(outgoing::lines().map_err(Failure::failed)?) } else { None };
    // What was left unread before is handed over first.
    let mut work = true;
    loop {
        if let (true, Some(command)) = (work, &arguments.exec) {
            let bot = Bot { command, reply: arguments.reply, patience: Duration::from_secs(arguments.exec_timeout) };
            tokio::select! {
                done = bot.hand_over(&account) => done?,
                _ = &mut interrupted => return Ok(()),
            }
        }
        let notice = tokio::select! {
            notice = timeout(RETRY, events.next()) => notice,
            line = next(&mut lines) => {
                match line {
                    Some(line) => outgoing::send(&account, &line, context).await,
                    None => lines = None,
                }
                continue;
            }
            _ = &mut interrupted => return Ok(()),
        };
        work = true;
        match notice {
            Err(_) => {}
            Ok(None) => return Err(Failure::failed("the account was closed")),
            Ok(Some(Notice::Event(event))) => {
                let asks = if let Event::Request { sender, .. } = &event { Some(*sender) } else { None };
                work = matches!(event, Event::Message { .. });
                let shown = if let Event::Message { sender, .. } = &event { Some(*sender) } else { None };
                tell(context.output(), event, &names(&account, context.output()).await?);
                if let (Some(sender), true) = (asks, arguments.accept) {
                    match account.contacts().accept(sender).await {
                        Ok(_) => context.output().remark("  accepted"),
                        Err(error) => context.output().remark(format_args!("  not accepted: {error}")),
                    }
                }
                if let (Some(sender), None) = (shown, &arguments.exec) {
                    mark_all_read(&account, sender).await?;
                }
            }
            Ok(Some(Notice::Missed(missed))) => {
                context.output().remark(format_args!("{missed} events were not told; messages are in the history"));
            }
            Ok(Some(Notice::Online)) => context.output().remark("online"),
            Ok(Some(Notice::Offline(reason))) => {
                context.output().remark(format_args!("offline, trying again: {reason}"));
            }
        }
    }
}

/// Names, for people.
async fn names(account: &Account, output: Output) -> Result<Names, Failure> {
    if output.is_json() {
        return Ok(Names::default());
    }
    let contacts = account.contacts().list().await.map_err(account_failure)?;
    Ok(contacts.into_iter().map(|contact| (contact.account, contact.name)).collect())
}

/// The next line of the input; none at its end; never, if nothing is read.
async fn next(lines: &mut Option<mpsc::Receiver<String>>) -> Option<String> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}

/// Without a command, what was told was read.
async fn mark_all_read(account: &Account, sender: AccountAddress) -> Result<(), Failure> {
    account.conversation(sender).mark_read(i64::MAX).await.map(drop).map_err(account_failure)
}

fn account_failure<E: Error + Send + 'static>(error: AccountError<E>) -> Failure
where
    Failure: From<E>,
{
    match error {
        AccountError::Closed(error) => Failure::failed(error),
        AccountError::Failed(error) => error.into(),
    }
}

/// A command that answers messages.
struct Bot<'a> {
    command: &'a str,
    reply: bool,
    patience: Duration,
}

impl Bot<'_> {
    /// Hands every unread message to the command, each contact's in order, until one fails.
    async fn hand_over(&self, account: &Account) -> Result<(), Failure> {
        let contacts = account.contacts().list().await.map_err(account_failure)?;
        for contact in contacts.into_iter().filter(|contact| contact.unread > 0) {
            let conversation = account.conversation(contact.account);
            for message in conversation.unread(AT_ONCE).await.map_err(account_failure)? {
                let output = match self.run(&message).await {
                    Ok(output) => output,
                    Err(reason) => {
                        tracing::warn!(%reason, id = %message.id, "the command failed; the message stays unread");
                        break;
                    }
                };
                // Read before it is answered: an answer that waits in the outbox must not be given twice.
                conversation.mark_read(message.sequence).await.map_err(account_failure)?;
                if self.reply
                    && !output.is_empty()
                    && let Err(error) = conversation.send(output, Some(message.id)).await
                {
                    tracing::warn!(%error, "the answer was not delivered");
                }
            }
        }
        Ok(())
    }

    /// What the command prints for this message, without the line break at its end.
    async fn run(&self, message: &Message) -> Result<String, String> {
        let json = serde_json::to_vec(message).map_err(|error| error.to_string())?;
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(self.command)
            .env_remove("SKEP_PASSPHRASE")
            .env("SKEP_SENDER", message.contact.to_string())
            .env("SKEP_MESSAGE_ID", message.id.to_string())
            .env("SKEP_TIMESTAMP", message.timestamp.to_string())
            .env("SKEP_TEXT", message.text.as_deref().unwrap_or_default().replace('\0', ""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What it starts itself is stopped with it.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("it cannot be started: {error}"))?;
        let _group = child.id().and_then(|id| i32::try_from(id).ok()).map(|id| Group(Pid::from_raw(id)));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let talk = async {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // A command that does not read its input may be gone by now.
                    let _ = stdin.write_all(&json).await;
                }
            };
            let mut output = Vec::new();
            let read = async {
                if let Some(stdout) = stdout {
                    // What is too long is cut; the command may see its output closed.
                    let _ = stdout.take(MOST_OUTPUT).read_to_end(&mut output).await;
                }
            };
            tokio::join!(write, read);
            (child.wait().await, output)
        };
        let (status, output) =
            timeout(self.patience, talk).await.map_err(|_| format!("it took more than {:?}", self.patience))?;
        let status = status.map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("it ended with {status}"));
        }
        let mut output = String::from_utf8_lossy(&output).into_owned();
        output.truncate(output.trim_end_matches('\n').len());
        Ok(output)
    }
}

/// The processes of one command: none outlives it.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // Usually nobody is left.
        let _ = killpg(self.0, Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_client::{MessageId, MessageState};

    fn message(text: &str) -> Message {
        Message {
            contact: AccountAddress::from_x25519([1; 32]),
            mine: false,
            id: MessageId([2; 16]),
            text: Some(text.into()),
            timestamp: 3,
            reply_to: None,
            disappear_after: 0,
            gone_at: None,
            state: MessageState::Unread,
            sequence: 4,
        }
    }

    async fn run(command: &str, text: &str) -> Result<String, String> {
        Bot { command, reply: true, patience: Duration::from_millis(1500) }.run(&message(text)).await
    }

    #[tokio::test]
    async fn a_command_gets_the_message_and_gives_an_answer() {
        assert_eq!(run("echo \"$SKEP_TEXT!\"", "hi $(x) '").await, Ok("hi $(x) '!".into()));
        let json = run("cat", "hi").await.unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["text"], &json["state"]), (&"hi".into(), &"unread".into()));
        assert_eq!(run("true", "not read").await, Ok(String::new()));
        assert!(run("echo ${SKEP_PASSPHRASE:-none}", "").await.unwrap() == "none");
    }

    #[tokio::test]
    async fn a_command_that_fails_or_hangs_gives_none() {
        assert!(run("exit 3", "").await.unwrap_err().contains('3'));
        assert!(run("sleep 30", "").await.unwrap_err().contains("more than"));
        // Endless output is cut, which ends the command.
        assert!(run("yes", "").await.is_err());
    }
}

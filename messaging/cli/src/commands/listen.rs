//! Staying and telling what arrives, and bots.

mod outgoing;

use crate::{
    commands::receive::tell,
    context::{Context, PROXY},
    failure::Failure,
    output::{Output, Said},
    passphrase,
    people::Names,
    signer::STAKER,
};
use clap::Args;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde::Serialize;
use skep_client::{Account, AccountError, ContactStatus, Conversation, Event, EventStream, Message, Notice, SendError};
use std::{error::Error, fmt, process::Stdio, time::Duration};
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
/// What commands need not know to answer a message.
const SECRETS: [&str; 4] = [passphrase::VARIABLE, passphrase::NEW_VARIABLE, STAKER, PROXY];
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
    /// Accept every friend request, also those that wait
    #[arg(long)]
    accept: bool,
    /// Send what comes on standard input, one JSON object a line: {"to": CONTACT, "text": TEXT}
    ///
    /// `reply_to` may name the message it answers by its whole id, and `ref` comes back with what became of it: an event
    /// `sent`, or `not_sent` with `kind`, `error` and `kept`. One that is `kept` is sent later; one that is not has to be given
    /// again. The end of the input ends nothing.
    #[arg(long)]
    send: bool,
}

/// What happens besides events.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told<'a> {
    Online,
    Offline {
        reason: &'a str,
    },
    /// So many events were not told. Messages stay unread.
    Missed {
        count: u64,
    },
    /// Somebody's request was accepted.
    Welcomed {
        contact: String,
    },
    NotWelcomed {
        contact: String,
        #[serde(flatten)]
        failure: Failure,
    },
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Online => f.write_str("online"),
            Self::Offline { reason } => write!(f, "offline, trying again: {}", Said(reason)),
            Self::Missed { count } => write!(f, "{count} events were not told; messages are in the history, unread"),
            Self::Welcomed { contact } => write!(f, "accepted the request of {contact}"),
            Self::NotWelcomed { contact, failure } => {
                write!(f, "the request of {contact} was not accepted: {}", failure.message())
            }
        }
    }
}

/// Listens until it is interrupted.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Failure> {
    let (account, events) = Account::start(context.client()?);
    context.output().remark(format_args!("listening for {}; stop with Ctrl-C", account.address()));
    let ended = listen(&arguments, context, &account, events).await;
    // What was begun is kept, and nodes hear that nobody listens.
    account.close().await;
    ended
}

async fn listen(
    arguments: &Arguments,
    context: &Context,
    account: &Account,
    mut events: EventStream,
) -> Result<(), Failure> {
    let output = context.output();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut lines = if arguments.send { Some(outgoing::lines().map_err(Failure::failed)?) } else { None };
    // What was left unread, and who was left waiting, before comes first.
    let (mut work, mut accept) = (true, arguments.accept);
    loop {
        if accept {
            tokio::select! {
                done = accept_waiting(account, output) => done?,
                _ = &mut interrupted => return Ok(()),
            }
            accept = false;
        }
        if let (true, Some(command)) = (work, &arguments.exec) {
            let bot = Bot { command, reply: arguments.reply, patience: Duration::from_secs(arguments.exec_timeout) };
            tokio::select! {
                done = bot.hand_over(account) => done?,
                _ = &mut interrupted => return Ok(()),
            }
        }
        let notice = tokio::select! {
            notice = timeout(RETRY, events.next()) => notice,
            line = next(&mut lines) => {
                match line {
                    Some(line) => outgoing::send(account, &line, context).await,
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
                work = matches!(event, Event::Message { .. });
                accept = arguments.accept && matches!(event, Event::Request { .. });
                let shown = if let Event::Message { sender, id, .. } = &event { Some((*sender, *id)) } else { None };
                tell(output, event, &names(account, output).await?);
                // Without a command, what was told was read, and nothing else.
                if let (Some((sender, id)), None) = (shown, &arguments.exec) {
                    account.conversation(sender).mark_shown(vec![id]).await.map_err(account_failure)?;
                }
            }
            Ok(Some(Notice::Missed(count))) => {
                accept = arguments.accept;
                output.news(&Told::Missed { count });
            }
            Ok(Some(Notice::Online)) => {
                accept = arguments.accept;
                output.news(&Told::Online);
            }
            Ok(Some(Notice::Offline(reason))) => output.news(&Told::Offline { reason: &reason }),
        }
    }
}

/// Accepts everybody who asks.
async fn accept_waiting(account: &Account, output: Output) -> Result<(), Failure> {
    let contacts = account.contacts().list().await.map_err(account_failure)?;
    let names: Names = contacts.iter().map(|contact| (contact.account, contact.name.clone())).collect();
    for asking in contacts.iter().filter(|contact| contact.status == ContactStatus::Asking && !contact.blocked) {
        let contact = match output.is_json() {
            true => asking.account.to_string(),
            false => names.person(&asking.account).to_string(),
        };
        output.news(&match account.contacts().accept(asking.account).await.map_err(account_failure) {
            Ok(_) => Told::Welcomed { contact },
            Err(failure) if failure.is_kept() => Told::Welcomed { contact },
            Err(failure) => Told::NotWelcomed { contact, failure },
        });
    }
    Ok(())
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
                self.answer(&conversation, &message, output).await?;
            }
        }
        Ok(())
    }

    /// The message counts as read once its answer is kept, which happens at once: else it would be answered twice, or never.
    async fn answer(&self, conversation: &Conversation, message: &Message, output: String) -> Result<(), Failure> {
        let shown = vec![message.id];
        if self.reply && !output.is_empty() {
            let sent = conversation.answer(output, Some(message.id), shown.clone()).await;
            let Err(error) = sent else { return Ok(()) };
            tracing::warn!(%error, "the answer was not delivered");
            match error {
                AccountError::Failed(SendError::Undelivered(_)) => return Ok(()),
                AccountError::Closed(_) | AccountError::Failed(SendError::State(_)) => {
                    return Err(account_failure(error));
                }
                // It would be refused the next time, too.
                AccountError::Failed(_) => {}
            }
        }
        conversation.mark_shown(shown).await.map(drop).map_err(account_failure)
    }

    /// The command, as it is run for this message.
    fn command(&self, message: &Message) -> Command {
        let mut command = Command::new("sh");
        for secret in SECRETS {
            command.env_remove(secret);
        }
        command
            .arg("-c")
            .arg(self.command)
            .env("SKEP_SENDER", message.contact.to_string())
            .env("SKEP_MESSAGE_ID", message.id.to_string())
            .env("SKEP_TIMESTAMP", message.timestamp.to_string())
            .env("SKEP_TEXT", message.text.as_deref().unwrap_or_default().replace('\0', ""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What it starts itself is stopped with it.
            .process_group(0);
        command
    }

    /// What the command prints for this message, without the line break at its end.
    async fn run(&self, message: &Message) -> Result<String, String> {
        let json = serde_json::to_vec(message).map_err(|error| error.to_string())?;
        let started = self.command(message).spawn();
        let mut child = started.map_err(|error| format!("it cannot be started: {error}"))?;
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
    use skep_client::{AccountAddress, MessageId, MessageState};

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
        run_patiently(command, text, Duration::from_secs(60)).await
    }

    async fn run_patiently(command: &str, text: &str, patience: Duration) -> Result<String, String> {
        Bot { command, reply: true, patience }.run(&message(text)).await
    }

    #[tokio::test]
    async fn a_command_gets_the_message_and_gives_an_answer() {
        assert_eq!(run("echo \"$SKEP_TEXT!\"", "hi $(x) '").await, Ok("hi $(x) '!".into()));
        let json = run("cat", "hi").await.unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["text"], &json["state"]), (&"hi".into(), &"unread".into()));
        assert_eq!(run("true", "not read").await, Ok(String::new()));
    }

    #[test]
    fn a_command_is_told_no_secrets() {
        let bot = Bot { command: "true", reply: false, patience: Duration::from_secs(1) };
        let command = bot.command(&message("hi"));
        let taken: Vec<_> =
            command.as_std().get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        for secret in ["SKEP_PASSPHRASE", "SKEP_NEW_PASSPHRASE", "SKEP_STAKER", "SKEP_PROXY"] {
            assert!(taken.contains(&std::ffi::OsStr::new(secret)), "{secret}");
        }
    }

    #[test]
    fn what_is_told_besides_events_is_one_flat_object() {
        let failure = Failure::failed("no");
        let json = serde_json::to_value(Told::NotWelcomed { contact: "05ab".into(), failure }).unwrap();
        let expected = serde_json::json!({
            "event": "not_welcomed", "contact": "05ab", "kind": "failed", "error": "no", "kept": false,
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::to_value(Told::Online).unwrap(), serde_json::json!({ "event": "online" }));
        let missed = serde_json::to_value(Told::Missed { count: 3 }).unwrap();
        assert_eq!(missed, serde_json::json!({ "event": "missed", "count": 3 }));
    }

    #[tokio::test]
    async fn a_command_that_fails_or_hangs_gives_none() {
        assert!(run("exit 3", "").await.unwrap_err().contains('3'));
        let hangs = run_patiently("sleep 600", "", Duration::from_millis(100)).await;
        assert!(hangs.unwrap_err().contains("more than"));
        // Endless output is cut, which ends the command.
        assert!(run("yes", "").await.is_err());
    }
}

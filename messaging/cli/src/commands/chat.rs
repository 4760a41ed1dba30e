//! Conversations, full screen: the terminal and the account around a pure [`model`] and [`view`].

mod model;
mod view;

use crate::{context::Context, failure::Failure};
use clap::Args;
use model::{Effect, Input, Key, Model};
use ratatui::{
    Terminal,
    backend::TermionBackend,
    termion::{
        event::{Event as TerminalEvent, Key as TerminalKey},
        input::TermRead,
        raw::IntoRawMode,
        screen::IntoAlternateScreen,
    },
};
use skep_client::{Account, AccountError, EventStream, Purpose, SendError, UsedPath};
use skep_primitives::Moment;
use std::{
    env,
    future::{Future, poll_fn},
    io::{self, IsTerminal},
    task::Poll,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::mpsc;

/// How many messages of a conversation are loaded.
const LOADED: u32 = 200;
/// How often what fades is looked at, and the terminal's size.
const TICK: Duration = Duration::from_secs(1);
/// Inputs that wait.
const MOST_INPUTS: usize = 256;

/// Nothing to choose.
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

/// Runs until the user leaves.
pub(crate) async fn run(Arguments {}: Arguments, context: &Context) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::usage(
            "chat needs a terminal: without one, use send, receive, history, or listen (--json for programs)",
        ));
    }
    let client = context.client()?;
    let mut model = Model::new(client.account(), client.display_name().to_string());
    let (account, events) = Account::start(client);
    let left = talk(&mut model, &account, events).await;
    // The screen is back by now. What was said is kept before the program ends.
    account.close().await;
    left
}

async fn talk(model: &mut Model, account: &Account, mut events: EventStream) -> Result<(), Failure> {
    let colours = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let screen = io::stdout().into_raw_mode().and_then(IntoAlternateScreen::into_alternate_screen);
    let mut terminal = Terminal::new(TermionBackend::new(screen.map_err(Failure::failed)?)).map_err(Failure::failed)?;
    let (sender, mut inputs) = mpsc::channel(MOST_INPUTS);
    read_keys(sender.clone());
    let mut tick = tokio::time::interval(TICK);
    for effect in model.start() {
        perform(effect, account, &sender).await;
    }
    while !model.is_over() {
        terminal.draw(|frame| view::draw(model, colours, frame)).map_err(Failure::failed)?;
        let input = tokio::select! {
            Some(input) = inputs.recv() => input,
            notice = events.next() => match notice {
                Some(notice) => Input::Notice(notice),
                None => return Err(Failure::failed("the account was closed")),
            },
            _ = tick.tick() => Input::Tick(now()),
        };
        for effect in model.update(input) {
            perform(effect, account, &sender).await;
        }
    }
    Ok(())
}

/// What this machine's clock shows (ms).
fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment::try_from(since.as_millis()).unwrap_or(Moment::MAX)
}

/// Keys are read by a thread, which ends with the program: nothing else can end a read of a terminal.
fn read_keys(inputs: mpsc::Sender<Input>) {
    thread::spawn(move || {
        for event in io::stdin().lock().events().map_while(Result::ok) {
            let key = match event {
                TerminalEvent::Key(key) => key_of(key),
                TerminalEvent::Mouse(_) | TerminalEvent::Unsupported(_) => None,
            };
            if key.is_some_and(|key| inputs.blocking_send(Input::Key(key)).is_err()) {
                return;
            }
        }
    });
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a terminal has many keys that mean nothing here")]
const fn key_of(key: TerminalKey) -> Option<Key> {
    Some(match key {
        TerminalKey::Char('\n') => Key::Enter,
        TerminalKey::Char('\t') | TerminalKey::Ctrl('n') => Key::NextContact,
        TerminalKey::BackTab | TerminalKey::Ctrl('p') => Key::PreviousContact,
        TerminalKey::Char(c) => Key::Char(c),
        TerminalKey::Backspace => Key::Backspace,
        TerminalKey::Ctrl('u') => Key::Clear,
        TerminalKey::Up | TerminalKey::PageUp => Key::Up,
        TerminalKey::Down | TerminalKey::PageDown => Key::Down,
        TerminalKey::Ctrl('a') => Key::Accept,
        TerminalKey::Ctrl('r') => Key::Reply,
        TerminalKey::Ctrl('c' | 'q' | 'd') | TerminalKey::Esc => Key::Quit,
        _ => return None,
    })
}

/// Has done what the model wants, and it be told what came of that. Returns once it is asked for, so that what is wanted is done in
/// its order, and before the account is closed.
async fn perform(effect: Effect, account: &Account, inputs: &mpsc::Sender<Input>) {
    let (account, inputs) = (account.clone(), inputs.clone());
    let mut doing = Box::pin(async move {
        let input = match effect {
            Effect::LoadContacts => match account.contacts().list().await {
                Ok(contacts) => Input::Contacts(contacts),
                Err(error) => failed(&error),
            },
            Effect::LoadHistory(contact) => match account.conversation(contact).history(None, LOADED).await {
                Ok(messages) => Input::History(contact, messages),
                Err(error) => failed(&error),
            },
            Effect::MarkRead(contact, sequence) => match account.conversation(contact).mark_read(sequence).await {
                Ok(0) => return,
                Ok(_) => Input::Done(contact),
                Err(error) => failed(&error),
            },
            Effect::Send(contact, text, reply_to) => {
                match account.conversation(contact).send(text.clone(), reply_to).await {
                    Ok(_) => Input::Sent(contact),
                    Err(error) => {
                        let kept = matches!(error, AccountError::Failed(SendError::Undelivered(_)));
                        let lost = (!kept).then_some((text, reply_to));
                        Input::NotSent { contact, reason: error.to_string(), lost }
                    }
                }
            }
            // Nobody misses a typing notice.
            Effect::Typing(contact, started) => {
                drop(account.conversation(contact).set_typing(started).await);
                return;
            }
            Effect::Accept(contact) => match account.contacts().accept(contact).await {
                Ok(_) => Input::Done(contact),
                Err(error) => failed(&error),
            },
            Effect::LoadPath => match account.paths().await {
                Ok(paths) => Input::Path(paths.iter().find_map(path_text).unwrap_or_default()),
                Err(error) => failed(&error),
            },
        };
        // The screen may be gone by now.
        let _ = inputs.send(input).await;
    });
    let begun = poll_fn(|context| Poll::Ready(doing.as_mut().poll(context))).await;
    if begun.is_pending() {
        tokio::spawn(doing);
    }
}

fn failed(error: &impl std::error::Error) -> Input {
    Input::Failed(error.to_string())
}

/// The way messages take, by the beginnings of the hops' names.
fn path_text(path: &UsedPath) -> Option<String> {
    let short = |hop: &skep_client::PathHop| hop.node.to_string().chars().take(6).collect::<String>();
    (path.purpose == Purpose::Sending).then(|| path.hops.iter().map(short).collect::<Vec<_>>().join(" > "))
}

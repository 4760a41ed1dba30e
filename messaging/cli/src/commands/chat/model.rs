//! What the screen shows and how it changes; pure.

use skep_client::{AccountAddress, ContactStatus, ContactSummary, Event, Message, MessageId, MessageState, Notice};
use skep_primitives::Moment;
use std::collections::BTreeMap;

/// Ticks after which somebody who said to be writing is not believed any more.
const TYPING_TICKS: u8 = 20;
/// Ticks after which we say once more that we are writing.
const TYPING_AGAIN: u8 = 10;
/// Most characters of one message that can be typed.
const LONGEST_INPUT: usize = 10_000;

/// Something happened.
#[derive(Debug)]
pub(super) enum Input {
    Key(Key),
    Notice(Notice),
    /// About a second has passed; it is now this time (ms).
    Tick(Moment),
    Contacts(Vec<ContactSummary>),
    History(AccountAddress, Vec<Message>),
    /// Something about this contact was done.
    Done(AccountAddress),
    /// A message to this contact was sent.
    Sent(AccountAddress),
    /// A message could not be sent. It is in the outbox, unless it is given back here.
    NotSent {
        contact: AccountAddress,
        reason: String,
        lost: Option<(String, Option<MessageId>)>,
    },
    Failed(String),
    Path(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Backspace,
    Clear,
    Enter,
    NextContact,
    PreviousContact,
    Up,
    Down,
    Accept,
    Reply,
    Quit,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    LoadContacts,
    LoadHistory(AccountAddress),
    LoadPath,
    MarkRead(AccountAddress, i64),
    Send(AccountAddress, String, Option<MessageId>),
    Typing(AccountAddress, bool),
    Accept(AccountAddress),
}

/// Everything the screen shows.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) own: AccountAddress,
    pub(super) name: String,
    pub(super) contacts: Vec<ContactSummary>,
    /// The contact whose conversation is shown.
    pub(super) open: Option<AccountAddress>,
    /// Of the open conversation.
    pub(super) messages: Vec<Message>,
    pub(super) input: String,
    /// What is typed in other conversations.
    drafts: BTreeMap<AccountAddress, String>,
    /// The message that is answered.
    pub(super) reply_to: Option<MessageId>,
    /// Lines above the end of the conversation.
    pub(super) scroll: u16,
    /// Messages that are being sent now.
    pub(super) sending: usize,
    /// None: not known yet.
    pub(super) online: Option<bool>,
    pub(super) path: String,
    /// By this machine's clock (ms).
    pub(super) now: Moment,
    /// What went wrong last, or what is to be done.
    pub(super) remark: String,
    /// For how many ticks contacts are still believed to write.
    typing: BTreeMap<AccountAddress, u8>,
    /// We said that we are writing, so many ticks ago.
    told_typing: Option<u8>,
    over: bool,
}

impl Model {
    pub(super) fn new(own: AccountAddress, name: String) -> Self {
        Self {
            own,
            name,
            contacts: Vec::new(),
            open: None,
            messages: Vec::new(),
            input: String::new(),
            drafts: BTreeMap::new(),
            reply_to: None,
            scroll: 0,
            sending: 0,
            online: None,
            path: String::new(),
            now: 0,
            remark: String::new(),
            typing: BTreeMap::new(),
            told_typing: None,
            over: false,
        }
    }

    /// What to do first.
    pub(super) fn start(&self) -> Vec<Effect> {
        vec![Effect::LoadContacts]
    }

    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn is_typing(&self, contact: &AccountAddress) -> bool {
        self.typing.contains_key(contact)
    }

    /// The contact whose conversation is shown.
    pub(super) fn contact(&self) -> Option<&ContactSummary> {
        self.contacts.iter().find(|contact| Some(contact.account) == self.open)
    }

    /// Takes something in; what to do about it.
    pub(super) fn update(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Key(key) => return self.pressed(key),
            Input::Notice(notice) => return self.noticed(notice),
            Input::Tick(now) => {
                self.now = now;
                self.tick()
            }
            Input::Contacts(contacts) => {
                self.contacts = contacts;
                if self.open.is_none() {
                    return self
                        .contacts
                        .first()
                        .map(|contact| contact.account)
                        .map_or_else(Vec::new, |c| self.show(c));
                }
            }
            Input::History(contact, messages) if Some(contact) == self.open => {
                let unread = |message: &&Message| message.state == MessageState::Unread;
                let shown = messages.iter().rev().find(unread).map(|message| message.sequence);
                self.messages = messages;
                return shown.map(|sequence| Effect::MarkRead(contact, sequence)).into_iter().collect();
            }
            Input::History(..) => {}
            Input::Done(contact) => return self.reload(contact),
            Input::Sent(contact) => {
                self.sending = self.sending.saturating_sub(1);
                let mut effects = self.reload(contact);
                // It may have been mended on the way.
                effects.push(Effect::LoadPath);
                return effects;
            }
            Input::NotSent { contact, reason, lost } => {
                self.sending = self.sending.saturating_sub(1);
                self.remark = reason;
                if let Some((text, reply_to)) = lost {
                    self.give_back(contact, text, reply_to);
                }
                return self.reload(contact);
            }
            Input::Failed(reason) => self.remark = reason,
            Input::Path(path) => self.path = path,
        }
        Vec::new()
    }

    /// What could not be sent is typed once more, before what was typed meanwhile.
    fn give_back(&mut self, contact: AccountAddress, mut text: String, reply_to: Option<MessageId>) {
        let open = self.open == Some(contact);
        let typed = if open { &mut self.input } else { self.drafts.entry(contact).or_default() };
        if !typed.is_empty() {
            text.push(' ');
        }
        typed.insert_str(0, &text);
        if open {
            self.reply_to = self.reply_to.or(reply_to);
        }
    }

    fn show(&mut self, contact: AccountAddress) -> Vec<Effect> {
        let mut effects = self.stop_typing();
        if self.open != Some(contact) {
            self.messages.clear();
            let typed = std::mem::replace(&mut self.input, self.drafts.remove(&contact).unwrap_or_default());
            if let (Some(before), false) = (self.open, typed.is_empty()) {
                self.drafts.insert(before, typed);
            }
            (self.reply_to, self.scroll) = (None, 0);
        }
        self.open = Some(contact);
        effects.push(Effect::LoadHistory(contact));
        effects
    }

    fn reload(&self, contact: AccountAddress) -> Vec<Effect> {
        let mut effects = vec![Effect::LoadContacts];
        effects.extend((self.open == Some(contact)).then_some(Effect::LoadHistory(contact)));
        effects
    }

    fn step(&mut self, forward: bool) -> Vec<Effect> {
        let count = self.contacts.len();
        if count == 0 {
            return Vec::new();
        }
        let at = self.contacts.iter().position(|contact| Some(contact.account) == self.open);
        let next = match (at, forward) {
            (None, _) => 0,
            (Some(at), true) => (at + 1) % count,
            (Some(at), false) => (at + count - 1) % count,
        };
        self.contacts.get(next).map(|contact| contact.account).map_or_else(Vec::new, |contact| self.show(contact))
    }

    fn pressed(&mut self, key: Key) -> Vec<Effect> {
        match key {
            Key::Quit => {
                self.over = true;
                self.stop_typing()
            }
            Key::NextContact => self.step(true),
            Key::PreviousContact => self.step(false),
            Key::Up => {
                self.scroll = self.scroll.saturating_add(5);
                Vec::new()
            }
            Key::Down => {
                self.scroll = self.scroll.saturating_sub(5);
                Vec::new()
            }
            Key::Char(c) if self.input.len() < LONGEST_INPUT && !c.is_control() => {
                self.input.push(c);
                self.keep_typing()
            }
            Key::Char(_) => Vec::new(),
            Key::Backspace => {
                self.input.pop();
                if self.input.is_empty() { self.stop_typing() } else { Vec::new() }
            }
            Key::Clear => {
                self.input.clear();
                self.reply_to = None;
                self.stop_typing()
            }
            Key::Reply => {
                let theirs = self.messages.iter().rev().find(|message| !message.mine && message.text.is_some());
                self.reply_to = theirs.map(|message| message.id);
                Vec::new()
            }
            Key::Accept => match self.contact() {
                Some(contact) if contact.status == ContactStatus::Asking => vec![Effect::Accept(contact.account)],
                _ => Vec::new(),
            },
            Key::Enter => self.send(),
        }
    }

    fn send(&mut self) -> Vec<Effect> {
        let (Some(contact), false) = (self.open, self.input.trim().is_empty()) else { return Vec::new() };
        if self.contact().is_some_and(|contact| contact.status != ContactStatus::Established) {
            self.remark = "you cannot write to them yet: both of you have to want to talk".into();
            return Vec::new();
        }
        self.told_typing = None;
        self.remark.clear();
        self.scroll = 0;
        self.sending += 1;
        vec![Effect::Send(contact, std::mem::take(&mut self.input), self.reply_to.take())]
    }

    fn keep_typing(&mut self) -> Vec<Effect> {
        let established = self.contact().filter(|contact| contact.status == ContactStatus::Established);
        match (established.map(|contact| contact.account), self.told_typing) {
            (Some(contact), None) => {
                self.told_typing = Some(0);
                vec![Effect::Typing(contact, true)]
            }
            (Some(contact), Some(ticks)) if ticks >= TYPING_AGAIN => {
                self.told_typing = Some(0);
                vec![Effect::Typing(contact, true)]
            }
            _ => Vec::new(),
        }
    }

    fn stop_typing(&mut self) -> Vec<Effect> {
        match (self.told_typing.take(), self.open) {
            (Some(_), Some(contact)) => vec![Effect::Typing(contact, false)],
            _ => Vec::new(),
        }
    }

    fn noticed(&mut self, notice: Notice) -> Vec<Effect> {
        match notice {
            Notice::Online => {
                (self.online, self.remark) = (Some(true), String::new());
                vec![Effect::LoadPath]
            }
            Notice::Offline(reason) => {
                (self.online, self.remark) = (Some(false), reason);
                Vec::new()
            }
            Notice::Missed(_) => self.open.map_or_else(|| vec![Effect::LoadContacts], |contact| self.reload(contact)),
            Notice::Event(Event::Typing { sender, started }) => {
                if started {
                    self.typing.insert(sender, TYPING_TICKS);
                } else {
                    self.typing.remove(&sender);
                }
                Vec::new()
            }
            Notice::Event(event) => {
                let contact = *event.contact();
                if matches!(event, Event::Message { .. }) {
                    self.typing.remove(&contact);
                }
                if matches!(event, Event::SessionReset { .. }) {
                    self.remark = format!("the session with {contact} was lost and has been started anew");
                }
                if matches!(event, Event::IdentityChanged { .. }) {
                    self.remark = format!("{contact} restored the account: compare safety numbers (contact verify)");
                }
                self.reload(contact)
            }
        }
    }

    fn tick(&mut self) {
        self.typing.retain(|_, ticks| {
            *ticks = ticks.saturating_sub(1);
            *ticks > 0
        });
        self.told_typing = self.told_typing.map(|ticks| ticks.saturating_add(1));
    }
}

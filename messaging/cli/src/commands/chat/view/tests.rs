use super::super::model::{Effect, Input, Key};
use super::*;
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};
use skep_client::{AccountAddress, Event, Notice, ReceiptKind};

fn account(number: u8) -> AccountAddress {
    AccountAddress::from_x25519([number; 32])
}

fn contact(number: u8, name: &str, status: ContactStatus, unread: u32) -> ContactSummary {
    let introduction = (status == ContactStatus::Asking).then(|| "It is me\u{1b}[2J".into());
    let name = Some(name.parse().unwrap());
    ContactSummary { account: account(number), name, status, introduction, blocked: false, unread }
}

fn message(number: u8, mine: bool, text: &str, state: MessageState) -> Message {
    Message {
        contact: account(1),
        mine,
        id: MessageId([number; 16]),
        text: Some(text.into()),
        timestamp: 0,
        reply_to: None,
        disappear_after: 0,
        gone_at: None,
        state,
        sequence: number.into(),
    }
}

/// Ada's screen with Bob's conversation open.
fn model() -> Model {
    let mut model = Model::new(account(9), "Ada".into());
    assert_eq!(model.start(), [Effect::LoadContacts]);
    let contacts = vec![
        contact(1, "Bob", ContactStatus::Established, 2),
        contact(2, "Carol", ContactStatus::Asking, 0),
        contact(3, "Dan", ContactStatus::Established, 3),
    ];
    assert_eq!(model.update(Input::Contacts(contacts)), [Effect::LoadHistory(account(1))]);
    let mut answer = message(3, true, "fine", MessageState::OnSwarm { receipts: 5 });
    answer.reply_to = Some(MessageId([2; 16]));
    let messages = vec![
        message(1, true, "hello", MessageState::Read { at: 1 }),
        message(2, false, "how are you?", MessageState::Unread),
        answer,
        message(4, true, "see you", MessageState::Delivered { at: 1 }),
        message(5, true, "lost", MessageState::Failed),
    ];
    assert_eq!(model.update(Input::History(account(1), messages)), [Effect::MarkRead(account(1), 2)]);
    model
}

fn buffer(model: &Model, colours: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(90, 30)).unwrap();
    terminal.draw(|frame| draw(model, colours, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn screen(model: &Model) -> String {
    let buffer = buffer(model, true);
    let rows = buffer.content().chunks(90).map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    rows.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn shows(model: &Model, text: &str) {
    let screen = screen(model);
    assert!(screen.contains(text), "{text:?} is not on\n{screen}");
}

fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    keys.chars().flat_map(|key| model.update(Input::Key(Key::Char(key)))).collect()
}

#[test]
fn contacts_unread_counts_and_delivery_states_are_shown() {
    let model = model();
    for text in
        ["> Bob", "3 new", "Carol", "asks you", "you  now  read", "Bob  now", "how are you?", "sent, on 5 nodes"]
    {
        shows(&model, text);
    }
    for text in ["| how are you?", "you  now  delivered", "you  now  NOT DELIVERED", "connecting"] {
        shows(&model, text);
    }
}

#[test]
fn what_is_the_same_as_before_is_said_once() {
    let mut model = model();
    model.update(Input::Tick(8 * 60_000));
    let said = |number, mine, timestamp| {
        let state = if mine { MessageState::Read { at: 1 } } else { MessageState::Unread };
        Message { timestamp, ..message(number, mine, &format!("text {number}"), state) }
    };
    let messages = vec![said(1, false, 0), said(2, false, 1), said(3, true, 2), said(4, true, 400_000)];
    model.update(Input::History(account(1), messages));
    let screen = screen(&model);
    let count = |text: &str| screen.matches(text).count();
    assert_eq!((count("Bob  8 min"), count("you  7 min  read"), count("you  1 min  read")), (1, 1, 1), "{screen}");
    assert!((1..=4).all(|number| count(&format!("text {number}")) == 1), "{screen}");
    assert_eq!([0, 59 * 60_000, 60 * 60_000, 3 * 86_400_000].map(|then| age(then, 0)), ["now", "59 min", "1 h", "3 d"]);
}

#[test]
fn long_texts_are_broken_between_words_and_lose_nothing() {
    assert_eq!(broken("", 5), [""]);
    assert_eq!(broken("to be or not", 5), ["to be", "or", "not"]);
    assert_eq!(broken("a abcdefgh", 3), ["a", "abc", "def", "gh"]);
    let text = "What is said in many words needs more than one line, ünd wörds with ümläuts, too.";
    for width in 1..100 {
        let lines = broken(text, width);
        assert!(lines.iter().all(|line| Span::raw(line.as_str()).width() <= width), "{lines:?}");
        assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
    }
    let block = block_of("one\nthree", 10);
    assert!(block.iter().all(|line| line.width() == 5), "{block:?}");
}

#[test]
fn a_stranger_cannot_steer_the_terminal() {
    let mut model = model();
    model.update(Input::Key(Key::NextContact));
    shows(&model, "They ask to talk: It is me\\u{1b}[2J");
    assert!(!screen(&model).contains('\u{1b}'));
    assert_eq!(model.update(Input::Key(Key::Accept)), [Effect::Accept(account(2))]);
}

#[test]
fn what_is_typed_is_sent_once_and_writing_is_told() {
    let mut model = model();
    assert_eq!(press(&mut model, "hi!"), [Effect::Typing(account(1), true)]);
    shows(&model, "hi!");
    model.update(Input::Key(Key::Backspace));
    model.update(Input::Key(Key::Reply));
    shows(&model, "Answering: how are you?");
    let sent = model.update(Input::Key(Key::Enter));
    assert_eq!(sent, [Effect::Send(account(1), "hi".into(), Some(MessageId([2; 16])))]);
    shows(&model, "sending 1");
    assert_eq!(model.update(Input::Key(Key::Enter)), []);
    let reload = [Effect::LoadContacts, Effect::LoadHistory(account(1))];
    let not_sent = |reason: &str, lost| Input::NotSent { contact: account(1), reason: reason.into(), lost };
    assert_eq!(model.update(not_sent("not delivered yet", None)), reload);
    shows(&model, "not delivered yet");
    assert!(!screen(&model).contains("sending"));
    press(&mut model, "again");
    model.update(Input::Key(Key::Enter));
    // Something else that is done does not make it sent.
    model.update(Input::Done(account(1)));
    shows(&model, "sending 1");
    assert_eq!(model.update(Input::Sent(account(1))), [&reload[..], &[Effect::LoadPath]].concat());
    assert!(!screen(&model).contains("sending"));
    // Who empties the line has stopped.
    assert_eq!(press(&mut model, "x"), [Effect::Typing(account(1), true)]);
    assert_eq!(model.update(Input::Key(Key::Backspace)), [Effect::Typing(account(1), false)]);
}

#[test]
fn what_was_not_kept_and_what_is_not_finished_is_still_there() {
    let mut model = model();
    let lost = |text: &str| {
        let lost = Some((text.into(), Some(MessageId([2; 16]))));
        Input::NotSent { contact: account(1), reason: "nobody answers".into(), lost }
    };
    press(&mut model, "one");
    model.update(Input::Key(Key::Enter));
    model.update(lost("one"));
    shows(&model, "nobody answers");
    let again = model.update(Input::Key(Key::Enter));
    assert_eq!(again, [Effect::Send(account(1), "one".into(), Some(MessageId([2; 16])))]);
    // Before what was typed meanwhile, here or in another conversation.
    press(&mut model, "two");
    model.update(lost("one"));
    assert_eq!(model.input, "one two");
    model.update(Input::Key(Key::PreviousContact));
    assert_eq!((model.open, model.input.as_str()), (Some(account(3)), ""));
    press(&mut model, "to Dan");
    model.update(lost("zero"));
    assert_eq!(model.input, "to Dan");
    model.update(Input::Key(Key::NextContact));
    assert_eq!((model.open, model.input.as_str()), (Some(account(1)), "zero one two"));
    model.update(Input::Key(Key::PreviousContact));
    assert_eq!(model.input, "to Dan");
}

#[test]
fn writing_of_others_is_shown_and_fades() {
    let mut model = model();
    let typing = |started| Input::Notice(Notice::Event(Event::Typing { sender: account(1), started }));
    assert_eq!(model.update(typing(true)), []);
    shows(&model, "Bob is writing...");
    for _ in 0..30 {
        model.update(Input::Tick(0));
    }
    assert!(!screen(&model).contains("is writing"));
    model.update(typing(true));
    model.update(typing(false));
    assert!(!screen(&model).contains("is writing"));
}

#[test]
fn news_reload_what_they_are_about() {
    let mut model = model();
    let receipt = |sender| {
        let ids = vec![MessageId([4; 16])];
        Input::Notice(Notice::Event(Event::Receipt { sender, kind: ReceiptKind::Read, ids }))
    };
    assert_eq!(model.update(receipt(account(1))), [Effect::LoadContacts, Effect::LoadHistory(account(1))]);
    assert_eq!(model.update(receipt(account(3))), [Effect::LoadContacts]);
    // What comes late for a conversation that is not open any more is not shown in another.
    model.update(Input::Key(Key::PreviousContact));
    assert_eq!(model.open, Some(account(3)));
    assert_eq!(model.update(Input::History(account(1), vec![message(8, false, "late", MessageState::Unread)])), []);
    assert!(!screen(&model).contains("late"));
}

#[test]
fn the_path_and_the_connection_are_shown() {
    let mut model = model();
    assert_eq!(model.update(Input::Notice(Notice::Online)), [Effect::LoadPath]);
    model.update(Input::Path("aa > bb > cc".into()));
    shows(&model, "online  path: you > aa > bb > cc > swarm");
    model.update(Input::Notice(Notice::Offline("no chain node answers".into())));
    shows(&model, "OFFLINE");
    shows(&model, "no chain node answers");
    model.update(Input::Key(Key::Quit));
    assert!(model.is_over());
}

#[test]
fn without_colours_nothing_is_coloured_and_everything_is_said() {
    let mut model = model();
    model.update(Input::Notice(Notice::Online));
    let plain = buffer(&model, false);
    assert!(plain.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let coloured = buffer(&model, true);
    assert!(coloured.content().iter().any(|cell| cell.fg != Color::Reset));
    let text = |buffer: &Buffer| buffer.content().iter().map(|cell| cell.symbol().to_owned()).collect::<Vec<_>>();
    assert_eq!(text(&plain), text(&coloured));
}

#[test]
fn any_size_of_terminal_can_be_drawn_on() {
    let mut model = model();
    model.input = "ä".repeat(300);
    model.scroll = 3;
    for (width, height) in [(1, 1), (5, 3), (30, 6), (200, 60)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(&model, true, frame)).unwrap();
    }
}

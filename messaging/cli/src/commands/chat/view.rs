//! The screen: who is there, what was said, what is being written, how it travels.

use super::model::Model;
use crate::output::Shown;
use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, BorderType, Padding, Paragraph, Wrap},
};
use skep_client::{ContactStatus, ContactSummary, Message, MessageId, MessageState};
use skep_primitives::Moment;

/// Columns of the list of contacts.
const CONTACTS: u16 = 26;
/// Messages within this time of each other share a heading (ms).
const ONE_BREATH: Moment = 5 * 60 * 1000;

/// Draws the whole screen. Without colours everything is told by words and weight.
pub(super) fn draw(model: &Model, colours: bool, frame: &mut Frame<'_>) {
    let theme = Theme { colours };
    let [main, status] = Layout::vertical([Constraint::Min(5), Constraint::Length(2)]).areas(frame.area());
    let [contacts, conversation] = Layout::horizontal([Constraint::Length(CONTACTS), Constraint::Min(20)]).areas(main);
    let [messages, input] = Layout::vertical([Constraint::Min(3), Constraint::Length(3)]).areas(conversation);
    draw_contacts(model, theme, frame, contacts);
    draw_messages(model, theme, frame, messages);
    draw_input(model, theme, frame, input);
    draw_status(model, theme, frame, status);
}

#[derive(Clone, Copy)]
struct Theme {
    colours: bool,
}

impl Theme {
    fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }
}

/// What a contact is called here: their word, or the beginning of the account.
fn called(contact: &ContactSummary) -> String {
    match &contact.name {
        Some(name) => one_line(name.as_str()),
        None => short(&contact.account.to_string()),
    }
}

fn short(text: &str) -> String {
    text.chars().take(8).collect()
}

/// A stranger's text in one line, safe on a terminal.
fn one_line(text: &str) -> String {
    Shown(text).to_string().replace('\n', " ")
}

/// A frame that stays in the background.
fn framed<'a>(theme: Theme, title: impl Into<Line<'a>>) -> Block<'a> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.colour(Color::DarkGray))
        .title(title)
        .title_style(theme.colour(Color::Reset).add_modifier(Modifier::BOLD))
}

fn draw_contacts(model: &Model, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width.saturating_sub(2));
    let lines: Vec<_> = model.contacts.iter().map(|contact| contact_line(model, contact, theme, width)).collect();
    // The open contact stays in sight.
    let at = model.contacts.iter().position(|contact| Some(contact.account) == model.open).unwrap_or_default();
    let rows = usize::from(area.height.saturating_sub(2)).max(1);
    let above = u16::try_from((at + 1).saturating_sub(rows)).unwrap_or(u16::MAX);
    frame.render_widget(Paragraph::new(lines).scroll((above, 0)).block(framed(theme, " Contacts ")), area);
}

/// Their name, and at the end of the line what is new about them.
fn contact_line(model: &Model, contact: &ContactSummary, theme: Theme, width: usize) -> Line<'static> {
    let open = Some(contact.account) == model.open;
    let mut style = if contact.unread > 0 { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
    if open {
        style = style.add_modifier(Modifier::REVERSED);
    }
    let (mark, colour) = match contact.status {
        _ if contact.blocked => ("blocked ".to_owned(), Color::Red),
        _ if model.is_typing(&contact.account) => ("writing ".to_owned(), Color::Cyan),
        _ if contact.unread > 0 => (format!("{} new ", contact.unread), Color::Green),
        ContactStatus::Requested => ("asked ".to_owned(), Color::DarkGray),
        ContactStatus::Asking => ("asks you ".to_owned(), Color::Yellow),
        ContactStatus::Declined => ("declined ".to_owned(), Color::DarkGray),
        ContactStatus::Established => (String::new(), Color::Reset),
    };
    let name = Span::raw(format!("{}{} ", if open { "> " } else { "  " }, called(contact)));
    let gap = " ".repeat(width.saturating_sub(name.width() + mark.len()));
    Line::from(vec![name, Span::raw(gap), Span::styled(mark, theme.colour(if open { Color::Reset } else { colour }))])
        .style(style)
}

fn draw_messages(model: &Model, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let title = model.contact().map_or_else(String::new, |contact| {
        let writing = if model.is_typing(&contact.account) { "is writing... " } else { "" };
        format!(" {} {writing}", called(contact))
    });
    let block = framed(theme, title).padding(Padding::horizontal(1));
    let inner = block.inner(area);
    let mut lines = Vec::new();
    match model.contact() {
        None => lines.push(Line::raw("No contacts yet: ask somebody with `skep contact request`.")),
        Some(ContactSummary { status: ContactStatus::Asking, introduction, .. }) => {
            lines.push(Line::raw(format!(
                "They ask to talk: {}",
                one_line(introduction.as_deref().unwrap_or_default())
            )));
            lines.push(Line::raw("Ctrl-A accepts; `skep contact decline` declines."));
        }
        Some(_) => {}
    }
    let mut before = None;
    for message in &model.messages {
        lines.extend(message_lines(model, message, before, theme, usize::from(inner.width)));
        before = Some(message);
    }
    let paragraph = Paragraph::new(lines).wrap(Wrap { trim: false });
    let height = wrapped_height(&paragraph, inner.width);
    let last = height.saturating_sub(inner.height);
    frame.render_widget(paragraph.scroll((last.saturating_sub(model.scroll), 0)).block(block), area);
}

/// Lines of a paragraph at this width.
fn wrapped_height(paragraph: &Paragraph<'_>, width: u16) -> u16 {
    u16::try_from(paragraph.line_count(width)).unwrap_or(u16::MAX)
}

/// A message: ours on the right, theirs on the left. What is the same as of the message before is not said again.
fn message_lines(
    model: &Model,
    message: &Message,
    before: Option<&Message>,
    theme: Theme,
    width: usize,
) -> Vec<Line<'static>> {
    let (who, colour, side) = match message.mine {
        true => ("you".to_owned(), Color::Cyan, Alignment::Right),
        false => (model.contact().map_or_else(String::new, called), Color::Magenta, Alignment::Left),
    };
    let (age, dim) = (age(model.now, message.timestamp), theme.colour(Color::DarkGray));
    let goes_on = before.is_some_and(|before| {
        let soon = message.timestamp.saturating_sub(before.timestamp) < ONE_BREATH;
        soon && before.mine == message.mine && state(before) == state(message)
    });
    let mut lines = Vec::new();
    if !goes_on || message.reply_to.is_some() {
        lines.extend(before.map(|_| Line::raw("")));
        let mut heading = vec![
            Span::styled(who, theme.colour(colour).add_modifier(Modifier::BOLD)),
            Span::styled(format!("  {age}"), dim),
        ];
        if let Some((state, colour)) = state(message) {
            heading.push(Span::styled(format!("  {state}"), theme.colour(colour)));
        }
        lines.push(Line::from(heading));
    }
    if let Some(id) = &message.reply_to {
        lines.push(Line::styled(format!("| {}", answered(model, id)), dim));
    }
    match &message.text {
        Some(text) => lines.extend(block_of(&Shown(text).to_string(), width * 3 / 4)),
        None => lines.push(Line::styled("(unsent)", dim)),
    }
    lines.into_iter().map(|line| line.alignment(side)).collect()
}

/// A text in lines of at most `width` columns, filled up to the longest of them, so that it is straight on both sides.
fn block_of(text: &str, width: usize) -> Vec<Line<'static>> {
    let lines: Vec<_> = text.split('\n').flat_map(|line| broken(line, width.max(1))).collect();
    let columns = |line: &String| Span::raw(line.as_str()).width();
    let longest = lines.iter().map(columns).max().unwrap_or_default();
    let filled = |line: String| {
        let gap = longest.saturating_sub(columns(&line));
        Line::raw(format!("{line}{}", " ".repeat(gap)))
    };
    lines.into_iter().map(filled).collect()
}

/// One line, broken between words, or within those that are too long.
fn broken(line: &str, width: usize) -> Vec<String> {
    let columns = |text: &str| Span::raw(text).width();
    let (mut lines, mut last) = (Vec::new(), String::new());
    for word in line.split_inclusive(' ') {
        if !last.is_empty() && columns(&last) + columns(word.trim_end()) > width {
            lines.push(std::mem::take(&mut last).trim_end().to_owned());
        }
        for c in word.chars() {
            if c != ' ' && columns(&last) >= width {
                lines.push(std::mem::take(&mut last));
            }
            last.push(c);
        }
    }
    lines.push(last.trim_end().to_owned());
    lines
}

/// How long ago that was.
fn age(now: Moment, then: Moment) -> String {
    match now.saturating_sub(then) / 60_000 {
        0 => "now".to_owned(),
        minutes @ 1..60 => format!("{minutes} min"),
        minutes @ 60..1440 => format!("{} h", minutes / 60),
        minutes => format!("{} d", minutes / 1440),
    }
}

/// The beginning of the message that is answered.
fn answered(model: &Model, id: &MessageId) -> String {
    let found = model.messages.iter().find(|message| message.id == *id);
    match found.and_then(|message| message.text.as_deref()) {
        Some(text) => one_line(text).chars().take(60).collect(),
        None => "(a message that is not here)".into(),
    }
}

/// How far a message of ours has come.
fn state(message: &Message) -> Option<(String, Color)> {
    match message.state {
        MessageState::Queued => Some(("waiting".into(), Color::Yellow)),
        MessageState::OnSwarm { receipts } => Some((format!("sent, on {receipts} nodes"), Color::DarkGray)),
        MessageState::Direct => Some(("sent directly".into(), Color::DarkGray)),
        MessageState::Delivered { .. } => Some(("delivered".into(), Color::Blue)),
        MessageState::Read { .. } if message.mine => Some(("read".into(), Color::Green)),
        MessageState::Failed => Some(("NOT DELIVERED".into(), Color::Red)),
        MessageState::Read { .. } | MessageState::Unread | MessageState::Note => None,
    }
}

fn draw_input(model: &Model, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let title = match &model.reply_to {
        Some(id) => format!(" Answering: {} ", answered(model, id)),
        None => " Message ".into(),
    };
    let block = framed(theme, title).padding(Padding::horizontal(1));
    let inner = block.inner(area);
    // The end of what is written stays in sight.
    let room = usize::from(inner.width.saturating_sub(1));
    let width = Span::raw(model.input.as_str()).width();
    let left = u16::try_from(width.saturating_sub(room)).unwrap_or(u16::MAX);
    frame.render_widget(Paragraph::new(model.input.as_str()).scroll((0, left)).block(block), area);
    let column = u16::try_from(width.min(room)).unwrap_or_default();
    frame.set_cursor_position((inner.x.saturating_add(column), inner.y));
}

fn draw_status(model: &Model, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let state = match model.online {
        None => Span::raw("connecting"),
        Some(true) => Span::styled("online", theme.colour(Color::Green)),
        Some(false) => Span::styled("OFFLINE", theme.colour(Color::Red)),
    };
    let mut first = vec![
        Span::styled(format!(" {}", one_line(&model.name)), Style::new().add_modifier(Modifier::BOLD)),
        Span::styled(format!("  {}  ", short(&model.own.to_string())), theme.colour(Color::DarkGray)),
        state,
    ];
    if !model.path.is_empty() {
        first.push(Span::styled(format!("  path: you > {} > swarm", model.path), theme.colour(Color::DarkGray)));
    }
    if model.sending > 0 {
        first.push(Span::raw(format!("  sending {}", model.sending)));
    }
    let second = if model.remark.is_empty() {
        Line::styled(
            " Tab next contact, Enter send, Ctrl-R answer, Up/Down scroll, Esc leave",
            theme.colour(Color::DarkGray),
        )
    } else {
        Line::styled(format!(" {}", one_line(&model.remark)), theme.colour(Color::Yellow))
    };
    frame.render_widget(Paragraph::new(vec![Line::from(first), second]), area);
}

#[cfg(test)]
mod tests;

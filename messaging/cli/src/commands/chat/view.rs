//! The screen: who is there, what was said, what is being written, how it travels.

use super::model::Model;
use crate::output::Shown;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Paragraph, Wrap},
};
use skep_client::{ContactStatus, ContactSummary, Message, MessageId, MessageState};

/// Columns of the list of contacts.
const CONTACTS: u16 = 26;

/// Draws the whole screen. Without colours everything is told by words and weight.
pub(super) fn draw(model: &Model, colours: bool, frame: &mut Frame<'_>) {
    let theme = Theme { colours };
    let [main, status] = Layout::vertical([Constraint::Min(5), Constraint::Length(2)]).areas(frame.area());
    let [contacts, conversation] = Layout::horizontal([Constraint::Length(CONTACTS), Constraint::Min(20)]).areas(main);
    let [messages, input] = Layout::vertical([Constraint::Min(3), Constraint::Length(3)]).areas(conversation);
    draw_contacts(model, theme, frame, contacts);
    draw_messages(model, theme, frame, messages);
    draw_input(model, frame, input);
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

fn draw_contacts(model: &Model, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<_> = model
        .contacts
        .iter()
        .map(|contact| {
            let open = Some(contact.account) == model.open;
            let mut style = if contact.unread > 0 { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
            if open {
                style = style.add_modifier(Modifier::REVERSED);
            }
            let mark = match contact.status {
                _ if contact.blocked => " (blocked)",
                ContactStatus::Requested => " (asked)",
                ContactStatus::Asking => " (asks you)",
                ContactStatus::Declined => " (declined)",
                ContactStatus::Established => "",
            };
            let writing = if model.is_typing(&contact.account) { " ..." } else { "" };
            let mut spans = vec![
                Span::raw(if open { "> " } else { "  " }),
                Span::raw(called(contact)),
                Span::styled(mark, theme.colour(Color::Yellow)),
                Span::raw(writing),
            ];
            if contact.unread > 0 {
                spans.push(Span::styled(format!(" [{}]", contact.unread), theme.colour(Color::Green)));
            }
            Line::from(spans).style(style)
        })
        .collect();
    // The open contact stays in sight.
    let at = model.contacts.iter().position(|contact| Some(contact.account) == model.open).unwrap_or_default();
    let rows = usize::from(area.height.saturating_sub(2)).max(1);
    let above = u16::try_from((at + 1).saturating_sub(rows)).unwrap_or(u16::MAX);
    frame.render_widget(Paragraph::new(lines).scroll((above, 0)).block(Block::bordered().title(" Contacts ")), area);
}

fn draw_messages(model: &Model, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let title = model.contact().map_or_else(String::new, |contact| {
        let writing = if model.is_typing(&contact.account) { "is writing... " } else { "" };
        format!(" {} {writing}", called(contact))
    });
    let block = Block::bordered().title(title);
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
    for message in &model.messages {
        lines.extend(message_lines(model, message, theme));
    }
    let paragraph = Paragraph::new(lines).wrap(Wrap { trim: false });
    let inner = block.inner(area);
    let height = wrapped_height(&paragraph, inner.width);
    let last = height.saturating_sub(inner.height);
    frame.render_widget(paragraph.scroll((last.saturating_sub(model.scroll), 0)).block(block), area);
}

/// Lines of a paragraph at this width.
fn wrapped_height(paragraph: &Paragraph<'_>, width: u16) -> u16 {
    u16::try_from(paragraph.line_count(width)).unwrap_or(u16::MAX)
}

fn message_lines<'a>(model: &'a Model, message: &'a Message, theme: Theme) -> Vec<Line<'a>> {
    let who = if message.mine { "you".to_owned() } else { model.contact().map_or_else(String::new, called) };
    let style = theme.colour(if message.mine { Color::Cyan } else { Color::Magenta }).add_modifier(Modifier::BOLD);
    let mut lines = Vec::new();
    if let Some(id) = &message.reply_to {
        let answered = format!("  | {}", answered(model, id));
        lines.push(Line::styled(answered, Style::new().add_modifier(Modifier::DIM)));
    }
    let text = match &message.text {
        Some(text) => Shown(text).to_string(),
        None => "(unsent)".into(),
    };
    let mut parts = text.split('\n');
    let mut first =
        vec![Span::styled(format!("{who}: "), style), Span::raw(parts.next().unwrap_or_default().to_owned())];
    if let Some(state) = state_text(message) {
        first.push(Span::styled(format!("  {state}"), Style::new().add_modifier(Modifier::DIM)));
    }
    lines.push(Line::from(first));
    lines.extend(parts.map(|part| Line::raw(format!("  {part}"))));
    lines
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
fn state_text(message: &Message) -> Option<String> {
    match message.state {
        MessageState::Queued => Some("(waiting)".into()),
        MessageState::OnSwarm { receipts } => Some(format!("(sent, on {receipts} nodes)")),
        MessageState::Direct => Some("(sent directly)".into()),
        MessageState::Delivered { .. } => Some("(delivered)".into()),
        MessageState::Read { .. } if message.mine => Some("(read)".into()),
        MessageState::Failed => Some("(NOT DELIVERED)".into()),
        MessageState::Read { .. } | MessageState::Unread | MessageState::Note => None,
    }
}

fn draw_input(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let title = match &model.reply_to {
        Some(id) => format!(" Answering: {} ", answered(model, id)),
        None => " Message ".into(),
    };
    let block = Block::bordered().title(title);
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
    let mut first =
        vec![Span::raw(one_line(&model.name)), Span::raw(format!(" {}  ", short(&model.own.to_string()))), state];
    if !model.path.is_empty() {
        first.push(Span::raw(format!("  path: you > {} > swarm", model.path)));
    }
    if model.sending > 0 {
        first.push(Span::raw(format!("  sending {}", model.sending)));
    }
    let second = if model.remark.is_empty() {
        "Tab next contact, Enter send, Ctrl-R answer, Up/Down scroll, Esc leave".to_owned()
    } else {
        one_line(&model.remark)
    };
    frame.render_widget(Paragraph::new(vec![Line::from(first), Line::raw(second)]), area);
}

#[cfg(test)]
mod tests;

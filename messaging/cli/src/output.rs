//! Where answers go: text for people, or one JSON object a line for programs.

use crate::failure::Failure;
use serde::Serialize;
use std::{
    fmt::{self, Display, Write as _},
    io::{self, Write as _},
};

/// Prints answers on standard output and remarks on standard error.
///
/// A reader that has gone away is no failure: what was to be done is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether the reader is a program.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// An answer: its JSON form for programs, its text for people.
    pub(crate) fn answer(self, answer: &(impl Serialize + Display)) {
        let line = if self.json { as_json(answer) } else { answer.to_string() };
        let _ = writeln!(io::stdout().lock(), "{line}");
    }

    /// A remark for people while something is going on; programs do not get it.
    pub(crate) fn remark(self, remark: impl Display) {
        if !self.json {
            let _ = writeln!(io::stderr().lock(), "{remark}");
        }
    }

    /// Something happened while a command goes on: an answer for programs, a remark for people.
    pub(crate) fn news(self, news: &(impl Serialize + Display)) {
        if self.json { self.answer(news) } else { self.remark(news) }
    }

    /// Why there is no answer.
    pub(crate) fn failure(self, failure: &Failure) {
        let line = if self.json { as_json(failure) } else { format!("error: {}", failure.message()) };
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}

fn as_json(answer: &impl Serialize) -> String {
    // Answers are plain structures; if one ever is not, the reader sees why.
    serde_json::to_string(answer).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

/// So many of something, as English says it.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A stranger's text, safe on a terminal: control characters (and those that turn the direction of writing) are escaped,
/// line breaks stay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\n' => f.write_char(c),
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                write!(f, "{}", c.escape_unicode())
            }
            _ if c.is_control() => write!(f, "{}", c.escape_default()),
            _ => f.write_char(c),
        })
    }
}

/// A stranger's text after something of ours in the same line: its further lines are indented, so that none looks like a line of
/// ours, or like what somebody else has said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a>(pub(crate) &'a str);

impl Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.split('\n');
        write!(f, "{}", Shown(lines.next().unwrap_or_default()))?;
        lines.try_for_each(|line| write!(f, "\n    {}", Shown(line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_write_lines_of_others() {
        assert_eq!(Said("hi\nEve (05ab..cd): pay me\n").to_string(), "hi\n    Eve (05ab..cd): pay me\n    ");
        assert_eq!(Said("hi").to_string(), "hi");
    }

    #[test]
    fn strangers_cannot_steer_the_terminal() {
        assert_eq!(Shown("héllo\nworld").to_string(), "héllo\nworld");
        assert_eq!(Shown("\u{1b}[2J\r\u{9b}x\u{202e}y").to_string(), "\\u{1b}[2J\\r\\u{9b}x\\u{202e}y");
        assert_eq!(Shown("\u{61c}a").to_string(), "\\u{61c}a");
    }
}

//! The side of a comparison that asks.

use crate::wire::{
    CompareError, MAX_NAMES, MAX_QUESTIONS, PARTS, VERSION, read_names, read_parts, write_names, write_range,
};
use skep_mailbox::{ItemName, NameRange, Store, StoreError};
use skep_proto::peer::{self, answer::Answer, question::Question};
use std::collections::VecDeque;

/// Most requests one session makes. What it has not found by then, the next one finds.
const MAX_ROUNDS: usize = 2_000;
/// Most ranges that wait to be compared: an honest peer's grow with the logarithm of what it has.
const MAX_TODO: usize = 8_192;
/// Names read at once where a peer has nothing.
const PAGE: usize = 256;

/// One comparison that this node began. It may rest and go on later.
///
/// | event | effect |
/// |---|---|
/// | [`Session::new`] | these ranges are to be compared |
/// | [`Session::take_gifts`] | what the peer lacks, as far as it is known |
/// | [`Session::ask`] | questions for the peer; none once everything has been compared |
/// | [`Session::handle`] | its answers |
#[derive(Debug)]
pub struct Session {
    todo: Vec<NameRange>,
    asked: Vec<Asked>,
    giving: Vec<Giving>,
    gifts: VecDeque<ItemName>,
    rounds: usize,
}

#[derive(Debug)]
enum Asked {
    Range(NameRange),
    Names(Vec<ItemName>),
}

/// A range of which the peer has only these.
#[derive(Debug)]
struct Giving {
    range: NameRange,
    but: Vec<ItemName>,
}

impl Session {
    /// Begins to compare what lies in `ranges`.
    pub fn new(ranges: Vec<NameRange>) -> Self {
        Self { todo: ranges, asked: Vec::new(), giving: Vec::new(), gifts: VecDeque::new(), rounds: 0 }
    }

    /// Names of at most `most` things that the peer lacks.
    pub fn take_gifts(&mut self, store: &dyn Store, most: usize) -> Result<Vec<ItemName>, StoreError> {
        while self.gifts.len() < most
            && let Some(Giving { range, but }) = self.giving.pop()
        {
            let names = store.names(&range, PAGE)?;
            if let (PAGE, Some(last)) = (names.len(), names.last()) {
                self.giving.push(Giving { range: NameRange { from: last.next(), ..range }, but: but.clone() });
            }
            self.gifts.extend(names.iter().filter(|name| !but.contains(name)));
        }
        Ok(self.gifts.drain(..most.min(self.gifts.len())).collect())
    }

    /// Takes back what could not be handed over yet.
    pub fn put_back(&mut self, names: impl DoubleEndedIterator<Item = ItemName>) {
        names.rev().for_each(|name| self.gifts.push_front(name));
    }

    /// The next questions; `None` once everything has been compared.
    pub fn ask(&mut self, store: &dyn Store) -> Result<Option<peer::Reconcile>, CompareError> {
        self.asked.clear();
        let mut questions = Vec::new();
        while questions.len() < MAX_QUESTIONS
            && let Some(range) = self.todo.pop()
        {
            let tally = store.tally(&range)?;
            // What only the peer has, it hands over in its turn.
            if tally.count == 0 {
                continue;
            }
            let question = if tally.count <= MAX_NAMES as u64 {
                let names = store.names(&range, MAX_NAMES)?;
                let question = Question::Names(write_names(&names));
                self.asked.push(Asked::Names(names));
                question
            } else {
                self.asked.push(Asked::Range(range));
                Question::Range(write_range(&range, &tally))
            };
            questions.push(peer::Question { question: Some(question) });
        }
        if questions.is_empty() {
            return Ok(None);
        }
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return Err(CompareError::TooMuch);
        }
        Ok(Some(peer::Reconcile { version: VERSION, questions }))
    }

    /// Takes the peer's answers to the last questions.
    pub fn handle(&mut self, store: &dyn Store, answers: &peer::Reconciled) -> Result<(), CompareError> {
        let asked = std::mem::take(&mut self.asked);
        if asked.len() != answers.answers.len() {
            return Err(CompareError::Malformed("not an answer for each question"));
        }
        for (asked, answer) in asked.into_iter().zip(&answers.answers) {
            match (asked, &answer.answer) {
                (Asked::Range(_), Some(Answer::Equal(peer::Equal {}))) => {}
                (Asked::Range(range), Some(Answer::Names(names))) => {
                    self.giving.push(Giving { range, but: read_names(names, PARTS)? });
                }
                (Asked::Range(range), Some(Answer::Parts(parts))) => {
                    for (part, theirs) in read_parts(parts, &range)? {
                        let ours = store.tally(&part)?;
                        if ours == theirs || ours.count == 0 {
                            continue;
                        }
                        if theirs.count == 0 {
                            self.giving.push(Giving { range: part, but: Vec::new() });
                        } else {
                            self.todo.push(part);
                        }
                    }
                }
                (Asked::Names(names), Some(Answer::Missing(missing))) => {
                    if missing.positions.len() > names.len() {
                        return Err(CompareError::TooMuch);
                    }
                    for position in &missing.positions {
                        let name = names.get(*position as usize).ok_or(CompareError::Malformed("a position"))?;
                        self.gifts.push_back(*name);
                    }
                }
                (Asked::Range(_) | Asked::Names(_), _) => return Err(CompareError::Malformed("an answer")),
            }
        }
        if self.todo.len() > MAX_TODO { Err(CompareError::TooMuch) } else { Ok(()) }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

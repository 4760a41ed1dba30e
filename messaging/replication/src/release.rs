//! Letting go of what another swarm keeps now: each thing only once enough of its members have confirmed that they have it,
//! or that its owner has deleted it.

use crate::{
    Failure,
    wire::{CompareError, MAX_NAMES, MAX_QUESTIONS, VERSION, write_names},
};
use skep_mailbox::{ItemName, NameRange, Store};
use skep_proto::peer::{self, answer::Answer, question::Question, response::Response};

/// Goes through ranges of names, page by page.
///
/// | event | effect |
/// |---|---|
/// | [`Release::next_page`] | what to ask every member; `None` after the last page |
/// | [`Release::handle`] | one member's answer |
/// | [`Release::confirmed`] | what may be let go of |
#[derive(Debug)]
pub struct Release {
    ranges: Vec<NameRange>,
    page: Vec<(ItemName, usize)>,
}

impl Release {
    /// Begins with the names in `ranges`.
    pub fn new(ranges: Vec<NameRange>) -> Self {
        Self { ranges, page: Vec::new() }
    }

    /// The question to every member, about the next page.
    pub fn next_page(&mut self, store: &dyn Store) -> Result<Option<peer::request::Request>, Failure> {
        const PAGE: usize = MAX_NAMES * MAX_QUESTIONS;
        self.page.clear();
        while self.page.is_empty()
            && let Some(range) = self.ranges.pop()
        {
            let names = store.names(&range, PAGE)?;
            if let (PAGE, Some(last)) = (names.len(), names.last()) {
                self.ranges.push(NameRange { from: last.next(), ..range });
            }
            self.page = names.into_iter().map(|name| (name, 0)).collect();
        }
        if self.page.is_empty() {
            return Ok(None);
        }
        let names: Vec<_> = self.page.iter().map(|(name, _)| *name).collect();
        let question = |names: &[ItemName]| peer::Question { question: Some(Question::Names(write_names(names))) };
        let questions = names.chunks(MAX_NAMES).map(question).collect();
        Ok(Some(peer::request::Request::Reconcile(peer::Reconcile { version: VERSION, questions })))
    }

    /// Takes one member's answer about the page. What that member lacks is confirmed all the same if it is settled: it has
    /// said that it took the message, or that the owner deleted it.
    pub fn handle(&mut self, answer: peer::Response, is_settled: impl Fn(&ItemName) -> bool) -> Result<(), Failure> {
        let answers = match answer.response {
            Some(Response::Reconciled(answers)) => answers.answers,
            Some(Response::Refusal(peer::Refusal { status, reason })) => {
                return Err(Failure::Refused { status, reason });
            }
            Some(_) | None => return Err(Failure::Unexpected),
        };
        if answers.len() != self.page.len().div_ceil(MAX_NAMES) {
            return Err(CompareError::Malformed("not an answer for each question").into());
        }
        let missing = |answer: peer::Answer| match answer.answer {
            Some(Answer::Missing(missing)) => Ok(missing.positions),
            Some(_) | None => Err(Failure::Unexpected),
        };
        // All of it is read before any of it counts: what is refused confirms nothing.
        let missing = answers.into_iter().map(missing).collect::<Result<Vec<_>, _>>()?;
        for (names, missing) in self.page.chunks_mut(MAX_NAMES).zip(missing) {
            for (position, (name, confirmations)) in (0_u32..).zip(names) {
                let is_there = !missing.contains(&position);
                *confirmations += usize::from(is_there || is_settled(name));
            }
        }
        Ok(())
    }

    /// What so many members have confirmed of the page.
    pub fn confirmed(&self, enough: usize) -> Vec<ItemName> {
        self.page.iter().filter(|(_, confirmations)| *confirmations >= enough).map(|(name, _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        answer,
        session::testing::{NOW, message, store_of},
    };

    #[test]
    fn only_what_enough_members_have_is_let_go_of() {
        let ours = store_of(0..3_000);
        let members = [store_of(0..3_000), store_of(0..2_000), store_of(1_000..3_000)];
        let mut release = Release::new(vec![NameRange::ALL]);
        let (mut by_two, mut by_three, mut pages) = (Vec::new(), Vec::new(), 0);
        while let Some(request) = release.next_page(&ours).expect("reads") {
            let peer::request::Request::Reconcile(asked) = request else { panic!("{request:?}") };
            for member in &members {
                let response = Some(Response::Reconciled(answer(member, &[NameRange::ALL], &asked).expect("honest")));
                release.handle(peer::Response { response }, |_| false).expect("honest");
            }
            by_two.extend(release.confirmed(2));
            by_three.extend(release.confirmed(3));
            pages += 1;
        }
        assert!(pages > 2);
        assert_eq!(by_two.len(), 3_000);
        let mut expected: Vec<_> = (1_000..2_000).map(|number| message(number).name()).collect();
        expected.sort_unstable();
        assert_eq!(by_three, expected);
    }

    #[test]
    fn what_a_crash_may_take_is_not_confirmed() {
        let (ours, member) = (store_of(0..10), store_of(0..0));
        let records: Vec<_> = (0..10).map(message).collect();
        let confirmed = || {
            let mut release = Release::new(vec![NameRange::ALL]);
            let Some(peer::request::Request::Reconcile(asked)) = release.next_page(&ours).expect("reads") else {
                panic!("ten names")
            };
            let response = Some(Response::Reconciled(answer(&member, &[NameRange::ALL], &asked).expect("honest")));
            release.handle(peer::Response { response }, |_| false).expect("honest");
            release.confirmed(1).len()
        };
        member.put(&records, NOW).expect("memory");
        assert_eq!(confirmed(), 0);
        member.sync().expect("memory");
        assert_eq!(confirmed(), 10);
    }

    #[test]
    fn a_refusal_confirms_nothing() {
        let ours = store_of(0..3);
        let mut release = Release::new(vec![NameRange::ALL]);
        release.next_page(&ours).expect("reads").expect("three names");
        let refusal = peer::Refusal { status: 503, reason: "busy".into() };
        for response in [Some(Response::Refusal(refusal)), Some(Response::Pong(peer::Pong::default())), None] {
            assert!(release.handle(peer::Response { response }, |_| true).is_err());
        }
        let short = peer::Reconciled { answers: Vec::new() };
        let short = peer::Response { response: Some(Response::Reconciled(short)) };
        assert!(release.handle(short, |_| true).is_err());
        assert!(release.confirmed(1).is_empty());
    }

    #[test]
    fn an_answer_of_which_a_part_is_none_confirms_nothing() {
        let ours = store_of(0..100);
        let mut release = Release::new(vec![NameRange::ALL]);
        release.next_page(&ours).expect("reads").expect("two questions");
        let none_missing = peer::Answer { answer: Some(Answer::Missing(peer::Missing::default())) };
        let reconciled = peer::Reconciled { answers: vec![none_missing, peer::Answer { answer: None }] };
        let response = Some(Response::Reconciled(reconciled));
        assert!(release.handle(peer::Response { response }, |_| false).is_err());
        assert!(release.confirmed(1).is_empty());
    }
}

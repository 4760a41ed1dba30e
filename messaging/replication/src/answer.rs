//! The side of a comparison that is asked. It keeps nothing from one question to the next.

use crate::wire::{
    CompareError, MAX_NAMES, MAX_QUESTIONS, PARTS, VERSION, read_names, read_range, write_names, write_part,
};
use skep_mailbox::{NameRange, Store, Tally};
use skep_proto::peer::{self, answer::Answer, question::Question};

/// Answers another node's questions about what is kept here as a member of its swarm, which owns `own`. What is still here but
/// another swarm's is as good as gone: two nodes that let go of a thing on each other's word would lose it.
pub fn answer(store: &dyn Store, own: &[NameRange], asked: &peer::Reconcile) -> Result<peer::Reconciled, CompareError> {
    if asked.version != VERSION {
        return Err(CompareError::Version(asked.version));
    }
    if asked.questions.len() > MAX_QUESTIONS {
        return Err(CompareError::TooMuch);
    }
    let answers = asked.questions.iter().map(|question| {
        let answer = match &question.question {
            Some(Question::Range(range)) => {
                let (range, theirs) = read_range(range)?;
                compare(store, own, &range, &theirs)?
            }
            Some(Question::Names(names)) => missing(store, own, names)?,
            None => return Err(CompareError::Malformed("no question")),
        };
        Ok(peer::Answer { answer: Some(answer) })
    });
    Ok(peer::Reconciled { answers: answers.collect::<Result<_, _>>()? })
}

fn compare(store: &dyn Store, own: &[NameRange], range: &NameRange, theirs: &Tally) -> Result<Answer, CompareError> {
    if !own.iter().any(|own| own.from <= range.from && range.to <= own.to) {
        return Ok(Answer::Names(write_names(&[])));
    }
    let ours = store.tally(range)?;
    if ours == *theirs {
        return Ok(Answer::Equal(peer::Equal {}));
    }
    let cuts = if ours.count > PARTS as u64 { store.cuts(range, PARTS)? } else { Vec::new() };
    if cuts.is_empty() {
        return Ok(Answer::Names(write_names(&store.names(range, PARTS)?)));
    }
    let mut from = range.from;
    let mut parts = Vec::with_capacity(cuts.len() + 1);
    for to in cuts.into_iter().chain([range.to]) {
        parts.push(write_part(&to, &store.tally(&NameRange { from, to })?));
        from = to;
    }
    Ok(Answer::Parts(peer::Parts { parts }))
}

fn missing(store: &dyn Store, own: &[NameRange], names: &peer::Names) -> Result<Answer, CompareError> {
    let mut positions = Vec::new();
    for (position, name) in (0_u32..).zip(read_names(names, MAX_NAMES)?) {
        if !own.iter().any(|own| own.contains(&name)) || !store.has(&name)? {
            positions.push(position);
        }
    }
    Ok(Answer::Missing(peer::Missing { positions }))
}

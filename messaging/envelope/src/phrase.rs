//! Recovery phrases: 13 words for 16 bytes (`protocol.md` section 7).
//!
//! Four bytes make three words of Monero's English list of 1626; the thirteenth repeats one of the twelve, chosen by the
//! CRC-32 of their first three letters, which are also what tells the words of the list apart.

use std::{fmt::Write, sync::LazyLock};
use zeroize::Zeroizing;

/// Words of a phrase.
const WORDS: usize = 13;
/// Letters that tell one word of the list from all others.
const PREFIX: usize = 3;
/// Words of the list.
const LIST_LEN: u32 = 1626;
/// No word of the list is longer, by far.
const LONGEST: usize = 32;

static LIST: LazyLock<Vec<&'static str>> = LazyLock::new(|| include_str!("words.txt").lines().collect());

/// The words spell no account. Positions count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Too few or too many words.
    #[error("a recovery phrase has {WORDS} words, this one has {0}")]
    WordCount(usize),
    /// A word that is not on the list.
    #[error("word {position}, {word:?}, is not on the word list{}", hint(.suggestions))]
    UnknownWord {
        /// Which word.
        position: usize,
        /// The word itself, shortened if it is very long.
        word: String,
        /// Words of the list that look like it, the likeliest first.
        suggestions: Vec<&'static str>,
    },
    /// Three words that no four bytes make.
    #[error("words {first} to {} cannot follow each other: at least one of them is wrong", first.saturating_add(2))]
    ImpossibleGroup {
        /// The first of the three.
        first: usize,
    },
    /// All words are on the list, but not these in this order.
    #[error("the last word does not match the others: a word is wrong, or two are swapped")]
    Checksum,
}

fn hint(suggestions: &[&str]) -> String {
    if suggestions.is_empty() { String::new() } else { format!("; did you mean {}?", suggestions.join(" or ")) }
}

/// The phrase of a seed.
pub(crate) fn encode(seed: &[u8; 16]) -> Zeroizing<String> {
    // Never reallocated, so that no copy of it stays in memory.
    let mut phrase = Zeroizing::new(String::with_capacity(WORDS * LONGEST));
    let mut indices = Zeroizing::new(Vec::with_capacity(WORDS));
    for group in seed.as_chunks::<4>().0 {
        let value = u32::from_le_bytes(*group);
        let first = value % LIST_LEN;
        let second = (value / LIST_LEN).wrapping_add(first) % LIST_LEN;
        let third = (value / LIST_LEN / LIST_LEN).wrapping_add(second) % LIST_LEN;
        indices.extend([first, second, third]);
    }
    let repeated = checksum(&indices);
    indices.extend(repeated);
    for (position, word) in indices.iter().filter_map(|index| word(*index)).enumerate() {
        let separator = if position == 0 { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(phrase, "{separator}{word}");
    }
    phrase
}

/// The seed of a phrase.
pub(crate) fn decode(phrase: &str) -> Result<Zeroizing<[u8; 16]>, PhraseError> {
    let count = phrase.split_whitespace().count();
    if count != WORDS {
        return Err(PhraseError::WordCount(count));
    }
    let mut indices = Zeroizing::new(Vec::with_capacity(WORDS));
    for (position, word) in (1..).zip(phrase.split_whitespace()) {
        indices.push(find(word).ok_or_else(|| unknown(position, word))?);
    }
    let given = indices.pop();
    if given != checksum(&indices) {
        return Err(PhraseError::Checksum);
    }
    let mut seed = Zeroizing::new([0; 16]);
    let groups = seed.as_chunks_mut::<4>().0.iter_mut().zip(indices.as_chunks::<3>().0);
    for (first, (bytes, group)) in (1..).step_by(3).zip(groups) {
        *bytes = group_value(*group).ok_or(PhraseError::ImpossibleGroup { first })?.to_le_bytes();
    }
    Ok(seed)
}

/// The four bytes three words stand for; the second and third count on from the word before them.
fn group_value([first, second, third]: [u32; 3]) -> Option<u32> {
    let step = |from: u32, to: u32| Some(LIST_LEN.checked_sub(from)?.checked_add(to)? % LIST_LEN);
    let high = step(second, third)?.checked_mul(LIST_LEN)?.checked_add(step(first, second)?)?;
    high.checked_mul(LIST_LEN)?.checked_add(first)
}

/// Which of the words is repeated at the end.
fn checksum(indices: &[u32]) -> Option<u32> {
    let mut hasher = crc32fast::Hasher::new();
    for word in indices.iter().filter_map(|index| word(*index)) {
        hasher.update(prefix(word).as_bytes());
    }
    let chosen = u64::from(hasher.finalize()).checked_rem(indices.len() as u64)?;
    indices.get(usize::try_from(chosen).ok()?).copied()
}

fn word(index: u32) -> Option<&'static str> {
    LIST.get(usize::try_from(index).ok()?).copied()
}

fn prefix(word: &str) -> &str {
    word.char_indices().nth(PREFIX).and_then(|(end, _)| word.get(..end)).unwrap_or(word)
}

/// Position on the list of the word that begins like `word`.
fn find(word: &str) -> Option<u32> {
    let position = LIST.iter().position(|known| prefix(known).eq_ignore_ascii_case(prefix(word)))?;
    u32::try_from(position).ok()
}

fn unknown(position: usize, word: &str) -> PhraseError {
    /// Letters added, lost, replaced or swapped in a word that was meant.
    const NEAR: usize = 2;
    const SUGGESTIONS: usize = 3;
    let word: String = word.chars().take(LONGEST).collect::<String>().to_lowercase();
    let mut near: Vec<_> = LIST
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, &word), *known))
        .filter(|(distance, _)| *distance <= NEAR)
        .collect();
    near.sort_unstable();
    let suggestions = near.into_iter().take(SUGGESTIONS).map(|(_, known)| known).collect();
    PhraseError::UnknownWord { position, word, suggestions }
}

#[cfg(test)]
mod tests;

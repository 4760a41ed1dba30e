//! Tallies of neighbouring names, kept in memory so that a range is tallied without reading all of it.
//!
//! The names stand on disk; here is one entry for every few hundred of them: about half a byte a message. A range is the sum
//! of the chunks inside it and of what is read at its two ends.

use crate::{ItemName, NameRange, Tally, name::spaced};

/// A chunk with more names than this is split.
pub(super) const MOST: u64 = 512;
/// Two neighbours with fewer names than this together become one.
const FEWEST: u64 = 128;

/// The chunks: the first begins with the first name there can be, each ends where the next begins.
#[derive(Debug)]
pub(super) struct Sums {
    chunks: Vec<Chunk>,
}

#[derive(Clone, Copy, Debug)]
struct Chunk {
    first: ItemName,
    tally: Tally,
}

/// How to tally a range: what is known, and what must be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) known: Tally,
    pub(super) read: Vec<NameRange>,
}

impl Default for Sums {
    fn default() -> Self {
        Self { chunks: vec![Chunk { first: ItemName::FIRST, tally: Tally::default() }] }
    }
}

impl Sums {
    /// Counts a name above all that have been counted.
    pub(super) fn push(&mut self, name: &ItemName) {
        match self.chunks.last_mut() {
            Some(last) if last.tally.count < MOST / 2 => last.tally.insert(name),
            _ => self.chunks.push(Chunk { first: *name, tally: std::iter::once(name).collect() }),
        }
    }

    /// Counts a name in. The range of its chunk, if that has become too large: [`Self::split`] wants its names.
    #[must_use]
    pub(super) fn insert(&mut self, name: &ItemName) -> Option<NameRange> {
        let index = self.index_of(name);
        let chunk = self.chunks.get_mut(index)?;
        chunk.tally.insert(name);
        if chunk.tally.count > MOST { self.range(index) } else { None }
    }

    /// Counts a name out.
    pub(super) fn remove(&mut self, name: &ItemName) {
        let index = self.index_of(name);
        let Some(chunk) = self.chunks.get_mut(index) else { return };
        chunk.tally.remove(name);
        let tally = chunk.tally;
        if let Some(before) = index.checked_sub(1).and_then(|before| self.chunks.get_mut(before))
            && before.tally.count + tally.count < FEWEST
        {
            before.tally.add(&tally);
            self.chunks.remove(index);
        }
    }

    /// Splits the chunk that begins with `range` into smaller ones; `names` are all of its names.
    pub(super) fn split(&mut self, range: &NameRange, names: &[ItemName]) {
        let index = self.index_of(&range.from);
        let firsts = spaced(names, names.len().div_ceil(MOST as usize / 2));
        let mut starts: Vec<_> = std::iter::once(range.from).chain(firsts).collect();
        starts.dedup();
        let ends = starts.iter().skip(1).copied().chain([range.to]).collect::<Vec<_>>();
        let parts = starts.into_iter().zip(ends).map(|(first, end)| {
            let inside = names.iter().filter(|name| first <= **name && **name < end);
            Chunk { first, tally: inside.collect() }
        });
        self.chunks.splice(index..=index, parts.collect::<Vec<_>>());
    }

    pub(super) fn plan(&self, range: &NameRange) -> Plan {
        let mut plan = Plan { known: Tally::default(), read: Vec::new() };
        if range.is_empty() {
            return plan;
        }
        for (index, chunk) in self.chunks.iter().enumerate().skip(self.index_of(&range.from)) {
            let Some(whole) = self.range(index).filter(|whole| whole.from < range.to) else { break };
            let part = NameRange { from: whole.from.max(range.from), to: whole.to.min(range.to) };
            if part == whole {
                plan.known.add(&chunk.tally);
            } else {
                plan.read.push(part);
            }
        }
        plan
    }

    /// Where chunks begin inside a range.
    pub(super) fn firsts(&self, range: &NameRange) -> Vec<ItemName> {
        let inside = self.chunks.iter().skip(self.index_of(&range.from)).map(|chunk| chunk.first);
        inside.skip_while(|first| *first <= range.from).take_while(|first| *first < range.to).collect()
    }

    /// Whether this is the range of one chunk.
    pub(super) fn holds(&self, range: &NameRange) -> bool {
        self.range(self.index_of(&range.from)) == Some(*range)
    }

    fn index_of(&self, name: &ItemName) -> usize {
        self.chunks.partition_point(|chunk| chunk.first <= *name).saturating_sub(1)
    }

    fn range(&self, index: usize) -> Option<NameRange> {
        let from = self.chunks.get(index)?.first;
        let to = self.chunks.get(index + 1).map_or(ItemName::END, |next| next.first);
        Some(NameRange { from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn name(number: u16) -> ItemName {
        let mut bytes = [0; ItemName::LEN];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        bytes[39] = 1;
        bytes.into()
    }

    fn range(from: u16, to: u16) -> NameRange {
        NameRange { from: name(from.min(to)), to: name(from.max(to)) }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
        #[test]
        fn a_plan_tallies_what_is_there(
            steps in proptest::collection::vec((any::<bool>(), 0..2_000_u16), 0..6_000),
            ranges in proptest::collection::vec((0..2_000_u16, 0..2_000_u16), 1..8),
            reopened: bool,
        ) {
            let (mut sums, mut there) = (Sums::default(), BTreeSet::new());
            for (comes, number) in steps {
                // More come than go, so that chunks are split and joined.
                if comes || number % 3 > 0 {
                    if there.insert(name(number)) && let Some(crowded) = sums.insert(&name(number)) {
                        let names: Vec<_> = there.range(crowded.from..crowded.to).copied().collect();
                        sums.split(&crowded, &names);
                    }
                } else if there.remove(&name(number)) {
                    sums.remove(&name(number));
                }
            }
            if reopened {
                sums = Sums::default();
                there.iter().for_each(|name| sums.push(name));
            }
            for range in ranges.into_iter().map(|(from, to)| range(from, to)).chain([NameRange::ALL]) {
                let Plan { mut known, read } = sums.plan(&range);
                let mut looked_at = 0;
                for part in read {
                    let names: Vec<_> = there.range(part.from..part.to).collect();
                    looked_at += names.len();
                    known.add(&names.into_iter().collect());
                }
                prop_assert_eq!(known, there.range(range.from..range.to.max(range.from)).collect());
                prop_assert!(looked_at <= 2 * MOST as usize, "only its ends are read");
                prop_assert!(sums.firsts(&range).iter().all(|first| range.from < *first && *first < range.to));
            }
        }
    }
}

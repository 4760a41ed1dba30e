//! The wall clock, read here and nowhere else, and how far it is from the nodes' (`t` in their answers).

use skep_primitives::{Moment, ServiceNodeId};
use std::{
    collections::VecDeque,
    time::{SystemTime, UNIX_EPOCH},
};

/// Nodes whose clocks are remembered.
const MOST_CLOCKS: usize = 9;
/// Nodes that must have told their clock before ours is thought wrong: no single one can move it.
const FEWEST_CLOCKS: usize = 3;
/// How far ours may be off before it is corrected (ms): less harms nothing, and a correction that many nodes can choose finely
/// would mark a client.
const TOLERANCE: i64 = 10_000;

/// Unix time (ms); 0 for a clock before 1970, which every node will point out.
pub(crate) fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment::try_from(since.as_millis()).unwrap_or(Moment::MAX)
}

/// What nodes say about the time.
#[derive(Debug, Default)]
pub(crate) struct Clocks(VecDeque<(ServiceNodeId, i64)>);

impl Clocks {
    /// A node's clock showed `theirs` (ms) when ours showed `ours`. The newest word of each node counts.
    pub(crate) fn told(&mut self, node: ServiceNodeId, theirs: Moment, ours: Moment) {
        self.0.retain(|(other, _)| *other != node);
        let ahead = i128::from(theirs) - i128::from(ours);
        self.0.push_back((node, i64::try_from(ahead).unwrap_or_default()));
        while self.0.len() > MOST_CLOCKS {
            self.0.pop_front();
        }
    }

    /// How far the nodes are ahead of us (ms), by their median; 0 as long as that is little or too few have told.
    pub(crate) fn offset(&self) -> i64 {
        let mut ahead: Vec<_> = self.0.iter().map(|(_, ahead)| *ahead).collect();
        ahead.sort_unstable();
        let median = ahead.get(ahead.len() / 2).filter(|_| ahead.len() >= FEWEST_CLOCKS).copied();
        median.filter(|ahead| ahead.unsigned_abs() > TOLERANCE.unsigned_abs()).unwrap_or_default()
    }

    /// A time of ours as the nodes see it.
    pub(crate) fn corrected(&self, ours: Moment) -> Moment {
        ours.saturating_add_signed(self.offset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_several_nodes_corrects_a_clock_that_is_far_off() {
        let now = 1_800_000_000_000;
        let node = |number| ServiceNodeId([number; 32]);
        let mut clocks = Clocks::default();
        // One node cannot move it, however often it speaks.
        for _ in 0..5 {
            clocks.told(node(1), now + 3_600_000, now);
        }
        clocks.told(node(2), now + 90_000, now);
        assert_eq!(clocks.corrected(now), now);
        clocks.told(node(3), now + 91_000, now);
        assert_eq!(clocks.corrected(now), now + 91_000);
        // Behind, too; and the old words go.
        for number in 10..30 {
            clocks.told(node(number), now - 60_000, now);
        }
        assert_eq!(clocks.corrected(now), now - 60_000);
        for number in 30..40 {
            clocks.told(node(number), now + 9_000, now);
        }
        assert_eq!(clocks.corrected(now), now);
        clocks.told(node(1), Moment::MAX, 0);
        clocks.told(node(2), 0, Moment::MAX);
        assert_eq!(clocks.corrected(now), now);
    }
}

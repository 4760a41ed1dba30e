//! What the operator is told about testing, and only once.

use crate::drive::node::Node;
use skep_primitives::{NodeState, Reasons};
use skep_reachability::{Hearing, Pace};

/// What has been told.
#[derive(Debug, Default)]
pub(super) struct Told {
    distrusted: Reasons,
    decommissioned: bool,
}

impl Told {
    pub(super) fn tell(&mut self, node: &Node, pace: Pace) {
        let testing = &node.testing;
        let distrusted = testing.with(|tester, _| tester.distrusted()).unwrap_or_default();
        if distrusted != self.distrusted {
            self.distrusted = distrusted;
            if distrusted.is_empty() {
                tracing::info!("other nodes answer as they should again: this one votes on them");
            } else {
                tracing::warn!(
                    reasons = %distrusted,
                    "nearly every other node seems to fail, so it must be this one: it accuses nobody. Check its network \
                     and its clock"
                );
            }
        }
        if let Some(Hearing::Silence(silence)) = testing.heard().handle_timeout(testing.now(), pace) {
            tracing::warn!(
                seconds = silence / 1000,
                "no other node has probed this one: it is probably not reachable. Run `skep-messaging doctor`"
            );
        }
        self.tell_standing(node);
        let metrics = &node.metrics.testing;
        metrics.rounds.set(whole(testing.with(|tester, _| tester.rounds()).unwrap_or_default() as u64));
        metrics.silence.set(whole(testing.heard().silence(testing.now()) / 1000));
        metrics.decommissioned.set(self.decommissioned.into());
    }

    fn tell_standing(&mut self, node: &Node) {
        let state = node.view().node(&node.id).map(|entry| entry.state);
        match state {
            Some(NodeState::Decommissioned { findings, credit_ends_at, .. }) if !self.decommissioned => {
                self.decommissioned = true;
                tracing::error!(
                    reasons = %findings.any,
                    credit_ends_at,
                    "this node is decommissioned: it earns nothing, and is put off the roster unless it passes before its \
                     credit ends. Run `skep-messaging doctor`"
                );
            }
            Some(state) if state.is_serving() && self.decommissioned => {
                self.decommissioned = false;
                tracing::info!("this node has passed its tests and serves again");
            }
            Some(_) | None => {}
        }
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

//! How nodes stand with the network, and why.

use crate::{context::Context, failure::Failure, output::count};
use serde::Serialize;
use skep_primitives::{
    BlockNumber, Cause, Deregistration, Moment, NodeState, ServiceNodeId, Standing, StandingChange, StandingEvent,
    Whereabouts,
};
use std::fmt;

/// The answer of `nodes standing`.
#[derive(Serialize)]
pub(super) struct Standings {
    height: BlockNumber,
    nodes: Vec<Standing>,
}

/// A node nobody knows was asked about.
#[derive(Debug, thiserror::Error)]
#[error("node {0} is neither registered nor was it deregistered lately: `skep nodes list --all` shows those that are")]
struct UnknownNode(ServiceNodeId);

/// Asks the chain about one node, or about all of them.
pub(super) async fn look(node: Option<ServiceNodeId>, context: &Context) -> Result<Standings, Failure> {
    let chain = context.chain().await?;
    let height = chain.finalized().await.map_err(Failure::network)?.height;
    let nodes = match node {
        Some(node) => {
            let standing = chain.standing(node).await.map_err(Failure::network)?;
            vec![standing.ok_or_else(|| Failure::usage(UnknownNode(node)))?]
        }
        None => chain.standings().await.map_err(Failure::network)?,
    };
    Ok(Standings { height, nodes })
}

impl fmt::Display for Standings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at block {}", count(self.nodes.len(), "node"), self.height)?;
        self.nodes.iter().try_for_each(|standing| write!(f, "\n{}", Shown(standing)))
    }
}

struct Shown<'a>(&'a Standing);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Standing { node, whereabouts, credit, history, .. } = self.0;
        write!(f, "{node}  ")?;
        match whereabouts {
            Whereabouts::Roster(NodeState::Gathering { expires_at }) => {
                write!(f, "gathers stake until block {expires_at}")?;
            }
            Whereabouts::Roster(NodeState::Active { since }) => write!(f, "active since block {since}")?,
            Whereabouts::Roster(NodeState::Leaving { leaves_at, .. }) => write!(f, "leaves at block {leaves_at}")?,
            Whereabouts::Roster(NodeState::Decommissioned { since, credit_ends_at, .. }) => {
                write!(f, "decommissioned since block {since}; deregistered if it fails after block {credit_ends_at}")?;
            }
            Whereabouts::Deregistered(Deregistration { at, stakes_return_at }) => {
                write!(f, "deregistered at block {at}; its stakes return at block {stakes_return_at}")?;
            }
        }
        if let Some(credit) = credit {
            write!(f, "; may fail for {}", Span(*credit))?;
        }
        history.iter().try_for_each(|event| write!(f, "\n    {}", Told(event)))
    }
}

struct Told<'a>(&'a StandingEvent);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StandingEvent { at, change, cause } = self.0;
        let change = match change {
            StandingChange::Decommissioned => "decommissioned",
            StandingChange::Recommissioned => "recommissioned",
            StandingChange::Deregistered => "deregistered",
        };
        write!(f, "block {at}: {change}")?;
        match cause {
            Cause::Equivocation => write!(f, ", for signing two blocks or votes where one is allowed"),
            Cause::Verdict { round, findings } if findings.any.is_empty() => write!(f, " by testing round {round}"),
            Cause::Verdict { round, findings } => {
                write!(f, " by testing round {round}")?;
                if findings.all.is_empty() {
                    write!(f, "; testers saw: {}", findings.any)
                } else if findings.all == findings.any {
                    write!(f, "; all testers saw: {}", findings.all)
                } else {
                    let some = findings.any.without(findings.all);
                    write!(f, "; all testers saw: {}; some of them: {some}", findings.all)
                }
            }
        }
    }
}

/// A span of time in hours and minutes.
struct Span(Moment);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0 / 60_000;
        match (minutes / 60, minutes % 60) {
            (0, minutes) => write!(f, "{minutes} min"),
            (hours, minutes) => write!(f, "{hours} h {minutes} min"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_primitives::{Findings, Reason, Reasons, StakerId};

    const NODE: ServiceNodeId = ServiceNodeId([1; 32]);

    fn standing(whereabouts: Whereabouts, credit: Option<Moment>, history: Vec<StandingEvent>) -> Standing {
        Standing { node: NODE, operator: StakerId([2; 32]), whereabouts, credit, history }
    }

    fn text(standing: Standing) -> String {
        Standings { height: 99, nodes: vec![standing] }.to_string()
    }

    #[test]
    fn a_penalty_is_told_with_what_testers_saw() {
        let all = Reasons::NONE.with(Reason::QuicUnreachable);
        let findings = Findings { all, any: all.with(Reason::Clock) };
        let state = NodeState::Decommissioned { since: 40, credit_ends_at: 100, findings, leave: None };
        let change = StandingChange::Decommissioned;
        let event = StandingEvent { at: 40, change, cause: Cause::Verdict { round: 8, findings } };
        assert_eq!(
            text(standing(Whereabouts::Roster(state), Some(7_500_000), vec![event])),
            format!(
                "1 node at block 99\n\
                 {NODE}  decommissioned since block 40; deregistered if it fails after block 100; may fail for 2 h 5 min\n    \
                 block 40: decommissioned by testing round 8; all testers saw: not reached over QUIC; some of them: \
                 clock is off"
            )
        );
    }

    #[test]
    fn a_deregistered_node_says_when_its_stakes_return() {
        let whereabouts = Whereabouts::Deregistered(Deregistration { at: 50, stakes_return_at: 170 });
        let event = StandingEvent { at: 50, change: StandingChange::Deregistered, cause: Cause::Equivocation };
        let told = text(standing(whereabouts, None, vec![event]));
        assert!(told.contains("deregistered at block 50; its stakes return at block 170\n"), "{told}");
        assert!(
            told.ends_with("block 50: deregistered, for signing two blocks or votes where one is allowed"),
            "{told}"
        );
    }

    #[test]
    fn spans_are_read_in_hours() {
        assert_eq!(
            [Span(59_999), Span(3_599_999), Span(172_800_000)].map(|span| span.to_string()),
            ["0 min", "59 min", "48 h 0 min"]
        );
    }
}

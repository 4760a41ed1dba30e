//! What nodes have earned, and who is paid next.

use crate::{context::Context, failure::Failure, tokens::Tokens};
use serde::Serialize;
use skep_primitives::{BlockNumber, NodeRewards, Reward, ServiceNodeId};
use std::fmt;

/// How many of the queue are shown.
const SHOWN: u32 = 20;

/// The answer of `nodes rewards`.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    /// Who is paid next.
    Queue { height: BlockNumber, next: Vec<ServiceNodeId> },
    /// What one node earned.
    Node {
        height: BlockNumber,
        node: ServiceNodeId,
        #[serde(flatten)]
        rewards: NodeRewards,
    },
}

/// Asks the chain about one node, or about the head of the queue.
pub(super) async fn look(node: Option<ServiceNodeId>, context: &Context) -> Result<Answer, Failure> {
    let chain = context.chain().await?;
    let height = chain.finalized().await.map_err(Failure::network)?.height;
    Ok(match node {
        Some(node) => {
            let rewards = chain.rewards_of(node).await.map_err(Failure::network)?;
            Answer::Node { height, node, rewards }
        }
        None => Answer::Queue { height, next: chain.reward_queue(SHOWN).await.map_err(Failure::network)? },
    })
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue { height, next } if next.is_empty() => write!(f, "at block {height} no node serves"),
            Self::Queue { height, next } => {
                write!(f, "paid next after block {height}, one a block:")?;
                next.iter().try_for_each(|node| write!(f, "\n{node}"))
            }
            Self::Node { height, node, rewards: NodeRewards { total, ahead, last } } => {
                write!(f, "{node} had earned {} by block {height}; ", Tokens(*total))?;
                match ahead {
                    Some(ahead) => write!(f, "{ahead} others are paid before it")?,
                    None => write!(f, "it does not serve")?,
                }
                last.iter().try_for_each(|Reward { at, amount }| write!(f, "\nblock {at}: {}", Tokens(*amount)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_primitives::UNIT;

    const NODE: ServiceNodeId = ServiceNodeId([1; 32]);

    #[test]
    fn a_node_is_told_what_it_earned_and_how_long_it_waits() {
        let last = vec![Reward { at: 7, amount: 2 * UNIT }];
        let rewards = NodeRewards { total: 5 * UNIT, ahead: Some(3), last };
        let answer = Answer::Node { height: 9, node: NODE, rewards };
        assert_eq!(
            answer.to_string(),
            format!("{NODE} had earned 5 SKEP by block 9; 3 others are paid before it\nblock 7: 2 SKEP")
        );
        let json = serde_json::to_value(&answer).expect("JSON");
        assert_eq!((&json["total"], &json["last"][0]["at"]), (&"5000000000".into(), &7.into()));
    }

    #[test]
    fn the_queue_is_told_in_its_order() {
        let next = vec![NODE, ServiceNodeId([2; 32])];
        let answer = Answer::Queue { height: 9, next: next.clone() }.to_string();
        assert_eq!(answer, format!("paid next after block 9, one a block:\n{}\n{}", next[0], next[1]));
    }
}

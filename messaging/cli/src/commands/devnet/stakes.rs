//! Who stakes how much behind which node: each operator has two nodes; two of all nodes are pools.

use super::layout::ServiceNode;
use skep_primitives::{Balance, Permyriad};

/// The well-known development accounts, endowed on the `local` preset: the operators, in turn.
const PEOPLE: [&str; 12] = [
    "//Alice",
    "//Bob",
    "//Charlie",
    "//Dave",
    "//Eve",
    "//Ferdie",
    "//Alice//stash",
    "//Bob//stash",
    "//Charlie//stash",
    "//Dave//stash",
    "//Eve//stash",
    "//Ferdie//stash",
];

/// The stakes of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeStakes {
    pub(super) node: ServiceNode,
    /// Secret URI of the operator.
    pub(super) operator: &'static str,
    pub(super) fee: Permyriad,
    pub(super) operator_stake: Balance,
    /// Secret URIs of contributors with their stakes; no account contributes twice in a devnet.
    pub(super) contributions: Vec<(&'static str, Balance)>,
}

/// Splits the requirement of each node. Every pool is filled exactly.
pub(super) fn plan(requirement: Balance) -> Vec<NodeStakes> {
    ServiceNode::all()
        .zip(PEOPLE.into_iter().cycle())
        .map(|(node, operator)| {
            let contributors: &[&str] = match node.0 {
                11 => &["//Alice", "//Bob"],
                12 => &["//Charlie", "//Dave", "//Eve"],
                _ => &[],
            };
            let shares = Balance::from(contributors.len() as u8 + 2);
            let contributions: Vec<_> =
                contributors.iter().map(|contributor| (*contributor, requirement / shares)).collect();
            let given: Balance = contributions.iter().map(|(_, amount)| amount).sum();
            // Pools take a fee, so that its place in the split of rewards is seen.
            let fee = if contributors.is_empty() { Permyriad::default() } else { POOL_FEE };
            NodeStakes { node, operator, fee, operator_stake: requirement - given, contributions }
        })
        .collect()
}

/// 5 %.
const POOL_FEE: Permyriad = match Permyriad::new(500) {
    Ok(fee) => fee,
    Err(_) => Permyriad::WHOLE,
};

#[cfg(test)]
mod tests {
    use super::{super::layout::SERVICE_NODES, *};
    use skep_chain_client::Pool;
    use std::collections::HashSet;

    #[test]
    fn the_chains_rules_accept_every_stake_and_fill_every_node() {
        for requirement in [100_000_000_000, 100_000_000_007, 15_000_000_000_000] {
            let plan = plan(requirement);
            assert_eq!(plan.len(), usize::from(SERVICE_NODES));
            assert_eq!(plan.iter().filter(|stakes| !stakes.contributions.is_empty()).count(), 2);
            for stakes in plan {
                let mut pool = Pool::new(requirement);
                let amounts = stakes.contributions.iter().map(|(_, amount)| *amount);
                for amount in std::iter::once(stakes.operator_stake).chain(amounts) {
                    assert_eq!(pool.accept(amount), Ok(amount));
                    pool = Pool { reserved: pool.reserved + amount, contributors: pool.contributors + 1, ..pool };
                }
                assert!(pool.is_complete());
            }
        }
    }

    #[test]
    fn everybody_operates_two_nodes_and_nobody_contributes_twice() {
        let plan = plan(100);
        for person in PEOPLE {
            assert_eq!(plan.iter().filter(|stakes| stakes.operator == person).count(), 2, "{person}");
        }
        let contributors: Vec<_> = plan.iter().flat_map(|stakes| &stakes.contributions).collect();
        let distinct: HashSet<_> = contributors.iter().map(|(person, _)| person).collect();
        assert_eq!(distinct.len(), contributors.len());
    }
}

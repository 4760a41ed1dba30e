//! Which nodes make a path.
//!
//! Three hops protect only if different people run them. The chain knows who staked what, so a path avoids, pair by pair,
//! hops that share an operator, an account with a major stake in both, or a /24 network. Where the network is too small for
//! that, rules are dropped one after the other, the one that says least about common control first, and the result says
//! how far it had to go.

use crate::hop::Hop;
use rand::{CryptoRng, seq::SliceRandom};
use skep_primitives::{RosterEntry, ServiceNodeId, StakerId};
use std::fmt;

/// Hops of a path, the destination not counted.
pub const PATH_HOPS: usize = 3;

/// The share of a node's stake, in percent, from which an account counts as one who may control it. A lower bar would let
/// a stranger set honest nodes apart by small stakes in each of them.
pub const MAJOR_STAKE_PERCENT: u128 = 25;

/// Most comparisons of two nodes in the search for a path that keeps a given set of rules. Enough to try every path of some
/// 400 nodes; in larger networks only one that hardly has such a path at all is given up early, and the result says so.
const SEARCH_BUDGET: u32 = 10_000_000;

/// A node that may become a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The node and its keys.
    pub hop: Hop,
    /// The first three bytes of its address.
    pub network24: [u8; 3],
    /// Who registered it.
    pub operator: StakerId,
    /// Accounts with at least [`MAJOR_STAKE_PERCENT`] of its stake.
    pub major_stakers: Vec<StakerId>,
}

impl Candidate {
    /// A candidate from what is known of a node; `stakes` may be in any order, an account's stakes are added up.
    pub fn new(hop: Hop, network24: [u8; 3], operator: StakerId, stakes: &[(StakerId, u128)]) -> Self {
        let all = total(stakes.iter().map(|(_, amount)| *amount));
        let mut major_stakers: Vec<_> = stakes.iter().map(|(staker, _)| *staker).collect();
        major_stakers.sort_unstable();
        major_stakers.dedup();
        major_stakers.retain(|staker| {
            let own = total(stakes.iter().filter(|(other, _)| other == staker).map(|(_, amount)| *amount));
            own > 0 && own.saturating_mul(100) >= all.saturating_mul(MAJOR_STAKE_PERCENT)
        });
        Self { hop, network24, operator, major_stakers }
    }

    /// The candidate a roster entry gives; None if the node does not serve or its key cannot hold a layer.
    pub fn from_entry(entry: &RosterEntry) -> Option<Self> {
        if !entry.state.is_serving() {
            return None;
        }
        let stakes: Vec<_> = entry.contributions.iter().map(|stake| (stake.staker, stake.amount)).collect();
        Some(Self::new(Hop::from_id(entry.id)?, entry.endpoint.network24(), entry.operator, &stakes))
    }
}

fn total(amounts: impl Iterator<Item = u128>) -> u128 {
    amounts.fold(0, u128::saturating_add)
}

/// How different the hops of a path had to be. Each step drops one more rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Diversity {
    /// No two hops share an operator, a major staker or a /24 network.
    Full,
    /// Hops may share a major staker.
    SharedStaker,
    /// Hops may also share a /24 network.
    SharedNetwork,
    /// Hops may also share their operator: they are distinct nodes, no more.
    SharedOperator,
}

impl Diversity {
    const STEPS: [Self; 4] = [Self::Full, Self::SharedStaker, Self::SharedNetwork, Self::SharedOperator];

    /// Whether two nodes may stand in one path.
    fn allows(self, a: &Candidate, b: &Candidate) -> bool {
        let shared_staker = || a.major_stakers.iter().any(|staker| b.major_stakers.contains(staker));
        a.hop.id != b.hop.id
            && (self >= Self::SharedOperator || a.operator != b.operator)
            && (self >= Self::SharedNetwork || a.network24 != b.network24)
            && (self >= Self::SharedStaker || !shared_staker())
    }
}

impl fmt::Display for Diversity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "no two hops share an operator, a major staker or a /24 network",
            Self::SharedStaker => "the network is small: hops may share a major staker",
            Self::SharedNetwork => "the network is small: hops may share a major staker or a /24 network",
            Self::SharedOperator => {
                "the network is small: hops may share their operator, so one party may see both ends"
            }
        })
    }
}

/// Whether two nodes may stand in one path under the full rule.
pub fn is_diverse(a: &Candidate, b: &Candidate) -> bool {
    Diversity::Full.allows(a, b)
}

/// What the path should look like.
#[derive(Clone, Copy, Debug, Default)]
pub struct PathWish<'a> {
    /// Hops to keep at their place, guard first: a guard is kept across paths, and a failing hop is replaced alone.
    pub keep: [Option<ServiceNodeId>; PATH_HOPS],
    /// Nodes not to choose: failed ones, and the destination.
    pub exclude: &'a [ServiceNodeId],
}

/// A path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its hops, guard first.
    pub hops: [Hop; PATH_HOPS],
    /// Which rules they keep. Tell the user about anything but [`Diversity::Full`].
    pub diversity: Diversity,
}

/// There is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathChoiceError {
    /// Too few nodes, whatever the rules.
    #[error("a path needs {PATH_HOPS} service nodes, only {0} can be used: wait for more nodes, or exclude fewer")]
    TooFewNodes(usize),
    /// A hop to keep is not among the candidates, is excluded, or is named twice.
    #[error("node {0} cannot be kept in the path: choose another in its place")]
    CannotKeep(ServiceNodeId),
}

/// Chooses three distinct hops at random, as different as the network allows ([`Diversity`]).
///
/// Every candidate is as likely as the rules let it; the order of `candidates` does not matter to the odds. The same
/// inputs and generator give the same path.
///
/// # Errors
/// [`PathChoiceError`] says why there is none.
pub fn choose_path(
    candidates: &[Candidate],
    wish: PathWish<'_>,
    rng: &mut impl CryptoRng,
) -> Result<Choice, PathChoiceError> {
    let usable = |candidate: &&Candidate| !wish.exclude.contains(&candidate.hop.id);
    let mut pool: Vec<&Candidate> = candidates.iter().filter(usable).collect();
    pool.sort_unstable_by_key(|candidate| candidate.hop.id);
    pool.dedup_by_key(|candidate| candidate.hop.id);
    if pool.len() < PATH_HOPS {
        return Err(PathChoiceError::TooFewNodes(pool.len()));
    }
    pool.shuffle(rng);

    let mut kept = Vec::with_capacity(PATH_HOPS);
    for id in wish.keep.into_iter().flatten() {
        let at = pool.iter().position(|candidate| candidate.hop.id == id).ok_or(PathChoiceError::CannotKeep(id))?;
        kept.push(pool.swap_remove(at));
    }
    let usable = kept.len() + pool.len();
    Diversity::STEPS
        .into_iter()
        .find_map(|diversity| {
            let mut chosen = Search { diversity, budget: SEARCH_BUDGET }.run(&kept, &pool)?.into_iter();
            let mut kept = kept.iter().copied();
            let [guard, middle, last] =
                wish.keep.map(|place| if place.is_some() { kept.next() } else { chosen.next() });
            Some(Choice { hops: [guard?.hop, middle?.hop, last?.hop], diversity })
        })
        .ok_or(PathChoiceError::TooFewNodes(usable))
}

/// A depth-first search in the order given, which is random: the first path found is as good as any.
struct Search {
    diversity: Diversity,
    budget: u32,
}

impl Search {
    /// The nodes that complete `kept` to a path, or None if there are none (or the budget is spent).
    fn run<'a>(&mut self, kept: &[&'a Candidate], pool: &[&'a Candidate]) -> Option<Vec<&'a Candidate>> {
        let mut kept_left = kept;
        let mut open = pool.to_vec();
        while let Some((hop, others)) = kept_left.split_first() {
            if !others.iter().all(|other| self.diversity.allows(hop, other)) {
                return None;
            }
            open = self.allowed_beside(hop, &open)?;
            kept_left = others;
        }
        self.complete(PATH_HOPS.saturating_sub(kept.len()), &open)
    }

    /// `missing` nodes of `open`, each allowed beside each.
    fn complete<'a>(&mut self, missing: usize, open: &[&'a Candidate]) -> Option<Vec<&'a Candidate>> {
        if missing == 0 {
            return Some(Vec::new());
        }
        let mut left = open;
        while let Some((hop, others)) = left.split_first() {
            let allowed = self.allowed_beside(hop, others)?;
            if let Some(mut path) = self.complete(missing - 1, &allowed) {
                path.push(hop);
                return Some(path);
            }
            left = others;
        }
        None
    }

    fn allowed_beside<'a>(&mut self, hop: &Candidate, others: &[&'a Candidate]) -> Option<Vec<&'a Candidate>> {
        self.budget = self.budget.checked_sub(u32::try_from(others.len()).ok()?)?;
        Some(others.iter().copied().filter(|other| self.diversity.allows(hop, other)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*, sample::subsequence};
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
    use skep_primitives::{Contribution, Endpoint, NodeState, Permyriad, SoftwareVersion, SwarmId};
    use std::collections::BTreeMap;

    fn rng(seed: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(seed)
    }

    fn account(number: u8) -> StakerId {
        StakerId([number; 32])
    }

    fn candidate(number: u16, operator: u8, network: u8, other_staker: u8) -> Candidate {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        let hop = Hop { id: ServiceNodeId(id), x25519: id };
        let stakes = [(account(operator), 30), (account(100 + other_staker), 70)];
        Candidate::new(hop, [10, 0, network], account(operator), &stakes)
    }

    /// Networks from hopeless to easy: few to many operators, networks and stakers.
    fn network() -> impl Strategy<Value = Vec<Candidate>> {
        (1..8_u8, 1..8_u8, 1..8_u8).prop_flat_map(|(operators, networks, stakers)| {
            vec((0..operators, 0..networks, 0..stakers), 0..14).prop_map(|nodes| {
                nodes
                    .into_iter()
                    .zip(0..)
                    .map(|((operator, net, staker), number)| candidate(number, operator, net, staker))
                    .collect()
            })
        })
    }

    /// The strictest step at which any three nodes with `kept` among them fit, found by trying all.
    fn strictest(candidates: &[Candidate], kept: &[ServiceNodeId]) -> Option<Diversity> {
        let fits = |diversity: Diversity, hops: [&Candidate; 3]| {
            let [a, b, c] = hops;
            diversity.allows(a, b)
                && diversity.allows(a, c)
                && diversity.allows(b, c)
                && kept.iter().all(|id| hops.iter().any(|hop| hop.hop.id == *id))
        };
        Diversity::STEPS.into_iter().find(|diversity| {
            candidates.iter().any(|a| candidates.iter().any(|b| candidates.iter().any(|c| fits(*diversity, [a, b, c]))))
        })
    }

    proptest! {
        #[test]
        fn paths_are_as_diverse_as_the_network_allows(
            candidates in network(),
            places in subsequence(vec![0_usize, 1, 2], 0..=3),
            excluded in 0..3_usize,
            seed: u64,
        ) {
            // Exclude some at the end, keep some at the front.
            let (usable, excluded) = candidates.split_at(candidates.len().saturating_sub(excluded));
            let exclude: Vec<_> = excluded.iter().map(|candidate| candidate.hop.id).collect();
            let mut keep = [None; PATH_HOPS];
            for (place, candidate) in places.iter().zip(usable) {
                keep[*place] = Some(candidate.hop.id);
            }
            let chosen = choose_path(&candidates, PathWish { keep, exclude: &exclude }, &mut rng(seed));

            let kept: Vec<_> = keep.into_iter().flatten().collect();
            let Some(expected) = strictest(usable, &kept) else {
                prop_assert_eq!(chosen, Err(PathChoiceError::TooFewNodes(usable.len())));
                return Ok(());
            };
            let Choice { hops, diversity } = chosen.unwrap();
            prop_assert_eq!(diversity, expected);
            let full: Vec<_> = hops.iter().map(|hop| usable.iter().find(|node| node.hop == *hop).unwrap()).collect();
            for (a, b) in [(0, 1), (0, 2), (1, 2)] {
                prop_assert!(diversity.allows(full[a], full[b]));
            }
            for (place, hop) in keep.iter().zip(hops) {
                prop_assert!(place.is_none_or(|id| id == hop.id));
            }
            prop_assert_eq!(choose_path(&candidates, PathWish { keep, exclude: &exclude }, &mut rng(seed)), chosen);
        }

        #[test]
        fn the_order_of_candidates_is_no_matter(candidates in network(), seed: u64) {
            let mut turned = candidates.clone();
            turned.reverse();
            let wish = PathWish::default();
            prop_assert_eq!(choose_path(&candidates, wish, &mut rng(seed)), choose_path(&turned, wish, &mut rng(seed)));
        }
    }

    #[test]
    fn every_node_serves_at_every_place() {
        let candidates: Vec<_> =
            (0..9).map(|number| candidate(number, number as u8, number as u8, number as u8)).collect();
        let mut counts = BTreeMap::new();
        let mut rng = rng(1);
        for _ in 0..9_000 {
            for (place, hop) in
                choose_path(&candidates, PathWish::default(), &mut rng).unwrap().hops.into_iter().enumerate()
            {
                *counts.entry((place, hop.id)).or_insert(0) += 1;
            }
        }
        assert_eq!(counts.len(), 27);
        // A thousand expected, standard deviation about 30.
        assert!(counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_makes_a_major_staker() {
        let hop = Hop { id: ServiceNodeId([1; 32]), x25519: [1; 32] };
        let major = |stakes: &[(u8, u128)]| {
            let stakes: Vec<_> = stakes.iter().map(|(staker, amount)| (account(*staker), *amount)).collect();
            Candidate::new(hop, [0; 3], account(1), &stakes).major_stakers
        };
        assert_eq!(major(&[(1, 51), (2, 25), (3, 24)]), [account(1), account(2)]);
        // Two stakes of one account count together.
        assert_eq!(major(&[(3, 12), (1, 75), (3, 13)]), [account(1), account(3)]);
        assert_eq!(major(&[(1, 0)]), []);
        assert_eq!(major(&[(1, u128::MAX), (2, u128::MAX)]), [account(1), account(2)]);
    }

    #[test]
    fn only_serving_nodes_with_usable_keys_are_candidates() {
        let id: ServiceNodeId = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".parse().unwrap();
        let stake = |number, amount| Contribution { staker: account(number), amount };
        let active = RosterEntry {
            id,
            operator: account(1),
            fee: Permyriad::default(),
            contributions: vec![stake(1, 30), stake(2, 20), stake(3, 50)],
            requirement: 100,
            endpoint: Endpoint { ipv4: [127, 0, 3, 1], https_port: 22021, quic_port: 22020 },
            version: SoftwareVersion::default(),
            state: NodeState::Active { since: 1 },
            swarm: SwarmId::UNASSIGNED,
            registered_at: 1,
            last_rewarded_at: 1,
        };
        let expected = Candidate {
            hop: Hop::from_id(id).unwrap(),
            network24: [127, 0, 3],
            operator: account(1),
            major_stakers: vec![account(1), account(3)],
        };
        assert_eq!(Candidate::from_entry(&active), Some(expected));
        let gathering = RosterEntry { state: NodeState::Gathering { expires_at: 9 }, ..active.clone() };
        let unusable = RosterEntry { id: ServiceNodeId([0; 32]), ..active };
        for entry in [gathering, unusable] {
            assert_eq!(Candidate::from_entry(&entry), None);
        }
    }

    #[test]
    fn each_step_drops_one_rule() {
        let node = candidate(1, 1, 1, 1);
        for (other, allowed_from) in [
            (candidate(2, 2, 2, 2), Some(Diversity::Full)),
            (candidate(2, 2, 2, 1), Some(Diversity::SharedStaker)),
            (candidate(2, 2, 1, 2), Some(Diversity::SharedNetwork)),
            (candidate(2, 2, 1, 1), Some(Diversity::SharedNetwork)),
            (candidate(2, 1, 2, 2), Some(Diversity::SharedOperator)),
            (candidate(1, 2, 2, 2), None),
        ] {
            for step in Diversity::STEPS {
                let expected = allowed_from.is_some_and(|from| step >= from);
                assert_eq!((step.allows(&node, &other), step.allows(&other, &node)), (expected, expected));
            }
        }
        // An operator counts though its stake in both is not major.
        let minor = |number: u8| {
            let hop = Hop { id: ServiceNodeId([number; 32]), x25519: [number; 32] };
            Candidate::new(hop, [10, 0, number], account(1), &[(account(1), 10), (account(number), 90)])
        };
        assert!(!is_diverse(&minor(2), &minor(3)));
    }

    #[test]
    fn an_account_with_a_quarter_of_both_keeps_nodes_apart() {
        let node = |number: u8, shared: u128| {
            let hop = Hop { id: ServiceNodeId([number; 32]), x25519: [number; 32] };
            let stakes = [(account(number), 100 - shared), (account(99), shared)];
            Candidate::new(hop, [10, 0, number], account(number), &stakes)
        };
        assert!(!is_diverse(&node(1, 25), &node(2, 75)));
        assert!(is_diverse(&node(1, 24), &node(2, 75)));
    }

    #[test]
    fn hops_that_cannot_be_kept_are_named() {
        let candidates: Vec<_> =
            (0..5).map(|number| candidate(number, number as u8, number as u8, number as u8)).collect();
        let (first, gone) = (candidates[0].hop.id, ServiceNodeId([9; 32]));
        for (keep, exclude, named) in [
            ([Some(gone), None, None], vec![], gone),
            ([Some(first), None, None], vec![first], first),
            ([Some(first), None, Some(first)], vec![], first),
        ] {
            let chosen = choose_path(&candidates, PathWish { keep, exclude: &exclude }, &mut rng(0));
            assert_eq!(chosen, Err(PathChoiceError::CannotKeep(named)));
        }
    }

    #[test]
    fn a_large_network_of_two_parties_is_given_up_in_bounded_work() {
        // Two stakers hold everything: every pair across them fits, no three nodes do.
        let candidates: Vec<_> =
            (0..1_500).map(|number| candidate(number, number as u8, 0, (number % 2) as u8)).collect();
        let candidates: Vec<_> = candidates
            .into_iter()
            .zip(0_u16..)
            .map(|(node, number)| Candidate {
                network24: [number.to_be_bytes()[0], number.to_be_bytes()[1], 0],
                ..node
            })
            .collect();
        let mut search = Search { diversity: Diversity::Full, budget: SEARCH_BUDGET };
        assert!(search.run(&[], &candidates.iter().collect::<Vec<_>>()).is_none());
        let chosen = choose_path(&candidates, PathWish::default(), &mut rng(0)).unwrap();
        assert_eq!(chosen.diversity, Diversity::SharedStaker);
    }
}

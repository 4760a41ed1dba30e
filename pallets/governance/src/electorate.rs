//! Whose word counts how much: the stake of serving nodes, by operator.
//!
//! Kept as nodes come and go, in work that does not grow with their number: at most one operator's approvals and the open
//! proposals are looked at.

use crate::{Approved, Config, Open, Pallet, Seats, Serving, Voice};
use core::marker::PhantomData;
use skep_primitives::{Balance, Payees, ServiceNodeId, StakerId};

/// The electorate. Every change of it goes through here.
pub(crate) struct Electorate<T>(PhantomData<T>);

impl<T: Config> Electorate<T> {
    /// A node begins to serve: its operator speaks for what it must hold. One that is seated keeps its seat.
    ///
    /// A serving node holds so much whoever comes and goes. The sum of its stakes is more while one leaves whose place was
    /// filled, and nobody is told when that one is gone: counted, such stake would speak several times, and after its return.
    pub(crate) fn seat(node: ServiceNodeId, payees: &Payees) {
        let stake = payees.requirement;
        let before = Seats::<T>::get(node).filter(|(operator, _)| *operator == payees.operator);
        if before.is_none() {
            Self::unseat(node);
        }
        let counted = before.map_or(0, |(_, stake)| stake);
        Seats::<T>::insert(node, (payees.operator, stake));
        Self::change(payees.operator, |sum| sum.saturating_sub(counted).saturating_add(stake));
    }

    /// A node goes on under another key: nobody's word counts less or more meanwhile.
    pub(crate) fn reseat(from: ServiceNodeId, to: ServiceNodeId) {
        if let Some(seat) = Seats::<T>::take(from) {
            Seats::<T>::insert(to, seat);
        }
    }

    /// A node serves no longer. An operator without any has no say; what it approved of is forgotten.
    pub(crate) fn unseat(node: ServiceNodeId) {
        let Some((operator, stake)) = Seats::<T>::take(node) else { return };
        Self::change(operator, |sum| sum.saturating_sub(stake));
        if Voice::<T>::get(operator) == 0 {
            Voice::<T>::remove(operator);
            Approved::<T>::remove(operator);
        }
    }

    fn change(operator: StakerId, by: impl Fn(Balance) -> Balance) {
        Voice::<T>::mutate(operator, |voice| *voice = by(*voice));
        let serving = Serving::<T>::mutate(|serving| {
            *serving = by(*serving);
            *serving
        });
        let mut open = Open::<T>::get();
        if open.is_empty() {
            return;
        }
        let (approved, quorum) = (Approved::<T>::get(operator), Pallet::<T>::quorum(serving));
        for proposal in &mut open {
            if approved.contains(&proposal.id) {
                proposal.approving = by(proposal.approving);
            }
            Pallet::<T>::count(proposal, quorum);
        }
        Open::<T>::put(open);
    }
}

#[cfg(feature = "std")]
impl<T: Config> Electorate<T> {
    /// Sums are those of the seats.
    pub(crate) fn check_state() -> Result<(), &'static str> {
        use alloc::collections::BTreeMap;
        use frame_support::ensure;
        use skep_primitives::NodeStakes;
        let mut voices = BTreeMap::<StakerId, Balance>::new();
        for (operator, stake) in Seats::<T>::iter_values() {
            let voice = voices.entry(operator).or_default();
            *voice = voice.saturating_add(stake);
        }
        for (node, (operator, stake)) in Seats::<T>::iter() {
            let payees = T::Stakes::payees(node).filter(|payees| payees.operator == operator);
            let payees = payees.ok_or("who has a seat serves")?;
            ensure!(payees.requirement == stake, "a node speaks for what it must hold");
            let held = payees.contributions.iter().fold(0, |sum: Balance, stake| sum.saturating_add(stake.amount));
            ensure!(stake <= held, "a node speaks for no more than it holds");
        }
        ensure!(Serving::<T>::get() == voices.values().sum::<Balance>(), "all stake that serves is counted once");
        ensure!(Voice::<T>::iter().collect::<BTreeMap<_, _>>() == voices, "an operator speaks for its nodes");
        ensure!(Approved::<T>::iter_keys().all(|who| voices.contains_key(&who)), "only operators approve");
        Ok(())
    }
}

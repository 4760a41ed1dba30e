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
    /// A node begins to serve: its operator speaks for its stake. One that is seated keeps its seat, with the stake of now.
    pub(crate) fn seat(node: ServiceNodeId, payees: &Payees) {
        let stake = payees.contributions.iter().fold(0, |sum: Balance, stake| sum.saturating_add(stake.amount));
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
        let approved = Approved::<T>::get(operator);
        for proposal in &mut open {
            if approved.contains(&proposal.id) {
                proposal.approving = by(proposal.approving);
            }
            Pallet::<T>::count(proposal, serving);
        }
        Open::<T>::put(open);
    }
}

#[cfg(any(feature = "std", feature = "try-runtime"))]
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
        for (node, (operator, _)) in Seats::<T>::iter() {
            let serves = T::Stakes::payees(node).is_some_and(|payees| payees.operator == operator);
            ensure!(serves, "who has a seat serves");
        }
        ensure!(Serving::<T>::get() == voices.values().sum::<Balance>(), "all stake that serves is counted once");
        ensure!(Voice::<T>::iter().collect::<BTreeMap<_, _>>() == voices, "an operator speaks for its nodes");
        ensure!(Approved::<T>::iter_keys().all(|who| voices.contains_key(&who)), "only operators approve");
        Ok(())
    }
}

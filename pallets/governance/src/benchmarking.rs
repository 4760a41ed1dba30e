//! What calls weigh at worst: as many proposals are open as may be, and the caller approves of all others.

use super::*;
use frame_benchmarking::v2::*;
use frame_system::RawOrigin;
use pallet_network::ProposalFactory;
use skep_primitives::UNIT;

/// The stake the only operator's nodes serve with: what it approves of is carried at once.
const STAKE: Balance = 1_000 * UNIT;

const MOTION: Motion = Motion::WorkFloor { effort: 2 };

/// An operator that can pay a deposit.
fn operator<T: Config>() -> Result<AccountId32, BenchmarkError> {
    let who: AccountId32 = whitelisted_caller();
    T::Currency::mint_into(&who, T::Deposit::get().saturating_mul(2).saturating_add(UNIT))?;
    Voice::<T>::insert(StakerId(who.clone().into()), STAKE);
    Serving::<T>::put(STAKE);
    Ok(who)
}

fn spend(number: u32) -> Motion {
    let beneficiary: AccountId32 = account("beneficiary", number, 0);
    Motion::Spend { beneficiary: StakerId(beneficiary.into()), amount: UNIT }
}

/// So many open proposals of another operator, which the caller approves of.
fn others<T: Config>(who: &AccountId32, count: u32) -> Result<(), BenchmarkError> {
    let proposer: AccountId32 = account("proposer", 0, 0);
    let proposer = StakerId(proposer.into());
    for id in 0..count {
        let motion = spend(id.saturating_add(1));
        let expires_at = Pallet::<T>::now().saturating_add(Pallet::<T>::voting_blocks());
        let proposal = Proposal { id, proposer, motion, deposit: 0, approving: 0, expires_at, enact_from: None };
        Open::<T>::mutate(|open| open.force_push(proposal));
        NextId::<T>::put(id.saturating_add(1));
        Pallet::<T>::approve(RawOrigin::Signed(who.clone()).into(), id, motion)?;
    }
    Ok(())
}

/// An open proposal nobody approves of.
fn weak<T: Config>() -> Result<(), BenchmarkError> {
    let (proposer, deposit): (AccountId32, _) = (account("weak", 0, 0), T::Deposit::get());
    T::Currency::mint_into(&proposer, deposit.saturating_mul(2))?;
    T::Currency::hold(&HoldReason::Proposal.into(), &proposer, deposit)?;
    let (id, proposer) = (ProposalId::MAX, StakerId(proposer.into()));
    let expires_at = Pallet::<T>::now().saturating_add(Pallet::<T>::voting_blocks());
    let proposal = Proposal { id, proposer, motion: spend(0), deposit, approving: 0, expires_at, enact_from: None };
    Open::<T>::mutate(|open| open.force_push(proposal));
    Ok(())
}

/// The caller's own proposal beside all others.
fn proposed<T: Config>(who: &AccountId32, motion: Motion) -> Result<ProposalId, BenchmarkError> {
    others::<T>(who, MAX_OPEN_PROPOSALS - 1)?;
    let id = NextId::<T>::get();
    Pallet::<T>::propose(RawOrigin::Signed(who.clone()).into(), motion)?;
    Ok(id)
}

#[benchmarks]
mod benchmarks {
    use super::*;

    /// As many are open as may be: one gives way.
    #[benchmark]
    fn propose() -> Result<(), BenchmarkError> {
        let who = operator::<T>()?;
        weak::<T>()?;
        others::<T>(&who, MAX_OPEN_PROPOSALS - 1)?;
        #[extrinsic_call]
        _(RawOrigin::Signed(who), MOTION);
        assert!(Open::<T>::get().is_full());
        Ok(())
    }

    #[benchmark]
    fn approve() -> Result<(), BenchmarkError> {
        let who = operator::<T>()?;
        let id = proposed::<T>(&who, MOTION)?;
        Pallet::<T>::withdraw_approval(RawOrigin::Signed(who.clone()).into(), id, MOTION)?;
        #[extrinsic_call]
        _(RawOrigin::Signed(who), id, MOTION);
        assert!(Open::<T>::get().iter().all(|proposal| proposal.enact_from.is_some()));
        Ok(())
    }

    #[benchmark]
    fn withdraw_approval() -> Result<(), BenchmarkError> {
        let who = operator::<T>()?;
        let id = proposed::<T>(&who, MOTION)?;
        #[extrinsic_call]
        _(RawOrigin::Signed(who), id, MOTION);
        assert!(Open::<T>::get().iter().any(|proposal| proposal.enact_from.is_none()));
        Ok(())
    }

    /// A payment that opens an account.
    #[benchmark]
    fn enact() -> Result<(), BenchmarkError> {
        let who = operator::<T>()?;
        T::Currency::mint_into(&T::Treasury::get(), 10 * UNIT)?;
        let id = proposed::<T>(&who, spend(0))?;
        let from = Pallet::<T>::now().saturating_add(Pallet::<T>::delay_blocks(&spend(0)));
        frame_system::Pallet::<T>::set_block_number(from.into());
        #[extrinsic_call]
        _(RawOrigin::Signed(who), id);
        assert!(!Open::<T>::get().is_full());
        Ok(())
    }

    #[benchmark]
    fn close() -> Result<(), BenchmarkError> {
        let who = operator::<T>()?;
        let id = proposed::<T>(&who, MOTION)?;
        #[extrinsic_call]
        _(RawOrigin::Signed(who), id);
        assert!(!Open::<T>::get().is_full());
        Ok(())
    }
}

impl<T: Config> ProposalFactory for Pallet<T> {
    fn open(approvers: &[ServiceNodeId]) {
        let ids = || 0..MAX_OPEN_PROPOSALS;
        let proposals = ids().map(|id| Proposal {
            id,
            proposer: StakerId([0; 32]),
            motion: spend(id),
            deposit: 0,
            approving: Pallet::<T>::quorum(Serving::<T>::get()),
            expires_at: BlockNumber::MAX,
            enact_from: Some(BlockNumber::MAX),
        });
        Open::<T>::put(BoundedVec::truncate_from(proposals.collect()));
        for (operator, _) in approvers.iter().filter_map(Seats::<T>::get) {
            Approved::<T>::insert(operator, BoundedVec::truncate_from(ids().collect()));
        }
    }
}

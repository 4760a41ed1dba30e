//! What calls and the hook weigh at worst: nodes with as many stakes as they may have, and every listener told.

use super::*;
use alloc::{format, vec::Vec};
use frame_benchmarking::v2::*;
use frame_support::traits::fungible::Unbalanced;
use frame_system::RawOrigin;
use pallet_network::{CandidateFactory, NodeFactory, ProposalFactory};
use skep_primitives::{MAX_CONTRIBUTORS, MAX_HAND_OVERS, MAX_STAKES, UNIT};
use sp_core::{crypto::KeyTypeId, ed25519::Public};

/// Where the keystore of whoever runs benchmarks keeps nodes' keys.
const NODE_KEYS: KeyTypeId = KeyTypeId(*b"node");

const VERSION: SoftwareVersion = SoftwareVersion([1, 2, 3]);

/// Makes session keys of the runtime's kind.
pub trait SessionKeyFactory<Keys> {
    /// New keys, and their proof of ownership by `owner`.
    fn generate(owner: &[u8]) -> (Keys, Vec<u8>);
}

fn key(number: u32) -> ServiceNodeId {
    ServiceNodeId(sp_io::crypto::ed25519_generate(NODE_KEYS, Some(format!("//{number}").into_bytes())).0)
}

fn signature(node: ServiceNodeId, message: &[u8]) -> Result<RawSignature, BenchmarkError> {
    let signature = sp_io::crypto::ed25519_sign(NODE_KEYS, &Public::from_raw(node.0), message);
    Ok(signature.ok_or(BenchmarkError::Stop("the keystore has the node's key"))?.0)
}

/// The proof of the node that an operator registers it.
fn proof<T: Config>(node: ServiceNodeId, operator: StakerId) -> Result<RawSignature, BenchmarkError> {
    signature(node, &signing::registration(&pallet_network::Pallet::<T>::genesis_hash(), &operator, fee()))
}

/// A tenth: everyone behind the node is paid.
fn fee() -> Permyriad {
    Permyriad::new(1_000).unwrap_or(Permyriad::WHOLE)
}

/// A public address of its own for each number.
fn endpoint(number: u32) -> Endpoint {
    let [_, a, b, c] = number.to_be_bytes();
    Endpoint { ipv4: [20, a, b, c], https_port: 22021, quic_port: 22020 }
}

fn staker(node: u32, place: u32) -> AccountId32 {
    account("staker", node, place)
}

/// Gives an account what it needs to stake.
fn fund<T: Config>(who: &AccountId32) -> Result<(), BenchmarkError> {
    let amount = Pallet::<T>::staking_terms().requirement.saturating_mul(2).saturating_add(UNIT);
    T::Currency::increase_balance(who, amount, Precision::Exact)?;
    Ok(())
}

/// Registers node `number` in a state, with `count` stakes that are each one of `parts` of what it must hold.
fn staked<T: Config>(number: u32, count: u32, parts: u32, state: NodeState) -> Result<ServiceNodeId, BenchmarkError> {
    let node = key(number);
    let requirement = Pallet::<T>::staking_terms().requirement;
    let leaves_at = state.leave().map(|leave| leave.leaves_at);
    let mut record = NodeRecord {
        operator: StakerId(staker(number, 0).into()),
        fee: fee(),
        stakes: Default::default(),
        reserved: Default::default(),
        requirement,
        endpoint: endpoint(number),
        version: VERSION,
        state,
        registered_at: 0,
    };
    for place in 0..count {
        let (who, amount) = (staker(number, place), requirement / Balance::from(parts));
        fund::<T>(&who)?;
        T::Currency::hold(&HoldReason::Stake.into(), &who, amount)?;
        let staker = StakerId(who.into());
        StakedIn::<T>::insert(staker, node, ());
        let stake = HeldStake { staker, amount, since: 0, leaves_at };
        record.stakes.try_push(stake).map_err(|_| BenchmarkError::Stop("a node may have so many stakes"))?;
    }
    RosterSize::<T>::mutate(|size| *size = size.saturating_add(1));
    if state.is_tested() {
        Pallet::<T>::take_sockets(node, &record.endpoint);
    }
    Roster::put(node, &record);
    if state.is_serving() {
        T::Listener::started(node);
    }
    Ok(node)
}

fn active<T: Config>(number: u32) -> Result<ServiceNodeId, BenchmarkError> {
    staked::<T>(number, MAX_CONTRIBUTORS, MAX_CONTRIBUTORS, NodeState::Active { since: 0 })
}

/// A node that gathers until block 100: with so many stakes of a tenth of what it must hold.
fn gathering<T: Config>(count: u32) -> Result<ServiceNodeId, BenchmarkError> {
    let node = staked::<T>(0, count, MAX_CONTRIBUTORS, NodeState::Gathering { expires_at: 100 })?;
    Agenda::<T>::insert(100, node, ());
    Ok(node)
}

fn offered<T: Config>(number: u32) -> Result<ServiceNodeId, BenchmarkError> {
    let node = active::<T>(number)?;
    let (keys, session_proof) = T::BenchmarkHelper::generate(node.as_ref());
    let message = signing::session_keys(&pallet_network::Pallet::<T>::genesis_hash(), &node, &keys.encode());
    let session_proof = session_proof.try_into().map_err(|_| BenchmarkError::Stop("the proof is short"))?;
    let (operator, node_proof) = (RawOrigin::Signed(staker(number, 0)), signature(node, &message)?);
    Pallet::<T>::set_session_keys(operator.into(), node, keys, session_proof, node_proof)?;
    Ok(node)
}

/// What a node says of itself that has done so before.
fn announcement<T: Config>() -> Result<(Announcement, RawSignature), BenchmarkError> {
    let node = active::<T>(0)?;
    let after = pallet_network::Network::<T>::get().epoch_blocks.saturating_add(1);
    EndpointChangedAt::<T>::insert(node, 1);
    frame_system::Pallet::<T>::set_block_number(after.saturating_add(1).into());
    let announcement = Announcement { node, endpoint: endpoint(1), version: VERSION, after };
    let message = signing::announcement(&pallet_network::Pallet::<T>::genesis_hash(), &announcement);
    Ok((announcement, signature(node, &message)?))
}

fn state_of(node: ServiceNodeId) -> Option<NodeState> {
    Roster::get(node).map(|record| record.state)
}

#[benchmarks]
mod benchmarks {
    use super::*;

    /// A node that serves at once, with which no open proposal is carried any more.
    #[benchmark]
    fn register() -> Result<(), BenchmarkError> {
        let (operator, node): (AccountId32, _) = (whitelisted_caller(), key(0));
        T::BenchmarkHelper::open(&[]);
        fund::<T>(&operator)?;
        let proof = proof::<T>(node, StakerId(operator.clone().into()))?;
        let stake = Pallet::<T>::staking_terms().requirement;
        #[extrinsic_call]
        _(RawOrigin::Signed(operator), node, proof, fee(), endpoint(0), VERSION, stake, Reservations::default());
        assert!(state_of(node).is_some_and(|state| state.is_serving()));
        Ok(())
    }

    /// The last contribution, which lets the node serve, so that no open proposal is carried any more.
    #[benchmark]
    fn contribute() -> Result<(), BenchmarkError> {
        let (last, node): (AccountId32, _) = (whitelisted_caller(), gathering::<T>(MAX_CONTRIBUTORS - 1)?);
        fund::<T>(&last)?;
        T::BenchmarkHelper::open(&[]);
        let room = Roster::get(node).map(|record| record.requirement.saturating_sub(record.staked()));
        let room = room.ok_or(BenchmarkError::Stop("registered"))?;
        #[extrinsic_call]
        _(RawOrigin::Signed(last), node, room);
        assert!(state_of(node).is_some_and(|state| state.is_serving()));
        Ok(())
    }

    #[benchmark]
    fn request_unlock() -> Result<(), BenchmarkError> {
        let node = active::<T>(0)?;
        let old_enough_at = pallet_network::Pallet::<T>::blocks(pallet_network::Network::<T>::get().small_stake_lock);
        frame_system::Pallet::<T>::set_block_number(old_enough_at.into());
        #[extrinsic_call]
        _(RawOrigin::Signed(staker(0, MAX_CONTRIBUTORS - 1)), node);
        assert!(state_of(node).is_some_and(|state| state.leave().is_some()));
        Ok(())
    }

    /// The operator's, which ends the node and returns every stake.
    #[benchmark]
    fn withdraw() -> Result<(), BenchmarkError> {
        let node = gathering::<T>(MAX_CONTRIBUTORS - 1)?;
        #[extrinsic_call]
        _(RawOrigin::Signed(staker(0, 0)), node);
        assert!(Roster::get(node).is_none());
        Ok(())
    }

    #[benchmark]
    fn update_endpoint() -> Result<(), BenchmarkError> {
        let node = active::<T>(0)?;
        #[extrinsic_call]
        _(RawOrigin::Signed(staker(0, 0)), node, endpoint(1), VERSION);
        assert!(Roster::get(node).is_some_and(|record| record.endpoint == endpoint(1)));
        Ok(())
    }

    #[benchmark]
    fn announce() -> Result<(), BenchmarkError> {
        let (announcement, signature) = announcement::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Authorized, announcement, signature);
        assert!(Roster::get(announcement.node).is_some_and(|record| record.endpoint == announcement.endpoint));
        Ok(())
    }

    #[benchmark]
    fn authorize_announce() -> Result<(), BenchmarkError> {
        let (announcement, signature) = announcement::<T>()?;
        #[block]
        {
            Announcements::<T>::authorize(&announcement, &signature)?;
        }
        Ok(())
    }

    #[benchmark]
    fn set_session_keys() -> Result<(), BenchmarkError> {
        let node = active::<T>(0)?;
        let (keys, session_proof) = T::BenchmarkHelper::generate(node.as_ref());
        let genesis = pallet_network::Pallet::<T>::genesis_hash();
        let node_proof = signature(node, &signing::session_keys(&genesis, &node, &keys.encode()))?;
        let session_proof = session_proof.try_into().map_err(|_| BenchmarkError::Stop("the proof is short"))?;
        #[extrinsic_call]
        _(RawOrigin::Signed(staker(0, 0)), node, keys, session_proof, node_proof);
        assert!(AuthorityCandidates::<T>::contains_key(node));
        Ok(())
    }

    #[benchmark]
    fn retract_session_keys() -> Result<(), BenchmarkError> {
        let node = offered::<T>(0)?;
        #[extrinsic_call]
        _(RawOrigin::Signed(staker(0, 0)), node);
        assert!(!AuthorityCandidates::<T>::contains_key(node));
        Ok(())
    }

    /// Of a node that was handed over as often as may be, some time ago, and is offered as a block producer; as many as may are
    /// leaving it.
    #[benchmark]
    fn hand_over() -> Result<(), BenchmarkError> {
        let (mut node, operator) = (offered::<T>(0)?, staker(0, 0));
        let origin = RawOrigin::Signed(operator.clone());
        for number in 1..=MAX_HAND_OVERS {
            let to = key(number);
            let proof = proof::<T>(to, StakerId(operator.clone().into()))?;
            Pallet::<T>::hand_over(origin.clone().into(), node, to, proof)?;
            node = to;
        }
        let keys = AuthorityCandidates::<T>::get(key(0)).map(|(keys, _)| keys).unwrap_or_default();
        AuthorityCandidates::<T>::insert(node, (keys, 0));
        let now = Pallet::<T>::unlock_blocks().saturating_add(1);
        frame_system::Pallet::<T>::set_block_number(now.into());
        let mut record = Roster::get(node).ok_or(BenchmarkError::Stop("registered"))?;
        for place in MAX_CONTRIBUTORS..MAX_STAKES {
            let (leaver, leaves_at) = (StakerId(staker(0, place).into()), now.saturating_add(place));
            let stake = HeldStake { staker: leaver, amount: UNIT, since: 0, leaves_at: Some(leaves_at) };
            record.stakes.try_push(stake).map_err(|_| BenchmarkError::Stop("a node may have so many stakes"))?;
            StakedIn::<T>::insert(leaver, node, ());
            Agenda::<T>::insert(leaves_at, node, ());
        }
        Roster::put(node, &record);
        let to = key(MAX_HAND_OVERS.saturating_add(1));
        let proof = proof::<T>(to, StakerId(operator.into()))?;
        #[extrinsic_call]
        _(origin, node, to, proof);
        assert!(state_of(to).is_some_and(|state| state.is_serving()));
        Ok(())
    }

    /// So many nodes whose unlock time is over; each changes what becomes of every open proposal.
    #[benchmark]
    fn work_off_agenda(n: Linear<0, MAX_ENDS_PER_BLOCK>) -> Result<(), BenchmarkError> {
        let now = 100;
        AgendaFrom::<T>::put(now);
        frame_system::Pallet::<T>::set_block_number(now.into());
        for number in 0..n {
            let state = NodeState::Leaving { requested_at: 0, leaves_at: now };
            let node = staked::<T>(number, MAX_STAKES, MAX_STAKES, state)?;
            Agenda::<T>::insert(now, node, ());
        }
        // Every other one that goes takes its approval along, those between let the rest be enough again.
        let approvers = Agenda::<T>::iter_key_prefix(now).step_by(2);
        T::BenchmarkHelper::open(&approvers.collect::<Vec<_>>());
        #[block]
        {
            Pallet::<T>::work_off_agenda(now);
        }
        assert_eq!(RosterSize::<T>::get(), 0);
        Ok(())
    }
}

impl<T: Config> NodeFactory for Pallet<T> {
    fn serving(number: u32) -> ServiceNodeId {
        staked::<T>(number, MAX_STAKES, MAX_STAKES, NodeState::Active { since: 0 }).unwrap_or_else(|_| key(number))
    }
}

impl<T: Config> CandidateFactory for Pallet<T> {
    /// Only what a draw looks at is there: neither the node's key nor what is held for its stakes.
    fn offered(number: u32) -> ServiceNodeId {
        let node = ServiceNodeId(sp_io::hashing::blake2_256(&number.encode()));
        let stake =
            |place: u32| HeldStake { staker: StakerId([place as u8; 32]), amount: UNIT, since: 0, leaves_at: None };
        let record = NodeRecord {
            operator: StakerId([0; 32]),
            fee: fee(),
            stakes: BoundedVec::truncate_from((0..MAX_STAKES).map(stake).collect()),
            reserved: Default::default(),
            requirement: UNIT,
            endpoint: endpoint(number),
            version: VERSION,
            state: NodeState::Active { since: 0 },
            registered_at: 0,
        };
        Roster::put(node, &record);
        let keys = (node, sp_io::hashing::blake2_256(node.as_ref())).encode();
        AuthorityCandidates::<T>::insert(node, (BoundedVec::truncate_from(keys), 1));
        node
    }
}

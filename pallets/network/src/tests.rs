//! Tests of the numbers and their conversion.

use crate::{self as pallet_network, BLOCK_HASHES, InvalidParameters, Parameters};
use frame_support::{derive_impl, traits::Get};
use skep_economics::StakingRequirement;
use skep_primitives::{InvalidTestingTerms, TestingTerms, UNIT};
use sp_runtime::BuildStorage;

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Network: pallet_network,
    }
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlock<Self>;
}

impl pallet_network::Config for Test {}

fn with(parameters: Parameters) -> sp_io::TestExternalities {
    RuntimeGenesisConfig {
        system: Default::default(),
        network: pallet_network::GenesisConfig { parameters, ..Default::default() },
    }
    .build_storage()
    .expect("genesis builds")
    .into()
}

#[test]
fn durations_round_up_to_whole_blocks() {
    with(Parameters::default()).execute_with(|| {
        assert_eq!(Network::blocks(0), 0);
        assert_eq!(Network::blocks(1), 1);
        assert_eq!(Network::blocks(6_000), 1);
        assert_eq!(Network::blocks(6_001), 2);
        assert_eq!(Network::blocks(u64::MAX), u32::MAX);
        assert_eq!(Network::duration(0), 0);
        assert_eq!(Network::duration(20), 120_000);
        assert_eq!(Network::duration(u32::MAX), u64::from(u32::MAX) * 6_000);
    });
}

#[test]
fn the_consensus_reads_the_same_numbers() {
    with(Parameters { block_time: 2_000, epoch_blocks: 10, ..Default::default() }).execute_with(|| {
        assert_eq!(pallet_network::EpochBlocks::<Test>::get(), 10);
        assert_eq!(pallet_network::BlockTime::<Test>::get(), 2_000);
        assert_eq!(pallet_network::MinimumPeriod::<Test>::get(), 1_000);
    });
    const HOUR: u64 = 60 * 60 * 1_000;
    let provable = <pallet_network::ProvableSessions<Test> as Get<u32>>::get;
    with(Parameters::default()).execute_with(|| {
        assert_eq!((provable(), Network::believed_for()), (24 * 15 + 1, (24 * 15 - 25) * HOUR));
    });
    // Sessions that do not fit evenly, and an era longer than the lock.
    with(Parameters { unlock: HOUR + 1, ..Default::default() }).execute_with(|| {
        assert_eq!((provable(), Network::believed_for()), (3, 0));
    });
}

#[test]
fn unsound_numbers_are_named() {
    let main = Parameters::default;
    let refused = [
        (Parameters { block_time: 0, ..main() }, InvalidParameters::BlockTime),
        (Parameters { block_time: 1_001, ..main() }, InvalidParameters::BlockTime),
        (Parameters { epoch_blocks: 3, ..main() }, InvalidParameters::EpochBlocks),
        (Parameters { epoch_blocks: BLOCK_HASHES + 1, ..main() }, InvalidParameters::EpochBlocks),
        (Parameters { requirement: StakingRequirement::Fixed { amount: 0 }, ..main() }, InvalidParameters::Requirement),
        (Parameters { unlock: 0, ..main() }, InvalidParameters::Duration),
        (Parameters { pool_expiry: 0, ..main() }, InvalidParameters::Duration),
        (Parameters { deregistration_lock: 0, ..main() }, InvalidParameters::Duration),
        (Parameters { enactment_delay: 0, ..main() }, InvalidParameters::Duration),
        (Parameters { least_electorate: 44_999 * UNIT, ..main() }, InvalidParameters::LeastElectorate),
        (Parameters { deregistration_lock: main().unlock - 1, ..main() }, InvalidParameters::DeregistrationLock),
        (
            Parameters { testing: TestingTerms { vote_rounds: 0, ..main().testing }, ..main() },
            InvalidParameters::Testing(InvalidTestingTerms::VoteRounds),
        ),
    ];
    assert_eq!(main().validate(), Ok(()));
    assert_eq!(Parameters { epoch_blocks: BLOCK_HASHES, ..main() }.validate(), Ok(()));
    assert_eq!(Parameters { least_electorate: 0, private_addresses: true, ..main() }.validate(), Ok(()));
    for (parameters, error) in refused {
        assert_eq!(parameters.validate(), Err(error));
    }
}

#[test]
#[should_panic(expected = "epochBlocks must be at least 4 and at most 4096")]
fn a_network_does_not_start_on_unsound_numbers() {
    with(Parameters { epoch_blocks: 0, ..Default::default() });
}

//! How each network begins.
//!
//! | preset | authorities | blocks | for |
//! |---|---|---|---|
//! | `dev` | Alice | 1 s | one developer, one node |
//! | `local` | Alice, Bob, Charlie, Dave | 2 s | a whole network on one machine; locks are minutes |
//! | `main` | named in the launch genesis | 6 s | people's money: the numbers only, no key and no token comes from here |

use crate::{AccountId, Balance, RuntimeGenesisConfig, SessionKeys, configs::BABE_GENESIS_EPOCH_CONFIG};
use alloc::vec::Vec;
use frame_support::build_struct_json_patch;
use pallet_network::Parameters;
use serde_json::Value;
use skep_economics::StakingRequirement;
use skep_primitives::{Moment, TestingTerms, UNIT};
use sp_genesis_builder::PresetId;
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};

/// One developer's network.
pub const DEV: &str = "dev";
/// A whole network on one machine.
pub const LOCAL: &str = "local";
/// The main network.
pub const MAIN: &str = "main";

/// What each well-known account owns on `dev` and `local`.
const ENDOWMENT: Balance = 1_000_000 * UNIT;

/// First floor of work, in Equi-X solutions tried on average: a fraction of a second on a phone. Messaging nodes take nothing
/// below it.
const WORK_FLOOR: u32 = 8;

const SECOND: Moment = 1_000;
const MINUTE: Moment = 60 * SECOND;

/// The genesis of a preset as JSON; `None` for an unknown name.
pub fn get_preset(id: &PresetId) -> Option<Vec<u8>> {
    let genesis = match id.as_str() {
        DEV => test_genesis(&[Producer::ALICE], test_parameters(SECOND)),
        LOCAL => {
            let producers = [Producer::ALICE, Producer::BOB, Producer::CHARLIE, Producer::DAVE];
            test_genesis(&producers, test_parameters(2 * SECOND))
        }
        MAIN => build_struct_json_patch!(RuntimeGenesisConfig {
            babe: pallet_babe::GenesisConfig { epoch_config: BABE_GENESIS_EPOCH_CONFIG },
            governance: pallet_governance::GenesisConfig { work_floor: WORK_FLOOR },
            network: pallet_network::GenesisConfig { parameters: Parameters::default() },
        }),
        _ => return None,
    };
    serde_json::to_vec(&genesis).ok()
}

/// Every preset.
pub fn preset_names() -> Vec<PresetId> {
    [DEV, LOCAL, MAIN].map(PresetId::from).into()
}

/// A well-known key that produces blocks.
struct Producer(Sr25519Keyring, Ed25519Keyring);

impl Producer {
    const ALICE: Self = Self(Sr25519Keyring::Alice, Ed25519Keyring::Alice);
    const BOB: Self = Self(Sr25519Keyring::Bob, Ed25519Keyring::Bob);
    const CHARLIE: Self = Self(Sr25519Keyring::Charlie, Ed25519Keyring::Charlie);
    const DAVE: Self = Self(Sr25519Keyring::Dave, Ed25519Keyring::Dave);

    fn account(&self) -> AccountId {
        self.0.to_account_id()
    }

    fn session(&self) -> (AccountId, AccountId, SessionKeys) {
        let keys = SessionKeys { babe: self.0.public().into(), grandpa: self.1.public().into() };
        (self.account(), self.account(), keys)
    }
}

/// Numbers for one machine: locks of minutes, a small fixed stake, loopback addresses.
fn test_parameters(block_time: Moment) -> Parameters {
    Parameters {
        block_time,
        epoch_blocks: 10,
        era_sessions: 10,
        requirement: StakingRequirement::Fixed { amount: 100 * UNIT },
        unlock: 2 * MINUTE,
        small_stake_lock: MINUTE,
        pool_expiry: 5 * MINUTE,
        deregistration_lock: 4 * MINUTE,
        testing: TestingTerms {
            round: 10 * SECOND,
            tester_wait: 30 * SECOND,
            unreachable: MINUTE,
            initial_credit: 3 * MINUTE,
            least_credit: 3 * MINUTE,
            most_credit: 30 * MINUTE,
            ..TestingTerms::default()
        },
        voting: 10 * MINUTE,
        enactment_delay: 10 * SECOND,
        least_electorate: 0,
        private_addresses: true,
        ..Parameters::default()
    }
}

fn test_genesis(producers: &[Producer], parameters: Parameters) -> Value {
    let balances: Vec<_> = Sr25519Keyring::well_known().map(|person| (person.to_account_id(), ENDOWMENT)).collect();
    build_struct_json_patch!(RuntimeGenesisConfig {
        babe: pallet_babe::GenesisConfig { epoch_config: BABE_GENESIS_EPOCH_CONFIG },
        balances: pallet_balances::GenesisConfig { balances },
        governance: pallet_governance::GenesisConfig { work_floor: WORK_FLOOR },
        network: pallet_network::GenesisConfig { parameters },
        session: pallet_session::GenesisConfig { keys: producers.iter().map(Producer::session).collect::<Vec<_>>() },
    })
}

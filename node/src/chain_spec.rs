//! How the networks begin: chain specifications from the runtime's own presets.

use sc_chain_spec::{ChainSpecExtension, ChainType, Properties};
use sc_sync_state_rpc::LightSyncStateExtension;
use serde::{Deserialize, Serialize};
use skep_primitives::{DECIMALS, SS58_PREFIX, TOKEN_SYMBOL};
use skep_runtime::{WASM_BINARY, presets};
use std::path::PathBuf;

/// What our specifications carry beside the genesis: a place for what light clients start from.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ChainSpecExtension)]
#[serde(rename_all = "camelCase")]
pub struct Extensions {
    /// Filled by `sync_state_genSyncSpec`.
    pub light_sync_state: LightSyncStateExtension,
}

/// A network's specification.
pub type ChainSpec = sc_service::GenericChainSpec<Extensions>;

/// Why a network's specification cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The build left the runtime out.
    #[error("this build carries no runtime: build again without SKIP_WASM_BUILD")]
    NoRuntime,
    /// The main network's keys and allocations do not come with the program.
    #[error(
        "the main network has no launch genesis yet: give its specification as --chain FILE (`export-chain-spec --chain main` \
         writes the form to fill in), or run --chain dev or local"
    )]
    NotLaunched,
    /// A file could not be read.
    #[error("cannot read the chain specification: {0}")]
    File(String),
}

/// Name of the main network's built-in specification, which is also the default: numbers only, to make the launch's
/// specification from. No node starts from it.
pub const MAIN: &str = presets::MAIN;

/// The specification of a network: `dev`, `local`, `main` (also the default), or the path of a file.
pub fn load(id: &str) -> Result<Box<dyn sc_service::ChainSpec>, LoadError> {
    let spec = match id {
        "dev" => preset(presets::DEV, "Skep development", "skep_dev", ChainType::Development)?,
        "local" => preset(presets::LOCAL, "Skep local", "skep_local", ChainType::Local)?,
        "" | MAIN => preset(presets::MAIN, "Skep", "skep", ChainType::Live)?,
        path => ChainSpec::from_json_file(PathBuf::from(path)).map_err(LoadError::File)?,
    };
    Ok(Box::new(spec))
}

fn preset(preset: &str, name: &str, id: &str, kind: ChainType) -> Result<ChainSpec, LoadError> {
    let runtime = WASM_BINARY.ok_or(LoadError::NoRuntime)?;
    let mut properties = Properties::new();
    properties.insert("tokenSymbol".into(), TOKEN_SYMBOL.into());
    properties.insert("tokenDecimals".into(), DECIMALS.into());
    properties.insert("ss58Format".into(), SS58_PREFIX.into());
    Ok(ChainSpec::builder(runtime, Extensions::default())
        .with_name(name)
        .with_id(id)
        .with_protocol_id(id)
        .with_chain_type(kind)
        .with_properties(properties)
        .with_genesis_config_preset_name(preset)
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_builds_its_genesis() {
        for id in ["dev", "local", "main"] {
            let spec = load(id).expect("a preset");
            assert!(spec.as_json(true).expect("genesis builds").contains("\"raw\""));
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let Err(error) = load("/nowhere/skep.json") else { panic!("no such file") };
        assert!(error.to_string().contains("skep.json"), "{error}");
    }
}

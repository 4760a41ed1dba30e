//! Carries out what an operator typed.

use crate::{
    chain_spec,
    cli::{Cli, Subcommand},
    service,
};
use sc_cli::SubstrateCli;

impl SubstrateCli for Cli {
    fn impl_name() -> String {
        "Skep chain node".into()
    }

    fn impl_version() -> String {
        env!("SUBSTRATE_CLI_IMPL_VERSION").into()
    }

    fn description() -> String {
        env!("CARGO_PKG_DESCRIPTION").into()
    }

    fn author() -> String {
        env!("CARGO_PKG_AUTHORS").into()
    }

    fn support_url() -> String {
        concat!(env!("CARGO_PKG_REPOSITORY"), "/issues").into()
    }

    fn copyright_start_year() -> i32 {
        2026
    }

    fn setup_command(command: clap::Command) -> clap::Command {
        command
            .name(Self::executable_name())
            .version(Self::impl_version())
            .author(Self::author())
            .after_help(format!("Support: {}", Self::support_url()))
            // The SDK's own defaults are for large machines: a gibibyte of state, eight copies of the runtime.
            .mut_arg("trie_cache_size", |argument| argument.default_value("67108864"))
            .mut_arg("max_runtime_instances", |argument| argument.default_value("2"))
            // The roster is proven at a session boundary, which on the main network is up to 600 blocks back.
            .mut_arg("state_pruning", |argument| {
                argument.default_value("1024").long_help(
                    "Blocks whose state is kept: a number, `archive` or `archive-canonical`. With less than an epoch's \
                     blocks, clients cannot have the roster proven.",
                )
            })
            // `--offchain-worker`: the runtime has none to run.
            .mut_arg("enabled", |argument| argument.hide(true))
    }

    fn load_spec(&self, id: &str) -> Result<Box<dyn sc_service::ChainSpec>, String> {
        chain_spec::load(id).map_err(|error| error.to_string())
    }
}

/// Reads the command line and does what it says.
pub fn run() -> sc_cli::Result<()> {
    let cli = Cli::from_args();
    match &cli.subcommand {
        Some(Subcommand::Key(command)) => command.run(&cli),
        Some(Subcommand::ExportChainSpec(command)) => {
            let spec = cli.load_spec(&command.chain)?;
            command.run(spec)
        }
        Some(Subcommand::ExportState(command)) => {
            let runner = cli.create_runner(command)?;
            runner.async_run(|config| {
                let (client, tasks) = service::open(&config)?;
                Ok((command.run(client, config.chain_spec), tasks))
            })
        }
        Some(Subcommand::PurgeChain(command)) => {
            let runner = cli.create_runner(command)?;
            runner.sync_run(|config| command.run(config.database))
        }
        None => {
            let shared = &cli.run.shared_params;
            let built_in_main = matches!(shared.chain.as_deref(), None | Some("" | chain_spec::MAIN));
            if built_in_main && !shared.dev {
                return Err(sc_cli::Error::Input(chain_spec::LoadError::NotLaunched.to_string()));
            }
            let runner = cli.create_runner(&cli.run)?;
            runner.run_node_until_exit(|config| async move {
                service::start(config, cli.front_door).map_err(sc_cli::Error::Service)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sc_cli::CliConfiguration;

    #[test]
    fn states_are_kept_for_longer_than_an_epoch() {
        let kept = |arguments: &[&str]| {
            let cli = Cli::try_from_iter(arguments).expect("parses");
            cli.run.state_pruning().expect("valid")
        };
        let blocks = |blocks| Some(sc_service::PruningMode::blocks_pruning(blocks));
        assert_eq!(kept(&["skep-node", "--dev"]), blocks(1024));
        assert_eq!(kept(&["skep-node", "--dev", "--state-pruning", "2000"]), blocks(2000));
    }

    #[test]
    fn defaults_are_modest_and_can_be_changed() {
        let cache = |arguments: &[&str]| {
            let cli = Cli::try_from_iter(arguments).expect("parses");
            let instances = cli.run.runtime_params.max_runtime_instances;
            (cli.run.trie_cache_maximum_size().expect("valid"), instances)
        };
        assert_eq!(cache(&["skep-node", "--dev"]), (Some(64 * 1024 * 1024), 2));
        let changed = ["skep-node", "--dev", "--trie-cache-size", "1024", "--max-runtime-instances", "8"];
        assert_eq!(cache(&changed), (Some(1024), 8));
    }
}

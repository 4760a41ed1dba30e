//! What every command knows: where the state is, whom to ask, how to answer.

use crate::{config::Config, failure::Failure, output::Output, passphrase};
use clap::Args;
use etcetera::{AppStrategy, AppStrategyArgs, choose_app_strategy};
use skep_chain_client::{ChainClient, ChainUrls, Checkpoint, RosterSource, SocksProxy};
use skep_client::Client;
use std::{
    env,
    path::{Path, PathBuf},
};

/// Directory of the named accounts, below the home.
const ACCOUNTS: &str = "accounts";
/// Where help lists the options below.
const EVERYWHERE: &str = "Options of every command";
/// Where the proxy is told, with its password if it has one.
pub(crate) const PROXY: &str = "SKEP_PROXY";
/// Where `--checkpoint` and `--trust-chain` are told. They are not read with the options: which goes before which depends on where
/// each is from.
const CHECKPOINT: &str = "SKEP_CHECKPOINT";
const TRUST_CHAIN: &str = "SKEP_TRUST_CHAIN";
/// The chain node asked if none is named.
const CHAIN: &str = "ws://127.0.0.1:9944";

/// Options of every command. Those of the network can also be set in `config.toml` in the home: `chain`, `checkpoint`, `proxy`.
#[derive(Debug, Args)]
pub(crate) struct Context {
    /// Directory of the account, contacts and messages [default: skep in the user's data directory]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DIR", env = "SKEP_HOME")]
    home: Option<PathBuf>,
    /// One of several accounts, each with a directory of its own below the home [default: the one in the home itself]
    #[arg(id = "named_account", long = "account", global = true, help_heading = EVERYWHERE, value_name = "NAME", env = "SKEP_ACCOUNT", value_parser = account_name)]
    account: Option<String>,
    /// Chain nodes to ask, in this order, separated by commas [default: ws://127.0.0.1:9944]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "URLS", env = "SKEP_CHAIN")]
    chain_url: Option<ChainUrls>,
    /// A SOCKS5 proxy, Tor's for example, through which everything goes that leaves this machine: socks5h://127.0.0.1:9050
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "URL", env = PROXY, hide_env_values = true)]
    proxy: Option<SocksProxy>,
    /// The checkpoint to prove the roster of service nodes from: a file of your network's, as `skep devnet up` writes one
    /// [env: SKEP_CHECKPOINT] [default: the one this version ships]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Believe what the chain nodes say instead: only for chain nodes of your own [env: SKEP_TRUST_CHAIN, 1 or 0]
    #[arg(long, global = true, help_heading = EVERYWHERE, conflicts_with = "checkpoint")]
    trust_chain: bool,
    /// Answer in JSON, one object a line; failures too, on standard error
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    json: bool,
}

impl Context {
    /// Where answers go.
    pub(crate) const fn output(&self) -> Output {
        Output::new(self.json)
    }

    /// The chain nodes to ask, and the proxy on the way there.
    pub(crate) fn chain_urls(&self) -> Result<ChainUrls, Failure> {
        self.chain_urls_with(&self.config()?)
    }

    fn chain_urls_with(&self, config: &Config) -> Result<ChainUrls, Failure> {
        let urls = match (&self.chain_url, &config.chain) {
            (Some(urls), _) => urls.clone(),
            (None, configured) => configured.as_deref().unwrap_or(CHAIN).parse().map_err(Failure::usage)?,
        };
        let proxy = match (&self.proxy, &config.proxy) {
            (Some(proxy), _) => Some(proxy.clone()),
            (None, configured) => configured.as_deref().map(str::parse).transpose().map_err(Failure::usage)?,
        };
        Ok(match proxy {
            Some(proxy) => urls.through(proxy),
            None => urls,
        })
    }

    fn config(&self) -> Result<Config, Failure> {
        match self.base() {
            Ok(home) => Config::read(&home),
            // Who has no home directory has no file in it.
            Err(_) => Ok(Config::default()),
        }
    }

    /// A connection to one of them.
    pub(crate) async fn chain(&self) -> Result<ChainClient, Failure> {
        ChainClient::connect(self.chain_urls()?).await.map_err(Failure::unreachable)
    }

    /// Where clients have the roster from.
    pub(crate) fn roster_source(&self) -> Result<RosterSource, Failure> {
        let config = self.config()?;
        let urls = self.chain_urls_with(&config)?;
        Ok(match self.belief(config.checkpoint)? {
            Belief::Chain => RosterSource::trusting(urls),
            Belief::Checkpoint(file) => RosterSource::proven(urls, read_checkpoint(&file)?),
            Belief::Release => urls.into(),
        })
    }

    /// What is believed: an option goes before the environment, the environment before the file.
    fn belief(&self, configured: Option<PathBuf>) -> Result<Belief, Failure> {
        if self.trust_chain {
            return Ok(Belief::Chain);
        }
        if let Some(file) = &self.checkpoint {
            return Ok(Belief::Checkpoint(file.clone()));
        }
        let file = env::var_os(CHECKPOINT).filter(|file| !file.is_empty()).map(PathBuf::from);
        Ok(match (is_on(TRUST_CHAIN)?, file.or(configured)) {
            (true, _) if env::var_os(CHECKPOINT).is_some_and(|file| !file.is_empty()) => {
                return Err(Failure::usage(format!("{TRUST_CHAIN} and {CHECKPOINT} contradict each other: unset one")));
            }
            (true, _) => Belief::Chain,
            (false, Some(file)) => Belief::Checkpoint(file),
            (false, None) => Belief::Release,
        })
    }

    /// The account's client. Asks for the passphrase if neither the environment nor the keyring tells it.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let (home, source) = (self.home()?, self.roster_source()?);
        passphrase::unlock(&home, |passphrase| Client::open(&home, passphrase, source.clone()))
    }

    /// Where the state of the chosen account is.
    pub(crate) fn home(&self) -> Result<PathBuf, Failure> {
        let home = self.base()?;
        Ok(match &self.account {
            Some(name) => home.join(ACCOUNTS).join(name),
            None => home,
        })
    }

    /// Where the states of all accounts are: the unnamed one's, and those of the named ones.
    pub(crate) fn homes(&self) -> Result<Vec<(Option<String>, PathBuf)>, Failure> {
        let base = self.base()?;
        let mut homes = Vec::new();
        if Client::exists(&base) {
            homes.push((None, base.clone()));
        }
        let named = match std::fs::read_dir(base.join(ACCOUNTS)) {
            Ok(named) => named,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(homes),
            Err(error) => return Err(Failure::account(error)),
        };
        let mut named: Vec<_> = named.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        named.sort();
        for name in named {
            let home = base.join(ACCOUNTS).join(&name);
            if Client::exists(&home) {
                homes.push((Some(name), home));
            }
        }
        Ok(homes)
    }

    fn base(&self) -> Result<PathBuf, Failure> {
        match &self.home {
            Some(home) => Ok(home.clone()),
            None => data_dir(),
        }
    }
}

/// What the roster is taken from.
enum Belief {
    /// What chain nodes say.
    Chain,
    /// What is proven down to the checkpoint in this file.
    Checkpoint(PathBuf),
    /// The same, down to the one this version ships.
    Release,
}

/// Whether a variable says yes; one that is not set does not.
fn is_on(variable: &str) -> Result<bool, Failure> {
    let value = env::var_os(variable).unwrap_or_default().to_string_lossy().to_lowercase();
    match value.as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
        "" | "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
        _ => Err(Failure::usage(format!("{variable} is to be 1 or 0"))),
    }
}

/// Reads a checkpoint from its file.
pub(crate) fn read_checkpoint(file: &Path) -> Result<Checkpoint, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read the checkpoint {}: {error}", file.display())))?;
    serde_json::from_str(&text).map_err(|error| Failure::usage(format!("{} is no checkpoint: {error}", file.display())))
}

/// A name that is one directory and nothing else.
fn account_name(text: &str) -> Result<String, &'static str> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(valid) {
        Ok(text.to_owned())
    } else {
        Err("an account is named by at most 64 letters, digits, - and _")
    }
}

fn data_dir() -> Result<PathBuf, Failure> {
    let names = AppStrategyArgs { top_level_domain: String::new(), author: String::new(), app_name: "skep".into() };
    choose_app_strategy(names)
        .map(|strategy| strategy.data_dir())
        .map_err(|_| Failure::usage("there is no home directory: say with --home where to keep the account"))
}

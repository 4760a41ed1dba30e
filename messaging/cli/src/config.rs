//! The configuration file: what is the same for every command, unless an option or the environment says otherwise.

use crate::failure::Failure;
use serde::Deserialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file, in the home.
const FILE: &str = "config.toml";

/// What it may say.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// As `--chain-url`.
    pub(crate) chain: Option<String>,
    /// As `--checkpoint`.
    pub(crate) checkpoint: Option<PathBuf>,
    /// As `--proxy`.
    pub(crate) proxy: Option<String>,
}

impl Config {
    /// Reads it; without a file, nothing is configured.
    pub(crate) fn read(home: &Path) -> Result<Self, Failure> {
        let path = home.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::usage(format!("cannot read {}: {error}", path.display()))),
        };
        toml::from_str(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    }
}

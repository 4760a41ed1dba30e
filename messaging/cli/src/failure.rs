//! How a command fails: a kind, which is its exit code, and what to do.

use serde::Serialize;
use skep_client::{FindContactError, FindMessageError, NetworkError, ReceiveError, SendError, StateError};
use std::{error::Error, fmt::Write as _, process::ExitCode};

/// Shown below `--help`.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 account or passphrase missing or wrong, \
     4 chain or service nodes not reached (try again; the message says if what was to be sent is kept and sent later).\n\
     They mean the same in every version. Set RUST_LOG=debug to see on standard error what happens; NO_COLOR is heeded.";

/// Why a command did not do what it should.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    #[serde(rename = "kind")]
    kind: Kind,
    /// What went wrong and what to do.
    #[serde(rename = "error")]
    message: String,
    /// What was to be sent is on disk, and is sent later: it must not be given again.
    kept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Failed = 1,
    Usage = 2,
    Account = 3,
    Network = 4,
}

impl Failure {
    /// Refused, or broken in a way no other kind tells.
    pub(crate) fn failed(error: impl Into<Box<dyn Error>>) -> Self {
        Self::new(Kind::Failed, error)
    }

    /// The user asked for something that makes no sense.
    pub(crate) fn usage(error: impl Into<Box<dyn Error>>) -> Self {
        Self::new(Kind::Usage, error)
    }

    /// No account, or no way into it.
    pub(crate) fn account(error: impl Into<Box<dyn Error>>) -> Self {
        Self::new(Kind::Account, error)
    }

    /// Somebody did not answer.
    pub(crate) fn network(error: impl Into<Box<dyn Error>>) -> Self {
        Self::new(Kind::Network, error)
    }

    /// No chain node answered.
    pub(crate) fn unreachable(error: impl Into<Box<dyn Error>>) -> Self {
        let Self { kind, message, kept } = Self::network(error);
        Self { kind, message: format!("{message}: --chain-url, SKEP_CHAIN, or `chain` in config.toml"), kept }
    }

    fn new(kind: Kind, error: impl Into<Box<dyn Error>>) -> Self {
        let error = error.into();
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(deeper) = cause {
            // Writing to a string cannot fail.
            let _ = write!(message, ": {deeper}");
            cause = deeper.source();
        }
        Self { kind, message, kept: false }
    }

    /// Whether what was to be sent is sent later.
    pub(crate) const fn is_kept(&self) -> bool {
        self.kept
    }

    /// What went wrong and what to do.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The same number for the same kind in every version.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

impl<E: Error + 'static> From<SendError<E>> for Failure {
    fn from(error: SendError<E>) -> Self {
        match error {
            SendError::Network(error) => error.into(),
            SendError::State(error) => Self::account(error),
            SendError::Undelivered(_) => Self { kept: true, ..Self::network(error) },
            SendError::NoContact(_) | SendError::Seal(_) => Self::usage(error),
            SendError::Refused(error) => Self::failed(error),
        }
    }
}

impl From<FindContactError> for Failure {
    fn from(error: FindContactError) -> Self {
        match error {
            FindContactError::State(error) => Self::account(error),
            FindContactError::Unknown(_) | FindContactError::Ambiguous { .. } => Self::usage(error),
        }
    }
}

impl From<FindMessageError> for Failure {
    fn from(error: FindMessageError) -> Self {
        match error {
            FindMessageError::State(error) => Self::account(error),
            FindMessageError::NoName(_) | FindMessageError::Unknown(_) | FindMessageError::Ambiguous(_) => {
                Self::usage(error)
            }
        }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::account(error)
    }
}

impl From<ReceiveError> for Failure {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Network(error) => error.into(),
            ReceiveError::State(error) => Self::account(error),
            ReceiveError::NoMember(_) | ReceiveError::Clock => Self::network(error),
        }
    }
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        match error {
            NetworkError::State(error) => Self::account(error),
            NetworkError::NoCheckpoint => Self::usage(error),
            NetworkError::Connect(_) => Self::unreachable(error),
            NetworkError::Roster(_)
            | NetworkError::Unproven(_)
            | NetworkError::Contradiction(..)
            | NetworkError::NoSwarm
            | NetworkError::TooFewNodes(_)
            | NetworkError::NoPath { .. } => Self::network(error),
        }
    }
}

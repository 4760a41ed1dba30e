//! The first words between two accounts.

use crate::{ContentError, DisplayName, PrekeyBundle};
use prost::Message;
use skep_proto::{account::AccountAddress, message as wire};

/// Asks an account to talk. It fits the smallest of [`SIZE_CLASSES`](crate::SIZE_CLASSES).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FriendRequest {
    timestamp: u64,
    introduction: String,
    display_name: DisplayName,
    prekeys: PrekeyBundle,
}

/// The request would be too long, or what came is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FriendRequestError {
    /// Too many words.
    #[error("an introduction has at most {max} bytes, this one has {0}", max = FriendRequest::MAX_INTRODUCTION)]
    IntroductionTooLong(usize),
    /// A part makes no sense.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl FriendRequest {
    /// Most bytes of an introduction.
    pub const MAX_INTRODUCTION: usize = 400;

    /// A request sent at `timestamp` (ms) with a fresh bundle of [`Prekeys`](crate::Prekeys). The introduction may be empty.
    pub fn new(
        timestamp: u64,
        introduction: String,
        display_name: DisplayName,
        prekeys: PrekeyBundle,
    ) -> Result<Self, FriendRequestError> {
        if introduction.len() > Self::MAX_INTRODUCTION {
            return Err(FriendRequestError::IntroductionTooLong(introduction.len()));
        }
        Ok(Self { timestamp, introduction, display_name, prekeys })
    }

    /// Names the request: the same account's requests with the same id are copies of one.
    pub const fn id(&self) -> [u8; 32] {
        self.prekeys.one_time_key
    }

    /// When it was sent, by the sender's clock (ms).
    pub const fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// What the sender says. Escape control characters before showing it on a terminal.
    pub fn introduction(&self) -> &str {
        &self.introduction
    }

    /// What the sender is called.
    pub const fn display_name(&self) -> &DisplayName {
        &self.display_name
    }

    /// To start the session with, when accepting.
    pub const fn prekeys(&self) -> &PrekeyBundle {
        &self.prekeys
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { timestamp, introduction, display_name, prekeys } = self.clone();
        let display_name = display_name.as_str().to_owned();
        wire::FriendRequest { timestamp, introduction, display_name, prekeys: Some(prekeys.into()) }.encode_to_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FriendRequestError> {
        let request = wire::FriendRequest::decode(bytes).map_err(ContentError::from)?;
        let wire::FriendRequest { timestamp, introduction, display_name, prekeys } = request;
        let display_name = display_name.parse().map_err(ContentError::from)?;
        let prekeys = prekeys.ok_or(ContentError::Missing("friend_request.prekeys"))?.try_into()?;
        Self::new(timestamp, introduction, display_name, prekeys)
    }
}

/// What to do when both sides have asked before either could answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossed {
    /// Accept their request; ours will not be answered.
    AcceptTheirs,
    /// Wait for their acceptance, and send our request again in case it was lost; theirs is not answered.
    KeepOurs,
}

/// Which of two crossed requests stands: that of the account whose 33 bytes are lower. Both sides have asked, so nobody
/// needs to be asked again.
pub fn crossed_requests(ours: &AccountAddress, theirs: &AccountAddress) -> Crossed {
    if theirs < ours { Crossed::AcceptTheirs } else { Crossed::KeepOurs }
}

#[cfg(test)]
mod tests;

//! Why a verdict is not taken.

use frame_support::pallet_prelude::TransactionValidityError;
use pallet_network::Refused;

/// Why a verdict is not taken. The number is the code of the pool's refusal and never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// Verdicts of the round count no more.
    Expired = 1,
    /// The round was not drawn here after that block: it lies ahead, or on another fork.
    OtherHistory = 2,
    /// The votes are too few, mixed, or not in the order of the quorum's seats.
    UndecidedVotes = 3,
    /// The round does not test the node.
    NotTested = 4,
    /// A verdict of this round on this node was carried out.
    DecidedBefore = 5,
    /// The node stands as the verdict has it, or came to stand so after the round began.
    NothingToChange = 6,
    /// So many nodes were removed from service lately that no more may be now.
    TooManyAtOnce = 7,
}

impl From<Refusal> for TransactionValidityError {
    fn from(refusal: Refusal) -> Self {
        let code = refusal as u8;
        match refusal {
            Refusal::Expired | Refusal::DecidedBefore => Refused::Late,
            Refusal::UndecidedVotes | Refusal::NotTested => Refused::Wrong(code),
            Refusal::OtherHistory | Refusal::NothingToChange | Refusal::TooManyAtOnce => Refused::NotNow(code),
        }
        .into()
    }
}

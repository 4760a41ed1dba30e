//! What the pool is told of a transaction that authorizes itself and is not taken.

use frame_support::pallet_prelude::{InvalidTransaction, TransactionValidityError, UnknownTransaction};

/// Why the pool refuses a transaction, and for how long. The numbers are codes of the pallet that refuses: they never change
/// their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It comes too late: what it would do was done, or its time is over. The pool does not look at the same bytes again for a
    /// while.
    Late,
    /// It is wrong for good; the pool does as with [`Self::Late`].
    Wrong(u8),
    /// It may be right on another fork, or later: the pool forgets it.
    NotNow(u8),
}

impl From<Refused> for TransactionValidityError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Late => InvalidTransaction::Stale.into(),
            Refused::Wrong(code) => InvalidTransaction::Custom(code).into(),
            Refused::NotNow(code) => UnknownTransaction::Custom(code).into(),
        }
    }
}

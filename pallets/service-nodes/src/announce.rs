//! Announcements: a node says where it is reached and what it runs, in its own name.
//!
//! Nobody signs the transaction and nobody pays for it: the node key's signature inside authorizes it. So it is cheap to refuse,
//! and a node that changes address over and over costs the chain one change an epoch, which is also how often clients look.
//! The operator's paid call has no such limit: a wrong address is mended at once. Either counts as a change.
//!
//! An announcement names the block after which it was made. It counts for [`LIFE`] and only while the node's last change is not
//! younger than that block, so that none can be used twice, nor undo what came after it; on another fork it counts alike.

use crate::{Config, EndpointChangedAt, Error, NodeRecord, Pallet, RawSignature, Roster, node_key};
use core::marker::PhantomData;
use frame_support::pallet_prelude::*;
use pallet_network::Refused;
use skep_primitives::{Announcement, BlockNumber, Moment, signing};

/// For how long after the block it names an announcement counts, in milliseconds.
pub const LIFE: Moment = 10 * 60 * 1_000;

/// Why an announcement is not taken. The number is the code of the pool's refusal and never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// It names a block that lies ahead.
    Ahead = 1,
    /// It is older than [`LIFE`].
    Expired = 2,
    /// No such node is registered.
    UnknownNode = 3,
    /// The node was registered, or last changed, at the block it names or later: perhaps by this very announcement.
    Overtaken = 4,
    /// The node's last change is less than an epoch ago.
    TooSoon = 5,
    /// It says what is known.
    NothingNew = 6,
    /// Nobody can be reached there: [`Error::BadEndpoint`], [`Error::PrivateAddress`].
    BadEndpoint = 7,
    /// Another node is registered there.
    EndpointTaken = 8,
}

impl From<Refusal> for TransactionValidityError {
    fn from(refusal: Refusal) -> Self {
        let code = refusal as u8;
        match refusal {
            Refusal::Expired | Refusal::Overtaken => Refused::Late,
            Refusal::BadEndpoint => Refused::Wrong(code),
            Refusal::Ahead | Refusal::UnknownNode | Refusal::TooSoon | Refusal::NothingNew | Refusal::EndpointTaken => {
                Refused::NotNow(code)
            }
        }
        .into()
    }
}

/// What is done with announcements.
pub(crate) struct Announcements<T>(PhantomData<T>);

impl<T: Config> Announcements<T> {
    /// Everything about an announcement but its signature: the node it is about.
    pub(crate) fn judge(announcement: &Announcement) -> Result<NodeRecord, Refusal> {
        let Announcement { node, endpoint, version, after } = *announcement;
        let now = Pallet::<T>::now();
        ensure!(after <= now, Refusal::Ahead);
        ensure!(now <= last_block::<T>(after), Refusal::Expired);
        let record = Roster::get(node).ok_or(Refusal::UnknownNode)?;
        let changed_at = EndpointChangedAt::<T>::get(node);
        ensure!(after > changed_at.unwrap_or(record.registered_at), Refusal::Overtaken);
        ensure!((record.endpoint, record.version) != (endpoint, version), Refusal::NothingNew);
        let epoch = pallet_network::Network::<T>::get().epoch_blocks;
        ensure!(changed_at.is_none_or(|at| now >= at.saturating_add(epoch)), Refusal::TooSoon);
        Pallet::<T>::endpoint_is_free(node, &endpoint).map_err(|error| {
            let is_taken = matches!(error, Error::EndpointTaken);
            if is_taken { Refusal::EndpointTaken } else { Refusal::BadEndpoint }
        })?;
        Ok(record)
    }

    /// Whether an announcement may enter the pool and a block: the signature last.
    pub(crate) fn authorize(announcement: &Announcement, signature: &RawSignature) -> TransactionValidityWithRefund {
        Self::judge(announcement).map_err(TransactionValidityError::from)?;
        let message = signing::announcement(&pallet_network::Pallet::<T>::genesis_hash(), announcement);
        let is_signed = node_key::signed(announcement.node, signature, &message);
        ensure!(is_signed, TransactionValidityError::from(InvalidTransaction::BadProof));
        let Announcement { node, after, .. } = *announcement;
        let validity = ValidTransaction::with_tag_prefix("skep/endpoint")
            // One of a node waits in the pool, and the younger takes the older's place.
            .priority(after.into())
            .and_provides(node)
            .longevity(last_block::<T>(after).saturating_sub(Pallet::<T>::now()).saturating_add(1).into())
            .propagate(true)
            .build()?;
        Ok((validity, Weight::zero()))
    }
}

/// The last block in which an announcement made after this one counts.
fn last_block<T: Config>(after: BlockNumber) -> BlockNumber {
    after.saturating_add(pallet_network::Pallet::<T>::blocks(LIFE))
}

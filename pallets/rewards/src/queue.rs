//! The reward queue: first in, first paid, then to the back.

use crate::{Config, Places, Queue, QueueSpan};
use codec::{Decode, Encode, MaxEncodedLen};
use core::marker::PhantomData;
use scale_info::TypeInfo;
use skep_primitives::{BlockNumber, ServiceNodeId};

/// Gaps (nodes that left) passed over in one block at most, so that a block's work stays bounded.
pub(crate) const MAX_GAPS_PER_BLOCK: u32 = 64;

/// Where a serving node stands. What a payment changes of it stands together: each write costs more the more nodes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Place {
    /// Its position in the queue.
    pub position: u64,
    /// Block of its last reward, or in which it began to serve.
    pub last_rewarded: BlockNumber,
}

/// The queue. Every read and write of its storage goes through here.
#[derive(Debug)]
pub struct RewardQueue<T>(PhantomData<T>);

impl<T: Config> RewardQueue<T> {
    /// Puts a node at the back, wherever it stood; it begins to serve now, or is paid.
    pub(crate) fn push(node: ServiceNodeId, now: BlockNumber) {
        Self::remove(node);
        QueueSpan::<T>::mutate(|(_, end)| {
            Queue::<T>::insert(*end, node);
            Places::<T>::insert(node, Place { position: *end, last_rewarded: now });
            *end = end.saturating_add(1);
        });
    }

    /// Takes a node out, wherever it stands.
    pub(crate) fn remove(node: ServiceNodeId) {
        if let Some(Place { position, .. }) = Places::<T>::take(node) {
            Queue::<T>::remove(position);
        }
    }

    /// The node at the head, which is paid now and goes to the back. Nobody if the queue is empty, or if so many nodes left
    /// since the last block that the head is not reached in one.
    pub(crate) fn rotate(now: BlockNumber) -> Option<ServiceNodeId> {
        let (mut start, end) = QueueSpan::<T>::get();
        let mut head = None;
        for _ in 0..MAX_GAPS_PER_BLOCK {
            if start == end || head.is_some() {
                break;
            }
            head = Queue::<T>::get(start);
            start += 1;
        }
        QueueSpan::<T>::put((start, end));
        let node = head?;
        Self::push(node, now);
        Some(node)
    }

    /// Every node from the head to the back.
    pub fn iter() -> impl Iterator<Item = ServiceNodeId> {
        let (start, end) = QueueSpan::<T>::get();
        (start..end).filter_map(Queue::<T>::get)
    }

    /// Both maps say the same, within the span.
    #[cfg(feature = "std")]
    pub fn check_state() -> Result<(), &'static str> {
        let (start, end) = QueueSpan::<T>::get();
        for (position, node) in Queue::<T>::iter() {
            frame_support::ensure!((start..end).contains(&position), "a position lies in the span");
            let place = Places::<T>::get(node).ok_or("who stands in the queue has a place")?;
            frame_support::ensure!(place.position == position, "a node knows its position");
        }
        frame_support::ensure!(Places::<T>::iter().count() == Queue::<T>::iter().count(), "no place without a node");
        Ok(())
    }
}

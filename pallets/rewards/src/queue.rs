//! The reward queue: first in, first paid, then to the back.

#[cfg(any(feature = "std", feature = "try-runtime"))]
use crate::LastRewarded;
use crate::{Config, Position, Queue, QueueSpan};
use core::marker::PhantomData;
use skep_primitives::ServiceNodeId;

/// Gaps (nodes that left) passed over in one block at most, so that a block's work stays bounded.
pub(crate) const MAX_GAPS_PER_BLOCK: u32 = 64;

/// The queue. Every read and write of its storage goes through here.
#[derive(Debug)]
pub struct RewardQueue<T>(PhantomData<T>);

impl<T: Config> RewardQueue<T> {
    /// Puts a node at the back, wherever it stood.
    pub(crate) fn push(node: ServiceNodeId) {
        Self::remove(node);
        QueueSpan::<T>::mutate(|(_, end)| {
            Queue::<T>::insert(*end, node);
            Position::<T>::insert(node, *end);
            *end = end.saturating_add(1);
        });
    }

    /// Takes a node out, wherever it stands.
    pub(crate) fn remove(node: ServiceNodeId) {
        if let Some(position) = Position::<T>::take(node) {
            Queue::<T>::remove(position);
        }
    }

    /// The node at the head, which goes to the back. Nobody if the queue is empty, or if so many nodes left since the
    /// last block that the head is not reached in one.
    pub(crate) fn rotate() -> Option<ServiceNodeId> {
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
        Self::push(node);
        Some(node)
    }

    /// Every node from the head to the back.
    pub fn iter() -> impl Iterator<Item = ServiceNodeId> {
        let (start, end) = QueueSpan::<T>::get();
        (start..end).filter_map(Queue::<T>::get)
    }

    /// Both maps say the same, within the span.
    #[cfg(any(feature = "std", feature = "try-runtime"))]
    pub fn check_state() -> Result<(), &'static str> {
        let (start, end) = QueueSpan::<T>::get();
        for (position, node) in Queue::<T>::iter() {
            frame_support::ensure!((start..end).contains(&position), "a position lies in the span");
            frame_support::ensure!(Position::<T>::get(node) == Some(position), "a node knows its position");
        }
        frame_support::ensure!(
            Position::<T>::iter().count() == Queue::<T>::iter().count(),
            "no position without a node"
        );
        for node in LastRewarded::<T>::iter_keys() {
            frame_support::ensure!(Position::<T>::contains_key(node), "who was paid or started has a position");
        }
        frame_support::ensure!(
            LastRewarded::<T>::iter_keys().count() == Position::<T>::iter_keys().count(),
            "who has a position was paid or started"
        );
        Ok(())
    }
}

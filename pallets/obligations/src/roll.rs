//! The roll: every node that is tested, seated class by class without gaps, so that a draw is a draw of numbers.

use crate::{Config, Counts, SeatOf, Seats};
use core::marker::PhantomData;
use skep_obligations::Census;
use skep_primitives::ServiceNodeId;

/// What a node on the roll may do. The order is that of the seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It serves and may test.
    Seasoned,
    /// It serves and is too fresh to test.
    Fresh,
    /// It is decommissioned.
    Decommissioned,
}

/// The roll. Every read and write of its storage goes through here.
///
/// Where a class grows or shrinks, one node of each class behind it changes its seat: the first goes to its end, or the
/// last to its beginning. So a change touches three nodes at most.
#[derive(Debug)]
pub struct Roll<T>(PhantomData<T>);

impl<T: Config> Roll<T> {
    /// What a node may do; nothing if it is not on the roll.
    pub fn class_of(node: ServiceNodeId) -> Option<Class> {
        let seat = SeatOf::<T>::get(node)?;
        let census = Counts::<T>::get();
        Some(if seat < census.seasoned {
            Class::Seasoned
        } else if seat < census.serving() {
            Class::Fresh
        } else {
            Class::Decommissioned
        })
    }

    /// Puts a node in a class, wherever it was.
    pub(crate) fn put(node: ServiceNodeId, class: Class) {
        Self::remove(node);
        let mut census = Counts::<T>::get();
        // The free seat moves forward from the end of the roll to the end of the class.
        let mut free = census.total();
        if class < Class::Decommissioned {
            free = Self::reseat(census.serving(), free);
        }
        if class < Class::Fresh {
            free = Self::reseat(census.seasoned, free);
        }
        Self::seat(node, free);
        let count = count_mut(&mut census, class);
        *count = count.saturating_add(1);
        Counts::<T>::put(census);
    }

    /// Takes a node off the roll, if it is on it.
    pub(crate) fn remove(node: ServiceNodeId) {
        let Some(class) = Self::class_of(node) else { return };
        let Some(mut free) = SeatOf::<T>::take(node) else { return };
        let mut census = Counts::<T>::get();
        // The free seat moves back from the class to the end of the roll.
        let ends = [
            (Class::Seasoned, census.seasoned),
            (Class::Fresh, census.serving()),
            (Class::Decommissioned, census.total()),
        ];
        for (_, end) in ends.into_iter().filter(|(behind, _)| *behind >= class) {
            free = Self::reseat(end.saturating_sub(1), free);
        }
        Seats::<T>::remove(free);
        let count = count_mut(&mut census, class);
        *count = count.saturating_sub(1);
        Counts::<T>::put(census);
    }

    /// Moves whoever sits at `from` to the free seat; the seat that is free then.
    fn reseat(from: u32, free: u32) -> u32 {
        if from != free
            && let Some(node) = Seats::<T>::get(from)
        {
            Self::seat(node, free);
        }
        from
    }

    fn seat(node: ServiceNodeId, seat: u32) {
        Seats::<T>::insert(seat, node);
        SeatOf::<T>::insert(node, seat);
    }

    /// Seats are taken without gaps, and each node knows its own.
    #[cfg(feature = "std")]
    pub fn check_state() -> Result<(), &'static str> {
        let total = Counts::<T>::get().total();
        for seat in 0..total {
            let node = Seats::<T>::get(seat).ok_or("a seat is empty")?;
            frame_support::ensure!(SeatOf::<T>::get(node) == Some(seat), "a node knows its seat");
        }
        frame_support::ensure!(Seats::<T>::iter().count() == total as usize, "no seat beyond the last");
        frame_support::ensure!(SeatOf::<T>::iter().count() == total as usize, "no node without a seat");
        Ok(())
    }
}

fn count_mut(census: &mut Census, class: Class) -> &mut u32 {
    match class {
        Class::Seasoned => &mut census.seasoned,
        Class::Fresh => &mut census.fresh,
        Class::Decommissioned => &mut census.decommissioned,
    }
}

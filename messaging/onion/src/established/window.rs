//! Which numbers were seen: each is accepted once (RFC 6479 describes the idea).

/// How far behind the highest number one may be that is still accepted: what may be under way at once, and more.
pub const WINDOW: u64 = 128;

/// The numbers seen lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window(Option<Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    highest: u64,
    /// Bit n: `highest - n` was seen.
    bits: u128,
}

impl Window {
    /// Accepts a number, once. Only for numbers of layers that could be opened.
    pub(super) fn accept(&mut self, number: u64) -> bool {
        let Some(Seen { highest, bits }) = &mut self.0 else {
            self.0 = Some(Seen { highest: number, bits: 1 });
            return true;
        };
        if number > *highest {
            let ahead = u32::try_from(number - *highest).unwrap_or(u32::MAX);
            *bits = bits.checked_shl(ahead).unwrap_or(0) | 1;
            *highest = number;
            return true;
        }
        let behind = *highest - number;
        let bit = if behind < WINDOW { 1_u128 << behind } else { return false };
        let fresh = *bits & bit == 0;
        *bits |= bit;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn each_number_is_accepted_once_unless_it_is_too_old(
            numbers in vec(prop_oneof![0_u64..400, Just(u64::MAX), any::<u64>()], 1..300),
        ) {
            let (mut window, mut seen, mut highest) = (Window::default(), BTreeSet::new(), None);
            for number in numbers {
                let too_old = highest.is_some_and(|highest: u64| highest.saturating_sub(number) >= WINDOW);
                prop_assert_eq!(window.accept(number), !too_old && !seen.contains(&number));
                seen.insert(number);
                highest = highest.max(Some(number));
            }
        }
    }
}

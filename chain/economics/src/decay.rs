//! Halving by time: `amount * 2^-(elapsed / half_life)`, in fixed point.

use core::num::NonZeroU64;
use skep_primitives::Balance;

/// `amount * 2^-(elapsed / half_life)`, rounded down; both times in the same unit.
///
/// The fraction of a half-life is taken in steps of 2^-64 and the power in steps of 2^-128, so an amount below 2^64 is
/// at most one unit off the exact value; whole half-lives are exact. The result never rises as time passes.
pub(crate) const fn halved(amount: Balance, elapsed: u64, half_life: NonZeroU64) -> Balance {
    let half_life = half_life.get();
    let fraction = (((elapsed % half_life) as u128) << 64) / half_life as u128;
    let scaled = if fraction == 0 { amount } else { scale(amount, power(fraction as u64)) };
    let halvings = elapsed / half_life;
    if halvings < 128 { scaled >> halvings } else { 0 }
}

/// `2^-(fraction / 2^64)` in steps of 2^-128, for a fraction above zero: the product of one root for each set bit.
///
/// Each of at most 64 products loses less than a step and each root is less than two steps short, so the error stays
/// under 2^-120, far below the difference (over 2^-66) that one step of the fraction makes: the power is strictly
/// decreasing.
const fn power(fraction: u64) -> u128 {
    let mut product = u128::MAX;
    let mut bit = 0;
    while bit < ROOTS.len() {
        if fraction & (1 << (63 - bit)) != 0 {
            product = scale(product, ROOTS[bit]);
        }
        bit += 1;
    }
    product
}

/// `2^-(1/2)`, `2^-(1/4)`, ... `2^-(2^-64)` in steps of 2^-128, each the square root of the one before.
const ROOTS: [u128; 64] = {
    let mut roots = [0; 64];
    let mut square = 1 << 127;
    let mut index = 0;
    while index < roots.len() {
        square = root(square);
        roots[index] = square;
        index += 1;
    }
    roots
};

/// The largest `x` with `x * x < square`, all in steps of 2^-128.
const fn root(square: u128) -> u128 {
    let mut x = 0;
    let mut bit = 128;
    while bit > 0 {
        bit -= 1;
        let candidate = x | 1 << bit;
        if scale(candidate, candidate) < square {
            x = candidate;
        }
    }
    x
}

/// `amount * factor / 2^128`, rounded down: the high half of the product, from products of 64-bit halves (the standard
/// library's wide multiplication is not const yet).
const fn scale(amount: u128, factor: u128) -> u128 {
    const LOW: u128 = u64::MAX as u128;
    let (amount_high, amount_low) = (amount >> 64, amount & LOW);
    let (factor_high, factor_low) = (factor >> 64, factor & LOW);
    let cross = amount_high * factor_low + ((amount_low * factor_low) >> 64);
    let middle = amount_low * factor_high + (cross & LOW);
    amount_high * factor_high + (cross >> 64) + (middle >> 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitive_types::U256;
    use proptest::prelude::*;

    fn span(length: u64) -> NonZeroU64 {
        NonZeroU64::new(length).expect("not zero")
    }

    #[test]
    fn the_first_root_is_that_of_one_half() {
        // 1/sqrt(2) in steps of 2^-128: its first 128 fractional bits, known from the constant's published digits.
        assert_eq!(ROOTS[0], 0xb504_f333_f9de_6484_597d_89b3_754a_be9f);
    }

    #[test]
    fn extremes_do_not_overflow() {
        assert_eq!(halved(u128::MAX, 0, span(1)), u128::MAX);
        assert_eq!(halved(u128::MAX, 127, span(1)), 1);
        assert_eq!(halved(u128::MAX, 128, span(1)), 0);
        assert_eq!(halved(u128::MAX, u64::MAX, span(1)), 0);
        assert_eq!(halved(u128::MAX, u64::MAX, span(u64::MAX)), u128::MAX / 2);
        assert!(halved(u128::MAX, 1, span(u64::MAX)) < u128::MAX);
    }

    proptest! {
        #[test]
        fn whole_half_lives_are_exact(amount: u128, half_life in 1u64..=1 << 56, count in 0u64..140) {
            let expected = u32::try_from(count).ok().and_then(|count| amount.checked_shr(count)).unwrap_or(0);
            prop_assert_eq!(halved(amount, half_life * count, span(half_life)), expected);
        }

        #[test]
        fn later_is_never_more(amount: u128, half_life in 1u64.., elapsed: u64, step: u64) {
            let later = elapsed.saturating_add(step);
            prop_assert!(halved(amount, later, span(half_life)) <= halved(amount, elapsed, span(half_life)));
            let next = elapsed.saturating_add(1);
            prop_assert!(halved(amount, next, span(half_life)) <= halved(amount, elapsed, span(half_life)));
        }

        #[test]
        fn the_power_falls_with_each_step_of_the_fraction(fraction in 1u64..u64::MAX) {
            prop_assert!(power(fraction + 1) < power(fraction));
        }

        #[test]
        fn two_halves_of_a_span_decay_like_the_whole(fraction in 2u64..) {
            let half = power(fraction / 2);
            let expected = power(fraction / 2 * 2);
            prop_assert!(scale(half, half).abs_diff(expected) < 1 << 9);
        }

        #[test]
        fn the_wide_product_is_exact(amount: u128, factor: u128) {
            let product = U256::from(amount) * U256::from(factor);
            prop_assert_eq!(U256::from(scale(amount, factor)), product >> 128);
        }
    }
}

//! Token amounts as people write them.

use skep_primitives::{Balance, DECIMALS, TOKEN_SYMBOL, UNIT};
use std::{fmt, str::FromStr};

/// An amount, written in whole tokens with up to nine decimals: `100`, `0.5`, `25.000000001`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tokens(pub(crate) Balance);

/// An amount is not written as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseTokensError {
    /// It holds something else than digits and one decimal point.
    #[error("write an amount in digits with at most one decimal point, for example 100 or 0.5")]
    NotDecimal,
    /// It has more decimals than a token.
    #[error("a token has {DECIMALS} decimals: the amount has more")]
    TooManyDecimals,
    /// It is more than any account can hold.
    #[error("no account can hold that much")]
    TooLarge,
}

impl FromStr for Tokens {
    type Err = ParseTokensError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) {
            return Err(ParseTokensError::NotDecimal);
        }
        let decimals = usize::from(DECIMALS);
        if fraction.len() > decimals {
            return Err(ParseTokensError::TooManyDecimals);
        }
        let units = |digits: &str| digits.parse::<Balance>().map_err(|_| ParseTokensError::TooLarge);
        let fraction = units(&format!("{fraction:0<decimals$}"))?;
        let whole = units(whole)?.checked_mul(UNIT).ok_or(ParseTokensError::TooLarge)?;
        whole.checked_add(fraction).map(Self).ok_or(ParseTokensError::TooLarge)
    }
}

/// The exact amount with its ticker: `25.5 SKEP`.
impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / UNIT, self.0 % UNIT);
        write!(f, "{whole}")?;
        if fraction > 0 {
            let decimals = usize::from(DECIMALS);
            write!(f, ".{}", format!("{fraction:0decimals$}").trim_end_matches('0'))?;
        }
        write!(f, " {TOKEN_SYMBOL}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_amount_survives_its_text(amount: u128) {
            let text = Tokens(amount).to_string();
            let number = text.strip_suffix(" SKEP").expect("has a ticker");
            prop_assert_eq!(number.parse(), Ok(Tokens(amount)));
        }
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!("100".parse(), Ok(Tokens(100 * UNIT)));
        assert_eq!("0.5".parse(), Ok(Tokens(UNIT / 2)));
        assert_eq!("25.000000001".parse(), Ok(Tokens(25 * UNIT + 1)));
        assert_eq!(Tokens(25 * UNIT + 10).to_string(), "25.00000001 SKEP");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e9", "1,5", "1.2.3", " 1"] {
            assert_eq!(text.parse::<Tokens>(), Err(ParseTokensError::NotDecimal), "{text:?}");
        }
        assert_eq!("0.0000000001".parse::<Tokens>(), Err(ParseTokensError::TooManyDecimals));
        let most = "340282366920938463463374607431.768211455";
        assert_eq!(most.parse(), Ok(Tokens(u128::MAX)));
        assert_eq!("340282366920938463463374607431.768211456".parse::<Tokens>(), Err(ParseTokensError::TooLarge));
    }
}

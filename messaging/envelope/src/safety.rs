//! What two people compare to know that nobody is between them.

use crate::{Prekeys, Ratchet};
use sha2::{Digest, Sha512};
use skep_proto::account::AccountAddress;
use std::fmt;

/// Groups of digits, and digits of a group.
const GROUPS: usize = 12;
const GROUP_DIGITS: usize = 5;

/// Sixty digits that are the same on both sides of a conversation, and nowhere else.
///
/// They cover both accounts and both ratchet identities. So they change when either side restores its account, and they
/// differ when somebody who stole an account's phrase poses as its owner from another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafetyNumber([u32; GROUPS]);

impl SafetyNumber {
    /// Of the conversation `ratchet`, where our prekeys are `own`.
    pub fn of(own: &Prekeys, ratchet: &Ratchet) -> Self {
        Self::between((own.owner, own.identity_key()), (ratchet.contact(), ratchet.their_identity()))
    }

    /// Of two accounts and their ratchet identities, in any order.
    fn between(ours: (AccountAddress, [u8; 32]), theirs: (AccountAddress, [u8; 32])) -> Self {
        let (first, second) = if ours <= theirs { (ours, theirs) } else { (theirs, ours) };
        // One hash for each half of the groups: 40 bits a group, so that all digits are as good as equally likely.
        let half = |number: u8| {
            let mut hash = Sha512::new_with_prefix(b"skep safety number v1");
            hash.update([number]);
            for (account, identity) in [first, second] {
                hash.update(account.as_bytes());
                hash.update(identity);
            }
            hash.finalize()
        };
        let halves = [half(0), half(1)];
        let mut groups = halves.iter().flat_map(|hash| {
            hash.chunks_exact(5).take(GROUPS / 2).map(|bytes| {
                let number = bytes.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
                u32::try_from(number % 100_000).unwrap_or_default()
            })
        });
        Self(std::array::from_fn(|_| groups.next().unwrap_or_default()))
    }
}

/// Twelve groups of five digits.
impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(position, group)| {
            let space = if position == 0 { "" } else { " " };
            write!(f, "{space}{group:0GROUP_DIGITS$}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(account: u8, identity: u8) -> (AccountAddress, [u8; 32]) {
        (AccountAddress::from_x25519([account; 32]), [identity; 32])
    }

    #[test]
    fn both_sides_see_the_same_and_any_other_key_changes_it() {
        let number = SafetyNumber::between(side(1, 2), side(3, 4));
        assert_eq!(number, SafetyNumber::between(side(3, 4), side(1, 2)));
        for other in [side(9, 4), side(3, 9)] {
            assert_ne!(number, SafetyNumber::between(side(1, 2), other));
        }
        let text = number.to_string();
        let groups: Vec<_> = text.split(' ').collect();
        assert_eq!(groups.len(), GROUPS);
        assert!(groups.iter().all(|group| group.len() == 5 && group.bytes().all(|byte| byte.is_ascii_digit())));
        let mut different = groups.clone();
        different.sort_unstable();
        different.dedup();
        assert!(different.len() > 6, "{text}");
    }
}

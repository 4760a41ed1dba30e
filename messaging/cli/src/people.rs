//! Accounts as people read them.

use crate::output::Shown;
use skep_client::{AccountAddress, Client, StateError};
use std::{collections::BTreeMap, fmt};

/// Digits shown of each end of an account whose name is known: 56 bits that vary, which nobody imitates in passing.
const DIGITS: usize = 8;

/// Names people gave themselves.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<AccountAddress, String>);

impl Names {
    /// Those of all contacts.
    pub(crate) fn of(client: &Client) -> Result<Self, StateError> {
        Ok(client.contacts()?.into_iter().map(|contact| (contact.account, contact.name)).collect())
    }

    /// Somebody, by account and name.
    pub(crate) fn person<'a>(&'a self, account: &'a AccountAddress) -> Person<'a> {
        Person { account, name: self.0.get(account).map(String::as_str) }
    }
}

impl<N: ToString> FromIterator<(AccountAddress, Option<N>)> for Names {
    fn from_iter<I: IntoIterator<Item = (AccountAddress, Option<N>)>>(people: I) -> Self {
        Self(people.into_iter().filter_map(|(account, name)| Some((account, name?.to_string()))).collect())
    }
}

/// Somebody: the name they gave themselves, and of the account, which cannot be chosen, both ends; all of it where there is no
/// name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person<'a> {
    pub(crate) account: &'a AccountAddress,
    pub(crate) name: Option<&'a str>,
}

impl fmt::Display for Person<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = self.account.to_string();
        match (self.name, account.get(..DIGITS), account.get(account.len().saturating_sub(DIGITS)..)) {
            (Some(name), Some(first), Some(last)) => write!(f, "{} ({first}..{last})", Shown(name)),
            (Some(_) | None, _, _) => f.write_str(&account),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_a_name_and_what_cannot_be_chosen() {
        let (ada, nobody) = (AccountAddress::from_x25519([0xab; 32]), AccountAddress::from_x25519([1; 32]));
        let names: Names = [(ada, Some("Ada\u{1b}[2J")), (nobody, None)].into_iter().collect();
        let shown = names.person(&ada).to_string();
        assert!(shown.starts_with("Ada") && shown.ends_with(" (05ababab..abababab)"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
        assert_eq!(names.person(&nobody).to_string(), nobody.to_string());
    }
}

//! Staker accounts as people write them.

pub use skep_economics::{ContributionError, Pool};
use skep_primitives::StakerId;
use subxt::utils::AccountId32;

/// This is neither an SS58 address nor a key in hex.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an account: give its SS58 address, as wallets show it, or its 64 hexadecimal digits")]
pub struct ParseAccountError(String);

/// Reads an account from its SS58 address or its key in hex.
pub fn parse_account(text: &str) -> Result<StakerId, ParseAccountError> {
    text.parse::<StakerId>()
        .or_else(|_| text.parse::<AccountId32>().map(|account| StakerId(account.0)))
        .map_err(|_| ParseAccountError(text.to_owned()))
}

/// An account as wallets show it: SS58 with the prefix of every Skep network.
pub fn ss58(staker: &StakerId) -> String {
    AccountId32(staker.0).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_name_the_same_account() {
        // Alice of the well-known development accounts, in both notations.
        let address = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        let hex = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";
        let account = parse_account(address).expect("valid");
        assert_eq!(Ok(account), parse_account(hex));
        assert_eq!((account.to_string().as_str(), ss58(&account).as_str()), (hex, address));
        for bad in ["", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ", &hex[1..]] {
            assert_eq!(parse_account(bad), Err(ParseAccountError(bad.into())));
        }
    }
}

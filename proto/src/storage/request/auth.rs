//! Who signs a request.

use super::{
    ParamsError,
    fields::{account, text},
};
use crate::{
    account::{AccountAddress, X25519_ACCOUNT},
    storage::{HexKey, SubaccountToken, encoding, loose::LooseParams},
};
use base64::Engine;
use serde::ser::SerializeMap;

/// An owner's signature. Its length and encoding are right; whether it verifies is for the mailbox to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerAuth {
    /// Ed25519 signature of the request: the owner's, or the subaccount's.
    pub signature: [u8; 64],
    /// The Ed25519 key whose conversion is the account's X25519 key; absent where the account's key itself signs.
    pub ed25519_key: Option<HexKey>,
    /// On whose behalf a subaccount signs.
    pub subaccount: Option<Delegation>,
}

/// An owner's signature that names its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedAuth {
    /// The signature.
    pub auth: OwnerAuth,
    /// When it was signed (ms).
    pub timestamp: u64,
}

/// An owner's word that a subaccount may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// Who may do what.
    pub token: SubaccountToken,
    /// The owner's Ed25519 signature over the token.
    pub signature: [u8; 64],
}

impl OwnerAuth {
    pub(super) fn from_params<R>(
        account: &AccountAddress,
        params: &LooseParams<'_, R>,
        may_delegate: bool,
    ) -> Result<Self, ParamsError> {
        let signature = text("signature", &params.signature)?.ok_or(ParamsError::Missing("signature"))?;
        let ed25519_key = match text("pubkey_ed25519", &params.pubkey_ed25519)? {
            None => None,
            Some(_) if account.kind() != X25519_ACCOUNT => return Err(ParamsError::KeyNotPermitted),
            Some(key) if key.len() != 64 => return Err(ParamsError::KeyLength),
            Some(key) => Some(key.parse().map_err(|_| ParamsError::KeyHex)?),
        };
        let signature = raw_signature(signature).ok_or(ParamsError::Signature)?;
        let subaccount = if may_delegate { Delegation::from_params(params)? } else { None };
        Ok(Self { signature, ed25519_key, subaccount })
    }

    pub(super) fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("signature", &encoding::PADDED.encode(self.signature))?;
        if let Some(key) = &self.ed25519_key {
            map.serialize_entry("pubkey_ed25519", key)?;
        }
        if let Some(Delegation { token, signature }) = &self.subaccount {
            map.serialize_entry("subaccount", token)?;
            map.serialize_entry("subaccount_sig", &encoding::PADDED.encode(signature))?;
        }
        Ok(())
    }
}

impl TimedAuth {
    pub(super) fn serialize_into<M: SerializeMap>(&self, map: &mut M, time: &'static str) -> Result<(), M::Error> {
        self.auth.serialize_into(map)?;
        map.serialize_entry(time, &self.timestamp)
    }
}

impl Delegation {
    fn from_params<R>(params: &LooseParams<'_, R>) -> Result<Option<Self>, ParamsError> {
        let Some(token) = text("subaccount", &params.subaccount)?.filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        let signature = text("subaccount_sig", &params.subaccount_sig)?.ok_or(ParamsError::NoSubaccountSignature)?;
        let token = token.parse().map_err(|_| ParamsError::SubaccountToken)?;
        let signature = raw_signature(signature).ok_or(ParamsError::SubaccountSignature)?;
        Ok(Some(Self { token, signature }))
    }
}

/// A signature of 86 or 88 characters of base64.
fn raw_signature(text: &str) -> Option<[u8; 64]> {
    let well_formed = text.len() == 86 || (text.len() == 88 && text.ends_with("=="));
    well_formed.then(|| encoding::decode_exactly(text)).flatten()
}

/// Account and signature, of which every signed request has both.
pub(super) fn signed_account<R>(
    params: &LooseParams<'_, R>,
    may_delegate: bool,
) -> Result<(AccountAddress, OwnerAuth), ParamsError> {
    let account = account(&params.pubkey, &params.pubkey_camel)?;
    let auth = OwnerAuth::from_params(&account, params, may_delegate)?;
    Ok((account, auth))
}

//! Requests only Skep's nodes know: proof of custody, and push.

use super::{
    ParamsError, RetrieveRequest, TimedAuth,
    fields::{account, messages, namespace},
};
use crate::{
    account::AccountAddress,
    storage::{MessageHash, Namespace, limits::MAX_RECEIPTS, loose::LooseParams},
};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// Prove that you have messages. Whoever can name a message may ask: its sender, who wants to know that it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRequest {
    /// Whose mailbox.
    pub account: AccountAddress,
    /// Which box of it.
    pub namespace: Namespace,
    /// Which messages; at least one, at most [`MAX_RECEIPTS`].
    pub messages: Vec<MessageHash>,
}

/// Push what is stored into one box from now on. The same signatures are needed as to read it, over
/// [`signed::monitor`](crate::storage::signed::monitor).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorRequest {
    /// Whose mailbox.
    pub account: AccountAddress,
    /// Which box of it.
    pub namespace: Namespace,
    /// Who asks, for boxes not everyone may read.
    pub auth: Option<TimedAuth>,
}

impl ReceiptRequest {
    pub(super) fn from_params<R>(params: &LooseParams<'_, R>) -> Result<Self, ParamsError> {
        let namespace = namespace(&params.namespace)?;
        let account = account(&params.pubkey, &params.pubkey_camel)?;
        let messages = messages(params)?;
        if messages.len() > MAX_RECEIPTS {
            return Err(ParamsError::TooManyReceipts);
        }
        Ok(Self { account, namespace, messages })
    }
}

impl MonitorRequest {
    pub(super) fn from_params<R>(params: LooseParams<'_, R>) -> Result<Self, ParamsError> {
        let RetrieveRequest { account, namespace, auth, .. } = RetrieveRequest::from_params(params)?;
        Ok(Self { account, namespace, auth })
    }
}

impl Serialize for ReceiptRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("pubkey", &self.account.to_string())?;
        if self.namespace != Namespace::DEFAULT {
            map.serialize_entry("namespace", &self.namespace.0)?;
        }
        map.serialize_entry("messages", &self.messages)?;
        map.end()
    }
}

impl Serialize for MonitorRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("pubkey", &self.account.to_string())?;
        if self.namespace != Namespace::DEFAULT {
            map.serialize_entry("namespace", &self.namespace.0)?;
        }
        if let Some(auth) = &self.auth {
            auth.serialize_into(&mut map, "timestamp")?;
        }
        map.end()
    }
}

//! Somebody with a mailbox, as a client has it.

use ed25519_dalek::{Signer, SigningKey};
use skep_proto::{
    account::AccountAddress,
    storage::{
        Action, Command, HexKey, MessageHash, Method, Namespace, OwnerAuth, Request, RetrieveRequest, StoreRequest,
        TimedAuth, signed,
    },
};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

pub(crate) struct Owner(SigningKey);

impl Owner {
    pub(crate) fn new(number: u64) -> Self {
        let mut seed = [50; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        Self(SigningKey::from_bytes(&seed))
    }

    pub(crate) fn account(&self) -> AccountAddress {
        AccountAddress::from_x25519(self.0.verifying_key().to_montgomery().to_bytes())
    }

    /// The hash of a message for this owner.
    pub(crate) fn hash(&self, data: &[u8]) -> MessageHash {
        MessageHash::of(&self.account(), Namespace::DEFAULT, data)
    }

    fn auth(&self, message: &[u8]) -> OwnerAuth {
        let ed25519_key = Some(HexKey(self.0.verifying_key().to_bytes()));
        OwnerAuth { signature: self.0.sign(message).to_bytes(), ed25519_key, subaccount: None }
    }

    /// A message for this owner, from anyone.
    pub(crate) fn store(&self, data: Vec<u8>) -> Method {
        let now = now_ms();
        Method::Store(StoreRequest {
            account: self.account(),
            namespace: Namespace::DEFAULT,
            timestamp: now,
            expiry: now + 24 * 3_600_000,
            data,
            auth: None,
            work: None,
        })
    }

    /// As much as one answer holds of what came after a message.
    pub(crate) fn retrieve(&self, last_hash: Option<MessageHash>) -> Method {
        let timestamp = now_ms();
        Method::Retrieve(RetrieveRequest {
            account: self.account(),
            namespace: Namespace::DEFAULT,
            last_hash,
            max_count: None,
            max_size: Some(-1),
            auth: Some(TimedAuth { auth: self.auth(&signed::retrieve(Namespace::DEFAULT, timestamp)), timestamp }),
        })
    }

    /// An order to remove a message.
    pub(crate) fn delete(&self, hash: MessageHash) -> Method {
        let action = Action::Delete { messages: vec![hash], required: false };
        Method::Command(Command { account: self.account(), auth: self.auth(&signed::command(&action)), action })
    }
}

pub(crate) fn body(method: Method) -> Vec<u8> {
    serde_json::to_vec(&Request::Single(method)).expect("requests serialize")
}

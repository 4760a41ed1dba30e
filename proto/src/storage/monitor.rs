//! What a node says over a WebSocket (a Skep extension). Times are Unix milliseconds.
//!
//! Each request of the client's is answered by a [`SubResponse`](super::SubResponse) whose body, on success, is a
//! [`MonitorResponse`]; between the answers come [`MonitorEvent`]s.

use super::{Namespace, RetrievedMessage, SwarmResponse};
use crate::account::AccountAddress;
use serde::{Deserialize, Serialize};

/// Answer to `monitor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorResponse {
    /// Whose mailbox.
    pub pubkey: String,
    /// Which box of it.
    pub namespace: i16,
    /// When the subscription ends unless it is renewed.
    pub until: u64,
    /// The node's clock.
    pub t: u64,
    /// Protocol generation.
    pub hf: [u16; 2],
}

/// What is pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum MonitorEvent {
    /// A message has been stored.
    Message {
        /// Whose mailbox.
        pubkey: String,
        /// Which box of it.
        namespace: i16,
        /// The message, as `retrieve` shows it.
        #[serde(flatten)]
        message: RetrievedMessage,
    },
    /// The mailbox is another swarm's now: the subscription has ended.
    Moved {
        /// Whose mailbox.
        pubkey: String,
        /// Which box of it.
        namespace: i16,
        /// Whose it is.
        #[serde(flatten)]
        swarm: SwarmResponse,
    },
}

impl MonitorEvent {
    /// A message has been stored.
    pub fn message(account: &AccountAddress, namespace: Namespace, message: RetrievedMessage) -> Self {
        Self::Message { pubkey: account.to_string(), namespace: namespace.0, message }
    }

    /// The mailbox is another swarm's now.
    pub fn moved(account: &AccountAddress, namespace: Namespace, swarm: SwarmResponse) -> Self {
        Self::Moved { pubkey: account.to_string(), namespace: namespace.0, swarm }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_say_what_they_are() {
        let account = AccountAddress::from_x25519([0xab; 32]);
        let pubkey = account.to_string();
        let message = RetrievedMessage { hash: [0; 32].into(), timestamp: 1, expiration: 2, data: b"hi".to_vec() };
        let swarm = SwarmResponse { snodes: vec![], swarm: "7".into(), t: 5, hf: [19, 4] };
        for (event, json) in [
            (
                MonitorEvent::message(&account, Namespace(-10), message),
                json!({"event": "message", "pubkey": pubkey, "namespace": -10, "hash": "A".repeat(43), "timestamp": 1,
                    "expiration": 2, "data": "aGk="}),
            ),
            (
                MonitorEvent::moved(&account, Namespace(0), swarm),
                json!({"event": "moved", "pubkey": pubkey, "namespace": 0, "snodes": [], "swarm": "7", "t": 5,
                    "hf": [19, 4]}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&event).unwrap(), json);
            assert_eq!(serde_json::from_value::<MonitorEvent>(json).unwrap(), event);
        }
    }
}

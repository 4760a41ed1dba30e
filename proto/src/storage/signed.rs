//! The strings that are signed: parts joined without separators, milliseconds in decimal (`protocol.md` section 4,
//! "What clients sign" and "What nodes sign").

use super::{MessageHash, Namespace};

/// What the owner signs to store into a namespace of its own; `timestamp` in ms.
pub fn store(namespace: Namespace, timestamp: u64) -> Vec<u8> {
    format!("store{}{timestamp}", namespace.signed_form()).into_bytes()
}

/// What the owner signs to read its mailbox; `timestamp` in ms.
pub fn retrieve(namespace: Namespace, timestamp: u64) -> Vec<u8> {
    format!("retrieve{}{timestamp}", namespace.signed_form()).into_bytes()
}

/// What a member of the swarm signs when it has stored a message: the text of the hash.
pub fn stored(hash: &MessageHash) -> Vec<u8> {
    hash.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_namespace_leaves_no_trace() {
        assert_eq!(store(Namespace::DEFAULT, 1_616_650_862_026), b"store1616650862026");
        assert_eq!(store(Namespace(-42), 1_616_650_862_026), b"store-421616650862026");
        assert_eq!(retrieve(Namespace::DEFAULT, 5), b"retrieve5");
        assert_eq!(retrieve(Namespace(11), 5), b"retrieve115");
    }

    #[test]
    fn members_sign_the_text_of_the_hash() {
        let text = "4sMyAuaZlMwww3oFvfhazfw7ASx/7TDtO+TVc8aAjHs";
        assert_eq!(stored(&text.parse().unwrap()), text.as_bytes());
    }
}

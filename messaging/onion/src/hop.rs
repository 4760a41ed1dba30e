//! A node on a path, from outside and from inside.

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::SigningKey;
use skep_primitives::ServiceNodeId;
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// A node that peels a layer, as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// Its Ed25519 key: how the hop before it finds it.
    pub id: ServiceNodeId,
    /// Its X25519 key: how its layer is encrypted.
    pub x25519: [u8; 32],
}

impl Hop {
    /// The hop of a node of the roster, whose X25519 key is the standard conversion of its Ed25519 key.
    ///
    /// None if `id` is no point of the curve, or one of small order: no layer for such a key would be secret.
    pub fn from_id(id: ServiceNodeId) -> Option<Self> {
        let point = CompressedEdwardsY(id.0).decompress()?;
        (!point.is_small_order()).then(|| Self { id, x25519: point.to_montgomery().to_bytes() })
    }
}

/// A node's X25519 key pair, with which it peels.
pub struct HopSecret {
    secret: StaticSecret,
    public: PublicKey,
}

impl HopSecret {
    /// The pair that belongs to a node's Ed25519 key, given by its 32-byte seed (the standard conversion).
    pub fn from_ed25519_seed(seed: &[u8; 32]) -> Self {
        let scalar = Zeroizing::new(SigningKey::from_bytes(seed).to_scalar_bytes());
        Self::from_x25519(&scalar)
    }

    /// The pair of a plain X25519 secret.
    pub fn from_x25519(secret: &[u8; 32]) -> Self {
        let secret = StaticSecret::from(*secret);
        Self { public: PublicKey::from(&secret), secret }
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.public.to_bytes()
    }

    pub(crate) const fn parts(&self) -> (&StaticSecret, &PublicKey) {
        (&self.secret, &self.public)
    }
}

impl fmt::Debug for HopSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HopSecret").field("public", &hex::encode(self.public)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;
    use proptest::prelude::*;

    // libsodium, test/default/ed25519_convert.c: one seed and both converted keys.
    #[test]
    fn keys_convert_as_elsewhere() {
        let seed = hex!("421151a459faeade3d247115f94aedae42318124095afabe4d1451a559faedee");
        let id = ServiceNodeId(SigningKey::from_bytes(&seed).verifying_key().to_bytes());
        let x25519 = hex!("f1814f0e8ff1043d8a44d25babff3cedcae6c22c3edaa48f857ae70de2baae50");
        assert_eq!(Hop::from_id(id), Some(Hop { id, x25519 }));
        assert_eq!(HopSecret::from_ed25519_seed(&seed).public(), x25519);
    }

    #[test]
    fn keys_without_secrecy_are_no_hops() {
        // Identity, order 2, order 4, and no point at all.
        let order_two = hex!("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
        for key in
            [hex!("0100000000000000000000000000000000000000000000000000000000000000"), order_two, [0; 32], [2; 32]]
        {
            assert_eq!(Hop::from_id(ServiceNodeId(key)), None);
        }
    }

    proptest! {
        #[test]
        fn both_halves_meet(seed: [u8; 32]) {
            let id = ServiceNodeId(SigningKey::from_bytes(&seed).verifying_key().to_bytes());
            prop_assert_eq!(Hop::from_id(id).unwrap().x25519, HopSecret::from_ed25519_seed(&seed).public());
        }
    }
}

//! A client's side: put a layer around the request for each node.

use crate::{
    cipher::{EncType, LayerKey},
    frame::{Handshake, MAX_BODY_BYTES, MAX_HOP_NO, compose},
    hop::Hop,
    reply::ReplyOpener,
};
use rand::CryptoRng;
use skep_primitives::ServiceNodeId;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// How a request is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrapOptions {
    /// Encryption of every layer and of the answer.
    pub enc_type: EncType,
    /// Hop number the guard is told, 0 by default. Start higher to hide from the hops where they stand.
    pub first_hop_no: u8,
    /// Whether the answer comes in base64 (true by default; false saves a quarter of its size).
    pub base64: bool,
}

impl Default for WrapOptions {
    fn default() -> Self {
        Self { enc_type: EncType::XChaCha20, first_hop_no: 0, base64: true }
    }
}

/// A request ready to be sent.
#[derive(Debug)]
pub struct Wrapped {
    /// The body of `POST /onion_req/v2` at the guard (at the destination, when the path is empty).
    pub body: Vec<u8>,
    /// Opens the answer.
    pub opener: ReplyOpener,
}

/// The request cannot be wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// More nodes than hop numbers are left from `first_hop_no` on.
    #[error("path too long: hop numbers end at {MAX_HOP_NO}; use fewer hops or a lower first hop number")]
    PathTooLong,
    /// A key of small order: whoever knows the protocol could read the layer.
    #[error("node {0} has an unusable X25519 key: choose another")]
    UnusableKey(ServiceNodeId),
    /// The body would be over [`MAX_BODY_BYTES`], which every node refuses.
    #[error("request too large: the wrapped body must not exceed {MAX_BODY_BYTES} bytes")]
    TooLarge,
}

/// Wraps `request` (a body of the storage RPC) for `destination`, to be reached through the nodes of `path`, guard first.
///
/// # Errors
/// [`WrapError`] says what to change.
pub fn wrap(
    path: &[Hop],
    destination: &Hop,
    request: &[u8],
    options: WrapOptions,
    rng: &mut impl CryptoRng,
) -> Result<Wrapped, WrapError> {
    let typed = |hop: &Hop| (*hop, options.enc_type);
    wrap_layers(path.iter().map(typed), typed(destination), request, options, rng)
}

/// [`wrap`] with an encryption type for each node.
fn wrap_layers(
    path: impl DoubleEndedIterator<Item = (Hop, EncType)> + ExactSizeIterator,
    destination: (Hop, EncType),
    request: &[u8],
    WrapOptions { first_hop_no, base64, .. }: WrapOptions,
    rng: &mut impl CryptoRng,
) -> Result<Wrapped, WrapError> {
    if first_hop_no > MAX_HOP_NO || path.len() > usize::from(MAX_HOP_NO - first_hop_no) {
        return Err(WrapError::PathTooLong);
    }
    if request.len() > MAX_BODY_BYTES {
        return Err(WrapError::TooLarge);
    }
    let deliver = if base64 { r#"{"headers":{}}"# } else { r#"{"base64":false,"headers":{}}"# };
    let (mut layer, key) = Layer::seal(destination, request, deliver, rng)?;
    for hop in path.rev() {
        let relay = layer.handshake.inside(layer.node);
        (layer, _) = Layer::seal(hop, &layer.ciphertext, &relay, rng)?;
    }
    let body = compose(&layer.ciphertext, &layer.handshake.outermost(first_hop_no)).map_err(|_| WrapError::TooLarge)?;
    if body.len() > MAX_BODY_BYTES {
        return Err(WrapError::TooLarge);
    }
    Ok(Wrapped { body, opener: ReplyOpener::new(key, base64) })
}

/// A sealed layer and what its node needs to peel it.
struct Layer {
    node: ServiceNodeId,
    handshake: Handshake,
    ciphertext: Vec<u8>,
}

impl Layer {
    fn seal(
        (hop, enc_type): (Hop, EncType),
        content: &[u8],
        control: &str,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, LayerKey), WrapError> {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(secret.as_mut());
        let ephemeral = StaticSecret::from(*secret);
        let public = PublicKey::from(&ephemeral);
        let key = LayerKey::for_client(enc_type, (&ephemeral, &public), &PublicKey::from(hop.x25519))
            .map_err(|_| WrapError::UnusableKey(hop.id))?;
        let length = u32::try_from(content.len()).map_err(|_| WrapError::TooLarge)?;
        let parts = [&length.to_le_bytes()[..], content, control.as_bytes()];
        let ciphertext = key.seal_parts(&parts, rng).map_err(|_| WrapError::TooLarge)?;
        let handshake = Handshake { ephemeral_key: public.to_bytes(), enc_type };
        Ok((Self { node: hop.id, handshake, ciphertext }, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Frame, HopSecret, OpenError, PathError, PeelError, Peeled, ReplyBody, ReplyKey, peel};
    use proptest::{collection::vec, prelude::*, sample::Index};
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    struct Node {
        hop: Hop,
        secret: HopSecret,
    }

    fn node(number: u8) -> Node {
        let secret = HopSecret::from_ed25519_seed(&[number; 32]);
        Node { hop: Hop { id: ServiceNodeId([number; 32]), x25519: secret.public() }, secret }
    }

    fn enc_type() -> impl Strategy<Value = EncType> {
        prop_oneof![Just(EncType::AesGcm), Just(EncType::XChaCha20)]
    }

    /// Wraps for nodes 1.. with the given encryption types, the last of them the destination.
    fn wrap_for(enc_types: &[EncType], request: &[u8], options: WrapOptions, seed: u64) -> (Vec<Node>, Wrapped) {
        let nodes: Vec<Node> = (1..).take(enc_types.len()).map(node).collect();
        let mut hops: Vec<_> = nodes.iter().map(|node| node.hop).zip(enc_types.iter().copied()).collect();
        let destination = hops.pop().unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let wrapped = wrap_layers(hops.into_iter(), destination, request, options, &mut rng).unwrap();
        (nodes, wrapped)
    }

    /// The body each node receives, in order, and the key of the last one's answer.
    fn travel(nodes: &[Node], body: Vec<u8>) -> (Vec<Vec<u8>>, Vec<u8>, ReplyKey) {
        let mut bodies = vec![body];
        for (at, node) in nodes.iter().enumerate() {
            match peel(&node.secret, &bodies[at]).unwrap() {
                Peeled::Relay { next, body } => {
                    assert_eq!(next, nodes[at + 1].hop.id);
                    bodies.push(body);
                }
                Peeled::Deliver { request, reply } => {
                    assert_eq!(at + 1, nodes.len());
                    return (bodies, request, reply);
                }
                Peeled::Exit { .. } => panic!("no exit was asked for"),
            }
        }
        panic!("never delivered");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn requests_arrive_and_answers_return(
            enc_types in vec(enc_type(), 1..=16),
            request in vec(any::<u8>(), 0..300),
            first_hop_no in 0..=MAX_HOP_NO,
            base64: bool,
            status: u16,
            text: String,
            seed: u64,
        ) {
            let first_hop_no = first_hop_no.min(16 - enc_types.len() as u8);
            let options = WrapOptions { first_hop_no, base64, ..WrapOptions::default() };
            let (nodes, wrapped) = wrap_for(&enc_types, &request, options, seed);
            let (bodies, delivered, reply) = travel(&nodes, wrapped.body);
            prop_assert_eq!(delivered, request);
            for (at, body) in bodies.iter().enumerate() {
                let frame = Frame::parse(body).unwrap();
                prop_assert_eq!((frame.enc_type, frame.hop_no), (enc_types[at], first_hop_no + at as u8));
            }

            let sealed = reply.seal(status, ReplyBody::Text(&text), &mut ChaCha20Rng::seed_from_u64(!seed)).unwrap();
            prop_assert_eq!(wrapped.opener.open(&sealed), Ok(Answer { status, body: text }));
        }

        #[test]
        fn only_the_addressed_node_can_peel(enc_types in vec(enc_type(), 1..=4), other in 100_u8.., seed: u64) {
            let (_, wrapped) = wrap_for(&enc_types, b"request", WrapOptions::default(), seed);
            let peeled = peel(&node(other).secret, &wrapped.body);
            prop_assert!(matches!(peeled, Err(PeelError::Path(PathError::InvalidCiphertext))));
        }

        #[test]
        fn changed_answers_are_refused(enc_type in enc_type(), base64: bool, at: Index, bit in 0..8_u32, seed: u64) {
            let (nodes, wrapped) = wrap_for(&[enc_type], b"", WrapOptions { base64, ..WrapOptions::default() }, seed);
            let (_, _, reply) = travel(&nodes, wrapped.body);
            let mut sealed = reply.seal(200, ReplyBody::Text("text"), &mut ChaCha20Rng::seed_from_u64(seed)).unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(wrapped.opener.open(&sealed), Err(OpenError::Undecryptable));
            prop_assert_eq!(wrapped.opener.open(&sealed[..at]), Err(OpenError::Undecryptable));
        }

        #[test]
        fn hostile_bodies_never_panic(body in vec(any::<u8>(), 0..400)) {
            let _ = peel(&node(1).secret, &body);
        }

        // Random bytes rarely get past the framing, so give them a right frame, and a right layer.
        #[test]
        fn hostile_layers_never_panic(enc_type in enc_type(), ciphertext in vec(any::<u8>(), 0..100), layer in vec(any::<u8>(), 0..200)) {
            let node = node(1);
            let handshake = Handshake { ephemeral_key: node.hop.x25519, enc_type };
            let body = compose(&ciphertext, &handshake.outermost(0)).unwrap();
            prop_assert!(matches!(peel(&node.secret, &body), Err(PeelError::Path(PathError::InvalidCiphertext))));

            let ephemeral = StaticSecret::from([9; 32]);
            let key = LayerKey::for_client(enc_type, (&ephemeral, &PublicKey::from(&ephemeral)), &PublicKey::from(node.hop.x25519)).unwrap();
            let handshake = Handshake { ephemeral_key: PublicKey::from(&ephemeral).to_bytes(), enc_type };
            let sealed = key.seal(&layer, &mut ChaCha20Rng::seed_from_u64(0)).unwrap();
            let _ = peel(&node.secret, &compose(&sealed, &handshake.outermost(0)).unwrap());
        }
    }

    #[test]
    fn every_changed_byte_is_noticed_by_the_node_it_reaches() {
        for enc_type in [EncType::AesGcm, EncType::XChaCha20] {
            let (nodes, wrapped) = wrap_for(&[enc_type; 4], b"request", WrapOptions::default(), 7);
            let (bodies, ..) = travel(&nodes, wrapped.body);
            for (node, body) in nodes.iter().zip(&bodies) {
                let original = Frame::parse(body).unwrap();
                let control_at = 4 + original.ciphertext.len();
                for at in 0..body.len() {
                    let mut changed = body.clone();
                    changed[at] ^= 1;
                    let peeled = peel(&node.secret, &changed);
                    if at >= control_at {
                        // The control part is plaintext to the node before: what it changes without effect on the key (the
                        // hop number, a letter's case) is its own business.
                        let same = Frame::parse(&changed)
                            .is_ok_and(|frame| Frame { hop_no: original.hop_no, ..frame } == original);
                        assert_eq!(peeled.is_ok(), same, "{enc_type} byte {at}");
                    } else if at >= 4 {
                        assert!(
                            matches!(peeled, Err(PeelError::Path(PathError::InvalidCiphertext))),
                            "{enc_type} byte {at}"
                        );
                    } else {
                        assert!(
                            matches!(peeled, Err(PeelError::Path(PathError::Malformed(_)))),
                            "{enc_type} byte {at}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_a_sender_adds_travels_on() {
        let (nodes, wrapped) = wrap_for(&[EncType::AesGcm; 3], b"request", WrapOptions::default(), 1);
        let mut marked = wrapped.body.clone();
        assert_eq!(marked.pop(), Some(b'}'));
        marked.extend_from_slice(b",\"mark\":\"client 7\"}");
        let (plain, ..) = travel(&nodes, wrapped.body);
        let (travelled, ..) = travel(&nodes, marked);
        assert_eq!(travelled[1..], plain[1..]);
    }

    #[test]
    fn paths_end_at_the_last_hop_number() {
        let mut rng = ChaCha20Rng::seed_from_u64(0);
        let path: Vec<Hop> = (1..=16).map(|number| node(number).hop).collect();
        let destination = node(100).hop;
        let mut wrapped = |hops: usize, first_hop_no| {
            let options = WrapOptions { first_hop_no, ..WrapOptions::default() };
            wrap(&path[..hops], &destination, b"", options, &mut rng)
        };
        assert!(wrapped(15, 0).is_ok());
        assert!(wrapped(3, 12).is_ok());
        assert!(wrapped(0, 15).is_ok());
        for (hops, first) in [(16, 0), (3, 13), (1, 15), (0, 16)] {
            assert_eq!(wrapped(hops, first).unwrap_err(), WrapError::PathTooLong);
        }
        // A relay layer that arrives with the last number is refused by the node that peels it.
        let body = wrapped(1, 0).unwrap().body;
        let mut frame = Frame::parse(&body).unwrap();
        frame.hop_no = MAX_HOP_NO;
        assert!(matches!(frame.peel(&node(1).secret), Err(PeelError::Path(PathError::PathTooLong))));
    }

    #[test]
    fn unusable_keys_and_sizes_are_named() {
        let mut rng = ChaCha20Rng::seed_from_u64(0);
        let bad = Hop { id: ServiceNodeId([8; 32]), x25519: [0; 32] };
        let good = node(1).hop;
        let options = WrapOptions::default();
        assert_eq!(wrap(&[bad], &good, b"", options, &mut rng).unwrap_err(), WrapError::UnusableKey(bad.id));
        let largest = vec![0; MAX_BODY_BYTES];
        assert_eq!(wrap(&[good], &good, &largest, options, &mut rng).unwrap_err(), WrapError::TooLarge);
        assert_eq!(
            wrap(&[good], &good, &largest[1000..], options, &mut rng).unwrap().body.len() / 1000,
            MAX_BODY_BYTES / 1000
        );
    }
}

//! A node's side: take one layer off and see what it asks for.

use crate::{
    cipher::LayerKey,
    control::Control,
    failure::PathError,
    frame::{Frame, FrameError, Handshake, MAX_HOP_NO, into_first, replace_control, split},
    hop::HopSecret,
    reply::{ReplyFlags, ReplyKey},
};
use skep_primitives::ServiceNodeId;
use x25519_dalek::PublicKey;

/// Sealed with status 400 when the decrypted layer makes no sense ([`PeelError::BadLayer`]).
pub const INVALID_JSON: &str = "Invalid json";

/// Sealed with status 400 when an exit will not serve the URL.
pub const INVALID_URL: &str = "Invalid url";

/// What a layer asks its node to do.
#[derive(Debug)]
pub enum Peeled {
    /// Pass the rest on.
    Relay {
        /// The node to find in the roster.
        next: ServiceNodeId,
        /// The body to give it.
        body: Vec<u8>,
    },
    /// Answer a request of the storage RPC.
    Deliver {
        /// The request, as `POST /storage_rpc/v1` would carry it.
        request: Vec<u8>,
        /// Seals the answer.
        reply: ReplyKey,
    },
    /// Carry the layer to a server outside the network.
    Exit {
        /// Where to.
        exit: ExitRequest,
        /// The whole decrypted layer: what the server is sent.
        payload: Vec<u8>,
        /// Seals a refusal; what the server answers passes back as it is.
        reply: ReplyKey,
    },
}

/// The server an exit layer names, as the client wrote it: nothing of it has been judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitRequest {
    /// Name or address.
    pub host: String,
    /// Path of the URL.
    pub target: String,
    /// Port, 443 if the layer names none.
    pub port: u16,
    /// Scheme, `https` if the layer names none.
    pub protocol: String,
}

/// The layer cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PeelError {
    /// Answered in plaintext.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The layer was encrypted for us but makes no sense: answered like a request, with [`INVALID_JSON`] sealed under status
    /// 400.
    #[error("the decrypted layer is malformed: {cause}")]
    BadLayer {
        /// What is wrong with it.
        cause: FrameError,
        /// Seals the refusal.
        reply: ReplyKey,
    },
}

/// Reads a body of `POST /onion_req/v2` and peels its outermost layer.
///
/// # Errors
/// As [`Frame::parse`] and [`Frame::peel`]; [`PeelError`] says how to answer.
pub fn peel(secret: &HopSecret, body: &[u8]) -> Result<Peeled, PeelError> {
    Frame::parse(body).map_err(PathError::from)?.peel(secret)
}

impl Frame<'_> {
    /// Decrypts the layer and reads what it asks for.
    ///
    /// # Errors
    /// [`PathError::InvalidCiphertext`] for every failure to decrypt, [`PathError::PathTooLong`] for a relay layer at the last
    /// hop number, [`PeelError::BadLayer`] for a plaintext that is no layer.
    pub fn peel(&self, secret: &HopSecret) -> Result<Peeled, PeelError> {
        let (secret, public) = secret.parts();
        let ephemeral = PublicKey::from(self.ephemeral_key);
        let key = LayerKey::for_node(self.enc_type, secret, public, &ephemeral);
        let plaintext = key.open(self.ciphertext).map_err(|_| PathError::InvalidCiphertext)?;
        match Layer::parse(&plaintext) {
            Ok(Layer::Relay { next, handshake }) => {
                Ok(Peeled::Relay { next, body: self.forward(handshake, plaintext)? })
            }
            Ok(Layer::Deliver { flags }) => {
                let request = into_first(plaintext).map_err(PathError::from)?;
                Ok(Peeled::Deliver { request, reply: ReplyKey::new(key, flags) })
            }
            Ok(Layer::Exit(exit)) => {
                Ok(Peeled::Exit { exit, payload: plaintext, reply: ReplyKey::new(key, ReplyFlags::default()) })
            }
            Err(cause) => Err(PeelError::BadLayer { cause, reply: ReplyKey::new(key, ReplyFlags::default()) }),
        }
    }

    /// The body for the next node. Its control part is written anew from the known fields, so that no hop can pass a mark along.
    fn forward(&self, next: Handshake, plaintext: Vec<u8>) -> Result<Vec<u8>, PathError> {
        // The next node would refuse it; the client reads the same answer either way.
        let hop_no = self.hop_no.checked_add(1).filter(|hop_no| *hop_no <= MAX_HOP_NO).ok_or(PathError::PathTooLong)?;
        Ok(replace_control(plaintext, &next.outermost(hop_no))?)
    }
}

/// What the control part of a decrypted layer says is to be done with its first part.
#[derive(Debug, PartialEq, Eq)]
enum Layer {
    Relay { next: ServiceNodeId, handshake: Handshake },
    Deliver { flags: ReplyFlags },
    Exit(ExitRequest),
}

impl Layer {
    /// What a layer is shows in which fields it has, in the order existing nodes look for them.
    fn parse(plaintext: &[u8]) -> Result<Self, FrameError> {
        let (_, control) = split(plaintext)?;
        let control = Control::parse(control)?;
        if control.has("headers") {
            let flags = ReplyFlags { json: control.flag("json", false)?, base64: control.flag("base64", true)? };
            Ok(Self::Deliver { flags })
        } else if control.has("host") {
            let protocol = if control.has("protocol") { control.text("protocol")? } else { "https" };
            Ok(Self::Exit(ExitRequest {
                host: control.text("host")?.to_owned(),
                target: control.text("target")?.to_owned(),
                port: control.port(443)?,
                protocol: protocol.to_owned(),
            }))
        } else {
            let next = ServiceNodeId(control.key("destination")?);
            Ok(Self::Relay { next, handshake: control.handshake()? })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, EncType, ReplyBody, ReplyOpener};
    use hex_literal::hex;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
    use x25519_dalek::StaticSecret;

    fn layer(control: &str) -> Vec<u8> {
        [&b"\x0a\0\0\0ciphertext"[..], control.as_bytes()].concat()
    }

    // oxen-storage-server, unit_test/onion_requests.cpp: the four kinds of layer.
    #[test]
    fn layers_are_told_apart_as_existing_nodes_do() {
        for (control, json, base64) in [
            ("{\n  \"headers\": \"something\"\n }", false, true),
            (r#"{"headers":null,"host":"h","destination":7}"#, false, true),
            (r#"{"headers":{},"json":true,"base64":false}"#, true, false),
        ] {
            let expected = Layer::Deliver { flags: ReplyFlags { json, base64 } };
            assert_eq!(Layer::parse(&layer(control)).unwrap(), expected);
        }

        let exit = |port, protocol: &str| {
            Layer::Exit(ExitRequest { host: "host".into(), target: "target".into(), port, protocol: protocol.into() })
        };
        assert_eq!(Layer::parse(&layer(r#"{"host":"host","target":"target"}"#)).unwrap(), exit(443, "https"));
        assert_eq!(
            Layer::parse(&layer(r#"{"host":"host","target":"target","port":80,"protocol":"http"}"#)).unwrap(),
            exit(80, "http")
        );

        let relay = r#"{
            "destination": "ffffeeeeddddccccbbbbaaaa9999888877776666555544443333222211110000",
            "ephemeral_key": "0000111122223333444455556666777788889999000011112222333344445555"
        }"#;
        let expected = Layer::Relay {
            next: ServiceNodeId(hex!("ffffeeeeddddccccbbbbaaaa9999888877776666555544443333222211110000")),
            handshake: Handshake {
                ephemeral_key: hex!("0000111122223333444455556666777788889999000011112222333344445555"),
                enc_type: EncType::AesGcm,
            },
        };
        assert_eq!(Layer::parse(&layer(relay)).unwrap(), expected);
    }

    #[test]
    fn malformed_layers_name_the_field() {
        for (control, named) in [
            (r#"{"headers":{},"json":1}"#, "json"),
            (r#"{"headers":{},"base64":null}"#, "base64"),
            (r#"{"host":1,"target":"t"}"#, "host"),
            (r#"{"host":"h"}"#, "target"),
            (r#"{"host":"h","target":"t","port":65536}"#, "port"),
            (r#"{"host":"h","target":"t","protocol":[]}"#, "protocol"),
            ("{}", "destination"),
            (r#"{"destination":"00"}"#, "destination"),
        ] {
            assert!(
                matches!(Layer::parse(&layer(control)), Err(FrameError::Field { field, .. }) if field == named),
                "{control}"
            );
        }
    }

    // libsession-util, tests/test_onionreq.cpp: whole requests as a client frames them. Their content is no layer, so the
    // refusal goes back to the client, who can open it.
    #[test]
    fn known_requests_are_decrypted() {
        let client = hex!("8167e97672005c669a48858c69895f395ca235219ac3f7a4210022b1f910e652");
        let client_secret = hex!("d2ee09e1a557a077d385fcb69a11ffb6909ecdcc8348def3e0e4172c8a1431c1");
        let node = HopSecret::from_x25519(&hex!("2f4d1c0d28e137777ec0a316e9f4f763e3e66662a6c51994c6315c9ef34b6deb"));
        assert_eq!(node.public(), hex!("8388de69bc0d4b6196133233ad9a46ba0473474bc67718aad96a3a33c257f726"));
        let gcm = &hex!(
            "270000009525d587d188c92a966eef0e7162bef99a6171a124575b998072a8ee7eb265e0b6f0930ed96504"
            "7b22656e635f74797065223a20226165732d67636d222c2022657068656d6572616c5f6b6579223a202238"
            "31363765393736373230303563363639613438383538633639383935663339356361323335323139616333"
            "6637613432313030323262316639313065363532227d"
        )[..];
        let xchacha = &hex!(
            "33000000e440bc244ddcafd947b86fc5a964aa58de54a6d75cc0f0f3840db14b6c1176a8e2e0a04d5fbdf9"
            "8f23adee1edc8362ab99b10b7b22656e635f74797065223a2022786368616368613230222c202265706865"
            "6d6572616c5f6b6579223a2022383136376539373637323030356336363961343838353863363938393566"
            "33393563613233353231396163336637613432313030323262316639313065363532227d"
        )[..];
        for (body, enc_type) in [(gcm, EncType::AesGcm), (xchacha, EncType::XChaCha20)] {
            let frame = Frame::parse(body).unwrap();
            assert_eq!((frame.ephemeral_key, frame.enc_type, frame.hop_no), (client, enc_type, 0));
            let (secret, public) = node.parts();
            let key = LayerKey::for_node(enc_type, secret, public, &PublicKey::from(client));
            assert_eq!(key.open(frame.ciphertext).unwrap(), b"Hello world");

            let Err(PeelError::BadLayer { cause: FrameError::Truncated, reply }) = peel(&node, body) else {
                panic!("a bare text is no layer");
            };
            let refusal = reply.seal(400, ReplyBody::Text(INVALID_JSON), &mut ChaCha20Rng::seed_from_u64(0)).unwrap();
            let secret = StaticSecret::from(client_secret);
            let key = LayerKey::for_client(enc_type, (&secret, &PublicKey::from(&secret)), public).unwrap();
            let answer = ReplyOpener::new(key, true).open(&refusal);
            assert_eq!(answer, Ok(Answer { status: 400, body: INVALID_JSON.into() }));
        }
    }
}

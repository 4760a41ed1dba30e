//! Wrapping a request for three hops and opening the answer, against the raw operations.

use crate::{
    Outcome,
    onion::{SIZES, derive, node, open, seal},
};
use skep_measure::{Aim, Report, per_call};
use skep_onion::{EncType, Hop, HopSecret, Peeled, ReplyBody, WrapOptions, peel, wrap};
use std::{error::Error, hint::black_box, time::Duration};
use x25519_dalek::{PublicKey, StaticSecret};

const RUN: Duration = Duration::from_millis(250);

pub(crate) fn rows(report: &mut Report) -> Outcome {
    let nodes = [1, 2, 3, 4].map(node);
    let [path @ .., destination] = nodes.each_ref().map(|node| node.hop);
    let secrets = nodes.each_ref().map(|node| &node.secret);
    for enc_type in [EncType::XChaCha20, EncType::AesGcm] {
        for (size, words) in SIZES {
            let options = WrapOptions { enc_type, base64: false, ..WrapOptions::default() };
            let request = vec![7; size];
            let answer = "a".repeat(size);
            // The destination answers under the key of one request; each is opened by its own opener.
            let sealed = |path: &[Hop]| -> Result<_, Box<dyn Error>> {
                let wrapped = wrap(path, &destination, &request, options, &mut rand::rng())?;
                Ok((at_destination(&wrapped.body, &secrets[3 - path.len()..])?, wrapped.opener))
            };
            let (reply, opener) = sealed(&path)?;
            let reply = reply.seal(200, ReplyBody::Text(&answer), &mut rand::rng())?;
            let raw_reply = [nonce(enc_type), &seal(enc_type, &[9; 32], &reply)?].concat();
            report.speed::<Box<dyn Error>>(
                &format!("wrap three hops and open the answer, {words}, {enc_type}"),
                Aim::AtLeast(0.9),
                || {
                    per_call(RUN, || {
                        black_box(wrap(&path, &destination, black_box(&request), options, &mut rand::rng())?);
                        black_box(opener.open(black_box(&reply))?);
                        Ok(())
                    })
                },
                || {
                    per_call(RUN, || {
                        let mut layer: Option<Vec<u8>> = None;
                        for node in nodes.iter().rev() {
                            let ephemeral = StaticSecret::from(rand::random::<[u8; 32]>());
                            let (own, public) = (PublicKey::from(&ephemeral), PublicKey::from(node.hop.x25519));
                            let key = derive(enc_type, &ephemeral, &public, &own, &public);
                            layer = Some(seal(enc_type, &key, layer.as_deref().unwrap_or(black_box(&request)))?);
                        }
                        black_box(&layer);
                        black_box(open(enc_type, &[9; 32], black_box(&raw_reply))?);
                        Ok(())
                    })
                },
            )?;
        }
    }
    Ok(())
}

/// The nonce [`seal`] used.
fn nonce(enc_type: EncType) -> &'static [u8] {
    match enc_type {
        EncType::AesGcm => &[0; 12],
        EncType::XChaCha20 => &[0; 24],
    }
}

/// Peels a request along its path, to the key of its answer.
fn at_destination(body: &[u8], secrets: &[&HopSecret]) -> Result<skep_onion::ReplyKey, Box<dyn Error>> {
    let mut body = body.to_vec();
    for secret in secrets {
        match peel(secret, &body)? {
            Peeled::Relay { body: next, .. } => body = next,
            Peeled::Deliver { reply, .. } => return Ok(reply),
            Peeled::Exit { .. } => break,
        }
    }
    Err("the request should have reached its destination".into())
}

//! One hop on an established path against its cipher by itself, whose key is set up once as well.

use crate::{
    Outcome,
    onion::{SIZES, node},
};
use chacha20poly1305::{
    ChaCha20Poly1305,
    aead::{Aead, KeyInit, Nonce},
};
use skep_bench::{Aim, Report, Stopwatch};
use skep_onion::established::{
    Accepted, EstablishedPath, Forwarded, HopPath, LinkFrame, PathLimits, PathOpening, PathTable,
};
use skep_primitives::ServiceNodeId;
use std::{error::Error, hint::black_box, sync::Arc};

/// Bytes of requests a run.
const BYTES_A_RUN: usize = 48 << 20;
/// What one record of the path's cipher holds.
const RECORD: usize = 65_535;

pub(crate) fn rows(report: &mut Report) -> Outcome {
    for (size, words) in SIZES {
        let name = format!("hop on an established path, {words}, vs its AEAD");
        if !report.wants(&name) {
            continue;
        }
        let mut path = Path::open()?;
        let sealed = path.client.seal(ServiceNodeId([99; 32]), &vec![7; size])?.frame.len();
        let number = BYTES_A_RUN / sealed;
        report.compare::<Box<dyn Error>>(
            &name,
            Aim::AtLeast(0.85),
            || path.forward(size, number),
            || raw(sealed, number),
        )?;
    }
    Ok(())
}

/// A path of two hops, as client and guard see it.
struct Path {
    client: EstablishedPath,
    guard: Arc<HopPath>,
}

impl Path {
    fn open() -> Result<Self, Box<dyn Error>> {
        let mut rng = rand::rng();
        let (guard, last) = (node(1), node(2));
        let limits = PathLimits { paths: 4, under_way: 2 };
        let (mut guard_table, mut last_table) = (PathTable::new(limits), PathTable::new(limits));
        let (opening, frame) = PathOpening::start(&[guard.hop, last.hop], &mut rng)?;
        let accepted = Accepted::read(&guard.secret, handshake(&frame)?, &mut rng)?;
        let next = accepted.next().ok_or("the guard should have a next hop")?.frame.clone();
        let ended = Accepted::read(&last.secret, handshake(&next)?, &mut rng)?.end()?;
        let answer = last_table.insert(1_u8, 1, ended, 0, &mut rng).map_err(|_| "the last hop refuses")?;
        let joined = accepted.joined(&answer)?;
        let answer = guard_table.insert(0_u8, 1, joined, 0, &mut rng).map_err(|_| "the guard refuses")?;
        let mut client = opening.finish(&answer)?;
        let probe = client.seal(ServiceNodeId([99; 32]), b"")?.frame;
        let Ok(LinkFrame::Forward { path, .. }) = LinkFrame::parse(&probe) else { return Err("not a request".into()) };
        let guard = guard_table.find(0, path, 1).map_err(|_| "the guard should know the path")?;
        Ok(Self { client, guard })
    }

    /// Seconds a request takes the guard.
    fn forward(&mut self, size: usize, number: usize) -> Result<f64, Box<dyn Error>> {
        let body = vec![7; size];
        let mut frames = Vec::with_capacity(number);
        for _ in 0..number {
            frames.push(self.client.seal(ServiceNodeId([99; 32]), &body)?.frame);
        }
        let (mut buffer, watch) = (Vec::new(), Stopwatch::start());
        for frame in &frames {
            let Ok(LinkFrame::Forward { number, sealed, .. }) = LinkFrame::parse(frame) else {
                return Err("not a request".into());
            };
            match self.guard.forward(number, sealed, buffer)? {
                Forwarded::Relay { frame, .. } => buffer = black_box(frame),
                Forwarded::Deliver { .. } => return Err("the guard should pass it on".into()),
            }
        }
        Ok(watch.seconds() / number as f64)
    }
}

fn handshake(frame: &[u8]) -> Result<&[u8], Box<dyn Error>> {
    match LinkFrame::parse(frame) {
        Ok(LinkFrame::Open { handshake }) => Ok(handshake),
        Ok(_) | Err(_) => Err("not an opening".into()),
    }
}

/// Seconds of decrypting as much, in records of the same length.
fn raw(sealed: usize, number: usize) -> Result<f64, Box<dyn Error>> {
    const FAILED: &str = "the record does not open";
    let (cipher, nonce) = (ChaCha20Poly1305::new(&[5; 32].into()), Nonce::<ChaCha20Poly1305>::default());
    let seal = |length: usize| cipher.encrypt(&nonce, vec![7; length.saturating_sub(16)].as_slice());
    let mut records = Vec::new();
    let mut left = sealed;
    while left > 16 {
        let length = left.min(RECORD);
        records.push(seal(length).map_err(|_| FAILED)?);
        left -= length;
    }
    let watch = Stopwatch::start();
    for _ in 0..number {
        for record in &records {
            black_box(cipher.decrypt(&nonce, black_box(record.as_slice())).map_err(|_| FAILED)?);
        }
    }
    Ok(watch.seconds() / number as f64)
}

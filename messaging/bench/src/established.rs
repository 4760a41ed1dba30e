//! One hop on an established path against the raw cipher: a layer opened on the way there, one sealed on the way back.

use crate::{
    Outcome,
    onion::{SIZES, node},
};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{AeadInPlace, generic_array::GenericArray},
};
use skep_measure::{Aim, Report};
use skep_onion::established::{
    Accepted, EstablishedPath, Forwarded, HopPath, LinkFrame, PathLimits, PathOpening, PathTable,
};
use skep_primitives::ServiceNodeId;
use std::{
    error::Error,
    hint::black_box,
    mem::take,
    sync::Arc,
    time::{Duration, Instant},
};

const RUN: Duration = Duration::from_millis(150);
/// Requests made before the clock starts: a hop serves each once.
const BATCH: usize = 64;
const TAG_BYTES: usize = 16;

pub(crate) fn rows(report: &mut Report) -> Outcome {
    for (size, words) in SIZES {
        let name = format!("established hop, {words}, there and back, vs ChaCha20-Poly1305");
        if !report.wants(&name) {
            continue;
        }
        let mut guard = Guard::establish()?;
        let there = guard.requests(size)?.first().map(|frame| frame.len() - FORWARD_HEAD).ok_or("no request")?;
        let back = guard.answer(size)?;
        let back_length = back.len();
        report.speed::<Box<dyn Error>>(
            &name,
            Aim::AtLeast(0.85),
            || guard.run(size, &back),
            || raw(there - TAG_BYTES, back_length),
        )?;
    }
    Ok(())
}

/// Bytes of a Forward frame before its layer.
const FORWARD_HEAD: usize = 25;

/// The first hop of a path of two, and the client.
struct Guard {
    client: EstablishedPath,
    hop: Arc<HopPath>,
    last: Arc<HopPath>,
}

impl Guard {
    fn establish() -> Result<Self, Box<dyn Error>> {
        let (guard, last) = (node(1), node(2));
        let rng = &mut rand::rng();
        let (opening, frame) = PathOpening::start(&[guard.hop, last.hop], rng)?;
        let at_guard = Accepted::read(&guard.secret, handshake(&frame)?, rng)?;
        let to_last = at_guard.next().ok_or("no next hop")?.frame.clone();
        let at_last = Accepted::read(&last.secret, handshake(&to_last)?, rng)?.end()?;
        let limits = PathLimits { paths: 1, under_way: 1 };
        let (mut guards, mut lasts) = (PathTable::new(limits), PathTable::new(limits));
        let no_room = |_| "no room for a path";
        let answer = lasts.insert((), 1, at_last, 0, rng).map_err(no_room)?;
        let answer = guards.insert((), 1, at_guard.joined(&answer)?, 0, rng).map_err(no_room)?;
        let mut client = opening.finish(&answer)?;
        let request = client.seal(ServiceNodeId([3; 32]), b"")?.frame;
        let (hop, number, sealed) = find(&mut guards, &request)?;
        let Forwarded::Relay { frame, .. } = hop.forward(number, sealed, Vec::new())? else {
            return Err("the guard is to pass it on".into());
        };
        let (last, ..) = find(&mut lasts, &frame)?;
        Ok(Self { client, hop, last })
    }

    fn requests(&mut self, size: usize) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
        let body = vec![7; size];
        (0..BATCH).map(|_| Ok(self.client.seal(ServiceNodeId([3; 32]), &body)?.frame)).collect()
    }

    /// What the last hop answers.
    fn answer(&self, size: usize) -> Result<Vec<u8>, Box<dyn Error>> {
        Ok(self.last.answer(1, 200, &vec![7; size], Vec::new())?)
    }

    /// Seconds the guard's work for one request takes.
    fn run(&mut self, size: usize, back: &[u8]) -> Result<f64, Box<dyn Error>> {
        let (mut spent, mut served) = (Duration::ZERO, 0_u32);
        let (mut there_buffer, mut back_buffer) = (Vec::new(), Vec::new());
        while spent < RUN {
            let frames = self.requests(size)?;
            let begun = Instant::now();
            for frame in &frames {
                let Ok(LinkFrame::Forward { number, sealed, .. }) = LinkFrame::parse(frame) else {
                    return Err("not a request".into());
                };
                match self.hop.forward(number, sealed, take(&mut there_buffer))? {
                    Forwarded::Relay { frame, .. } => there_buffer = black_box(frame),
                    Forwarded::Deliver { .. } => return Err("the guard is to pass it on".into()),
                }
                back_buffer = black_box(self.hop.relay_back(number, black_box(back), take(&mut back_buffer))?);
                served += 1;
            }
            spent += begun.elapsed();
        }
        Ok(spent.as_secs_f64() / f64::from(served))
    }
}

fn handshake(frame: &[u8]) -> Result<&[u8], &'static str> {
    match LinkFrame::parse(frame) {
        Ok(LinkFrame::Open { handshake }) => Ok(handshake),
        Ok(LinkFrame::Forward { .. } | LinkFrame::Close { .. }) | Err(_) => Err("not an opening"),
    }
}

fn find<'a>(table: &mut PathTable<()>, frame: &'a [u8]) -> Result<(Arc<HopPath>, u64, &'a [u8]), &'static str> {
    let Ok(LinkFrame::Forward { path, number, sealed }) = LinkFrame::parse(frame) else {
        return Err("not a request");
    };
    Ok((table.find((), path, 0).map_err(|_| "no such path")?, number, sealed))
}

/// Seconds it takes to open one text of `there` bytes and to seal one of `back`: each copied into a buffer that is used again,
/// and worked on there.
fn raw(there: usize, back: usize) -> Result<f64, Box<dyn Error>> {
    let cipher = ChaCha20Poly1305::new(&GenericArray::from([5; 32]));
    let nonce = GenericArray::default();
    let mut sealed = vec![7; there];
    let tag = cipher.encrypt_in_place_detached(&nonce, b"", &mut sealed).map_err(|_| "too long")?;
    let sealed = vec![sealed; BATCH];
    let text = vec![7; back];
    let (mut there_buffer, mut back_buffer) = (vec![0; there], vec![0; back]);
    let (mut spent, mut served) = (Duration::ZERO, 0_u32);
    while spent < RUN {
        let begun = Instant::now();
        for sealed in &sealed {
            there_buffer.copy_from_slice(black_box(sealed));
            cipher.decrypt_in_place_detached(&nonce, b"", &mut there_buffer, &tag).map_err(|_| "does not open")?;
            back_buffer.copy_from_slice(black_box(&text));
            black_box(cipher.encrypt_in_place_detached(&nonce, b"", &mut back_buffer).map_err(|_| "too long")?);
            black_box((&there_buffer, &back_buffer));
            served += 1;
        }
        spent += begun.elapsed();
    }
    Ok(spent.as_secs_f64() / f64::from(served))
}

//! A conversation's ratchet against vodozemac by itself: messages one after the other in one direction.

use crate::Outcome;
use skep_envelope::{Body, Content, MessageId, Prekeys, Ratchet, RatchetMessage, Text};
use skep_measure::{Aim, Report, Stopwatch};
use skep_proto::account::AccountAddress;
use std::{cell::RefCell, error::Error};
use vodozemac::olm::{Account, OlmMessage, Session, SessionConfig};

/// Messages a run.
const MESSAGES: usize = 8000;
/// Bytes of a text.
const TEXT: usize = 1024;
/// What surrounds a text in a message: ids, time and accounts.
const AROUND: usize = 120;

pub(crate) fn rows(report: &mut Report) -> Outcome {
    let names = ["encrypt", "decrypt"].map(|what| format!("ratchet {what}, 1 KiB, one after the other, vs vodozemac"));
    if !names.iter().any(|name| report.wants(name)) {
        return Ok(());
    }
    let (ours, theirs) = (RefCell::new(Ours::met()?), RefCell::new(Theirs::met()?));
    let [encrypt, decrypt] = names;
    report.speed::<Box<dyn Error>>(
        &encrypt,
        Aim::AtLeast(0.85),
        || Ok(ours.borrow_mut().encrypt()?.0),
        || Ok(theirs.borrow_mut().encrypt()?.0),
    )?;
    // What was encrypted for the row above stays unread: the receiver would keep too many skipped keys.
    let (ours, theirs) = (RefCell::new(Ours::met()?), RefCell::new(Theirs::met()?));
    report.speed::<Box<dyn Error>>(
        &decrypt,
        Aim::AtLeast(0.85),
        || {
            let messages = ours.borrow_mut().encrypt()?.1;
            ours.borrow_mut().decrypt(&messages)
        },
        || {
            let messages = theirs.borrow_mut().encrypt()?.1;
            theirs.borrow_mut().decrypt(&messages)
        },
    )
}

/// Two accounts that have heard of each other.
struct Ours {
    accounts: [AccountAddress; 2],
    prekeys: Prekeys,
    alice: Ratchet,
    bob: Ratchet,
    sent: u64,
}

impl Ours {
    fn met() -> Result<Self, Box<dyn Error>> {
        let accounts = [1, 2].map(|number| AccountAddress::from_x25519([number; 32]));
        let [alice, bob] = accounts;
        let (alice_prekeys, bob_prekeys) = (Prekeys::new(alice), Prekeys::new(bob));
        let (bob_prekeys, bundle) = bob_prekeys.bundle();
        let started = Ratchet::start(&alice_prekeys, bob, &bundle)?;
        let (started, first) = started.encrypt(&content(0, "first"))?;
        let received = Ratchet::receive(&bob_prekeys, None, alice, &first)?;
        let bob_prekeys = received.prekeys.unwrap_or(bob_prekeys);
        let (bob_ratchet, answer) = received.ratchet.encrypt(&content(1, "answer"))?;
        let received = Ratchet::receive(&alice_prekeys, Some(&started), bob, &answer)?;
        Ok(Self { accounts, prekeys: bob_prekeys, alice: received.ratchet, bob: bob_ratchet, sent: 2 })
    }

    fn encrypt(&mut self) -> Result<(f64, Vec<RatchetMessage>), Box<dyn Error>> {
        let text = "x".repeat(TEXT);
        let contents: Vec<_> = (0..MESSAGES as u64).map(|number| content(self.sent + number, &text)).collect();
        self.sent += MESSAGES as u64;
        let mut messages = Vec::with_capacity(MESSAGES);
        let watch = Stopwatch::start();
        for content in &contents {
            let (next, message) = self.alice.encrypt(content)?;
            self.alice = next;
            messages.push(message);
        }
        Ok((watch.seconds() / MESSAGES as f64, messages))
    }

    fn decrypt(&mut self, messages: &[RatchetMessage]) -> Result<f64, Box<dyn Error>> {
        let watch = Stopwatch::start();
        for message in messages {
            let received = Ratchet::receive(&self.prekeys, Some(&self.bob), self.accounts[0], message)?;
            received.content?;
            self.bob = received.ratchet;
        }
        Ok(watch.seconds() / messages.len() as f64)
    }
}

fn content(number: u64, text: &str) -> Content {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    let body = Some(Body::Text(Text::from(text.to_owned())));
    Content { id: MessageId(id), timestamp: 1_700_000_000_000 + number, sync: None, body }
}

/// Two sessions of vodozemac by itself.
struct Theirs {
    alice: Session,
    bob: Session,
}

impl Theirs {
    fn met() -> Result<Self, Box<dyn Error>> {
        const CONFIG: SessionConfig = SessionConfig::version_2();
        let (alice, mut bob) = (Account::new(), Account::new());
        let key = *bob.generate_one_time_keys(1).created.first().ok_or("no key")?;
        let mut alice_session = alice.create_outbound_session(CONFIG, bob.curve25519_key(), key)?;
        let OlmMessage::PreKey(first) = alice_session.encrypt("first")? else {
            return Err("not a first message".into());
        };
        let mut bob_session = bob.create_inbound_session(CONFIG, alice.curve25519_key(), &first)?.session;
        let answer = bob_session.encrypt("answer")?;
        alice_session.decrypt(&answer)?;
        Ok(Self { alice: alice_session, bob: bob_session })
    }

    fn encrypt(&mut self) -> Result<(f64, Vec<OlmMessage>), Box<dyn Error>> {
        let text = vec![b'x'; TEXT + AROUND];
        let mut messages = Vec::with_capacity(MESSAGES);
        let watch = Stopwatch::start();
        for _ in 0..MESSAGES {
            messages.push(self.alice.encrypt(&text)?);
        }
        Ok((watch.seconds() / MESSAGES as f64, messages))
    }

    fn decrypt(&mut self, messages: &[OlmMessage]) -> Result<f64, Box<dyn Error>> {
        let watch = Stopwatch::start();
        for message in messages {
            std::hint::black_box(self.bob.decrypt(message)?);
        }
        Ok(watch.seconds() / messages.len() as f64)
    }
}

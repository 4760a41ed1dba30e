//! The real program, killed at random moments while many clients write over HTTPS: nothing it has acknowledged is lost, and
//! nothing it has acknowledged to have removed comes back. The same where each kill is a loss of power, which takes whatever
//! was not synced. `scripts/kills` does both hundreds of times.

use crate::{
    LONG, Machine, Node,
    owner::{Owner, body},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use skep_lost_power::{Disk, Lost};
use skep_proto::storage::{CommandResponse, MemberResult, MessageHash, Method, RetrieveResponse, StoreResponse};
use std::{
    collections::BTreeSet,
    env,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// How often the node is killed, unless the environment says.
const KILLS: u64 = 3;
const WRITERS: u64 = 16;
/// After so many kills others write: what is asked for after each kill must not grow for ever. At the end all is asked for.
const TURN: u64 = 50;
/// Messages acknowledged before the node may be killed, where all is asked for first.
const PROGRESS: usize = 20;
/// So much later at most.
const LATER: u64 = 400;
/// So long after its start at most, where it is killed whether it serves yet or not.
const EARLY: u64 = 1_500;
/// Room for all that is stored, however long this goes on.
const LIMITS: &str = "[limits]\nunproven_mailbox_mib = 100000\nunproven_mailbox_messages = 100000000\n\
                      requests_per_second = 100000\nrequest_burst = 100000\nsubnet_requests_per_second = 100000\n\
                      subnet_request_burst = 100000\nconnections_per_address = 256\nmemory_mib = 256";

/// What one writer has asked for, and been told.
#[derive(Default)]
struct Ledger {
    stored: BTreeSet<MessageHash>,
    /// These may have been removed.
    asked: BTreeSet<MessageHash>,
    removed: BTreeSet<MessageHash>,
}

struct Writer {
    owner: Owner,
    client: reqwest::Client,
    url: String,
    ledger: Mutex<Ledger>,
}

impl Writer {
    fn new(number: u64, url: String) -> Self {
        let tls = skep_trusting_tls::trusting().expect("known versions");
        let client = reqwest::Client::builder().use_preconfigured_tls(tls).no_proxy().timeout(LONG);
        let client = client.build().expect("a client");
        Self { owner: Owner::new(number), client, url, ledger: Mutex::default() }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer, if the node lived to give it and did what was asked.
    async fn ask<T: serde::de::DeserializeOwned>(&self, method: Method) -> Option<T> {
        let response = self.client.post(&self.url).body(body(method)).send().await.ok()?;
        let is_done = response.status().as_u16() == 200;
        let text = response.bytes().await.ok()?;
        is_done.then(|| serde_json::from_slice(&text).expect("an answer to what was asked"))
    }

    /// Stores, and removes some of it again, for good.
    async fn write(&self, mut rng: StdRng) {
        loop {
            let mut data = vec![0; rng.random_range(16..400)];
            rng.fill(&mut data[..]);
            let hash = self.owner.hash(&data);
            let answer: Option<StoreResponse> = self.ask(self.owner.store(data)).await;
            if answer.is_some_and(|answer| all_done(answer.swarm.values())) {
                self.ledger().stored.insert(hash);
            }
            if rng.random_ratio(1, 8) {
                let victim = {
                    let mut ledger = self.ledger();
                    let victim = ledger.stored.difference(&ledger.asked).next().copied();
                    ledger.asked.extend(victim);
                    victim
                };
                if let Some(victim) = victim {
                    let answer: Option<CommandResponse> = self.ask(self.owner.delete(victim)).await;
                    if answer.is_some_and(|answer| all_done(answer.swarm.values())) {
                        self.ledger().removed.insert(victim);
                    }
                }
            }
            sleep(Duration::from_millis(rng.random_range(0..20))).await;
        }
    }

    /// Asks for everything that had been acknowledged when this began.
    async fn check(&self) {
        let (stored, removed) = {
            let ledger = self.ledger();
            (ledger.stored.clone(), ledger.removed.clone())
        };
        let (mut shown, mut last, begun) = (BTreeSet::new(), None, Instant::now());
        loop {
            let Some(page) = self.ask::<RetrieveResponse>(self.owner.retrieve(last)).await else {
                assert!(begun.elapsed() < LONG, "the node does not answer");
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            last = page.messages.last().map(|message| message.hash).or(last);
            for message in page.messages {
                assert_eq!(self.owner.hash(&message.data), message.hash, "changed");
                assert!(shown.insert(message.hash), "shown twice");
            }
            if !page.more {
                break;
            }
        }
        let asked = self.ledger().asked.clone();
        let lost: Vec<_> = stored.iter().filter(|hash| !shown.contains(hash) && !asked.contains(hash)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let back: Vec<_> = removed.intersection(&shown).collect();
        assert!(back.is_empty(), "removed and there again: {back:?}");
    }
}

fn all_done<'a, R: 'a>(mut results: impl Iterator<Item = &'a MemberResult<R>>) -> bool {
    results.all(|result| matches!(result, MemberResult::Done(_)))
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn acknowledged(writers: &[Arc<Writer>]) -> usize {
    writers.iter().map(|writer| writer.ledger().stored.len()).sum()
}

async fn check_all(writers: &[Arc<Writer>]) {
    for writer in writers {
        writer.check().await;
    }
}

/// Waits until the writers have been told of so many more messages.
async fn progress(writers: &[Arc<Writer>], node: &Node) {
    let (begun, before) = (Instant::now(), acknowledged(writers));
    while acknowledged(writers) < before + PROGRESS {
        assert!(begun.elapsed() < LONG, "nothing is stored; the log: {:?}", node.lines.lock());
        sleep(Duration::from_millis(5)).await;
    }
}

/// Starts a node and kills it. Whether that was early.
async fn start_and_kill(machine: &Machine, disk: Option<&Disk>, writers: &[Arc<Writer>], rng: &mut StdRng) -> bool {
    let environment = disk.map(|disk| disk.environment().expect("noted"));
    let mut node = machine.start_with("", environment.into_iter().flatten());
    // Mostly under load once all has been asked for, now and then while it starts.
    let early = rng.random_ratio(1, 4);
    if early {
        sleep(Duration::from_millis(rng.random_range(0..EARLY))).await;
    } else {
        check_all(writers).await;
        progress(writers, &node).await;
        sleep(Duration::from_millis(rng.random_range(0..LATER))).await;
    }
    assert!(node.child.try_wait().expect("a process").is_none(), "ended by itself: {:?}", node.lines.lock());
    // On Unix this is SIGKILL: no destructor runs, nothing is flushed.
    node.child.kill().expect("killed");
    node.child.wait().expect("ended");
    early
}

/// What losses of power took.
#[derive(Debug, Default)]
struct Toll {
    /// How many of them took something of the log of messages.
    logs: u64,
    /// How much of it, in bytes.
    log_bytes: u64,
    /// How many took something of sorted tables or of the list of them.
    tables: u64,
    /// How many brought back what had been removed or replaced.
    back: u64,
}

impl Toll {
    fn count(&mut self, lost: &Lost) {
        let (log, tables) = (lost.bytes_of(".log"), lost.bytes_of(".sst"));
        let is_listed = |name: &String| name.starts_with("MANIFEST") || name == "CURRENT";
        self.logs += u64::from(log > 0);
        self.log_bytes += log;
        self.tables += u64::from(tables > 0 || lost.bytes.keys().chain(&lost.back).any(is_listed));
        self.back += u64::from(!lost.back.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_however_often_the_node_is_killed() {
    let machine = Machine::new().await;
    survive(&machine, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_however_often_the_power_fails_where_the_node_is_killed() {
    let machine = Machine::new().await;
    let directory = machine.directory.path();
    let disk = Disk::under(&directory.join("messages"), &directory.join("notes")).expect("a C compiler");
    let toll = survive(&machine, Some(&disk)).await;
    println!("{toll:?}");
    // A kill finds the node between a write and its sync at any moment but a few.
    let kills = number("SKEP_KILLS").unwrap_or(KILLS);
    assert!(kills < TURN || (toll.logs > 0 && toll.back > 0), "this test would not notice a missing sync: {toll:?}");
}

#[expect(clippy::print_stdout, reason = "a part of tests, which say how far they are")]
async fn survive(machine: &Machine, disk: Option<&Disk>) -> Toll {
    let mut toll = Toll::default();
    let (kills, seed) = (number("SKEP_KILLS").unwrap_or(KILLS), number("SKEP_SEED").unwrap_or_else(rand::random));
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    machine.configure(LIMITS);
    let (url, begun) = (machine.url("/storage_rpc/v1"), Instant::now());
    let (mut all, mut early) = (Vec::new(), 0);
    for first in (0..kills).step_by(TURN as usize) {
        let writers: Vec<_> =
            (0..WRITERS).map(|number| Arc::new(Writer::new(first * WRITERS + number, url.clone()))).collect();
        let writing: Vec<JoinHandle<()>> = writers
            .iter()
            .map(|writer| {
                let (writer, rng) = (Arc::clone(writer), StdRng::from_rng(&mut rng));
                tokio::spawn(async move { writer.write(rng).await })
            })
            .collect();
        for _ in first..kills.min(first + TURN) {
            early += u64::from(start_and_kill(machine, disk, &writers, &mut rng).await);
            if let Some(disk) = disk {
                toll.count(&disk.lose_power().expect("files"));
            }
        }
        let node = machine.start();
        check_all(&writers).await;
        progress(&writers, &node).await;
        writing.iter().for_each(JoinHandle::abort);
        for task in writing {
            // A writer that stopped by itself has seen an answer that is none.
            let ended = timeout(LONG, task).await.expect("aborted");
            assert!(ended.is_err_and(|error| error.is_cancelled()), "a writer failed");
        }
        node.stop();
        all.extend(writers);
        println!(
            "{} kills, {} messages acknowledged, {:?}",
            kills.min(first + TURN),
            acknowledged(&all),
            begun.elapsed()
        );
    }
    let node = machine.start();
    check_all(&all).await;
    let removed: usize = all.iter().map(|writer| writer.ledger().removed.len()).sum();
    println!(
        "{kills} kills, {early} of them early; {} messages acknowledged, {removed} removals, none lost, none back; {:?}",
        acknowledged(&all),
        begun.elapsed()
    );
    node.stop();
    toll
}

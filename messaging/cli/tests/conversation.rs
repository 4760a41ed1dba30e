//! Two people talk directly while either side is killed at random: the whole network and the `skep` command, end to end. Takes
//! minutes and a devnet's ports, so only `scripts/conversation` runs it.

#![allow(clippy::print_stdout, reason = "a run of minutes tells what it found")]

mod devnet {
    #[allow(dead_code, reason = "what the other tests of a whole network need besides")]
    pub(super) mod network;
}

use devnet::network::Network;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// Messages that have to go directly, both sides' together.
const DIRECTLY: usize = 500;
/// Kills, evenly among them.
const KILLS: usize = 8;
/// How long somebody waits for an answer before saying more.
const PAUSE: Duration = Duration::from_secs(7);
/// How long all of it may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(1_200);

#[test]
#[ignore = "starts a whole network: scripts/conversation runs it"]
fn who_talks_directly_loses_and_doubles_nothing_when_either_side_is_killed() {
    let seed = env::var("SKEP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}: SKEP_SEED={seed} draws the same kills");
    let mut rng = StdRng::seed_from_u64(seed);
    let network = Network::up();
    let scratch = tempfile::tempdir().expect("creates a directory");
    let mut sides = ["Alice", "Bob"].map(|name| Side::new(&network, name, scratch.path().join(name)));
    meet(&sides);

    let began = Instant::now();
    sides.iter_mut().for_each(Side::start);
    let (mut kills, mut turn) = (0, 0_usize);
    while sides.iter().map(|side| side.directly).sum::<usize>() < DIRECTLY {
        assert!(began.elapsed() < PATIENCE, "not done: {:?}", sides.map(|side| side.directly));
        // Both speak at once, but in turns after mail: nothing goes directly before the other has told to have read it.
        let both = sides.iter().all(|side| side.was_direct);
        turn += 1;
        for (speaker, other) in [(0, "Bob"), (1, "Alice")] {
            if both || turn % 2 == speaker {
                sides[speaker].say(other);
            }
        }
        let due = sides.iter().map(|side| side.directly).sum::<usize>() * (KILLS + 1) / DIRECTLY > kills;
        if due && kills < KILLS {
            kills += 1;
            // In the middle of something, whatever it is.
            thread::sleep(Duration::from_millis(rng.random_range(0..400)));
            let side = &mut sides[rng.random_range(0..2)];
            println!("{:>4} s  {} is killed after saying {}", began.elapsed().as_secs(), side.name, side.said);
            side.kill();
            side.start();
        }
        sides.iter_mut().for_each(Side::is_answered);
        // As people do: nobody goes on before the other could have read it.
        let [alice, bob] = &mut sides;
        alice.hears(&bob.latest());
        bob.hears(&alice.latest());
    }
    println!("{:>4} s  {DIRECTLY} have gone directly", began.elapsed().as_secs());
    sides.iter_mut().for_each(Side::kill);

    // What was under way when its sender was killed goes by mail.
    let deadline = Instant::now() + PATIENCE;
    loop {
        for side in &sides {
            side.skep(&["receive", "--keep-unread"]);
        }
        let [alice, bob] = [0, 1].map(|side| sides[side].history());
        let done = alice.said == bob.heard && bob.said == alice.heard;
        if done {
            break;
        }
        assert!(Instant::now() < deadline, "lost: {:?}", (alice.lacks(&bob), bob.lacks(&alice)));
    }
    for side in &sides {
        let history = side.history();
        let lost: Vec<_> = side.confirmed.iter().filter(|text| !history.said.contains_key(*text)).collect();
        assert!(lost.is_empty(), "{} was told that these were sent: {lost:?}", side.name);
        for texts in [&history.said, &history.heard] {
            let twice: Vec<_> = texts.iter().filter(|(_, count)| **count != 1).collect();
            assert!(twice.is_empty(), "twice in the history of {}: {twice:?}", side.name);
        }
        let twice: Vec<_> = side.shown.iter().filter(|(_, count)| **count != 1).collect();
        assert!(twice.is_empty(), "shown twice to {}: {twice:?}", side.name);
        println!(
            "{}: said {} ({} directly, {} by mail, {} when it was killed), heard {}, of them {} while it ran; each once",
            side.name,
            history.said.len(),
            side.directly,
            side.confirmed.len() - side.directly,
            history.said.len() - side.confirmed.len(),
            history.heard.len(),
            side.shown.len(),
        );
    }
    println!("{kills} kills, nothing lost, nothing twice");
}

/// By one-shot commands, with nobody online.
fn meet(sides: &[Side<'_>; 2]) {
    let [alice, bob] = sides;
    let account = |side: &Side<'_>| side.skep(&["account", "show"])[0]["account"].as_str().expect("is text").to_owned();
    alice.skep(&["contact", "request", &account(bob), "--introduction", "It is me"]);
    assert_eq!(bob.skep(&["receive"])[0]["event"], "request");
    bob.skep(&["contact", "accept", &account(alice)]);
    assert_eq!(alice.skep(&["receive"])[0]["event"], "accepted");
}

/// Somebody, whose program is killed and started again.
struct Side<'a> {
    network: &'a Network,
    name: &'static str,
    home: PathBuf,
    running: Option<Running>,
    /// How many texts were given to the program.
    said: usize,
    /// The one it has not answered yet.
    waiting: Option<String>,
    /// Those it says it has sent or kept.
    confirmed: BTreeSet<String>,
    directly: usize,
    /// The latest, as far as it is known.
    was_direct: bool,
    /// What it has shown, and how often.
    shown: BTreeMap<String, usize>,
}

struct Running {
    child: Child,
    input: ChildStdin,
    events: Receiver<Value>,
}

/// Texts and how often they are there.
struct History {
    said: BTreeMap<String, usize>,
    heard: BTreeMap<String, usize>,
}

impl History {
    /// What the other has said and this side has not heard.
    fn lacks<'a>(&self, other: &'a Self) -> Vec<&'a String> {
        other.said.keys().filter(|text| !self.heard.contains_key(*text)).collect()
    }
}

impl<'a> Side<'a> {
    fn new(network: &'a Network, name: &'static str, home: PathBuf) -> Self {
        let (confirmed, shown) = (BTreeSet::new(), BTreeMap::new());
        let side = Self {
            network,
            name,
            home,
            running: None,
            said: 0,
            waiting: None,
            confirmed,
            directly: 0,
            was_direct: false,
            shown,
        };
        side.skep(&["account", "new", "--name", name]);
        side
    }

    /// What a command answers.
    fn skep(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.network.command(arguments, &self.home).output().expect("starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn start(&mut self) {
        let mut command = self.network.command(&["listen", "--send"], &self.home);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (told, events) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str(&line) else { return };
                if told.send(event).is_err() {
                    return;
                }
            }
        });
        self.running = Some(Running { child, input, events });
    }

    /// SIGKILL.
    fn kill(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        running.child.kill().expect("is ours");
        running.child.wait().expect("is ours");
        // What it has printed, it has shown.
        while let Ok(event) = running.events.recv() {
            self.heed(&event);
        }
        (self.waiting, self.was_direct) = (None, false);
    }

    fn say(&mut self, to: &str) {
        let text = format!("{} {}", self.name, self.said);
        let line = json!({"to": to, "text": text, "ref": text});
        let running = self.running.as_mut().expect("runs");
        writeln!(running.input, "{line}").expect("reads");
        self.said += 1;
        self.waiting = Some(text);
    }

    /// Waits until the program has answered what it was given.
    fn is_answered(&mut self) {
        while self.waiting.is_some() {
            let running = self.running.as_mut().expect("runs");
            match running.events.recv_timeout(PATIENCE) {
                Ok(event) => self.heed(&event),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{} gives no answer to {:?}", self.name, self.waiting)
                }
            }
        }
    }

    /// What was given to the program last.
    fn latest(&self) -> String {
        format!("{} {}", self.name, self.said.saturating_sub(1))
    }

    /// Waits until this is shown, for as long as people would; it may have got lost with a program that was killed.
    fn hears(&mut self, text: &str) {
        let began = Instant::now();
        while !self.shown.contains_key(text) {
            let Some(left) = PAUSE.checked_sub(began.elapsed()) else { return };
            let running = self.running.as_mut().expect("runs");
            if let Ok(event) = running.events.recv_timeout(left) {
                self.heed(&event);
            }
        }
    }

    fn heed(&mut self, event: &Value) {
        match event["event"].as_str() {
            Some("message") => {
                let text = event["text"].as_str().expect("is text").to_owned();
                *self.shown.entry(text).or_default() += 1;
            }
            Some(told @ ("sent" | "not_sent")) => {
                assert!(told == "sent" || event["kept"] == true, "{event}");
                let text = event["ref"].as_str().expect("is text").to_owned();
                self.was_direct = event["direct"] == true;
                self.directly += usize::from(self.was_direct);
                self.waiting.take_if(|waiting| *waiting == text);
                assert!(self.confirmed.insert(text), "{event}");
            }
            Some("receipt" | "typing" | "session_reset" | "online" | "offline") => {}
            Some(_) | None => panic!("{}: {event}", self.name),
        }
    }

    fn history(&self) -> History {
        let mut history = History { said: BTreeMap::new(), heard: BTreeMap::new() };
        for message in self.skep(&["history", "--all"]) {
            let texts = if message["mine"] == true { &mut history.said } else { &mut history.heard };
            *texts.entry(message["text"].as_str().expect("is text").to_owned()).or_default() += 1;
        }
        history
    }
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

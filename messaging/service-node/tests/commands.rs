//! The command line as operators use it.

use serde_json::Value;
use skep_mailbox::{Change, Order, Record, RocksStore, Store};
use skep_messaging::config::EXAMPLE;
use skep_proto::{
    account::AccountAddress,
    storage::{Namespace, StoreRequest},
};
use std::{
    error::Error,
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

fn run(arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_skep-messaging")).args(arguments).output()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn keys_and_configurations() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let (key, config) = (directory.path().join("node.key"), directory.path().join("node.toml"));
    let made = run(&["keygen", "--out", path(&key)])?;
    assert!(made.status.success());
    let id = String::from_utf8(made.stdout)?;
    assert_eq!(id.trim().len(), 64);
    let again = run(&["keygen", "--out", path(&key)])?;
    assert!(!again.status.success(), "an existing key is not overwritten");

    assert_eq!(String::from_utf8(run(&["config"])?.stdout)?.trim(), EXAMPLE.trim());
    fs::write(&config, format!("chain = [\"ws://127.0.0.1:1\"]\ndata_dir = {:?}\n", path(directory.path())))?;
    let checked = run(&["check-config", "--config", path(&config)])?;
    assert!(String::from_utf8(checked.stdout)?.contains(id.trim()));

    fs::write(&config, "chain = [\"ws://127.0.0.1:1\"]\ncolour = 1\n")?;
    let refused = run(&["check-config", "--config", path(&config)])?;
    assert!(!refused.status.success());
    assert!(String::from_utf8(refused.stderr)?.contains("colour"));
    Ok(())
}

#[test]
fn the_doctor_says_what_is_wrong_and_ends_with_1() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let (key, config) = (directory.path().join("node.key"), directory.path().join("node.toml"));
    run(&["keygen", "--out", path(&key)])?;
    let listen = "listen = { address = \"127.0.0.1\", https_port = 1, quic_port = 1 }";
    let text = format!("chain = [\"ws://127.0.0.1:1\"]\ndata_dir = {:?}\n{listen}\n", path(directory.path()));
    fs::write(&config, text)?;
    let told = run(&["doctor", "--config", path(&config), "--json"])?;
    assert_eq!(told.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&told.stdout)?;
    assert_eq!(told["would_pass"], false);
    let level = |name: &str| {
        let checks = told["checks"].as_array().into_iter().flatten();
        checks.filter(|check| check["name"] == name).map(|check| check["level"].clone()).next()
    };
    for (name, expected) in [("key", "good"), ("data directory", "good"), ("chain", "fails"), ("running", "fails")] {
        assert_eq!(level(name), Some(expected.into()), "{name}: {told}");
    }

    fs::write(&config, "colour = 1\n")?;
    let told = run(&["doctor", "--config", path(&config)])?;
    assert_eq!(told.status.code(), Some(1));
    let text = String::from_utf8(told.stdout)?;
    assert!(text.contains("FAILS") && text.contains("colour") && text.contains("->"), "{text}");
    Ok(())
}

#[test]
fn a_node_without_a_chain_waits_and_stops_when_told() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let (key, config) = (directory.path().join("node.key"), directory.path().join("node.toml"));
    run(&["keygen", "--out", path(&key)])?;
    fs::write(&config, format!("chain = [\"ws://127.0.0.1:1\"]\ndata_dir = {:?}\n", path(directory.path())))?;
    let node = Command::new(env!("CARGO_BIN_EXE_skep-messaging"))
        .args(["run", "--config", path(&config)])
        .stderr(Stdio::null())
        .spawn();
    let mut node = Ended(node?);
    let started = Instant::now();
    while !directory.path().join("messages/CURRENT").exists() {
        assert!(started.elapsed() < LONG, "the store should have been opened");
        sleep(Duration::from_millis(20));
    }
    assert!(node.0.try_wait()?.is_none(), "it waits");
    Command::new("kill").args(["-TERM", &node.0.id().to_string()]).status()?;
    let told = Instant::now();
    let status = loop {
        if let Some(status) = node.0.try_wait()? {
            break status;
        }
        assert!(told.elapsed() < LONG, "it should have stopped");
        sleep(Duration::from_millis(20));
    };
    assert!(status.success());
    Ok(())
}

/// Enough for what must happen, on any machine.
const LONG: Duration = Duration::from_secs(120);

/// A process that is ended with the test, however far the test comes.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn deposit(number: u8) -> Record {
    Record::new(StoreRequest {
        account: AccountAddress::from_x25519([number % 2; 32]),
        namespace: Namespace::DEFAULT,
        timestamp: 1,
        expiry: u64::MAX / 2,
        data: vec![number; 1000],
        auth: None,
        work: None,
    })
}

#[test]
fn the_store_of_a_stopped_node_is_looked_after() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let (config, messages) = (directory.path().join("node.toml"), directory.path().join("messages"));
    fs::write(&config, format!("chain = [\"ws://127.0.0.1:1\"]\ndata_dir = {:?}\n", path(directory.path())))?;
    let db = |command: &str| run(&["db", command, "--json", "--config", path(&config)]);
    let answer = |output: Output| -> Result<(Option<i32>, Value), Box<dyn Error>> {
        Ok((output.status.code(), serde_json::from_slice(&output.stdout)?))
    };

    let none = db("verify")?;
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8(none.stderr)?.contains("there is no message store"));
    assert!(!messages.exists(), "looking makes nothing");

    let store = RocksStore::open(&messages, u64::MAX)?;
    store.put(&(0..10).map(deposit).collect::<Vec<_>>(), 0)?;
    store.sync()?;
    for command in ["stats", "verify", "compact"] {
        let running = db(command)?;
        assert_eq!(running.status.code(), Some(1), "{command}");
        assert!(String::from_utf8(running.stderr)?.contains("in use by a running node"), "{command}");
    }
    drop(store);

    let (code, stats) = answer(db("stats")?)?;
    assert_eq!((code, &stats["messages"], &stats["accounts"]), (Some(0), &10.into(), &2.into()));
    let (code, verified) = answer(db("verify")?)?;
    assert_eq!((code, &verified["sound"], &verified["message_bytes"]), (Some(0), &true.into(), &10_000.into()));
    let (code, compacted) = answer(db("compact")?)?;
    assert_eq!(code, Some(0));
    assert!(compacted["file_bytes"].as_u64().is_some_and(|bytes| bytes > 0));

    // Nobody could have given this order: it is none.
    let store = RocksStore::open(&messages, u64::MAX)?;
    let account = AccountAddress::from_x25519([1; 32]);
    let order = Order { account, signature: [9; 64], request: b"{}".to_vec(), at: 1 };
    store.change(&Change::Delete { account, messages: vec![[7; 32].into()], until: 1 }, Some(&order), 0)?;
    store.sync()?;
    drop(store);
    let (code, verified) = answer(db("verify")?)?;
    assert_eq!((code, &verified["sound"], &verified["faults"]), (Some(3), &false.into(), &1.into()));
    assert!(verified["first_faults"][0].as_str().is_some_and(|fault| fault.contains("order")));
    Ok(())
}

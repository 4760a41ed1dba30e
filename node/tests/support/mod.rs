//! Real chain nodes.

use skep_chain_client::ChainUrls;
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

/// How long anything here may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Writes a development chain whose epochs are as short as they may be.
pub(crate) fn write_chain(scratch: &Path) -> PathBuf {
    let spec = skep_node::chain_spec::load("dev").expect("a preset").as_json(false).expect("serializes");
    let mut spec: serde_json::Value = serde_json::from_str(&spec).expect("JSON");
    let epoch = spec.pointer_mut("/genesis/runtimeGenesis/patch/network/parameters/epochBlocks");
    *epoch.expect("the preset names it") = 4.into();
    let file = scratch.join("chain.json");
    std::fs::write(&file, spec.to_string()).expect("writes");
    file
}

/// A node of such a chain; ended with the test.
pub(crate) struct ChainNode {
    /// Where it answers.
    pub(crate) urls: ChainUrls,
    _process: Ended,
}

/// A process that is ended with the test, however far the test comes.
struct Ended(Child);

impl ChainNode {
    /// Keeps its data in that directory.
    pub(crate) fn start(chain: &Path, data: &Path, arguments: &[&str]) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_skep-node"))
            .args(["--chain", chain.to_str().expect("UTF-8"), "--base-path", data.to_str().expect("UTF-8")])
            .args(arguments)
            .args(["--rpc-port", "0", "--listen-addr", "/ip4/127.0.0.1/tcp/0", "--front-door", "127.0.0.1:0"])
            .args(["--no-prometheus", "--no-telemetry", "--no-mdns"])
            .args(["--unsafe-force-node-key-generation"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = Ended(command.expect("starts"));
        let log = BufReader::new(process.0.stderr.take().expect("piped"));
        let (found, port) = mpsc::channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if let Some((_, addresses)) = line.split_once("Running JSON-RPC server: addr=127.0.0.1:") {
                    let port: String = addresses.chars().take_while(char::is_ascii_digit).collect();
                    // Read on even when nobody waits any more, so that the node is never held up by its log.
                    let _ = found.send(port);
                }
            }
        });
        let port = port.recv_timeout(LIMIT).expect("the node listens");
        Self { urls: format!("ws://127.0.0.1:{port}").parse().expect("an address"), _process: process }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks again and again until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

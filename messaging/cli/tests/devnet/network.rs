//! A devnet run by the programs of this build; stopped when the test ends, however it ends.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

const SKEP: &str = env!("CARGO_BIN_EXE_skep");

pub(crate) struct Network {
    dir: PathBuf,
    summary: Value,
}

/// How a command ended.
pub(crate) struct Run {
    pub(crate) command: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Network {
    /// Starts it. Its files stay for those who look for the cause of a failure.
    pub(crate) fn up() -> Self {
        let mut network = Self { dir: Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet"), summary: Value::Null };
        // One that an interrupted test left.
        network.devnet(&["down"]);
        let up = network.devnet(&["up"]);
        assert_eq!(up.code, 0, "{}", up.stderr);
        network.summary = serde_json::from_str(&up.stdout).expect("answers in JSON");
        network
    }

    pub(crate) fn summary(&self) -> &Value {
        &self.summary
    }

    /// `skep devnet --json ...`
    pub(crate) fn devnet(&self, arguments: &[&str]) -> Run {
        let dir = self.dir.to_str().expect("is text");
        run(SKEP, &[&["--json", "devnet", "--dir", dir], arguments].concat(), &[])
    }

    /// `skep --json ...`, asking the devnet's chain.
    pub(crate) fn skep(&self, arguments: &[&str]) -> Run {
        let checkpoint = self.summary["checkpoint"].as_str().expect("told by `up`");
        let environment = [("SKEP_CHAIN", self.chain()), ("SKEP_CHECKPOINT", checkpoint.to_owned())];
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run(SKEP, &[&["--json"], arguments].concat(), &environment)
    }

    /// `skep nodes verify` of these chain nodes, as people see it.
    pub(crate) fn verify_in_words(&self, chain: &str) -> Run {
        let checkpoint = self.summary["checkpoint"].as_str().expect("told by `up`");
        run(SKEP, &["nodes", "verify"], &[("SKEP_CHAIN", chain), ("SKEP_CHECKPOINT", checkpoint)])
    }

    /// `skep ...`, as people see it.
    pub(crate) fn skep_in_words(&self, arguments: &[&str]) -> Run {
        run(SKEP, arguments, &[("SKEP_CHAIN", &self.chain())])
    }

    /// `skep-messaging doctor` for a messaging node: how it ended, and what it said.
    pub(crate) fn doctor(&self, node: &str) -> (i32, String) {
        let number = node.trim_start_matches("node-");
        let config = self.dir.join("nodes").join(number).join("skep-messaging.toml");
        let messaging = Path::new(SKEP).with_file_name("skep-messaging");
        let arguments = ["doctor", "--config", config.to_str().expect("is text")];
        let told = run(messaging.to_str().expect("is text"), &arguments, &[]);
        (told.code, format!("{}{}", told.stdout, told.stderr))
    }

    /// `skep --json stake ...` for a staker.
    pub(crate) fn stake(&self, staker: &str, arguments: &[&str]) -> Run {
        let environment = [("SKEP_CHAIN", self.chain()), ("SKEP_STAKER", staker.to_owned())];
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run(SKEP, &[&["--json", "stake"], arguments].concat(), &environment)
    }

    /// The last line of `skep devnet demo --json`.
    pub(crate) fn demo(&self) -> Value {
        let demo = self.devnet(&["demo"]);
        assert_eq!(demo.code, 0, "{}", demo.stderr);
        serde_json::from_str(demo.stdout.lines().last().expect("answers")).expect("answers in JSON")
    }

    /// Every registered node.
    pub(crate) fn nodes(&self) -> Value {
        let list = self.skep(&["nodes", "list", "--all"]);
        assert_eq!(list.code, 0, "{}", list.stderr);
        let mut list: Value = serde_json::from_str(&list.stdout).expect("answers in JSON");
        list["nodes"].take()
    }

    /// Makes a node key, and its proof for a staker who asks no fee.
    pub(crate) fn prove(&self, key: &Path, staker: &str) -> Value {
        let account = self.stake(staker, &["status"]);
        let account: Value = serde_json::from_str(&account.stdout).expect("answers in JSON");
        let operator = account["account"].as_str().expect("is text");
        let messaging = Path::new(SKEP).with_file_name("skep-messaging");
        let (messaging, key) = (messaging.to_str().expect("is text"), key.to_str().expect("is text"));
        assert_eq!(run(messaging, &["keygen", "--out", key], &[]).code, 0);
        let arguments = ["prove", "--key", key, "--operator", operator, "--fee", "0", "--chain", &self.chain()];
        let proof = run(messaging, &arguments, &[]);
        assert_eq!(proof.code, 0, "{}", proof.stderr);
        serde_json::from_str(&proof.stdout).expect("answers in JSON")
    }

    /// Ids of every recorded process.
    pub(crate) fn pids(&self) -> Vec<u64> {
        let record = std::fs::read_to_string(self.dir.join("processes.json")).expect("is recorded");
        let record: Vec<Value> = serde_json::from_str(&record).expect("is JSON");
        record.iter().map(|process| process["pid"].as_u64().expect("is a number")).collect()
    }

    pub(crate) fn wait_until(&self, what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < limit, "{what}: not within {limit:?}; read {}", self.dir.join("logs").display());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Addresses of the chain nodes, separated by commas.
    pub(crate) fn chain(&self) -> String {
        let urls = self.summary["chain"].as_array().expect("told by `up`");
        urls.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.devnet(&["down"]);
    }
}

fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let output = Command::new(program)
        .args(arguments)
        .env_remove("SKEP_CHAIN")
        .env_remove("SKEP_CHECKPOINT")
        .env_remove("SKEP_STAKER")
        .envs(environment.iter().copied())
        .output()
        .expect("starts");
    Run {
        command: arguments.join(" "),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

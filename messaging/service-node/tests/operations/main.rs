//! The real program as its operator runs it, with a chain node that tells one roster: restarts, kills, reloads, numbers, logs.

mod chain;
mod kills;
mod logs;
mod owner;

use chain::Chain;
use serde_json::{Value, json};
use skep_messaging::NodeKey;
use std::{
    error::Error,
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader},
    net::{SocketAddr, TcpListener, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

/// Enough for what must happen, on any machine.
const LONG: Duration = Duration::from_secs(180);
/// What a restart is to take at most, from one answer to the next. Told, not asserted: a machine that is busy with something
/// else takes as long as it takes.
const PAUSE: Duration = Duration::from_secs(2);

/// A machine: a directory, two sockets that outlive the node as a service manager's do, and the chain.
struct Machine {
    directory: TempDir,
    https: TcpListener,
    quic: UdpSocket,
    chain: Chain,
}

impl Machine {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let https = TcpListener::bind("127.0.0.1:0").expect("a port");
        let quic = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let key = NodeKey::from_seed(&[7; 32]);
        key.save(&directory.path().join("node.key")).expect("a key");
        let chain = Chain::start(key.id(), address(&https), quic.local_addr().expect("bound")).await;
        let machine = Self { directory, https, quic, chain };
        machine.configure("");
        machine
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("node.toml")
    }

    fn configure(&self, more: &str) {
        let text = format!(
            "chain = [{:?}]\ndata_dir = {:?}\n[metrics]\naddress = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n{more}\n",
            self.chain.url,
            self.directory.path()
        );
        fs::write(self.config(), text).expect("written");
    }

    /// Starts the node with the sockets handed over, as systemd does.
    fn start(&self) -> Node {
        self.start_after("")
    }

    /// Starts it where the shell has done something before.
    fn start_after(&self, shell: &str) -> Node {
        self.start_with(shell, [])
    }

    /// Starts it with more in its environment.
    fn start_with(&self, shell: &str, environment: impl IntoIterator<Item = (&'static str, OsString)>) -> Node {
        // The shell puts them where the convention wants them, and keeps its process id.
        let hand_over = "exec 3<&0 4>&1 0</dev/null 1>/dev/null; export LISTEN_FDS=2 LISTEN_PID=$$; exec \"$@\"";
        let mut child = Command::new("sh")
            .args(["-c", &format!("{shell}{hand_over}"), "sh", env!("CARGO_BIN_EXE_skep-messaging"), "run", "--config"])
            .arg(self.config())
            .envs(environment)
            .stdin(Stdio::from(OwnedFd::from(self.https.try_clone().expect("a copy"))))
            .stdout(Stdio::from(OwnedFd::from(self.quic.try_clone().expect("a copy"))))
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines: Arc<Mutex<Vec<Value>>> = Arc::default();
        let told = Arc::clone(&lines);
        let stderr = child.stderr.take().expect("piped");
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                told.lock().expect("whole").push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Node { child, lines }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", address(&self.https))
    }
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("bound")
}

/// The program while it runs. Killed if a test ends early.
struct Node {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Node {
    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.expect("kill runs").success());
    }

    fn stop(mut self) {
        self.signal("TERM");
        assert!(self.child.wait().expect("ends").success());
    }

    /// The first line of the log that `find` finds something in.
    async fn line<T>(&self, find: impl Fn(&Value) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let found = self.lines.lock().expect("whole").iter().find_map(&find);
            if let Some(found) = found {
                return found;
            }
            assert!(begun.elapsed() < LONG, "not logged; what was: {:?}", self.lines.lock());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where the metrics are, as the log tells.
    async fn metrics(&self) -> String {
        let address = self.line(|line| Some(line["fields"]["metrics"].as_str()?.to_owned())).await;
        format!("http://{address}/metrics")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that opens a connection for each request.
fn client() -> reqwest::Client {
    let tls = skep_trusting_tls::trusting().expect("known versions");
    reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(LONG)
        .build()
        .expect("a client")
}

async fn ask(client: &reqwest::Client, url: &str) -> Result<u16, reqwest::Error> {
    let answer = client.post(url).body(r#"{"method":"info","params":{}}"#).send().await?;
    let status = answer.status().as_u16();
    answer.bytes().await?;
    Ok(status)
}

/// Whether nobody listened.
fn is_refused(error: &(dyn Error + 'static)) -> bool {
    let is_it = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    error.downcast_ref::<io::Error>().is_some_and(is_it) || error.source().is_some_and(is_refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_while_the_node_restarts() {
    let machine = Machine::new().await;
    let url = machine.url("/storage_rpc/v1");
    let mut node = machine.start();
    // Asked before it listens: the socket is there already, so this waits instead of failing.
    assert_eq!(ask(&client(), &url).await.expect("an answer"), 200);

    let (done, answered, refused) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let longest = Arc::new(Mutex::new(Duration::ZERO));
    let askers: Vec<_> = (0..3)
        .map(|_| {
            let (url, done, answered, refused) =
                (url.clone(), Arc::clone(&done), Arc::clone(&answered), Arc::clone(&refused));
            let longest = Arc::clone(&longest);
            tokio::spawn(async move {
                let client = client();
                let mut last = Instant::now();
                while !done.load(Ordering::Relaxed) {
                    match ask(&client, &url).await {
                        Ok(status) => {
                            assert_eq!(status, 200);
                            answered.fetch_add(1, Ordering::Relaxed);
                            let mut longest = longest.lock().expect("whole");
                            *longest = last.elapsed().max(*longest);
                            last = Instant::now();
                        }
                        // What the node was told a moment too late is asked again, as every client does.
                        Err(error) => {
                            assert!(!error.is_timeout(), "{error:?}");
                            refused.fetch_add(u64::from(is_refused(&error)), Ordering::Relaxed);
                        }
                    }
                }
            })
        })
        .collect();

    for _ in 0..2 {
        node.stop();
        // Nobody accepts now. Whoever asks is answered by the next one.
        let meanwhile: Vec<_> = (0..3)
            .map(|_| {
                let url = url.clone();
                tokio::spawn(async move { ask(&client(), &url).await })
            })
            .collect();
        node = machine.start();
        for asked in meanwhile {
            assert_eq!(asked.await.expect("no panic").expect("an answer"), 200);
        }
        let before = answered.load(Ordering::Relaxed);
        let begun = Instant::now();
        while answered.load(Ordering::Relaxed) < before + 3 {
            assert!(begun.elapsed() < LONG, "the others should be answered too");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    done.store(true, Ordering::Relaxed);
    for asker in askers {
        asker.await.expect("no panic");
    }
    assert_eq!(refused.load(Ordering::Relaxed), 0, "connections refused");
    let longest = *longest.lock().expect("whole");
    let held = if longest < PAUSE { "under" } else { "NOT under" };
    println!("{} answers, longest pause {longest:?}: {held} {PAUSE:?}", answered.load(Ordering::Relaxed));
    assert!(longest < LONG, "a pause of {longest:?}");
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_hears_of_a_start_that_fails_and_needs_no_chain_for_one_that_does_not() {
    let machine = Machine::new().await;
    let notified = machine.directory.path().join("notify");
    let manager = UnixDatagram::bind(&notified).expect("a socket");
    manager.set_read_timeout(Some(LONG)).expect("a timeout");
    let configure = |listen: &str| {
        let text = format!(
            "chain = [\"ws://127.0.0.1:1\"]\ndata_dir = {:?}\n{listen}\n[metrics]\naddress = \"127.0.0.1:0\"\n",
            machine.directory.path()
        );
        fs::write(machine.config(), text).expect("written");
    };
    // Its port belongs to somebody else.
    let taken = address(&machine.https).port();
    configure(&format!("[listen]\naddress = \"127.0.0.1\"\nhttps_port = {taken}\nquic_port = 0"));
    let failed = Command::new(env!("CARGO_BIN_EXE_skep-messaging"))
        .args(["run", "--config"])
        .arg(machine.config())
        .env("NOTIFY_SOCKET", &notified)
        .output()
        .expect("runs");
    let why = String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success() && why.contains("cannot listen on TCP"), "{why}");

    configure("");
    let node = machine.start_with("", [("NOTIFY_SOCKET", notified.clone().into_os_string())]);
    let mut told = [0; 256];
    let length = manager.recv(&mut told).expect("told");
    assert_eq!(told.get(..length), Some(&b"READY=1"[..]), "the first that anybody says, though no chain node is there");
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_change_while_the_node_runs_and_a_bad_file_changes_nothing() {
    let machine = Machine::new().await;
    let node = machine.start();
    let (metrics, http) = (node.metrics().await, client());
    let number = async |name: &str| number(&http, &metrics, name).await;
    let reaches = async |name: &str, expected: u64| reaches(&http, &metrics, name, expected).await;
    let memory = "skep_messaging_memory_bytes_limit";
    assert_eq!(number(memory).await, Some(64 << 20));

    for (round, bad) in
        ["[limits]\nmemory_mib = 1", "[limits]\ncolour = 1", "level = \"skep=loud\"", "]["].iter().enumerate()
    {
        machine.configure(bad);
        node.signal("HUP");
        reaches("skep_messaging_config_reloads_total{outcome=\"refused\"}", round as u64 + 1).await;
        assert_eq!(number(memory).await, Some(64 << 20), "{bad}");
    }
    let refusal = node
        .line(|line| (line["level"] == "ERROR").then(|| line["fields"]["error"].as_str().map(str::to_owned)).flatten());
    let refusal = refusal.await;
    assert!(refusal.contains("limits.memory_mib"), "{refusal}");

    machine.configure("[limits]\nmemory_mib = 40\nstore_mib = 7\nconnections = 9\n[replication]\ninterval_seconds = 5");
    node.signal("HUP");
    reaches("skep_messaging_config_reloads_total{outcome=\"applied\"}", 1).await;
    assert_eq!(number(memory).await, Some(40 << 20));
    assert_eq!(number("skep_messaging_message_bytes_limit").await, Some(7 << 20));
    assert_eq!(number("skep_messaging_client_connections_limit").await, Some(9));
    let waiting = node.line(|line| line["fields"]["sections"].as_str().map(str::to_owned)).await;
    assert_eq!(waiting, "replication", "what needs a restart is named");
    assert_eq!(ask(&http, &machine.url("/storage_rpc/v1")).await.expect("an answer"), 200);
    node.stop();
}

/// A number the node tells.
async fn number(http: &reqwest::Client, metrics: &str, name: &str) -> Option<u64> {
    let text = http.get(metrics).send().await.expect("an answer").text().await.expect("a body");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.map(|number| number.parse().expect("a number"))
}

/// Waits until a number is what is expected.
async fn reaches(http: &reqwest::Client, metrics: &str, name: &str, expected: u64) {
    let begun = Instant::now();
    while number(http, metrics, name).await != Some(expected) {
        assert!(begun.elapsed() < LONG, "{name} should become {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_networks_floor_of_work_is_asked_for() {
    const EFFORT: &str = "skep_messaging_work_effort";
    let machine = Machine::new().await;
    machine.chain.work_floor.store(300, Ordering::Relaxed);
    let node = machine.start();
    let (metrics, http) = (node.metrics().await, client());
    reaches(&http, &metrics, EFFORT, 300).await;
    // The own operator may ask for more, not for less.
    machine.configure("[limits]\nwork_effort = 500");
    node.signal("HUP");
    reaches(&http, &metrics, EFFORT, 500).await;
    machine.configure("[limits]\nwork_effort = 9");
    node.signal("HUP");
    reaches(&http, &metrics, EFFORT, 300).await;
    // Decided anew; and less than any member takes counts as that.
    machine.chain.work_floor.store(1, Ordering::Relaxed);
    reaches(&http, &metrics, EFFORT, 9).await;
    node.stop();
}

/// How the node says that it is, and the status.
async fn health(client: &reqwest::Client, url: &str) -> (u16, Value) {
    let answer = client.get(url).send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_no_more_is_told_until_the_node_is_restarted() {
    const WRITES: &str = "skep_messaging_store_writes";
    let machine = Machine::new().await;
    // No file may grow beyond a MiB; a write beyond it is an error, as on a full disk.
    let node = machine.start_after("trap '' XFSZ; ulimit -S -f 2048; ");
    let (metrics, http) = (node.metrics().await, client());
    let beside = metrics.replace("/metrics", "/health");
    for url in [&machine.url("/health"), &beside] {
        let (status, body) = health(&http, url).await;
        assert_eq!((status, &body["status"], &body["store_writes"]), (200, &json!("ready"), &json!(true)));
        assert_eq!(body["next"], Value::Null);
    }
    assert_eq!(number(&http, &metrics, WRITES).await, Some(1));

    let store = async |number: u64| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
        // Base64 of nothing in particular.
        let data = format!("{number:08}{}", "Skep".repeat(15_000));
        let params =
            json!({ "pubkey": format!("05{}", "ab".repeat(32)), "timestamp": now, "ttl": 3_600_000, "data": data });
        let body = json!({ "method": "store", "params": params }).to_string();
        http.post(machine.url("/storage_rpc/v1")).body(body).send().await.expect("an answer").status().as_u16()
    };
    let mut number_of = 0;
    while store(number_of).await == 200 {
        number_of += 1;
        assert!(number_of < 200, "the disk is never full");
    }
    assert!(number_of > 0, "something had room");
    for url in [&machine.url("/health"), &beside] {
        let (status, body) = health(&http, url).await;
        assert_eq!((status, &body["store_writes"]), (503, &json!(false)), "{body}");
        assert_eq!(body["status"], "its message store takes nothing");
        assert!(body["next"].as_str().is_some_and(|next| next.contains("restart the node")), "{body}");
    }
    assert_eq!(number(&http, &metrics, WRITES).await, Some(0));
    node.stop();

    let node = machine.start();
    let (metrics, url) = (node.metrics().await, machine.url("/health"));
    assert_eq!(store(number_of).await, 200);
    assert_eq!(health(&http, &url).await.0, 200);
    assert_eq!(number(&http, &metrics, WRITES).await, Some(1));
    node.stop();
}

/// Names of metrics in a text: `skep_messaging_` and what belongs to the name.
fn named(text: &str) -> std::collections::BTreeSet<String> {
    let is_part = |character: char| character.is_ascii_lowercase() || character == '_';
    let names = text.split(|character| !is_part(character)).filter(|word| word.starts_with("skep_messaging_"));
    names.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboard_and_guide_name_what_the_node_tells() {
    let machine = Machine::new().await;
    let node = machine.start();
    let (metrics, http) = (node.metrics().await, client());
    assert_eq!(ask(&http, &machine.url("/storage_rpc/v1")).await.expect("an answer"), 200);
    let told = http.get(&metrics).send().await.expect("an answer").text().await.expect("a body");
    // A histogram's parts, and what has no sample yet, by its announced family.
    let announced = told.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut known = named(&told);
    for (name, kind) in announced {
        let endings: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        known.extend(endings.iter().map(|ending| format!("{name}{ending}")));
    }

    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/operators");
    let read = |name: &str| fs::read_to_string(docs.join(name)).expect(name);
    let dashboard = read("grafana-messaging.json");
    let json: Value = serde_json::from_str(&dashboard).expect("JSON");
    assert!(json["panels"].as_array().is_some_and(|panels| panels.len() > 8));
    for (page, least) in [("grafana-messaging.json", 15), ("numbers-and-logs.md", 15)] {
        let names = named(&read(page));
        assert!(names.len() >= least, "{page} names {names:?}");
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "{page} names what /metrics does not tell: {unknown:?}");
    }

    let (status, health) = health(&http, &metrics.replace("/metrics", "/health")).await;
    assert_eq!((status, &health["status"]), (200, &json!("ready")));
    node.stop();
}

//! The processes of a devnet: started detached, recorded, found again, stopped.
//!
//! A record names a process by its id, its start time and the boot it belongs to, so that another process that was given
//! the same id later is never taken for it.

use super::layout::{Layout, create_private_dir};
use crate::failure::Failure;
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How long a process may take to stop by itself.
const GRACE: Duration = Duration::from_secs(20);
/// How long the system may take to remove a killed process.
const KILL_GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// One recorded process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Recorded {
    pub(super) name: String,
    program: PathBuf,
    arguments: Vec<String>,
    pub(super) log: PathBuf,
    pub(super) pid: i32,
    /// Start time in clock ticks since boot, as the kernel tells it.
    started: u64,
    boot: String,
}

/// The record of a devnet's processes, held by one command at a time.
#[derive(Debug)]
pub(super) struct Processes {
    layout: Layout,
    list: Vec<Recorded>,
    _lock: File,
}

/// A process could not be started, found or stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProcessError {
    #[error("another `skep devnet` command is at work in {0}: wait for it")]
    Busy(String),
    #[error("there is no devnet in {0}: start one with `skep devnet up`")]
    NoDevnet(String),
    #[error("cannot read or write the record of processes {path}", path = path.display())]
    Record { path: PathBuf, source: io::Error },
    #[error("cannot start {name} ({program})", program = program.display())]
    Start { name: String, program: PathBuf, source: io::Error },
    #[error("there is no process {name}: there are {known}")]
    Unknown { name: String, known: String },
    #[error("{0} is running already")]
    Running(String),
    #[error("{0} is not running")]
    NotRunning(String),
    #[error("cannot signal {name} (process {pid})")]
    Signal { name: String, pid: i32, source: Errno },
    #[error("{0} did not stop, though it was killed")]
    Unkillable(String),
    #[error("{name} ended at once: read {log}\n{tail}", log = log.display())]
    Ended { name: String, log: PathBuf, tail: String },
}

impl From<ProcessError> for Failure {
    fn from(error: ProcessError) -> Self {
        Self::failed(error)
    }
}

impl Processes {
    /// Takes the record of a devnet.
    pub(super) fn open(layout: &Layout) -> Result<Self, ProcessError> {
        if !layout.marker().exists() {
            return Err(ProcessError::NoDevnet(layout.dir().display().to_string()));
        }
        let path = layout.processes();
        let failed = |source| ProcessError::Record { path: path.clone(), source };
        let lock = OpenOptions::new().read(true).write(true).open(layout.marker()).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ProcessError::Busy(layout.dir().display().to_string())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Self { layout: layout.clone(), list: read(layout)?, _lock: lock })
    }

    /// Those that run.
    pub(super) fn running(&self) -> impl Iterator<Item = &Recorded> {
        self.list.iter().filter(|process| process.is_running())
    }

    /// Forgets everything; only where nothing runs.
    pub(super) fn forget(&mut self) -> Result<(), ProcessError> {
        self.list.clear();
        self.save()
    }

    /// Starts a process of its own group, its output going to its log, and records it.
    pub(super) fn start(&mut self, name: &str, program: PathBuf, arguments: Vec<String>) -> Result<(), ProcessError> {
        let log = self.layout.log(name);
        let process = spawn(name, program, arguments, log)?;
        self.list.retain(|process| process.name != name);
        self.list.push(process);
        self.save()
    }

    /// Starts a recorded process that has stopped.
    pub(super) fn restart(&mut self, name: &str) -> Result<(), ProcessError> {
        let process = self.find(name)?.clone();
        if process.is_running() {
            return Err(ProcessError::Running(name.to_owned()));
        }
        self.start(name, process.program, process.arguments)
    }

    /// Fails if a process has ended that should run, with the end of what it said.
    pub(super) fn check(&self) -> Result<(), ProcessError> {
        match self.list.iter().find(|process| !process.is_running()) {
            Some(ended) => {
                Err(ProcessError::Ended { name: ended.name.clone(), log: ended.log.clone(), tail: ended.last_words() })
            }
            None => Ok(()),
        }
    }

    /// Stops one process.
    pub(super) async fn stop(&mut self, name: &str, kill: bool) -> Result<(), ProcessError> {
        let process = self.find(name)?.clone();
        if !process.is_running() {
            return Err(ProcessError::NotRunning(name.to_owned()));
        }
        stop(&[process], !kill).await
    }

    /// Stops every process that runs: asks, and kills those that do not listen. Names them.
    pub(super) async fn stop_all(&mut self) -> Result<Vec<String>, ProcessError> {
        let running: Vec<_> = self.running().cloned().collect();
        stop(&running, true).await?;
        Ok(running.into_iter().map(|process| process.name).collect())
    }

    fn find(&self, name: &str) -> Result<&Recorded, ProcessError> {
        self.list.iter().find(|process| process.name == name).ok_or_else(|| ProcessError::Unknown {
            name: name.to_owned(),
            known: self.list.iter().map(|process| process.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    fn save(&self) -> Result<(), ProcessError> {
        let path = self.layout.processes();
        let failed = |source| ProcessError::Record { path: path.clone(), source };
        let text = serde_json::to_string_pretty(&self.list).map_err(|error| failed(error.into()))?;
        let draft = path.with_extension("new");
        std::fs::write(&draft, text).map_err(failed)?;
        std::fs::rename(&draft, &path).map_err(failed)
    }
}

/// Every recorded process, running or not, without holding the record.
pub(super) fn read(layout: &Layout) -> Result<Vec<Recorded>, ProcessError> {
    let path = layout.processes();
    let failed = |source| ProcessError::Record { path: path.clone(), source };
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| failed(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

impl Recorded {
    /// Whether this very process runs.
    pub(super) fn is_running(&self) -> bool {
        boot_id().is_ok_and(|boot| boot == self.boot)
            && Stat::of(self.pid).is_ok_and(|stat| !stat.is_zombie && stat.started == self.started)
    }

    /// Resident memory in bytes, while it runs.
    pub(super) fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    }

    /// The end of its log.
    pub(super) fn last_words(&self) -> String {
        const LINES: usize = 8;
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
    }

    fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(source) => Err(ProcessError::Signal { name: self.name.clone(), pid: self.pid, source }),
        }
    }
}

fn spawn(name: &str, program: PathBuf, arguments: Vec<String>, log: PathBuf) -> Result<Recorded, ProcessError> {
    let failed = |source| ProcessError::Start { name: name.to_owned(), program: program.clone(), source };
    if let Some(dir) = log.parent() {
        create_private_dir(dir).map_err(failed)?;
    }
    let out = OpenOptions::new().create(true).append(true).open(&log).map_err(failed)?;
    let child = Command::new(&program)
        .args(&arguments)
        // Logs are read by people and programs alike (no-color.org).
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(failed)?)
        .stderr(out)
        // Its own group: Ctrl-C here is not meant for it.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let pid = i32::try_from(child.id()).map_err(|_| failed(io::Error::other("process id out of range")))?;
    let started = Stat::of(pid).map_err(failed)?.started;
    let boot = boot_id().map_err(failed)?;
    Ok(Recorded { name: name.to_owned(), program, arguments, log, pid, started, boot })
}

async fn stop(processes: &[Recorded], ask_first: bool) -> Result<(), ProcessError> {
    if ask_first {
        for process in processes.iter().filter(|process| process.is_running()) {
            process.signal(Signal::SIGTERM)?;
        }
        gone(processes, GRACE).await;
    }
    for process in processes.iter().filter(|process| process.is_running()) {
        process.signal(Signal::SIGKILL)?;
    }
    match gone(processes, KILL_GRACE).await {
        None => Ok(()),
        Some(left) => Err(ProcessError::Unkillable(left.name.clone())),
    }
}

/// Waits until all have ended; after the time given, one that has not.
async fn gone(processes: &[Recorded], time: Duration) -> Option<&Recorded> {
    let until = Instant::now() + time;
    loop {
        let left = processes.iter().find(|process| process.is_running())?;
        if Instant::now() >= until {
            return Some(left);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What the kernel tells about a process.
struct Stat {
    is_zombie: bool,
    started: u64,
}

impl Stat {
    fn of(pid: i32) -> io::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Self::parse(&text).ok_or_else(|| io::Error::other("unexpected form of /proc/PID/stat"))
    }

    /// `pid (name) state ...`: the name may hold anything, so fields count from the last parenthesis (proc(5): state is
    /// the third field, start time the twenty-second).
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?;
        Some(Self { is_zombie: matches!(state, "Z" | "X"), started: fields.nth(18)?.parse().ok()? })
    }
}

fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devnet() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().expect("creates");
        let layout = Layout::new(dir.path().join("devnet"));
        layout.claim().expect("claims");
        (dir, layout)
    }

    fn sleeper(processes: &mut Processes, name: &str, script: &str) {
        processes.start(name, "/bin/sh".into(), vec!["-c".into(), script.into()]).expect("starts");
    }

    /// A process that was started has not yet done anything: waits until its log holds a line.
    async fn said(layout: &Layout, name: &str, line: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !std::fs::read_to_string(layout.log(name)).is_ok_and(|log| log.lines().any(|said| said == line)) {
            assert!(Instant::now() < until, "{name} never said {line}");
            tokio::time::sleep(POLL).await;
        }
    }

    #[test]
    fn fields_are_counted_behind_any_name() {
        let text = "7 (a) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9";
        let stat = Stat::parse(text).expect("parses");
        assert_eq!((stat.is_zombie, stat.started), (false, 4242));
        assert!(Stat::parse("7 (a").is_none());
    }

    #[tokio::test]
    async fn processes_are_found_again_and_stopped() {
        let (_dir, layout) = devnet();
        let mut processes = Processes::open(&layout).expect("opens");
        assert!(matches!(Processes::open(&layout), Err(ProcessError::Busy(_))));
        sleeper(&mut processes, "a", "echo hello; exec sleep 600");
        sleeper(&mut processes, "b", "exec sleep 600");
        said(&layout, "a", "hello").await;
        drop(processes);

        let mut processes = Processes::open(&layout).expect("opens");
        assert_eq!(processes.running().count(), 2);
        processes.check().expect("both run");
        assert!(processes.running().all(|process| process.resident_bytes().is_some_and(|bytes| bytes > 0)));
        assert!(matches!(processes.restart("a"), Err(ProcessError::Running(_))));
        processes.stop("a", true).await.expect("stops");
        let error = processes.check().expect_err("a has ended");
        assert!(matches!(&error, ProcessError::Ended { name, tail, .. } if name == "a" && tail == "hello"), "{error}");
        processes.restart("a").expect("restarts");
        assert_eq!(processes.stop_all().await.expect("stops"), ["b", "a"]);
        assert_eq!(processes.running().count(), 0);
    }

    #[tokio::test]
    async fn another_process_with_the_same_id_is_not_touched() {
        let (_dir, layout) = devnet();
        let mut processes = Processes::open(&layout).expect("opens");
        sleeper(&mut processes, "a", "sleep 600");
        let mut record = read(&layout).expect("reads");
        for process in &mut record {
            process.started += 1;
        }
        let text = serde_json::to_string(&record).expect("serializes");
        std::fs::write(layout.processes(), text).expect("writes");
        let recycled = read(&layout).expect("reads");
        assert!(recycled.iter().all(|process| !process.is_running()));
        stop(&recycled, true).await.expect("nothing to stop");
        processes.check().expect("the process itself still runs");
        processes.stop_all().await.expect("stops");
    }
}

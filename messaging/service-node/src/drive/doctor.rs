//! Finding out what [`Diagnosis`](crate::core::Diagnosis) judges: thin, every question by itself and with a limit in time.

use super::{
    budget::Budget,
    now_ms,
    probe::{https, ping},
    quic::Peers,
    testing::OLDEST_VERSION,
};
use crate::{
    NodeKey, VERSION,
    config::Config,
    core::{Answering, Facts, PeerView, Probed, read_report},
};
use futures::future::join_all;
use rand::seq::IteratorRandom;
use skep_chain_client::{ChainClient, ChainHealth, ChainUrls, RosterView};
use skep_primitives::{
    DoubledKeys, Endpoint, NodeState, Permyriad, RosterEntry, ServiceNodeId, SoftwareVersion, StakerId, SwarmId,
};
use skep_proto::{
    peer::{self, request::Request, response::Response},
    storage::limits::PEER_TIMEOUT,
};
use skep_reachability::Report;
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::spawn_blocking, time::timeout};

/// How long a chain node may take to answer everything.
const CHAIN_PATIENCE: Duration = Duration::from_secs(30);
/// How long another node may take to probe this one.
const PROBE_PATIENCE: Duration = Duration::from_secs(60);
/// How long a member of the swarm may take to say what its audits found.
const AUDITS_PATIENCE: Duration = Duration::from_millis(PEER_TIMEOUT);
const NOT_ASKED: &str = "not asked";
const MEMORY: usize = 8 * 1024 * 1024;

/// Finds out how the node of this configuration stands, asking at most `peers` other nodes to probe it, and the members of its
/// swarm what their audits found.
pub async fn examine(config: &Config, peers: usize) -> Facts {
    let key = NodeKey::load(&config.key_file());
    let dir = config.data_dir.clone();
    let (data_dir, free_bytes) = spawn_blocking(move || {
        (try_writing(&dir).map_err(|error| format!("{}: {error}", dir.display())), free_bytes(&dir))
    })
    .await
    .unwrap_or_else(|error| (Err(error.to_string()), None));
    let AskedChain { health: chain, doubled, roster } = ask_chain(config).await;
    let mut facts = Facts {
        version: SoftwareVersion(VERSION),
        oldest_version: SoftwareVersion(OLDEST_VERSION),
        now: now_ms(),
        key: key.as_ref().map(NodeKey::id).map_err(ToString::to_string),
        data_dir,
        free_bytes,
        store_bytes: config.limits.store_mib.saturating_mul(1 << 20),
        chain,
        doubled,
        entry: roster.as_ref().map(|_| None).map_err(Clone::clone),
        local: Answering { https: Err(NOT_ASKED.into()), quic: Err(NOT_ASKED.into()) },
        public: None,
        peers: Vec::new(),
        audits: Vec::new(),
    };
    let Ok(key) = key else { return facts };
    let view = match roster {
        Ok(view) => Arc::new(view),
        // Without a roster nobody else is known; this machine can be asked still.
        Err(_) => {
            facts.local.https = https(&local_entry(config, key.id()))
                .await
                .map(|health| health.store_writes)
                .map_err(|error| error.to_string());
            return facts;
        }
    };
    facts.entry = Ok(view.node(&key.id()).cloned());
    ask_nodes(config, key, &view, peers, &mut facts).await;
    facts.now = now_ms();
    facts
}

async fn ask_nodes(config: &Config, key: NodeKey, view: &Arc<RosterView>, peers: usize, facts: &mut Facts) {
    let id = key.id();
    let (_views, receiver) = watch::channel(Arc::clone(view));
    // A port of its own: the node itself has the other one.
    let from = (IpAddr::from(Ipv4Addr::UNSPECIFIED), 0).into();
    let asking = match Peers::open(from, None, key, receiver, Budget::new(MEMORY)) {
        Ok(asking) => asking,
        Err(error) => {
            facts.local.quic = Err(error.to_string());
            return;
        }
    };
    let others = view.serving().filter(|entry| entry.id != id).choose_multiple(&mut rand::rng(), peers);
    let local = local_entry(config, id);
    let public = view.node(&id).filter(|entry| entry.state.is_tested());
    // Nodes that are not on the roster are not listened to.
    let members: Vec<_> = public
        .filter(|entry| entry.swarm.is_assigned())
        .map(|entry| view.members(entry.swarm).filter(|member| member.id != id).collect())
        .unwrap_or_default();
    let (local, public, seen, audits) = tokio::join!(
        answering(&asking, &local),
        async {
            match public {
                Some(entry) => Some(answering(&asking, entry).await),
                None => None,
            }
        },
        join_all(others.iter().filter(|_| public.is_some()).map(|entry| ask_peer(&asking, entry))),
        join_all(members.iter().map(|member| ask_member(&asking, member, id))),
    );
    facts.local = local;
    facts.public = public;
    facts.peers = others.iter().map(|entry| entry.id).zip(seen).collect();
    facts.audits = members.iter().map(|member| member.id).zip(audits).collect();
    asking.close().await;
}

/// This node as it listens on this machine.
fn local_entry(config: &Config, id: ServiceNodeId) -> RosterEntry {
    let ip = match config.listen.address {
        IpAddr::V4(address) if !address.is_unspecified() => address,
        IpAddr::V4(_) | IpAddr::V6(_) => Ipv4Addr::LOCALHOST,
    };
    RosterEntry {
        id,
        operator: StakerId([0; 32]),
        fee: Permyriad::default(),
        contributions: Vec::new(),
        requirement: 0,
        endpoint: Endpoint {
            ipv4: ip.octets(),
            https_port: config.listen.https_port,
            quic_port: config.listen.quic_port,
        },
        version: SoftwareVersion(VERSION),
        state: NodeState::Active { since: 0 },
        swarm: SwarmId::UNASSIGNED,
        registered_at: 0,
        last_rewarded_at: 0,
    }
}

async fn answering(asking: &Peers, entry: &RosterEntry) -> Answering {
    let (https, quic) = tokio::join!(https(entry), ping(asking, entry));
    Answering {
        https: https.map(|health| health.store_writes).map_err(|error| error.to_string()),
        quic: quic.map(|(_, instance)| instance).map_err(|error| error.to_string()),
    }
}

async fn ask_peer(asking: &Peers, entry: &RosterEntry) -> Result<PeerView, String> {
    let (echo, _) = ping(asking, entry).await.map_err(|error| error.to_string())?;
    let request = peer::Request { request: Some(Request::ProbeMe(peer::ProbeMe {})) };
    let probed = match asking.ask(entry, &request, PROBE_PATIENCE).await {
        Ok((peer::Response { response: Some(Response::Probed(probed)) }, _lease)) => Ok(Probed {
            quic: probed.quic,
            https: probed.https,
            onion: probed.onion,
            instance: probed.instance.to_vec(),
        }),
        Ok((peer::Response { response: Some(Response::Refusal(refusal)) }, _lease)) => Err(refusal.reason),
        Ok(_) => Err("its answer cannot be read".into()),
        Err(error) => Err(error.to_string()),
    };
    Ok(PeerView { clock_offset: echo.clock_offset(), version: echo.version.map(SoftwareVersion), probed })
}

/// What a member's audits of this node found.
async fn ask_member(asking: &Peers, member: &RosterEntry, id: ServiceNodeId) -> Result<Report, String> {
    let request = peer::AuditsOf { node: id.0.to_vec().into() };
    let request = peer::Request { request: Some(Request::AuditsOf(request)) };
    match asking.ask(member, &request, AUDITS_PATIENCE).await {
        Ok((peer::Response { response: Some(Response::AuditsTold(told)) }, _lease)) => Ok(read_report(told.report)),
        Ok((peer::Response { response: Some(Response::Refusal(refusal)) }, _lease)) => Err(refusal.reason),
        Ok(_) => Err("its answer cannot be read".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// What the chain nodes said, by their addresses.
struct AskedChain {
    health: Vec<(String, Result<ChainHealth, String>)>,
    /// Of those that answer.
    doubled: Vec<(String, Result<Option<DoubledKeys>, String>)>,
    /// That the first good one tells.
    roster: Result<RosterView, String>,
}

async fn ask_chain(config: &Config) -> AskedChain {
    let (mut health, mut doubled) = (Vec::new(), Vec::new());
    let urls = match config.chain_urls() {
        Ok(urls) => urls,
        Err(error) => return AskedChain { health, doubled, roster: Err(error.to_string()) },
    };
    let mut roster = Err("no chain node answers".to_owned());
    for url in urls.iter() {
        let asked = timeout(CHAIN_PATIENCE, ask_chain_node(url)).await;
        let answer = match asked.unwrap_or_else(|_| Err("no answer in time".into())) {
            Ok((health, told, view)) => {
                roster = roster.or(Ok(view));
                doubled.push((url.to_owned(), told));
                Ok(health)
            }
            Err(error) => Err(error),
        };
        health.push((url.to_owned(), answer));
    }
    AskedChain { health, doubled, roster }
}

type ChainAnswers = (ChainHealth, Result<Option<DoubledKeys>, String>, RosterView);

async fn ask_chain_node(url: &str) -> Result<ChainAnswers, String> {
    let told = |error: &dyn std::error::Error| error.to_string();
    let urls = ChainUrls::new([url]).map_err(|error| told(&error))?;
    let chain = ChainClient::connect(urls).await.map_err(|error| told(&error))?;
    let roster = chain.roster().await.map_err(|error| told(&error))?;
    let health = chain.health().await.map_err(|error| told(&error))?;
    let doubled = chain.doubled_keys().await.map_err(|error| match error.is_unknown_question() {
        true => "is of a version that does not watch its session keys".to_owned(),
        false => format!("does not tell: {error}"),
    });
    Ok((health, doubled, RosterView::new(roster)))
}

fn try_writing(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    fs::write(&path, b"skep-messaging doctor")?;
    fs::remove_file(path)
}

/// Room on the disk of a directory, as `df` tells it (POSIX format: the fourth field of the second line, in KiB).
fn free_bytes(dir: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(dir).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let kib: u64 = text.lines().nth(1)?.split_ascii_whitespace().nth(3)?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::{Diagnosis, Level},
        testing::{config, network, node_key, stop},
    };
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test(flavor = "multi_thread")]
    async fn other_nodes_tell_what_they_see_of_this_one() {
        let (mut nodes, entries, views) = network(4).await;
        let view = views.borrow().clone();
        let mut config = config();
        config.listen.https_port = entries[0].endpoint.https_port;
        config.listen.quic_port = entries[0].endpoint.quic_port;
        let mut facts = Facts {
            version: SoftwareVersion(VERSION),
            oldest_version: SoftwareVersion(OLDEST_VERSION),
            now: now_ms(),
            key: Ok(entries[0].id),
            data_dir: Ok(()),
            free_bytes: Some(u64::MAX),
            store_bytes: 0,
            chain: vec![("a chain node".into(), Err("not asked".into()))],
            doubled: Vec::new(),
            entry: Ok(Some(entries[0].clone())),
            local: Answering { https: Err(NOT_ASKED.into()), quic: Err(NOT_ASKED.into()) },
            public: None,
            peers: Vec::new(),
            audits: Vec::new(),
        };
        ask_nodes(&config, node_key(1), &view, 2, &mut facts).await;
        assert_eq!(facts.peers.len(), 2);
        let none_yet: Vec<_> = entries[1..].iter().map(|entry| (entry.id, Ok(Report::Unknown))).collect();
        let by_id = |mut audits: Vec<_>| {
            audits.sort_unstable_by_key(|(id, _): &(ServiceNodeId, Result<Report, String>)| *id);
            audits
        };
        assert_eq!(by_id(facts.audits.clone()), by_id(none_yet), "all members are asked");
        for name in ["running", "https", "quic", "onion", "clock", "one machine"] {
            let diagnosis = Diagnosis::of(&facts);
            let check = diagnosis.checks.iter().find(|check| check.name == name).expect("looked at");
            assert_eq!(check.level, Level::Good, "{diagnosis}\n{facts:?}");
        }

        nodes.pop().expect("four of them").stop().await;
        let gone = entries[3].id;
        nodes.remove(0).stop().await;
        ask_nodes(&config, node_key(1), &view, 3, &mut facts).await;
        let (unreached, reached): (Vec<_>, Vec<_>) = facts.audits.iter().partition(|(_, report)| report.is_err());
        assert_eq!((unreached.len(), reached.len(), unreached[0].0), (1, 2, gone), "{facts:?}");
        for name in ["running", "https", "quic", "onion"] {
            let diagnosis = Diagnosis::of(&facts);
            let check = diagnosis.checks.iter().find(|check| check.name == name).expect("looked at");
            assert_eq!(check.level, Level::Fails, "{diagnosis}\n{facts:?}");
        }
        stop(nodes).await;
    }

    #[tokio::test]
    async fn without_a_chain_the_rest_is_looked_at() {
        let dir = tempfile::tempdir().expect("creates");
        let key = dir.path().join("node.key");
        node_key(1).save(&key).expect("saves");
        let text = format!("chain = [\"ws://127.0.0.1:1\"]\ndata_dir = {:?}", dir.path());
        let facts = examine(&Config::parse(&text).expect("valid"), 3).await;
        assert_eq!((facts.key, facts.data_dir), (Ok(node_key(1).id()), Ok(())));
        assert!(facts.chain[0].1.is_err() && facts.entry.is_err() && facts.peers.is_empty());

        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("sets");
        let facts = examine(&Config::parse(&text).expect("valid"), 3).await;
        assert!(facts.key.expect_err("others may read it").contains("chmod 600"));
    }

    #[test]
    fn a_directory_is_tried_and_left_as_it_was() {
        let dir = tempfile::tempdir().expect("creates");
        try_writing(dir.path()).expect("can be written");
        assert_eq!(fs::read_dir(dir.path()).expect("reads").count(), 0);
        assert!(try_writing(&dir.path().join("missing")).is_err());
        assert!(free_bytes(dir.path()).is_some_and(|bytes| bytes > 0));
    }
}

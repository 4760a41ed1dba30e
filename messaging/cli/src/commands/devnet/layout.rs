//! What a devnet consists of and where everything is: names, keys, addresses, directories.

use skep_chain_client::{ChainUrls, ParseUrlsError};
use std::{
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The chain nodes: one of each authority of the `local` preset.
pub(super) const CHAIN_NODES: [ChainNode; 4] = [
    ChainNode { name: "alice", index: 0, peer: "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp" },
    ChainNode { name: "bob", index: 1, peer: "12D3KooWHdiAxVd8uMQR1hGWXccidmfCwLqcMpGwR6QcTP6QRMuD" },
    ChainNode { name: "charlie", index: 2, peer: "12D3KooWSCufgHzV4fCwRijfH2k3abrpAJxTKxEvN1FDuRXA2U9x" },
    ChainNode { name: "dave", index: 3, peer: "12D3KooWSsChzF81YDUKpe9Uk5AHV5oqAaXAcWNSPYgoLauUk4st" },
];

/// How many messaging nodes there are: enough for three swarms, and as many as Session's clients want to see in a list.
pub(super) const SERVICE_NODES: u8 = 24;

/// One chain node. All its ports are on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChainNode {
    pub(super) name: &'static str,
    index: u8,
    /// The libp2p id of [`Self::node_key`].
    peer: &'static str,
}

impl ChainNode {
    /// The secret of its libp2p identity: the number 1, 2, 3 or 4. It protects nothing on one machine.
    pub(super) fn node_key(self) -> String {
        format!("{:064x}", self.index + 1)
    }

    pub(super) fn rpc_port(self) -> u16 {
        9944 + u16::from(self.index)
    }

    pub(super) fn p2p_port(self) -> u16 {
        30333 + u16::from(self.index)
    }

    pub(super) fn prometheus_port(self) -> u16 {
        9615 + u16::from(self.index)
    }

    /// The port of `POST /json_rpc` for existing clients.
    pub(super) fn front_door_port(self) -> u16 {
        22023 + u16::from(self.index)
    }

    pub(super) fn front_door(self) -> String {
        format!("127.0.0.1:{}", self.front_door_port())
    }

    pub(super) fn p2p_address(self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", self.p2p_port(), self.peer)
    }

    pub(super) fn rpc_url(self) -> String {
        format!("ws://127.0.0.1:{}", self.rpc_port())
    }
}

/// One messaging node, 1 to [`SERVICE_NODES`], on an address of its own /24, so that the rule of one hop a network applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServiceNode(pub(super) u8);

impl ServiceNode {
    pub(super) const HTTPS_PORT: u16 = 22021;
    pub(super) const QUIC_PORT: u16 = 22020;
    pub(super) const METRICS_PORT: u16 = 9101;

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (1..=SERVICE_NODES).map(Self)
    }

    pub(super) fn name(self) -> String {
        format!("node-{:02}", self.0)
    }

    pub(super) fn ip(self) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, self.0, 1)
    }
}

/// All four chain nodes, so that everybody goes on when any one of them is stopped.
pub(super) fn chain_urls() -> Result<ChainUrls, ParseUrlsError> {
    ChainUrls::new(CHAIN_NODES.map(ChainNode::rpc_url))
}

/// The directory of one devnet.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub(super) const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its presence says that the directory is a devnet's.
    pub(super) fn marker(&self) -> PathBuf {
        self.dir.join("devnet.json")
    }

    pub(super) fn processes(&self) -> PathBuf {
        self.dir.join("processes.json")
    }

    pub(super) fn chain_node(&self, node: ChainNode) -> PathBuf {
        self.dir.join("chain").join(node.name)
    }

    pub(super) fn chain_spec(&self) -> PathBuf {
        self.dir.join("chain").join("local.json")
    }

    /// What clients prove the roster from.
    pub(super) fn checkpoint(&self) -> PathBuf {
        self.dir.join("chain").join("checkpoint.json")
    }

    pub(super) fn service_node(&self, node: ServiceNode) -> PathBuf {
        self.dir.join("nodes").join(format!("{:02}", node.0))
    }

    pub(super) fn log(&self, process: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{process}.log"))
    }

    pub(super) fn demo(&self) -> PathBuf {
        self.dir.join("demo")
    }

    /// Creates the directory, for its owner only, or makes sure that an existing one is a devnet's.
    pub(super) fn claim(&self) -> Result<(), LayoutError> {
        let failed = |source| LayoutError::Io { dir: self.dir.clone(), source };
        if self.marker().exists() {
            return Ok(());
        }
        if self.dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(LayoutError::Foreign { dir: self.dir.clone() });
        }
        create_private_dir(&self.dir).map_err(failed)?;
        std::fs::write(self.marker(), "{\"version\":1}\n").map_err(failed)
    }

    /// Puts the state of an earlier network away, and removes it while others work: databases are slow to remove.
    pub(super) fn clear(&self) -> Result<(), LayoutError> {
        let trash = self.dir.join("trash");
        create_private_dir(&trash).map_err(|source| LayoutError::Io { dir: trash.clone(), source })?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        for part in ["chain", "nodes", "logs", "demo"] {
            let dir = self.dir.join(part);
            match std::fs::rename(&dir, trash.join(format!("{now}-{part}"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(LayoutError::Io { dir, source: error });
                }
                Ok(()) | Err(_) => {}
            }
        }
        // What an early end leaves is removed the next time.
        std::thread::spawn(move || std::fs::remove_dir_all(trash));
        Ok(())
    }
}

/// A directory cannot be used for a devnet.
#[derive(Debug, thiserror::Error)]
pub(super) enum LayoutError {
    #[error("cannot use {dir} for a devnet", dir = dir.display())]
    Io { dir: PathBuf, source: io::Error },
    #[error("{dir} holds other things: give an empty or new directory with --dir", dir = dir.display())]
    Foreign { dir: PathBuf },
}

/// Creates a directory that only its owner may enter.
pub(super) fn create_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_processes_share_a_port() {
        let mut ports: Vec<_> = CHAIN_NODES
            .iter()
            .flat_map(|node| [node.rpc_port(), node.p2p_port(), node.prometheus_port(), node.front_door_port()])
            .collect();
        let count = ports.len();
        ports.sort();
        ports.dedup();
        assert_eq!((count, ports.len()), (16, 16));
    }

    #[test]
    fn a_directory_with_other_things_is_left_alone() {
        let dir = tempfile::tempdir().expect("creates");
        let layout = Layout::new(dir.path().join("new"));
        layout.claim().expect("new");
        layout.claim().expect("ours");
        std::fs::write(dir.path().join("letter"), "dear").expect("writes");
        std::fs::create_dir(layout.dir().join("chain")).expect("creates");
        layout.clear().expect("clears");
        assert!(!layout.dir().join("chain").exists());
        let foreign = Layout::new(dir.path().into());
        assert!(matches!(foreign.claim(), Err(LayoutError::Foreign { .. })));
    }
}

//! `skep-messaging announce`

use super::{Outcome, runtime, say};
use skep_chain_client::{Authorized, ChainClient, ChainUrls, Included, SubmitError, Wait, submit_authorized};
use skep_messaging::{NodeKey, VERSION};
use skep_primitives::{Announcement, Endpoint, ServiceNodeId, SoftwareVersion, signing};
use std::{error::Error, net::Ipv4Addr, path::PathBuf};

/// Tells the chain, in the node's own name, where it is reached and which version it runs: after a move, a change of address or
/// an upgrade. Costs nothing and needs no account; the chain takes one an epoch. What is not given stays as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Announce {
    /// The node's key file
    #[arg(long)]
    key: PathBuf,
    /// WebSocket addresses of chain nodes, separated by commas
    #[arg(long)]
    chain: ChainUrls,
    /// The public IPv4 address
    #[arg(long)]
    ip: Option<Ipv4Addr>,
    /// The public TCP port for clients
    #[arg(long)]
    https_port: Option<u16>,
    /// The public UDP port for other service nodes
    #[arg(long)]
    quic_port: Option<u16>,
}

/// What this program is.
const OWN_VERSION: SoftwareVersion = SoftwareVersion(VERSION);

/// The announcement had no effect.
#[derive(Debug, thiserror::Error)]
enum AnnounceError {
    #[error("the node {0} is not registered: `skep stake register` names its address")]
    Unregistered(ServiceNodeId),
    #[error(
        "{0}. The chain takes one announcement of a node an epoch (an hour on the main network), and no address that another \
             node has; the operator can change it at once with `skep stake endpoint`"
    )]
    Refused(SubmitError),
}

impl Announce {
    pub(super) fn run(self) -> Outcome {
        let key = NodeKey::load(&self.key)?;
        let Some((endpoint, block)) = runtime()?.block_on(self.announce(&key))? else {
            return Ok(say("The chain knows this already.")?);
        };
        let Endpoint { https_port, quic_port, .. } = endpoint;
        let ip = endpoint.ip();
        Ok(say(&format!(
            "{} is reached at {ip}, ports {https_port} (HTTPS) and {quic_port} (QUIC), since block {}. Clients see it with the \
             next epoch.",
            key.id(),
            block.height
        ))?)
    }

    /// Where the node is reached now and since which block; none if that is nothing new.
    async fn announce(self, key: &NodeKey) -> Result<Option<(Endpoint, Included)>, Box<dyn Error>> {
        let chain = ChainClient::connect(self.chain.clone()).await?;
        let roster = chain.roster().await?;
        let entry = roster.nodes.iter().find(|entry| entry.id == key.id());
        let entry = entry.ok_or(AnnounceError::Unregistered(key.id()))?;
        let endpoint = Endpoint {
            ipv4: self.ip.map_or(entry.endpoint.ipv4, |ip| ip.octets()),
            https_port: self.https_port.unwrap_or(entry.endpoint.https_port),
            quic_port: self.quic_port.unwrap_or(entry.endpoint.quic_port),
        };
        if (entry.endpoint, entry.version) == (endpoint, OWN_VERSION) {
            return Ok(None);
        }
        let announcement = Announcement { node: key.id(), endpoint, version: OWN_VERSION, after: roster.height };
        let signature = key.sign(&signing::announcement(&chain.genesis_hash(), &announcement));
        let call = Authorized::Announcement { announcement, signature };
        match submit_authorized(&self.chain, &call, Wait::Finalized).await {
            Ok(block) => Ok(Some((endpoint, block))),
            Err(error @ (SubmitError::Refused(_) | SubmitError::Failed { .. })) => {
                Err(AnnounceError::Refused(error).into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

//! The node's ports. They are taken before anything else is waited for: a node that may not have them fails at once, and
//! whoever connects before it serves waits.

use super::{quic::socket, server::StartError, supervisor::Sockets};
use crate::config::Config;
use std::net::{SocketAddr, UdpSocket};
use tokio::net::TcpListener;

/// Open ports on which nobody serves yet.
#[derive(Debug)]
pub struct Doors {
    /// For clients, and where it is.
    pub(super) https: (TcpListener, SocketAddr),
    /// For other service nodes.
    pub(super) quic: UdpSocket,
    /// For whoever collects metrics.
    pub(super) metrics: Option<(TcpListener, SocketAddr)>,
}

impl Doors {
    /// Takes the sockets that were handed over, and opens those that are missing where `config` says.
    pub async fn open(handed: Sockets, config: &Config) -> Result<Self, StartError> {
        let address = (config.listen.address, config.listen.https_port).into();
        let https = match handed.https {
            Some(listener) => adopt(listener, address)?,
            None => bind(address).await?,
        };
        let quic = socket(handed.quic, (config.listen.address, config.listen.quic_port).into())?;
        let metrics = match config.metrics.enabled {
            true => Some(bind(config.metrics.address).await?),
            false => None,
        };
        Ok(Self { https, quic, metrics })
    }
}

fn adopt(listener: std::net::TcpListener, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { address, source };
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

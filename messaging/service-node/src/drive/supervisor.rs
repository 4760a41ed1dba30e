//! The service manager: it may keep the listening sockets open while the node restarts, and is told how the node is.
//!
//! Both are systemd's conventions, which others follow: sockets come as file descriptors counted in `LISTEN_FDS`, and states
//! go as datagrams to the socket named in `NOTIFY_SOCKET`.

use listenfd::ListenFd;
use std::{
    env, io,
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// Listening sockets that somebody else keeps open: while no node accepts, clients wait instead of being refused.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For clients.
    pub https: Option<TcpListener>,
    /// For other service nodes.
    pub quic: Option<UdpSocket>,
}

/// The sockets handed over are not what the node needs.
#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    /// More than one of a kind.
    #[error(
        "the service manager handed over two {0} sockets; the node listens on one (`[::]:PORT` serves IPv4 and IPv6)"
    )]
    Twice(&'static str),
    /// A socket of another kind.
    #[error("the service manager handed over a socket that is neither for TCP nor for UDP: {0}")]
    Kind(#[source] io::Error),
}

impl Sockets {
    /// The sockets the service manager handed over, if it did.
    ///
    /// # Errors
    /// More than one TCP and one UDP socket, or any other.
    pub fn from_environment() -> Result<Self, SocketsError> {
        let mut handed = ListenFd::from_env();
        let mut sockets = Self::default();
        for index in 0..handed.len() {
            if let Ok(https) = handed.take_tcp_listener(index) {
                if sockets.https.is_some() {
                    return Err(SocketsError::Twice("TCP"));
                }
                sockets.https = https;
                continue;
            }
            let quic = handed.take_udp_socket(index).map_err(SocketsError::Kind)?;
            if sockets.quic.is_some() {
                return Err(SocketsError::Twice("UDP"));
            }
            sockets.quic = quic;
        }
        Ok(sockets)
    }
}

/// How the node is, for the service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell<'a> {
    /// It has started, and has its ports.
    Ready,
    /// It is on its way down.
    Stopping,
    /// One line for whoever looks.
    Status(&'a str),
}

/// Tells the service manager, if there is one that wants to know. That nobody listens is no fault.
pub fn tell(what: Tell<'_>) {
    if let Some(address) = env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(address.as_bytes(), what)
    {
        tracing::debug!(%error, "the service manager was not told");
    }
}

fn send(address: &[u8], what: Tell<'_>) -> io::Result<()> {
    let address = match address.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(address))?,
    };
    let message = match what {
        Tell::Ready => "READY=1".to_owned(),
        Tell::Stopping => "STOPPING=1".to_owned(),
        Tell::Status(line) => format!("STATUS={}", line.replace('\n', " ")),
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::tempdir;

    #[test]
    fn states_are_told_as_datagrams() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        for (what, expected) in [
            (Tell::Ready, "READY=1"),
            (Tell::Stopping, "STOPPING=1"),
            (Tell::Status("waiting\nREADY=1"), "STATUS=waiting READY=1"),
        ] {
            send(path.as_os_str().as_bytes(), what).unwrap();
            let mut buffer = [0; 64];
            let length = listener.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected.as_bytes());
        }
        send(b"/nowhere/at/all", Tell::Ready).unwrap_err();
    }
}

//! Going through a SOCKS5 proxy, Tor's for example.

use hyper::Uri;
use hyper_util::client::legacy::connect::{HttpConnector, proxy::SocksV5};
use rustls::pki_types::{CertificateDer, ServerName};
use std::{fmt, io, str::FromStr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tower::ServiceExt;

/// A SOCKS5 proxy. Names are resolved by the proxy, never here.
#[derive(Clone, PartialEq, Eq)]
pub struct SocksProxy {
    /// Host and port.
    address: String,
    /// User and password.
    login: Option<(String, String)>,
    /// Certificate authorities that are believed besides those of the web.
    authorities: Vec<CertificateDer<'static>>,
}

/// The text is no SOCKS5 proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a SOCKS5 proxy as socks5h://HOST:PORT or socks5h://USER:PASSWORD@HOST:PORT")]
pub struct ParseProxyError;

/// A stream to a chain node.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl SocksProxy {
    /// The proxy as a URL, with user and password.
    pub fn url(&self) -> String {
        match &self.login {
            Some((user, password)) => format!("socks5h://{user}:{password}@{}", self.address),
            None => format!("socks5h://{}", self.address),
        }
    }

    /// Believes this authority, too, when it vouches for a `wss://` chain node: for those who have one of their own.
    #[must_use]
    pub fn believing(mut self, authority: CertificateDer<'static>) -> Self {
        self.authorities.push(authority);
        self
    }

    /// A connection to the host that a `ws://` or `wss://` address names, through the proxy; encrypted for `wss://`.
    pub(crate) async fn connect(&self, url: &str) -> io::Result<Box<dyn Stream>> {
        let url: Uri = url.parse().map_err(io::Error::other)?;
        let host = url.host().ok_or_else(|| io::Error::other("the address names no host"))?.to_owned();
        let encrypted = url.scheme_str() == Some("wss");
        let port = url.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let stream = self.tunnel(&host, port).await?;
        if !encrypted {
            return Ok(Box::new(stream));
        }
        let mut roots = rustls::RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        roots.add_parsable_certificates(self.authorities.iter().cloned());
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }

    async fn tunnel(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let http = |address: String| format!("http://{address}").parse::<Uri>().map_err(io::Error::other);
        let mut socks = SocksV5::new(http(self.address.clone())?, HttpConnector::new());
        if let Some((user, password)) = &self.login {
            socks = socks.with_auth(user.clone(), password.clone());
        }
        let tunnel = socks.oneshot(http(format!("{host}:{port}"))?).await;
        tunnel.map(|stream| stream.into_inner()).map_err(|error| io::Error::other(format!("the proxy: {error}")))
    }
}

impl FromStr for SocksProxy {
    type Err = ParseProxyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("socks5h://").or_else(|| text.strip_prefix("socks5://")).ok_or(ParseProxyError)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, rest),
        };
        let plain = |text: &str| {
            let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            (1..=255).contains(&text.len()) && text.bytes().all(unreserved)
        };
        let login = match login.map(|login| login.split_once(':')) {
            Some(Some((user, password))) if plain(user) && plain(password) => {
                Some((user.to_owned(), password.to_owned()))
            }
            Some(_) => return Err(ParseProxyError),
            None => None,
        };
        let url: Uri = format!("http://{address}").parse().map_err(|_| ParseProxyError)?;
        let valid = url.authority().is_some_and(|authority| authority.as_str() == address)
            && url.host().is_some_and(|host| !host.is_empty())
            && url.port_u16().is_some_and(|port| port > 0);
        if valid {
            Ok(Self { address: address.to_owned(), login, authorities: Vec::new() })
        } else {
            Err(ParseProxyError)
        }
    }
}

/// Without the password.
impl fmt::Display for SocksProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socks5h://{}", self.address)
    }
}

impl fmt::Debug for SocksProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocksProxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_named_with_host_and_port_and_their_password_is_not_shown() {
        let proxy: SocksProxy = "socks5h://127.0.0.1:9050".parse().expect("valid");
        assert_eq!(proxy.url(), "socks5h://127.0.0.1:9050");
        assert_eq!("socks5://[::1]:9050/".parse::<SocksProxy>().expect("valid").url(), "socks5h://[::1]:9050");
        let proxy: SocksProxy = "socks5h://ada:secret@localhost:1080".parse().expect("valid");
        assert_eq!(proxy.url(), "socks5h://ada:secret@localhost:1080");
        assert!(!format!("{proxy} {proxy:?}").contains("secret"));
        for wrong in [
            "",
            "127.0.0.1:9050",
            "http://127.0.0.1:9050",
            "socks4://127.0.0.1:9050",
            "socks5h://127.0.0.1",
            "socks5h://:9050",
            "socks5h://127.0.0.1:0",
            "socks5h://127.0.0.1:9050/path",
            "socks5h://ada@127.0.0.1:9050",
            "socks5h://a%20b:c@127.0.0.1:9050",
        ] {
            assert_eq!(wrong.parse::<SocksProxy>(), Err(ParseProxyError), "{wrong}");
        }
    }
}

//! The chain nodes to ask.

use crate::SocksProxy;
use std::{fmt, str::FromStr, sync::Arc};

/// One or more WebSocket addresses of chain nodes, in the order they are tried, and the proxy through which they are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainUrls {
    urls: Arc<[String]>,
    proxy: Option<Arc<SocksProxy>>,
}

/// The list of chain nodes is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseUrlsError {
    /// No address was given.
    #[error("no chain node is given: name at least one, for example ws://127.0.0.1:9944")]
    Empty,
    /// One address is not a WebSocket address.
    #[error("{0:?} is not the address of a chain node: it must start with ws:// or wss:// and name a host")]
    NotWebSocket(String),
}

impl ChainUrls {
    /// Checks a list of addresses.
    pub fn new(urls: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, ParseUrlsError> {
        let urls = urls.into_iter().map(|url| checked(url.into())).collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() { Err(ParseUrlsError::Empty) } else { Ok(Self { urls: urls.into(), proxy: None }) }
    }

    /// The same, reached through a proxy and in no other way.
    pub fn through(self, proxy: SocksProxy) -> Self {
        Self { proxy: Some(Arc::new(proxy)), ..self }
    }

    /// The proxy, if there is one.
    pub fn proxy(&self) -> Option<&SocksProxy> {
        self.proxy.as_deref()
    }

    /// The addresses, in the order they are tried.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.urls.iter().map(String::as_str)
    }

    /// Each address alone, reached in the same way.
    pub fn each(&self) -> impl ExactSizeIterator<Item = Self> {
        self.urls.iter().map(|url| Self { urls: [url.clone()].into(), proxy: self.proxy.clone() })
    }

    /// How many there are: at least one.
    #[expect(clippy::len_without_is_empty, reason = "a list of chain nodes is never empty")]
    pub fn len(&self) -> usize {
        self.urls.len()
    }
}

/// A comma-separated list.
impl FromStr for ChainUrls {
    type Err = ParseUrlsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text.split(',').map(str::trim).filter(|url| !url.is_empty()))
    }
}

impl fmt::Display for ChainUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.urls.join(","))
    }
}

fn checked(url: String) -> Result<String, ParseUrlsError> {
    let host = url.strip_prefix("ws://").or_else(|| url.strip_prefix("wss://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with([':', '/']) => Ok(url),
        _ => Err(ParseUrlsError::NotWebSocket(url)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_separated_list_keeps_its_order() {
        let urls: ChainUrls = "ws://a:1, wss://b,".parse().expect("valid");
        assert_eq!(urls.iter().collect::<Vec<_>>(), ["ws://a:1", "wss://b"]);
        assert_eq!(urls.to_string().parse(), Ok(urls));
    }

    #[test]
    fn a_proxy_is_not_lost_on_the_way() {
        let proxy: SocksProxy = "socks5h://127.0.0.1:9050".parse().expect("valid");
        let urls = "ws://a:1,ws://b:2".parse::<ChainUrls>().expect("valid").through(proxy.clone());
        assert_eq!(urls.clone().proxy(), Some(&proxy));
        let alone: Vec<_> = urls.each().map(|url| (url.to_string(), url.proxy().cloned())).collect();
        assert_eq!(alone, [("ws://a:1".to_owned(), Some(proxy.clone())), ("ws://b:2".to_owned(), Some(proxy))]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!("".parse::<ChainUrls>(), Err(ParseUrlsError::Empty));
        for bad in ["http://a", "ws://", "ws://:9944", "a:9944"] {
            assert_eq!(bad.parse::<ChainUrls>(), Err(ParseUrlsError::NotWebSocket(bad.into())));
        }
    }
}

//! Where a service is: names with ports, and how names become addresses.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use coffre_tls::Service;

/// A service, and the names under which it is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The service.
    pub service: Service,
    text: Arc<str>,
    names: Arc<[(String, u16)]>,
}

/// A text that names no place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is no address of a service: it is written host:port, such as coffre-vault:50052; several with commas between"
)]
pub struct TargetError(String);

impl Target {
    /// Reads `host:port`, or several with commas between. A host is a name or an address, an IPv6 address in brackets.
    ///
    /// # Errors
    /// Where it is not that.
    pub fn parse(service: Service, text: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError(text.to_owned());
        let names = text.split(',').map(|one| place(one.trim()).ok_or_else(wrong)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { service, text: text.into(), names: names.into() })
    }

    pub(crate) fn names(&self) -> &[(String, u16)] {
        &self.names
    }
}

fn place(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
    };
    good.then(|| (bracketed.unwrap_or(host).to_owned(), port))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.service, self.text)
    }
}

/// Turns a name into addresses.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// Returns all addresses of a host.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// Asks the machine, as every program does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookup;

#[async_trait]
impl Resolve for Lookup {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_a_port_or_several() {
        let names = |text: &str| Target::parse(Service::Vault, text).unwrap().names().to_vec();
        assert_eq!(names("coffre-vault:50052"), [("coffre-vault".to_owned(), 50052)]);
        assert_eq!(names("[::1]:1"), [("::1".to_owned(), 1)]);
        assert_eq!(names("127.0.0.2:1, b.example:2"), [("127.0.0.2".to_owned(), 1), ("b.example".to_owned(), 2)]);
        for text in [
            "",
            "vault",
            "vault:",
            ":1",
            "vault:0",
            "vault:65536",
            "http://vault:1",
            "::1:1",
            "[vault]:1",
            "a:1,",
            "a b:1",
        ] {
            assert!(Target::parse(Service::Vault, text).is_err(), "{text:?}");
        }
        assert_eq!(Target::parse(Service::Vault, "v:1").unwrap().to_string(), "vault (v:1)");
    }
}

//! The URL under which clients reach the REST port.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// The URL under which clients reach the REST port, without a slash at its end; shared by its clones.
///
/// It is set or, where nobody set it, made of the address on which the gateway listens, once that is known. What a request says of it, in
/// `Host` or in a header of a proxy, never counts.
#[derive(Clone, Debug, Default)]
pub struct PublicUrl(Arc<OnceLock<String>>);

impl PublicUrl {
    /// Takes the URL as it was set.
    #[must_use]
    pub fn of(url: &str) -> Self {
        let this = Self::default();
        this.0.get_or_init(|| url.trim_end_matches('/').to_owned());
        this
    }

    /// Tells on which address the gateway listens. It counts where no URL was set, and where it is an address: who listens everywhere is
    /// reached under one that nobody here knows.
    pub(crate) fn listens_on(&self, address: SocketAddr, tls: bool) {
        if !address.ip().is_unspecified() {
            let scheme = if tls { "https" } else { "http" };
            self.0.get_or_init(|| format!("{scheme}://{address}"));
        }
    }

    /// Returns the URL, where it is known.
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_counts_before_the_address() {
        for (set, address, tls, expected) in [
            (Some("https://vault.example.org/"), "127.0.0.1:8080", false, Some("https://vault.example.org")),
            (Some("https://example.org/coffre"), "0.0.0.0:8080", true, Some("https://example.org/coffre")),
            (None, "127.0.0.1:8080", false, Some("http://127.0.0.1:8080")),
            (None, "127.0.0.1:8080", true, Some("https://127.0.0.1:8080")),
            (None, "[::1]:8080", false, Some("http://[::1]:8080")),
            (None, "0.0.0.0:8080", true, None),
            (None, "[::]:8080", false, None),
        ] {
            let url = set.map(PublicUrl::of).unwrap_or_default();
            url.listens_on(address.parse().unwrap(), tls);
            assert_eq!(url.clone().get(), expected, "{set:?} {address}");
        }
    }
}

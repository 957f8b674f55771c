//! Who a service is: one URI in its certificate, `spiffe://<trust domain>/<service>` (SPIFFE-ID, sections 2.1 and 2.2).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::Error;

const SCHEME: &str = "spiffe://";
const LONGEST_DOMAIN: usize = 255;

/// The services that talk to each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Service {
    /// Users, roles, tokens.
    Auth,
    /// Credentials and values.
    Vault,
    /// Lockers.
    Locker,
    /// The audit log.
    Audit,
    /// REST.
    Gateway,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Auth, Self::Vault, Self::Locker, Self::Audit, Self::Gateway];

    /// Returns its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Vault => "vault",
            Self::Locker => "locker",
            Self::Audit => "audit",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Service {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::ALL
            .into_iter()
            .find(|service| service.as_str() == text)
            .ok_or_else(|| IdentityError::UnknownService(text.to_owned()))
    }
}

/// The name under which an installation's services know each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Reads a name.
    ///
    /// # Errors
    /// Where it is empty, too long, or has signs that none may have.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let may = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
        if (1..=LONGEST_DOMAIN).contains(&text.len()) && text.bytes().all(may) {
            Ok(Self(text.into()))
        } else {
            Err(Error::TrustDomain(text.to_owned()))
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TrustDomain {
    fn default() -> Self {
        Self("coffre.internal".into())
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A service of an installation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The installation.
    pub trust_domain: TrustDomain,
    /// The service.
    pub service: Service,
}

/// Why a certificate names no service of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentityError {
    /// No URI, or several.
    #[error("it names {0} identities; a certificate of a service has one URI, such as spiffe://coffre.internal/vault")]
    NotOne(usize),
    /// A URI that is no identity in this trust domain.
    #[error("it names {found:?}; a service of this installation is called {SCHEME}{expected}/<service>")]
    Foreign {
        /// The URI.
        found: String,
        /// Our trust domain.
        expected: TrustDomain,
    },
    /// A service that does not exist.
    #[error("{0:?} is no service; they are auth, vault, locker, audit and gateway")]
    UnknownService(String),
    /// Another service.
    #[error("it is {found}'s, and {wanted}'s is asked for")]
    Other {
        /// Whose it is.
        found: Service,
        /// Whose it should be.
        wanted: Service,
    },
    /// No certificate.
    #[error("it cannot be read")]
    Unreadable,
}

impl Identity {
    /// Returns the URI.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("{SCHEME}{}/{}", self.trust_domain, self.service)
    }

    /// Reads a certificate, of which the chain is checked elsewhere.
    ///
    /// # Errors
    /// Where it does not name exactly one service of the trust domain.
    pub(crate) fn of(certificate: &CertificateDer<'_>, trust_domain: &TrustDomain) -> Result<Self, IdentityError> {
        let certificate = EndEntityCert::try_from(certificate).map_err(|_| IdentityError::Unreadable)?;
        let mut names = certificate.valid_uri_names();
        let (Some(name), None) = (names.next(), names.next()) else {
            return Err(IdentityError::NotOne(certificate.valid_uri_names().count()));
        };
        Self::parse(name, trust_domain)
    }

    fn parse(uri: &str, trust_domain: &TrustDomain) -> Result<Self, IdentityError> {
        let service = uri
            .strip_prefix(SCHEME)
            .and_then(|rest| rest.strip_prefix(trust_domain.as_str()))
            .and_then(|rest| rest.strip_prefix('/'))
            .ok_or_else(|| IdentityError::Foreign { found: uri.to_owned(), expected: trust_domain.clone() })?;
        Ok(Self { trust_domain: trust_domain.clone(), service: service.parse()? })
    }

    /// Says whether it is the service that is asked for.
    pub(crate) fn is(self, wanted: Service) -> Result<Self, IdentityError> {
        if self.service == wanted { Ok(self) } else { Err(IdentityError::Other { found: self.service, wanted }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_a_service_of_this_trust_domain_and_nothing_near_it() {
        let domain = TrustDomain::default();
        for service in Service::ALL {
            let identity = Identity { trust_domain: domain.clone(), service };
            assert_eq!(Identity::parse(&identity.uri(), &domain), Ok(identity));
        }
        for uri in [
            "spiffe://coffre.internal.evil/vault",
            "spiffe://coffre.interna/vault",
            "spiffe://coffre.internalvault",
            "SPIFFE://coffre.internal/vault",
            "https://coffre.internal/vault",
            "vault",
            "",
        ] {
            assert!(matches!(Identity::parse(uri, &domain), Err(IdentityError::Foreign { .. })), "{uri}");
        }
        for uri in ["spiffe://coffre.internal/", "spiffe://coffre.internal/Vault", "spiffe://coffre.internal/vault/2"] {
            assert!(matches!(Identity::parse(uri, &domain), Err(IdentityError::UnknownService(_))), "{uri}");
        }
    }

    #[test]
    fn a_trust_domain_is_a_name_in_lower_case() {
        for good in ["coffre.internal", "a", "prod-1.example.org", "x_y"] {
            assert_eq!(TrustDomain::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "Coffre", "a/b", "a b", "é", "spiffe://a", &"a".repeat(256)] {
            assert!(TrustDomain::parse(bad).is_err(), "{bad}");
        }
    }
}

//! Which services a process runs, and whom each of them calls.

use coffre_tls::Service;

/// The services of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Set(u8);

impl Set {
    /// Every service.
    pub(crate) const ALL: Self = Self(0b1_1111);

    /// One service alone.
    pub(crate) const fn of(service: Service) -> Self {
        Self(bit(service))
    }

    /// Says whether a service is one of them.
    pub(crate) const fn has(self, service: Service) -> bool {
        self.0 & bit(service) != 0
    }

    /// Says whether some services run elsewhere.
    pub(crate) const fn is_split(self) -> bool {
        self.0 != Self::ALL.0
    }

    /// Returns the services.
    pub(crate) fn services(self) -> impl Iterator<Item = Service> {
        Service::ALL.into_iter().filter(move |service| self.has(*service))
    }

    /// Returns those that keep something: all but the gateway.
    pub(crate) fn keepers(self) -> impl Iterator<Item = Service> {
        self.services().filter(|service| *service != Service::Gateway)
    }

    /// Says whether one of them keeps something, and so answers gRPC calls.
    pub(crate) fn keeps(self) -> bool {
        self.keepers().next().is_some()
    }

    /// Returns the services elsewhere that these call.
    pub(crate) fn calls_elsewhere(self) -> impl Iterator<Item = Service> {
        Service::ALL
            .into_iter()
            .filter(move |other| !self.has(*other) && self.services().any(|service| calls(service).contains(other)))
    }

    /// Returns their names, as people read them.
    pub(crate) fn names(self) -> String {
        self.services().map(Service::as_str).collect::<Vec<_>>().join(", ")
    }
}

const fn bit(service: Service) -> u8 {
    match service {
        Service::Auth => 1,
        Service::Vault => 1 << 1,
        Service::Locker => 1 << 2,
        Service::Audit => 1 << 3,
        Service::Gateway => 1 << 4,
    }
}

/// Returns whom a service calls. Network policies allow these ways and no other.
const fn calls(service: Service) -> &'static [Service] {
    match service {
        // What a user holds, before it goes; every service hands its events to the audit.
        Service::Auth => &[Service::Vault, Service::Locker, Service::Audit],
        // Its replicas find each other, too.
        Service::Vault => &[Service::Auth, Service::Locker, Service::Audit, Service::Vault],
        Service::Locker => &[Service::Auth, Service::Vault, Service::Audit],
        Service::Audit => &[Service::Auth],
        Service::Gateway => &[Service::Auth, Service::Vault, Service::Locker, Service::Audit],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn together_they_need_nobody() {
        assert!(!Set::ALL.is_split() && Set::ALL.keeps());
        assert_eq!(Set::ALL.calls_elsewhere().count(), 0);
        assert_eq!(Set::ALL.names(), "auth, vault, locker, audit, gateway");
    }

    #[test]
    fn alone_each_knows_whom_it_calls() {
        let calls = |service| Set::of(service).calls_elsewhere().map(Service::as_str).collect::<Vec<_>>();
        assert_eq!(calls(Service::Gateway), ["auth", "vault", "locker", "audit"]);
        assert_eq!(calls(Service::Audit), ["auth"]);
        assert_eq!(calls(Service::Vault), ["auth", "locker", "audit"]);
        assert!(Set::of(Service::Vault).is_split() && Set::of(Service::Vault).keeps());
        assert!(!Set::of(Service::Gateway).keeps(), "the gateway owns no database and no key");
    }
}

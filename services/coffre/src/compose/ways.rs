//! The ways to the services: in process to those that run here, over the network to the others.

use anyhow::Context as _;
use coffre_channel::{Channel, Fill, Members, Reach, Target};
use coffre_config::Settings;
use coffre_rpc::{ServiceParts, internal_channel};
use coffre_telemetry::State;
use coffre_tls::{InternalTls, Service};
use coffre_trace::Tracer;
use tokio_util::sync::CancellationToken;

use crate::exposure;
use crate::set::Set;

/// The ways to the internal side of every service that one of this process calls.
pub(crate) struct Ways {
    here: Vec<(Service, Channel, Option<Fill>)>,
    elsewhere: Vec<Remote>,
    tracer: Tracer,
}

/// The way to a service that runs elsewhere.
#[derive(Clone)]
pub(crate) struct Remote {
    service: Service,
    members: Members,
}

impl Ways {
    /// Lays the ways. Services call each other: those of this process are reached once [`Self::is_here`] says where they are.
    pub(crate) fn lay(
        settings: &Settings,
        set: Set,
        tls: Option<&InternalTls>,
        tracer: &Tracer,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let here = set.keepers().map(|service| {
            let (channel, fill) = Channel::deferred();
            (service, channel, Some(fill))
        });
        let elsewhere = set.calls_elsewhere().map(|service| {
            let tls =
                tls.context("services elsewhere are called by mutual TLS alone: tls.internal_cert_file is missing")?;
            let members = follow(settings, service, tls, stop)?;
            Ok(Remote { service, members })
        });
        let elsewhere = elsewhere.collect::<anyhow::Result<_>>()?;
        Ok(Self { here: here.collect(), elsewhere, tracer: tracer.clone() })
    }

    /// Leads to the internal side of a service.
    pub(crate) fn to(&self, service: Service) -> anyhow::Result<Channel> {
        let here = self.here.iter().find(|(known, ..)| *known == service).map(|(_, channel, _)| channel.clone());
        let elsewhere = || self.elsewhere.iter().find(|remote| remote.service == service);
        here.or_else(|| elsewhere().map(|remote| remote.members.channel()))
            .with_context(|| format!("no way leads to {}", service.as_str()))
    }

    /// From now on the way to a service of this process leads there.
    pub(crate) fn is_here(&mut self, service: Service, parts: &ServiceParts) {
        let way = self.here.iter_mut().find(|(known, ..)| *known == service);
        if let Some(fill) = way.and_then(|(.., fill)| fill.take()) {
            fill.set(internal_channel(parts.internal.clone(), parts.internal_rpcs, &self.tracer));
        }
    }

    /// Returns the ways to services elsewhere.
    pub(crate) fn remote(&self) -> Vec<Remote> {
        self.elsewhere.clone()
    }
}

/// Follows the addresses of a service.
pub(super) fn follow(
    settings: &Settings,
    service: Service,
    tls: &InternalTls,
    stop: &CancellationToken,
) -> anyhow::Result<Members> {
    let (key, address) = exposure::address_of(settings, service);
    let address = address.with_context(|| format!("{key} is not set"))?;
    let target = Target::parse(service, address.as_str()).with_context(|| key.to_owned())?;
    Ok(Members::follow(target, tls.clone(), stop.clone()))
}

impl Remote {
    /// Returns what probes call it.
    pub(crate) const fn component(&self) -> &'static str {
        match self.service {
            Service::Auth => "to auth",
            Service::Vault => "to vault",
            Service::Locker => "to locker",
            Service::Audit => "to audit",
            Service::Gateway => "to gateway",
        }
    }

    /// Says whether a replica of it is connected.
    pub(crate) fn is_reached(&self) -> bool {
        matches!(self.members.reach(), Reach::Reached)
    }

    /// Says whether it is within reach. Where it is not, what still works, works.
    pub(crate) fn state(&self) -> State {
        match self.members.reach() {
            Reach::Reached | Reach::Trying => State::Ready,
            Reach::OutOfReach(why) => State::Degraded(why),
        }
    }
}

//! The gateway in a process.

use anyhow::Context as _;
use coffre_channel::Channel;
use coffre_config::{Settings, StatusCodes};
use coffre_gateway::{Channels, Clients, Config, Gateway, PublicUrl, Readiness, RestMetrics};
use coffre_rpc::Layered;
use coffre_tls::{PublicTls, Service};
use prometheus::Registry;

use super::{Form, Ways, With};

/// Builds it over the services: those of this process behind their layers, the others over the network, where the same layers wait.
pub(super) fn build(
    with: &With<'_>,
    ways: &Ways,
    here: &[(Service, Layered)],
    registry: &Registry,
) -> anyhow::Result<Gateway> {
    let to = |service: Service| -> anyhow::Result<Channel> {
        match here.iter().find(|(known, _)| *known == service) {
            Some((_, layered)) => Ok(layered.channel(Service::Gateway.as_str())),
            None => ways.to(service),
        }
    };
    let clients = Clients::new(Channels {
        auth: to(Service::Auth)?,
        vault: to(Service::Vault)?,
        locker: to(Service::Locker)?,
        audit: to(Service::Audit)?,
        intake: ways.to(Service::Audit)?,
    });
    let metrics = RestMetrics::register(registry).context("the metrics of the REST port")?;
    let mut config =
        config(with.settings, with.form, with.readiness.clone(), metrics, with.certificates.public.clone());
    config.tracer = with.tracer.clone();
    Ok(coffre_gateway::router(clients, config))
}

fn config(
    settings: &Settings,
    form: Form,
    readiness: Readiness,
    metrics: RestMetrics,
    tls: Option<PublicTls>,
) -> Config {
    let mut config = Config {
        status_codes: match settings.status_codes {
            StatusCodes::Standard => coffre_gateway::StatusCodes::Modern,
            StatusCodes::Documented => coffre_gateway::StatusCodes::Documented,
        },
        trusted_proxies: settings.trusted_proxies.clone(),
        allowed_hosts: (form == Form::Dev).then(Config::loopback_hosts),
        public_url: settings.public_url.as_deref().map(PublicUrl::of).unwrap_or_default(),
        readiness,
        metrics: Some(metrics),
        tls,
        ..Config::default()
    };
    config.limits.requests_per_address = settings.calls_per_address;
    config.limits.sign_ins = settings.sign_ins;
    config.limits.connections = settings.connections;
    config.limits.drain_time = settings.drain;
    config
}

#[cfg(test)]
mod tests {
    use coffre_config::Sources;

    use super::*;
    use crate::compose::auth_config;

    fn of(variables: &[(&str, &str)]) -> (coffre_auth::Config, Config) {
        let mut sources = Sources::default();
        sources.environment(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).unwrap();
        let settings = Settings::check(&sources).unwrap();
        let metrics = RestMetrics::register(&Registry::new()).unwrap();
        (auth_config(&settings, Form::Serve), config(&settings, Form::Serve, Readiness::ready(), metrics, None))
    }

    #[test]
    fn bounds_of_calls_are_what_the_settings_say_and_the_defaults_are_one_truth() {
        let (auth, gateway) = of(&[("COFFRE_LIMITS__CALLS_PER_ADDRESS", "40"), ("COFFRE_LIMITS__SIGN_INS", "100")]);
        assert_eq!((gateway.limits.requests_per_address, gateway.limits.sign_ins), (40, 100));
        assert_eq!((auth.sign_ins.per_address, auth.sign_ins.at_once), (20, 200));
        let (auth, gateway) = of(&[]);
        let (own_auth, own_gateway) = (coffre_auth::Config::default(), Config::default());
        assert_eq!(gateway.limits.requests_per_address, own_gateway.limits.requests_per_address);
        assert_eq!(gateway.limits.sign_ins, own_gateway.limits.sign_ins);
        assert_eq!(auth.sign_ins.per_address, own_auth.sign_ins.per_address);
        assert_eq!(auth.sign_ins.at_once, own_auth.sign_ins.at_once);
    }
}

//! Auth in a process.

use anyhow::Context as _;
use coffre_auth::config::SignIns;
use coffre_auth::{App, Config, Deps};
use coffre_config::Settings;
use coffre_tls::Service;

use super::{Form, Ways, With};

pub(super) async fn build(with: &mut With<'_>, ways: &mut Ways) -> anyhow::Result<App> {
    let store = with.stores.of(Service::Auth)?;
    let deps = Deps {
        database: store.database.clone(),
        outbox: store.outbox.clone(),
        clock: with.clock.clone(),
        auth_key: with.keys.auth.take().context("auth.key was not read")?,
        vault: ways.to(Service::Vault)?,
        locker: ways.to(Service::Locker)?,
        activity: with.activity.clone(),
    };
    let app = coffre_auth::build(config(with.settings, with.form), deps).await.context("auth cannot start")?;
    ways.is_here(Service::Auth, &app.parts);
    Ok(app)
}

/// Returns the `iss` of tokens: the public URL where one is set, which is what the metadata of the OAuth side call us (RFC 8414).
pub(super) fn issuer(settings: &Settings) -> String {
    let public = settings.public_url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
    public.unwrap_or_else(|| Config::default().issuer)
}

pub(crate) fn config(settings: &Settings, form: Form) -> Config {
    Config {
        issuer: issuer(settings),
        token_life: settings.token_life,
        session_life: settings.session_life,
        password_min_length: settings.password_min_length,
        password_strength_check: settings.password_strength_check,
        force_password_change: form == Form::Serve,
        // The bounds of REST come first; these hold for both ports together.
        sign_ins: SignIns { at_once: settings.sign_ins * 2, per_address: settings.calls_per_address.div_ceil(2) },
        ..Config::default()
    }
}

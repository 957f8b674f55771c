//! What the gateway is told at its start.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_tls::PublicTls;
use coffre_trace::Tracer;
use coffre_types::Timestamp;
use ipnet::IpNet;

use crate::metrics::RestMetrics;
use crate::public_url::PublicUrl;

/// The settings of the gateway.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which status codes answer an unchanged PUT and a missing permission.
    pub status_codes: StatusCodes,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The only host names that requests may be addressed to, without port; `None`: any. `dev` allows the names of the loopback
    /// interface alone, so that a page in a browser cannot reach it under a name of its own.
    pub allowed_hosts: Option<Vec<String>>,
    /// The URL under which clients reach the gateway.
    pub public_url: PublicUrl,
    /// Whether `/docs` is there.
    pub docs: bool,
    /// What `/version` says.
    pub version: String,
    /// What `/readyz` says.
    pub readiness: Readiness,
    /// Where requests are counted.
    pub metrics: Option<RestMetrics>,
    /// Traces them, where anything is traced.
    pub tracer: Tracer,
    /// What the port shows; without it, it speaks in the clear.
    pub tls: Option<PublicTls>,
    /// How much and how long.
    pub limits: Limits,
}

impl Config {
    /// The names of the loopback interface.
    #[must_use]
    pub fn loopback_hosts() -> Vec<String> {
        ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            status_codes: StatusCodes::Modern,
            trusted_proxies: Vec::new(),
            allowed_hosts: None,
            public_url: PublicUrl::default(),
            docs: true,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            readiness: Readiness::ready(),
            metrics: None,
            tracer: Tracer::default(),
            tls: None,
            limits: Limits::default(),
        }
    }
}

/// Which status codes answer the two cases where the old server chose unusual ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StatusCodes {
    /// 200 with the resource for an unchanged PUT, 403 for a missing permission.
    #[default]
    Modern,
    /// 304 for an unchanged PUT, 501 for a missing permission, as the old document prints.
    Documented,
}

/// How much and how long a request may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// The largest sum of header names and values, in bytes.
    pub header_bytes: usize,
    /// How long the headers may take to arrive.
    pub header_time: Duration,
    /// How long a body may take to arrive.
    pub body_time: Duration,
    /// How long a whole request may take.
    pub request_time: Duration,
    /// How many requests are answered at once; further ones are refused.
    pub requests: usize,
    /// How many of them one address may have (IPv6: one /64; behind a trusted proxy the address that it names), half of them sign-ins;
    /// further ones are refused to that address alone.
    pub requests_per_address: usize,
    /// How many of them may show a secret (sign-ins, everything under `/oauth/`), so that other calls stay usable while those wait.
    pub sign_ins: usize,
    /// How many connections are open at once; further ones wait.
    pub connections: usize,
    /// How many of them one address may have, but for trusted proxies and this machine; further ones are closed.
    pub connections_per_address: usize,
    /// How long open requests get to end when the gateway stops.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            header_bytes: 16 * 1024,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(10),
            request_time: Duration::from_secs(30),
            // At worst each holds a body of the largest size.
            requests: 1024,
            requests_per_address: 128,
            sign_ins: 512,
            connections: 8192,
            connections_per_address: 1024,
            drain_time: Duration::from_secs(10),
        }
    }
}

/// Whether requests can be answered: a switch that the process turns, shared by its clones.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Switch>);

#[derive(Debug)]
struct Switch {
    ready: AtomicBool,
    /// Why not, where somebody said so.
    why: Mutex<Option<String>>,
    vault: Mutex<Option<VaultSeal>>,
}

/// Whether the vault is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VaultSeal {
    /// Values can be read and written.
    Open,
    /// Everything but values can.
    Sealed {
        /// Since when.
        since: Timestamp,
    },
}

impl Readiness {
    fn new(ready: bool) -> Self {
        Self(Arc::new(Switch { ready: AtomicBool::new(ready), why: Mutex::default(), vault: Mutex::default() }))
    }

    /// Ready from the start.
    #[must_use]
    pub fn ready() -> Self {
        Self::new(true)
    }

    /// Not ready until told otherwise.
    #[must_use]
    pub fn not_yet() -> Self {
        Self::new(false)
    }

    /// Turns the switch.
    pub fn set(&self, ready: bool) {
        self.tell_why(None);
        self.0.ready.store(ready, Ordering::Relaxed);
    }

    /// Turns it off, and says what is wrong and what whoever runs the process does about it.
    pub fn fail(&self, why: impl Into<String>) {
        self.tell_why(Some(why.into()));
        self.0.ready.store(false, Ordering::Relaxed);
    }

    /// Returns why requests cannot be answered, where somebody said so.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        self.0.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell_why(&self, why: Option<String>) {
        *self.0.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Reads the switch.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Relaxed)
    }

    /// Tells how the vault is: a sealed one is no reason to send requests elsewhere.
    pub fn set_vault(&self, vault: VaultSeal) {
        *self.0.vault.lock().unwrap_or_else(PoisonError::into_inner) = Some(vault);
    }

    /// Returns how the vault is; `None` where nobody told.
    #[must_use]
    pub fn vault(&self) -> Option<VaultSeal> {
        *self.0.vault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Coffre with each service in a process of its own, on one PostgreSQL, with mutual TLS between them: as Kubernetes runs it, one replica each.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use coffre_test_support::PostgresServer;

use crate::http::{self, Client};
use crate::process;
use crate::program::Program;
use crate::server::{self, Installation, START_WITHIN};

/// The services that keep something; the gateway is the fifth.
const KEEPERS: [&str; 4] = ["auth", "vault", "locker", "audit"];

/// A running Coffre of five processes. They are stopped when this is dropped.
pub(crate) struct Split {
    /// Before the database that they need, so that they end first.
    programs: Vec<Program>,
    /// Where the gateway answers.
    pub(crate) address: SocketAddr,
    _postgres: PostgresServer,
}

impl Split {
    /// Makes a new installation and starts it.
    pub(crate) fn start(installation: &Installation<'_>) -> Result<Self> {
        fs::create_dir_all(&installation.folder)?;
        let postgres = PostgresServer::durable();
        let certificates = installation.folder.join("certs");
        let folder = certificates.to_string_lossy();
        server::run_to_its_end(installation, Some(&postgres), &["init"])?;
        server::run_to_its_end(installation, Some(&postgres), &["dev", "certs", "--out", &folder])?;

        let address = server::free_address()?;
        let mut inside = Vec::new();
        for service in KEEPERS {
            inside.push((service, server::free_address()?.to_string()));
        }
        let mut programs = Vec::new();
        for service in KEEPERS.into_iter().chain(["gateway"]) {
            let mut command = server::command(installation, Some(&postgres), &["serve", service])?;
            let own = certificates.join(service);
            command
                .env("COFFRE_TLS__INTERNAL_CERT_FILE", own.join("tls.crt"))
                .env("COFFRE_TLS__INTERNAL_KEY_FILE", own.join("tls.key"))
                .env("COFFRE_TLS__INTERNAL_CA_FILE", own.join("ca.crt"))
                .env("COFFRE_MANAGEMENT_ADDR", server::free_address()?.to_string());
            for (other, place) in &inside {
                command.env(format!("COFFRE_SERVICES__{}", other.to_uppercase()), place);
                if *other == service {
                    command.env("COFFRE_INTERNAL_ADDR", place);
                }
            }
            if service == "gateway" {
                command.env("COFFRE_HTTP_ADDR", address.to_string());
                command.env_remove("COFFRE_DATABASE_URL_FILE").env_remove("COFFRE_KEYS_DIR");
            } else {
                command.env("COFFRE_GRPC_ADDR", server::free_address()?.to_string());
            }
            programs.push(Program::start(&mut command)?);
        }
        let mut split = Self { programs, address, _postgres: postgres };
        split.wait(installation)?;
        Ok(split)
    }

    /// Waits until the gateway reaches all of them.
    fn wait(&mut self, installation: &Installation<'_>) -> Result<()> {
        let begun = Instant::now();
        while !self.is_ready() {
            for program in &mut self.programs {
                if let Some(status) = program.ended()? {
                    bail!("a service ended at its start ({status}); {}", server::log_of(installation));
                }
            }
            if begun.elapsed() > START_WITHIN {
                let log = server::log_of(installation);
                bail!("the services were not ready within {} s; {log}", START_WITHIN.as_secs());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        let answer = Client::connect(self.address).and_then(|mut client| client.call(&http::get("/readyz", None)));
        answer.is_ok_and(|answer| answer.status == 200 && !String::from_utf8_lossy(&answer.body).contains("degraded"))
    }

    /// All of its processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.programs.iter().map(Program::pid).collect()
    }

    /// Of all of its processes, in KiB.
    pub(crate) fn resident(&self) -> u64 {
        self.pids().into_iter().map(process::resident_kib).sum()
    }
}

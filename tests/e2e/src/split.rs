//! Every service in a process of its own, on one PostgreSQL, with the certificates of `coffre dev certs`; each has the keys that it needs and no other.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::addresses::free_addresses;
use crate::network::Network;
use crate::process::Process;
use crate::raw;
use crate::server::{Engine, Home, START_WITHIN, Server};

/// The services that keep something, and the key files of each.
pub const KEEPERS: [(&str, &[&str]); 4] = [
    ("auth", &["auth.key", "audit.key"]),
    ("vault", &["express.key", "audit.key"]),
    ("locker", &["audit.key"]),
    ("audit", &["audit.key", "checkpoint.key"]),
];

/// The list of hosts, where names stand for several addresses.
const HOSTS: &str = "hosts";

/// One service in a process of its own, which may end and begin anew at the same place.
#[derive(Debug)]
pub struct Part {
    pub service: &'static str,
    /// Its REST port, of a gateway.
    pub http: Option<SocketAddr>,
    /// Its public gRPC port, of the others.
    pub grpc: Option<SocketAddr>,
    pub management: SocketAddr,
    home: Home,
    settings: BTreeMap<String, String>,
    /// Its host, where it has one of its own.
    pub host: Option<Ipv4Addr>,
    network: Option<Network>,
    process: Mutex<Arc<Process>>,
}

impl Part {
    /// Begins to start a replica of a service.
    fn begin(ground: &Ground, service: &'static str, replica: usize) -> Self {
        let is_gateway = service == "gateway";
        let network = ground.network.clone().filter(|_| !is_gateway);
        let host = network.as_ref().map(|_| ipv4(ground.inside[service][replica]));
        let [public, mut management] = free_addresses();
        if let Some(host) = host {
            management.set_ip(host.into());
        }
        let settings = ground.settings(service, replica, public, management);
        let command = command(&ground.home, service, &settings, network.as_ref().zip(host));
        let process = Process::start(command, &ground.home.folder);
        Self {
            service,
            http: is_gateway.then_some(public),
            grpc: (!is_gateway).then_some(public),
            management,
            home: ground.home.clone(),
            settings,
            host,
            network,
            process: Mutex::new(Arc::new(process)),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Arc<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its process of now.
    pub fn process(&self) -> Arc<Process> {
        self.slot().clone()
    }

    /// Starts it anew where it was, and waits until it is ready.
    pub fn start(&self) {
        self.start_in(&self.home);
    }

    /// The same with the program of a home that is a clone of its own.
    pub fn start_in(&self, home: &Home) {
        let host = self.network.as_ref().zip(self.host);
        let command = command(home, self.service, &self.settings, host);
        let process = Process::start(command, &self.home.folder);
        *self.slot() = Arc::new(process);
        self.ready().unwrap_or_else(|said| panic!("{} did not start again: {said}", self.service));
    }

    /// What its readiness says of its components.
    pub fn told(&self) -> String {
        let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let answer = raw::exchange(self.management, request.as_bytes(), Duration::from_secs(2));
        answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned()).unwrap_or_default()
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// What it said where it ended before, or takes too long.
    pub fn ready(&self) -> Result<(), String> {
        let (process, begun) = (self.process(), Instant::now());
        loop {
            let is_ready = raw::status_of(self.management, "/readyz") == Some(200);
            // Asked afterwards: where it has ended, somebody else answered.
            if let Some(status) = process.ended() {
                return Err(format!("{} ended with {status}\n{}", self.service, process.said()));
            }
            if is_ready {
                return Ok(());
            }
            if begun.elapsed() > START_WITHIN {
                return Err(format!("{} is not ready after {START_WITHIN:?}\n{}", self.service, process.said()));
            }
            sleep(Duration::from_millis(5));
        }
    }
}

fn ipv4(address: SocketAddr) -> Ipv4Addr {
    match address.ip() {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => panic!("{address} is no IPv4 address"),
    }
}

fn command(
    home: &Home,
    service: &str,
    settings: &BTreeMap<String, String>,
    host: Option<(&Network, Ipv4Addr)>,
) -> Command {
    let mut command = home.command(&["serve", service]);
    command.env_remove("COFFRE_ADMIN_PASSWORD_FILE").env_remove("COFFRE_KEYS_DIR").env_remove("COFFRE_DATA_DIR");
    if service == "gateway" {
        command.env_remove("COFFRE_DATABASE_URL_FILE");
    }
    command.envs(settings);
    let hosts = home.folder.join(HOSTS);
    let command = if hosts.exists() { with_hosts(&command, &hosts) } else { command };
    match host {
        Some((network, host)) => network.on(host, &command),
        None => command,
    }
}

/// The same command with a list of hosts of its own, so that a name stands for several addresses.
fn with_hosts(command: &Command, hosts: &Path) -> Command {
    const SCRIPT: &str = r#"mount --bind "$1" /etc/hosts && shift && exec "$@""#;
    let mut wrapped = Command::new("unshare");
    wrapped.args(["--mount", "--map-root-user", "sh", "-c", SCRIPT, "sh"]).arg(hosts);
    wrapped.arg(command.get_program()).args(command.get_args()).env_clear().stdin(Stdio::null());
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    wrapped.current_dir(command.get_current_dir().unwrap());
    wrapped
}

/// Writes the list of hosts, in place: it is mounted.
fn list(home: &Home, addresses: impl Fn(&str) -> Vec<Ipv4Addr>) {
    let of_service = |(service, _): &(&str, _)| {
        addresses(service).iter().map(|address| format!("{address} coffre-{service}\n")).collect::<String>()
    };
    let lines: String = KEEPERS.iter().map(of_service).collect();
    fs::write(home.folder.join(HOSTS), format!("127.0.0.1 localhost\n{lines}")).unwrap();
}

/// The two hosts of a service in a network of its own.
pub fn replicas_of(service: &str) -> Vec<Ipv4Addr> {
    let index = KEEPERS.iter().position(|(keeper, _)| *keeper == service).unwrap();
    let third = u8::try_from(index + 1).unwrap();
    vec![Ipv4Addr::new(10, 77, third, 1), Ipv4Addr::new(10, 77, third, 2)]
}

/// What is shared by the processes of a split installation: certificates, keys, and where the services listen for each other.
#[derive(Clone, Debug)]
pub struct Ground {
    pub home: Home,
    /// How others find each service.
    names: BTreeMap<&'static str, String>,
    /// Where each replica of a service listens for others.
    inside: BTreeMap<&'static str, Vec<SocketAddr>>,
    /// Where each replica has a host of its own.
    network: Option<Network>,
    /// What the second replica of each service adds to its settings.
    second: BTreeMap<String, String>,
}

impl Ground {
    /// Prepares a new installation, as an operator does it.
    pub fn new(home: Home) -> Self {
        Self::of(home, |_| "127.0.0.1".to_owned(), |_| vec![Ipv4Addr::LOCALHOST])
    }

    /// The same with two replicas of each service that keeps something, and names that stand for the addresses of both.
    pub fn of_two(home: Home) -> Self {
        Self::with_names(home, |_| vec![Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)])
    }

    /// The same, each replica on a host of its own: [`Self::hosts`].
    pub fn of_network(home: Home, network: &Network) -> Self {
        Self { network: Some(network.clone()), ..Self::with_names(home, replicas_of) }
    }

    /// Gives the second replica of each service variables of its own.
    #[must_use]
    pub fn second_with(mut self, variables: &[(&str, &str)]) -> Self {
        self.second = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self
    }

    /// The hosts of an installation with two replicas of each service that keeps something.
    pub fn hosts() -> Vec<Ipv4Addr> {
        KEEPERS.iter().flat_map(|(service, _)| replicas_of(service)).collect()
    }

    fn with_names(home: Home, replicas: impl Fn(&str) -> Vec<Ipv4Addr>) -> Self {
        list(&home, &replicas);
        Self::of(home, |service| format!("coffre-{service}"), replicas)
    }

    /// Lets the names of services stand for other addresses, from the next time on that they are looked up; a name without any is unknown.
    pub fn list(&self, addresses: impl Fn(&str) -> Vec<Ipv4Addr>) {
        list(&self.home, addresses);
    }

    fn of(home: Home, name: impl Fn(&str) -> String, replicas: impl Fn(&str) -> Vec<Ipv4Addr>) -> Self {
        let certificates = home.folder.join("certs");
        let made = home.operator(&["dev", "certs", "--out", certificates.to_str().unwrap()]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for (service, keys) in KEEPERS {
            let folder = home.folder.join("keys-of").join(service);
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).unwrap();
            for key in keys {
                fs::copy(home.folder.join("keys").join(key), folder.join(key)).unwrap();
            }
        }
        let ports = free_addresses::<4>().map(|address| address.port());
        let services = || KEEPERS.into_iter().map(|(service, _)| service).zip(ports);
        let at = |service: &str, port: u16| {
            replicas(service).into_iter().map(|address| SocketAddr::from((address, port))).collect()
        };
        Self {
            home,
            names: services().map(|(service, port)| (service, format!("{}:{port}", name(service)))).collect(),
            inside: services().map(|(service, port)| (service, at(service, port))).collect(),
            network: None,
            second: BTreeMap::new(),
        }
    }

    /// Where the first replica of a service listens for others.
    pub fn inside(&self, service: &str) -> SocketAddr {
        self.inside[service][0]
    }

    /// The settings of a service, beside those of the installation.
    fn settings(
        &self,
        service: &str,
        replica: usize,
        public: SocketAddr,
        management: SocketAddr,
    ) -> BTreeMap<String, String> {
        let certificates = self.home.folder.join("certs").join(service);
        let mut settings = BTreeMap::new();
        let mut set = |name: &str, value: String| settings.insert(format!("COFFRE_{name}"), value);
        for (name, file) in [("CERT", "tls.crt"), ("KEY", "tls.key"), ("CA", "ca.crt")] {
            set(&format!("TLS__INTERNAL_{name}_FILE"), certificates.join(file).display().to_string());
        }
        for (other, name) in &self.names {
            set(&format!("SERVICES__{}", other.to_uppercase()), name.clone());
        }
        set("MANAGEMENT_ADDR", management.to_string());
        set("LAME_DUCK_SECONDS", "0.25".to_owned());
        if service == "gateway" {
            set("HTTP_ADDR", public.to_string());
        } else {
            set("GRPC_ADDR", public.to_string());
            set("INTERNAL_ADDR", self.inside[service][replica].to_string());
            set("KEYS_DIR", self.home.folder.join("keys-of").join(service).display().to_string());
        }
        if replica == 1 {
            settings.extend(self.second.clone());
        }
        settings
    }

    /// A service with its settings, for whoever changes some of them.
    pub fn command(&self, service: &'static str) -> Command {
        let [public, management] = free_addresses();
        command(&self.home, service, &self.settings(service, 0, public, management), None)
    }

    /// Starts one more process of a service that nobody calls, such as another gateway.
    pub fn another(&self, service: &'static str) -> Part {
        let part = Part::begin(self, service, 0);
        part.ready().unwrap_or_else(|said| panic!("{said}"));
        part
    }

    /// Starts every service, and waits until all are ready.
    pub fn start(&self) -> Server {
        for attempt in 0.. {
            match self.try_start() {
                Ok(server) => return server,
                // Somebody took one of the free ports before they did.
                Err(said) if attempt < 3 && said.to_lowercase().contains("in use") => {}
                Err(said) => panic!("{said}"),
            }
        }
        unreachable!()
    }

    fn try_start(&self) -> Result<Server, String> {
        let mut parts = vec![Part::begin(self, "gateway", 0)];
        for (service, addresses) in &self.inside {
            parts.extend((0..addresses.len()).map(|replica| Part::begin(self, service, replica)));
        }
        for part in &parts {
            part.ready()?;
        }
        // They started at the same time, in any order: each has found the others now.
        let begun = Instant::now();
        for part in &parts {
            while part.told().contains("degraded") {
                if begun.elapsed() > START_WITHIN {
                    let said: String = parts.iter().map(|part| part.process().said()).collect();
                    return Err(format!("{}: {}\n{said}", part.service, part.told()));
                }
                for part in &parts {
                    part.ready()?;
                }
                sleep(Duration::from_millis(10));
            }
        }
        Ok(Server::of_parts(self.home.clone(), parts))
    }
}

/// Stops every service, those that others tell something last: who cannot hand over what he recorded waits for a while.
///
/// # Panics
/// Where one does not end with 0.
pub fn stop(server: &Server) {
    for service in ["gateway", "vault", "locker", "auth", "audit"] {
        for part in server.parts.iter().filter(|part| part.service == service) {
            let process = part.process();
            assert!(process.stop().success(), "{service} stops cleanly: {}", process.said());
        }
    }
}

/// The one split installation that most cases share: two replicas of each service, which take turns.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Ground::of_two(Home::new(Engine::Postgres)).start())
}

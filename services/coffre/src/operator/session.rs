//! The way to the server, and who asks.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use coffre_channel::{Answer, Channel, Request, ResponseFuture};
use coffre_proto::audit::v1::audit_service_client::AuditServiceClient;
use coffre_proto::audit::v1::proof_service_client::ProofServiceClient;
use coffre_proto::auth::v1::authentication_service_client::AuthenticationServiceClient;
use coffre_proto::auth::v1::{RefreshTokenRequest, SignInRequest, SignOutRequest};
use coffre_proto::vault::v1::key_service_client::KeyServiceClient;
use coffre_proto::vault::v1::value_seal_service_client::ValueSealServiceClient;
use coffre_secret::SecretText;
use coffre_types::{Clock as _, SystemClock, Timestamp};
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Uri};
use tower::ServiceExt as _;

use super::args::Connection;
use super::fault::Fault;
use super::secrets::Typed;
use crate::settings::read_secret;

/// How long a call may take: a key that people type is stretched for a second, and others may wait before us.
const DEADLINE: Duration = Duration::from_secs(30);
/// The largest answer that is taken: a list of as many entries as one may ask for.
const ANSWER_BYTES: usize = 512 * 1024 * 1024;
/// After this a token is renewed whose life is not known; it lives at least a minute.
const RENEWED_AFTER: Duration = Duration::from_secs(45);

/// A signed-in operator.
pub(crate) struct Session {
    channel: Channel,
    address: String,
    token: SecretText,
    renew_at: Instant,
    /// It was opened here and is closed here.
    ours: bool,
}

impl Session {
    /// Takes the token of the file, or asks for user and password.
    pub(crate) async fn open(connection: &Connection, typed: &mut impl Typed) -> Result<Self, Fault> {
        let channel = channel(&connection.addr, connection.ca_file.as_deref())?;
        Self::over(channel, connection, typed).await
    }

    /// The same, over a channel.
    pub(crate) async fn over(channel: Channel, connection: &Connection, typed: &mut impl Typed) -> Result<Self, Fault> {
        let address = connection.addr.clone();
        if let (None, Some(path)) = (&connection.user, &connection.token_file) {
            let token = read_secret(path).map_err(|error| Fault::nobody(format!("{error:#}")))?;
            return Ok(Self { channel, address, token, renew_at: renewal(None), ours: false });
        }
        let no_terminal = |error: std::io::Error| {
            Fault::nobody(format!(
                "nobody can be asked for user and password ({error}): name a file with a token in COFFRE_TOKEN_FILE or --token-file"
            ))
        };
        let username = match &connection.user {
            Some(name) => name.clone(),
            None => typed.line("User: ").map_err(no_terminal)?,
        };
        let password = typed.secret(&format!("Password of {username}: ")).map_err(no_terminal)?;
        let mut request = tonic::Request::new(SignInRequest {
            username,
            password: password.into_exposed(),
            ..SignInRequest::default()
        });
        request.set_timeout(DEADLINE);
        let signed_in = AuthenticationServiceClient::new(channel.clone()).sign_in(request).await;
        let signed_in = signed_in.map_err(|status| Fault::of(&status, &address))?.into_inner();
        let renew_at = renewal(signed_in.expire_time);
        Ok(Self { channel, address, token: SecretText::new(signed_in.token), renew_at, ours: true })
    }

    /// Returns the client of the vault's keys.
    pub(crate) fn keys(&self) -> KeyServiceClient<Channel> {
        KeyServiceClient::new(self.channel.clone())
    }

    /// Returns the client of the audit's entries.
    pub(crate) fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    /// Returns the client of the audit's proofs.
    pub(crate) fn proofs(&self) -> ProofServiceClient<Channel> {
        ProofServiceClient::new(self.channel.clone())
    }

    /// Returns the client of the stored values' seals.
    pub(crate) fn value_seals(&self) -> ValueSealServiceClient<Channel> {
        ValueSealServiceClient::new(self.channel.clone())
    }

    /// Returns when the token is to be renewed: whoever waits for longer calls [`Self::keep`] then.
    pub(crate) fn renew_at(&self) -> Instant {
        self.renew_at
    }

    /// Wraps a message with the token.
    pub(crate) fn request<T>(&self, message: T) -> Result<tonic::Request<T>, Fault> {
        let mut request = self.lasting_request(message)?;
        request.set_timeout(DEADLINE);
        Ok(request)
    }

    /// The same for an answer that goes on.
    pub(crate) fn lasting_request<T>(&self, message: T) -> Result<tonic::Request<T>, Fault> {
        let mut value = MetadataValue::try_from(format!("Bearer {}", self.token.expose()))
            .map_err(|_| Fault::nobody("the token is not one of ours: sign in again"))?;
        value.set_sensitive(true);
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }

    /// Says what went wrong with a call.
    pub(crate) fn fault(&self, status: &tonic::Status) -> Fault {
        Fault::of(status, &self.address)
    }

    /// Renews the token before it expires, for commands that go on for long.
    pub(crate) async fn keep(&mut self) -> Result<(), Fault> {
        if Instant::now() < self.renew_at {
            return Ok(());
        }
        let request = self.request(RefreshTokenRequest { token: self.token.expose().to_owned() })?;
        let mut client = AuthenticationServiceClient::new(self.channel.clone());
        let renewed = client.refresh_token(request).await.map_err(|status| self.fault(&status))?.into_inner();
        (self.token, self.renew_at) = (SecretText::new(renewed.token), renewal(renewed.expire_time));
        Ok(())
    }

    /// Ends the session where it was opened here. That it could not be ended is no fault: it ends by itself.
    pub(crate) async fn close(self) {
        if !self.ours {
            return;
        }
        if let Ok(request) = self.request(SignOutRequest::default()) {
            let _ = AuthenticationServiceClient::new(self.channel.clone()).sign_out(request).await;
        }
    }
}

/// Returns when a token is renewed: after half of its life.
fn renewal(expire_time: Option<prost_types::Timestamp>) -> Instant {
    let left = expire_time.map(|time| Timestamp::from_proto(time).micros() - SystemClock.now().micros());
    let half = left.and_then(|left| u64::try_from(left / 2).ok()).map(Duration::from_micros);
    // A clock that goes wrong here makes it early or late, never a day.
    Instant::now() + half.unwrap_or(RENEWED_AFTER).clamp(RENEWED_AFTER, Duration::from_secs(600))
}

/// Where machines keep the authorities that everybody trusts: Debian, Red Hat, SUSE, Alpine.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Leads to the server. Keys and passwords do not leave the machine in the clear.
fn channel(address: &str, ca_file: Option<&Path>) -> Result<Channel, Fault> {
    channel_trusting(address, ca_file.or_else(|| AUTHORITIES.into_iter().map(Path::new).find(|path| path.exists())))
}

/// The same, trusting the authorities of a file and no others.
fn channel_trusting(address: &str, ca_file: Option<&Path>) -> Result<Channel, Fault> {
    let full = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let wrong = |why: &str| Fault::failed(format!("the address {address}: {why} (COFFRE_ADDR, --addr)"));
    let uri: Uri = full.parse().map_err(|_| wrong("is no address; it is written http://127.0.0.1:50051"))?;
    let host = uri.host().unwrap_or_default();
    match uri.scheme_str() {
        Some("http") if is_loopback(host) => {
            Channel::connect(full).map_err(|_| wrong("is no address; it is written http://127.0.0.1:50051"))
        }
        Some("http") => Err(wrong(
            "leads to another machine, and keys would travel there in the clear: use https://, or run the command on the server's machine",
        )),
        Some("https") => {
            let Some(path) = ca_file else {
                return Err(wrong(
                    "needs the authorities that vouch for it, and this machine has none: name them with --ca-file",
                ));
            };
            let pem = std::fs::read(path)
                .map_err(|error| Fault::failed(format!("{} cannot be read: {error}", path.display())))?;
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            let endpoint = Endpoint::from(uri)
                .connect_timeout(Duration::from_secs(10))
                .tls_config(tls)
                .map_err(|_| Fault::failed(format!("{} holds no certificates in PEM", path.display())))?;
            Ok(Channel::new(Tls(endpoint.connect_lazy())))
        }
        _ => Err(wrong("begins with neither http:// nor https://")),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

struct Tls(tonic::transport::Channel);

impl Answer for Tls {
    fn answer(&self, request: Request) -> ResponseFuture {
        let answered = self.0.clone().oneshot(request);
        Box::pin(async move { answered.await.map_err(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_after_half_of_its_life() {
        let after = |seconds: i64| {
            let expire_time = SystemClock.now().micros() / 1_000_000 + seconds;
            let timestamp = prost_types::Timestamp { seconds: expire_time, nanos: 0 };
            renewal(Some(timestamp)).duration_since(Instant::now()).as_secs()
        };
        assert!((590..=600).contains(&after(1200)));
        assert!((44..=45).contains(&after(60)));
        assert!((44..=45).contains(&after(-60)));
        assert!((590..=600).contains(&after(86_400)));
    }

    #[tokio::test]
    async fn keys_do_not_leave_the_machine_in_the_clear() {
        for address in ["127.0.0.1:50051", "http://127.0.0.1:50051", "http://localhost:1", "http://[::1]:50051"] {
            assert!(channel(address, None).is_ok(), "{address}");
        }
        for address in ["http://vault.example.org:50051", "10.0.0.7:50051", "http://127.0.0.1.example.org"] {
            let refused = channel(address, None).err().unwrap().to_string();
            assert!(refused.contains("in the clear"), "{address}: {refused}");
        }
    }

    #[tokio::test]
    async fn an_address_that_is_none_says_what_to_write() {
        for (address, said) in [
            ("", "127.0.0.1:50051"),
            ("http://", "127.0.0.1:50051"),
            ("ftp://127.0.0.1", "https://"),
            ("https://vault.example.org", "--ca-file"),
        ] {
            let refused = channel_trusting(address, None).err().unwrap().to_string();
            assert!(refused.contains(said) && refused.contains("COFFRE_ADDR"), "{address}: {refused}");
        }
        let absent = channel("https://vault.example.org", Some(Path::new("/nowhere/ca.pem"))).err().unwrap();
        assert!(absent.to_string().contains("/nowhere/ca.pem"), "{absent}");
    }
}

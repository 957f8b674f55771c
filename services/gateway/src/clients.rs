//! One client a service.

use coffre_channel::Channel;
use coffre_proto::audit::v1::audit_service_client::AuditServiceClient;
use coffre_proto::audit::v1::proof_service_client::ProofServiceClient;
use coffre_proto::auth::v1::api_access_service_client::ApiAccessServiceClient;
use coffre_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use coffre_proto::auth::v1::authentication_service_client::AuthenticationServiceClient;
use coffre_proto::auth::v1::o_auth_service_client::OAuthServiceClient;
use coffre_proto::auth::v1::role_service_client::RoleServiceClient;
use coffre_proto::auth::v1::user_service_client::UserServiceClient;
use coffre_proto::locker::v1::locker_service_client::LockerServiceClient;
use coffre_proto::vault::v1::attribute_value_service_client::AttributeValueServiceClient;
use coffre_proto::vault::v1::credential_service_client::CredentialServiceClient;
use coffre_proto::vault::v1::dashboard_service_client::DashboardServiceClient;
use coffre_proto::vault::v1::key_service_client::KeyServiceClient;

use crate::receipts::receipted;

/// The largest answer of a service: a list of 100 000 rows fits.
const ANSWER_BYTES: usize = 512 * 1024 * 1024;

/// Where the services behind the gateway are.
#[derive(Clone)]
pub struct Channels {
    /// Leads to users, roles and sessions.
    pub auth: Channel,
    /// Leads to credentials and their values.
    pub vault: Channel,
    /// Leads to lockers.
    pub locker: Channel,
    /// Leads to the audit.
    pub audit: Channel,
    /// Leads to the internal routes of the audit: there the gateway reports what it refuses itself.
    pub intake: Channel,
}

/// The services behind the gateway. Clones share the connections.
#[derive(Clone)]
pub struct Clients(Channels);

impl Clients {
    /// Calls the services over these channels.
    #[must_use]
    pub fn new(channels: Channels) -> Self {
        let Channels { auth, vault, locker, audit, intake } = channels;
        let [auth, vault, locker, audit] = [auth, vault, locker, audit].map(receipted);
        Self(Channels { auth, vault, locker, audit, intake })
    }

    /// Returns where the gateway's own refusals are reported.
    pub(crate) fn intake(&self) -> Channel {
        self.0.intake.clone()
    }

    pub(crate) fn authentication(&self) -> AuthenticationServiceClient<Channel> {
        AuthenticationServiceClient::new(self.0.auth.clone())
    }

    pub(crate) fn oauth(&self) -> OAuthServiceClient<Channel> {
        OAuthServiceClient::new(self.0.auth.clone())
    }

    pub(crate) fn api_accesses(&self) -> ApiAccessServiceClient<Channel> {
        ApiAccessServiceClient::new(self.0.auth.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    pub(crate) fn api_keys(&self) -> ApiKeyServiceClient<Channel> {
        ApiKeyServiceClient::new(self.0.auth.clone())
    }

    pub(crate) fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.0.auth.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    pub(crate) fn roles(&self) -> RoleServiceClient<Channel> {
        RoleServiceClient::new(self.0.auth.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    pub(crate) fn credentials(&self) -> CredentialServiceClient<Channel> {
        CredentialServiceClient::new(self.0.vault.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    pub(crate) fn values(&self) -> AttributeValueServiceClient<Channel> {
        AttributeValueServiceClient::new(self.0.vault.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    pub(crate) fn keys(&self) -> KeyServiceClient<Channel> {
        KeyServiceClient::new(self.0.vault.clone())
    }

    pub(crate) fn dashboard(&self) -> DashboardServiceClient<Channel> {
        DashboardServiceClient::new(self.0.vault.clone())
    }

    pub(crate) fn lockers(&self) -> LockerServiceClient<Channel> {
        LockerServiceClient::new(self.0.locker.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    pub(crate) fn proofs(&self) -> ProofServiceClient<Channel> {
        ProofServiceClient::new(self.0.audit.clone())
    }

    pub(crate) fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.0.audit.clone()).max_decoding_message_size(ANSWER_BYTES)
    }
}

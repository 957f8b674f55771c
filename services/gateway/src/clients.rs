//! One client a service.

use coffre_channel::Channel;
use coffre_proto::audit::v1::audit_service_client::AuditServiceClient;
use coffre_proto::auth::v1::authentication_service_client::AuthenticationServiceClient;
use coffre_proto::auth::v1::role_service_client::RoleServiceClient;
use coffre_proto::auth::v1::user_service_client::UserServiceClient;
use coffre_proto::vault::v1::attribute_value_service_client::AttributeValueServiceClient;
use coffre_proto::vault::v1::credential_service_client::CredentialServiceClient;
use coffre_proto::vault::v1::key_service_client::KeyServiceClient;

/// The largest answer of a service: a list of 100 000 rows fits.
const ANSWER_BYTES: usize = 512 * 1024 * 1024;

/// The services behind the gateway. Clones share the connections.
#[derive(Clone)]
pub struct Clients {
    auth: Channel,
    vault: Channel,
    audit: Channel,
    intake: Channel,
}

impl Clients {
    /// Calls the services over these channels; `intake` leads to the internal routes of the audit.
    #[must_use]
    pub fn new(auth: Channel, vault: Channel, audit: Channel, intake: Channel) -> Self {
        Self { auth, vault, audit, intake }
    }

    /// Returns where the gateway's own refusals are reported.
    pub(crate) fn intake(&self) -> Channel {
        self.intake.clone()
    }

    pub(crate) fn authentication(&self) -> AuthenticationServiceClient<Channel> {
        AuthenticationServiceClient::new(self.auth.clone())
    }

    pub(crate) fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.auth.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    pub(crate) fn roles(&self) -> RoleServiceClient<Channel> {
        RoleServiceClient::new(self.auth.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    pub(crate) fn credentials(&self) -> CredentialServiceClient<Channel> {
        CredentialServiceClient::new(self.vault.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    pub(crate) fn values(&self) -> AttributeValueServiceClient<Channel> {
        AttributeValueServiceClient::new(self.vault.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    pub(crate) fn keys(&self) -> KeyServiceClient<Channel> {
        KeyServiceClient::new(self.vault.clone())
    }

    pub(crate) fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.audit.clone()).max_decoding_message_size(ANSWER_BYTES)
    }
}

//! Programs that come through the token endpoint, and those who administer them.

use coffre_channel::Channel;
use coffre_error::Reason;
use coffre_proto::auth::v1::api_access_service_client::ApiAccessServiceClient;
use coffre_proto::auth::v1::o_auth_service_client::OAuthServiceClient;
use coffre_proto::auth::v1::*;
use coffre_proto::query::v1::Query;
use tonic::{Response, Status};

use crate::world::{As, BASIC_ROLE, World, password_of, reason};

/// An API access with its secret.
#[derive(Clone, Debug)]
pub struct Program {
    pub id: i64,
    pub client_id: String,
    pub secret: String,
}

impl Program {
    pub fn showing(&self, secret: &str) -> Self {
        Self { secret: secret.to_owned(), ..self.clone() }
    }

    pub fn named(&self, client_id: &str) -> Self {
        Self { client_id: client_id.to_owned(), ..self.clone() }
    }

    fn shown(&self) -> Option<ClientAuthentication> {
        let (client_id, client_secret) = (self.client_id.clone(), self.secret.clone());
        Some(ClientAuthentication { client_id, client_secret, basic: false })
    }
}

/// The fields of a program that may do everything.
pub fn access(client_id: &str) -> CreateApiAccessRequest {
    CreateApiAccessRequest {
        client_id: client_id.into(),
        password_grant: Some(true),
        client_credentials_grant: Some(true),
        ..CreateApiAccessRequest::default()
    }
}

pub fn change(id: i64) -> UpdateApiAccessRequest {
    UpdateApiAccessRequest { id, ..UpdateApiAccessRequest::default() }
}

pub fn minutes(minutes: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: minutes * 60, nanos: 0 })
}

impl World {
    /// Makes a program that may do everything, with a generated secret.
    pub async fn program(&self, client_id: &str) -> Program {
        self.program_of(access(client_id)).await
    }

    pub async fn program_of(&self, request: CreateApiAccessRequest) -> Program {
        let answer = self.admin().await.create_api_access(request).await.unwrap();
        let access = answer.api_access.unwrap();
        Program { id: access.id, client_id: access.client_id, secret: answer.client_secret }
    }

    /// Makes an operator, and a program that he has confirmed.
    pub async fn bound_program(&self, client_id: &str, operator: &str) -> (i64, Program) {
        let (id, user) = self.user(operator, &[BASIC_ROLE]).await;
        let program = self.program_of(CreateApiAccessRequest { operator_id: id, ..access(client_id) }).await;
        user.confirm(program.id).await.unwrap();
        (id, program)
    }

    /// Makes an operator and gives a program a token of his.
    pub async fn operator_with_token(&self, name: &str, program: &Program) -> (i64, TokenGrant) {
        let id = self.admin().await.create_user(name, &[BASIC_ROLE]).await.unwrap().id;
        (id, self.nobody().token(program, name).await.unwrap())
    }
}

type Answer<T> = Result<T, Reason>;

fn refused<T>(answer: Result<Response<T>, Status>) -> Answer<T> {
    answer.map(Response::into_inner).map_err(|status| reason(&status))
}

impl As {
    pub fn oauth(&self) -> OAuthServiceClient<Channel> {
        OAuthServiceClient::new(self.channel.clone())
    }

    pub fn api_accesses(&self) -> ApiAccessServiceClient<Channel> {
        ApiAccessServiceClient::new(self.channel.clone())
    }

    pub async fn try_token(&self, request: IssueTokenForPasswordRequest) -> Result<TokenGrant, Status> {
        let answer = self.oauth().issue_token_for_password(self.request(request)).await?;
        Ok(answer.into_inner().grant.unwrap())
    }

    /// A token with the password that tests give to a user.
    pub async fn token(&self, program: &Program, username: &str) -> Answer<TokenGrant> {
        self.try_token(asking(program, username, &password_of(username))).await.map_err(|status| reason(&status))
    }

    /// The same, by HTTP Basic.
    pub async fn token_by_basic(&self, program: &Program, username: &str) -> Answer<TokenGrant> {
        let mut request = asking(program, username, &password_of(username));
        request.client = request.client.map(|client| ClientAuthentication { basic: true, ..client });
        self.try_token(request).await.map_err(|status| reason(&status))
    }

    pub async fn try_renew(&self, program: &Program, refresh_token: &str) -> Result<TokenGrant, Status> {
        let request = IssueTokenForRefreshTokenRequest {
            client: program.shown(),
            refresh_token: refresh_token.into(),
            scope: String::new(),
        };
        let answer = self.oauth().issue_token_for_refresh_token(self.request(request)).await?;
        Ok(answer.into_inner().grant.unwrap())
    }

    pub async fn renew(&self, program: &Program, refresh_token: &str) -> Answer<TokenGrant> {
        self.try_renew(program, refresh_token).await.map_err(|status| reason(&status))
    }

    pub async fn token_of_its_own(&self, program: &Program) -> Answer<TokenGrant> {
        let request = IssueTokenForClientRequest { client: program.shown(), scope: String::new() };
        refused(self.oauth().issue_token_for_client(self.request(request)).await).map(|answer| answer.grant.unwrap())
    }

    pub async fn revoke(&self, program: &Program, token: &str) -> Answer<()> {
        let request = RevokeTokenRequest { client: program.shown(), token: token.into() };
        refused(self.oauth().revoke_token(self.request(request)).await).map(|_| ())
    }

    pub async fn introspect(&self, program: &Program, token: &str) -> Answer<IntrospectTokenResponse> {
        let request = IntrospectTokenRequest { client: program.shown(), token: token.into() };
        refused(self.oauth().introspect_token(self.request(request)).await)
    }

    pub async fn create_api_access(&self, request: CreateApiAccessRequest) -> Answer<CreateApiAccessResponse> {
        refused(self.api_accesses().create_api_access(self.request(request)).await)
    }

    pub async fn api_access(&self, id: i64) -> Answer<ApiAccess> {
        let answer = self.api_accesses().get_api_access(self.request(GetApiAccessRequest { id })).await;
        refused(answer).map(|answer| answer.api_access.unwrap())
    }

    pub async fn list_api_accesses(&self, query: Query) -> Answer<Vec<ApiAccess>> {
        let request = ListApiAccessesRequest { query: Some(query) };
        refused(self.api_accesses().list_api_accesses(self.request(request)).await).map(|answer| answer.api_accesses)
    }

    pub async fn update_api_access(&self, request: UpdateApiAccessRequest) -> Answer<UpdateApiAccessResponse> {
        refused(self.api_accesses().update_api_access(self.request(request)).await)
    }

    pub async fn delete_api_access(&self, id: i64) -> Answer<()> {
        let request = self.request(DeleteApiAccessRequest { id, etag: String::new() });
        refused(self.api_accesses().delete_api_access(request).await).map(|_| ())
    }

    /// Gives a program a new secret, generated, and returns it with that.
    pub async fn rotate(&self, program: &Program, grace_minutes: i64) -> Answer<Program> {
        let request = RotateApiAccessSecretRequest {
            id: program.id,
            grace_period: minutes(grace_minutes),
            ..RotateApiAccessSecretRequest::default()
        };
        self.rotate_to(request).await.map(|answer| program.showing(&answer.client_secret))
    }

    pub async fn rotate_to(&self, request: RotateApiAccessSecretRequest) -> Answer<RotateApiAccessSecretResponse> {
        refused(self.api_accesses().rotate_api_access_secret(self.request(request)).await)
    }

    pub async fn confirm(&self, id: i64) -> Answer<ApiAccess> {
        self.confirm_what_was_read(ConfirmApiAccessRequest { id, ..ConfirmApiAccessRequest::default() }).await
    }

    pub async fn confirm_what_was_read(&self, request: ConfirmApiAccessRequest) -> Answer<ApiAccess> {
        let answer = self.api_accesses().confirm_api_access(self.request(request)).await;
        refused(answer).map(|answer| answer.api_access.unwrap())
    }

    pub async fn withdraw(&self, id: i64) -> Answer<()> {
        let request = self.request(WithdrawApiAccessConfirmationRequest { id });
        refused(self.api_accesses().withdraw_api_access_confirmation(request).await).map(|_| ())
    }
}

/// Asks for a token with a password.
pub fn asking(program: &Program, username: &str, password: &str) -> IssueTokenForPasswordRequest {
    IssueTokenForPasswordRequest {
        client: program.shown(),
        username: username.into(),
        password: password.into(),
        scope: String::new(),
    }
}

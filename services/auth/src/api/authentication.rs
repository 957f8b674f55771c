//! `coffre.auth.v1.AuthenticationService`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffre_error::{Reason, Refusal};
use coffre_proto::auth::v1::authentication_service_server::AuthenticationService;
use coffre_proto::auth::v1::{
    ChangePasswordRequest, ChangePasswordResponse, GetJsonWebKeySetRequest, GetJsonWebKeySetResponse, JsonWebKey,
    RefreshTokenRequest, RefreshTokenResponse, SignInRequest, SignInResponse, SignOutRequest, SignOutResponse,
    ValidateTokenRequest, ValidateTokenResponse,
};
use coffre_rpc::CallContext;
use coffre_secret::SecretText;
use coffre_types::Name;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::{Authentication, convert, error};
use crate::domain::password::{self, PasswordChange};

#[tonic::async_trait]
impl AuthenticationService for Authentication {
    async fn sign_in(&self, request: Request<SignInRequest>) -> Result<Response<SignInResponse>, Status> {
        let call = CallContext::of(&request)?;
        let SignInRequest { username, password, api_key } = request.into_inner();
        let (password, api_key) = (bounded("password", password)?, bounded("api_key", api_key)?);
        if username.is_empty() {
            return Err(Refusal::invalid("username", "must not be empty").into());
        }
        if username.chars().count() > Name::MAX_CHARACTERS {
            return Err(Refusal::invalid("username", "must have at most 255 characters").into());
        }
        let (address, record) = (call.client_address(), call.record());
        let signed_in = match (password.expose().is_empty(), api_key.expose().is_empty()) {
            (false, true) => self.0.sign_in(&username, &password, address, record).await,
            (true, false) => self.0.sign_in_with_key(&username, &api_key, address, record).await,
            (true, true) => return Err(Refusal::invalid("password", "is required, or an API key in its place").into()),
            (false, false) => {
                return Err(Refusal::invalid("api_key", "takes the place of the password; send one of them").into());
            }
        }
        .map_err(error::of_sign_in)?;
        Ok(Response::new(SignInResponse {
            token: signed_in.token,
            expire_time: Some(signed_in.expires.to_proto()),
            user: Some(convert::to_user(signed_in.user)),
        }))
    }

    async fn validate_token(
        &self,
        request: Request<ValidateTokenRequest>,
    ) -> Result<Response<ValidateTokenResponse>, Status> {
        let call = CallContext::of(&request)?;
        let token = SecretText::new(request.into_inner().token);
        let valid = self.0.validate(token.expose(), call.record()).await.map_err(error::of_session)?;
        Ok(Response::new(ValidateTokenResponse { valid }))
    }

    async fn refresh_token(
        &self,
        request: Request<RefreshTokenRequest>,
    ) -> Result<Response<RefreshTokenResponse>, Status> {
        let call = CallContext::of(&request)?;
        let token = SecretText::new(request.into_inner().token);
        let (token, expires) = self.0.refresh(token.expose(), call.record()).await.map_err(error::of_session)?;
        Ok(Response::new(RefreshTokenResponse { token, expire_time: Some(expires.to_proto()) }))
    }

    async fn sign_out(&self, request: Request<SignOutRequest>) -> Result<Response<SignOutResponse>, Status> {
        let call = CallContext::of(&request)?;
        let from_metadata = bearer(request.metadata())?.map(|token| SecretText::new(token.to_owned()));
        let from_body = SecretText::new(request.into_inner().token);
        let token = match from_metadata {
            Some(token) if from_body.expose().is_empty() || token.expose() == from_body.expose() => token,
            Some(_) => return Err(two_tokens().into()),
            None => from_body,
        };
        self.0.sign_out(token.expose(), call.record()).await.map_err(error::of_session)?;
        Ok(Response::new(SignOutResponse {}))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        let call = CallContext::of(&request)?;
        let ChangePasswordRequest { old_password, new_password, revoke_other_access } = request.into_inner();
        let old = bounded("old_password", old_password)?;
        let change = PasswordChange { old, new: SecretText::new(new_password), revoke_other_access };
        self.0
            .change_password(call.caller()?, &change, call.client_address(), call.record())
            .await
            .map_err(error::of_password)?;
        Ok(Response::new(ChangePasswordResponse {}))
    }

    async fn get_json_web_key_set(
        &self,
        _: Request<GetJsonWebKeySetRequest>,
    ) -> Result<Response<GetJsonWebKeySetResponse>, Status> {
        let keys = self.0.signer.public();
        let keys = keys.iter().map(|key| JsonWebKey {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: URL_SAFE_NO_PAD.encode(&key.bytes),
            kid: key.kid.clone(),
            alg: "EdDSA".to_owned(),
            r#use: "sig".to_owned(),
        });
        Ok(Response::new(GetJsonWebKeySetResponse { keys: keys.collect() }))
    }
}

/// Refuses a password or a key that is longer than any may be, before anything is computed.
fn bounded(field: &'static str, password: String) -> Result<SecretText, Refusal> {
    let password = SecretText::new(password);
    if password.len_bytes() > password::MAX_BYTES {
        return Err(Refusal::invalid(field, format!("must have at most {} bytes", password::MAX_BYTES)));
    }
    Ok(password)
}

fn two_tokens() -> Refusal {
    Refusal::new(
        Reason::AuthTokenConflict,
        "the request names two tokens (in the authorization metadata, in the body); send one, or the same in both",
    )
}

/// Returns the token of the metadata. The layers leave it to us here: it may have expired.
fn bearer(metadata: &MetadataMap) -> Result<Option<&str>, Refusal> {
    let mut values = metadata.get_all("authorization").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(two_tokens());
    }
    match value.to_str().unwrap_or_default().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Refusal::new(Reason::AuthTokenInvalid, "the authorization metadata takes the form `Bearer <token>`")),
    }
}

//! What was issued for a minute has ended with it: the second half of `aa_minute`, late enough by its name that nobody waits.

use std::sync::PoisonError;
use std::time::Duration;

use coffre_e2e::api::{Protocol, Session};
use coffre_e2e::case::run;
use coffre_e2e::server::Engine;

use crate::aa_minute::{ISSUED, issue, name};

fn end(engine: Engine) {
    run(engine, Protocol::Rest, async |case| {
        let issued = ISSUED.lock().unwrap_or_else(PoisonError::into_inner).remove(name(engine));
        let it = match issued {
            Some(issued) => issued,
            None => issue(case).await,
        };
        // Sixty-one seconds after all the others are as good as over.
        tokio::time::sleep_until((it.at + Duration::from_secs(61)).into()).await;
        let anonymous = case.anonymous();
        let program = Session { api: case.api.clone(), ..it.operator.with_token(&it.grant.access_token) };
        program.list_credentials(&Default::default()).await.refused(401, "auth.token_invalid");
        program.dashboard().await.refused(401, "auth.token_invalid");
        assert!(!anonymous.introspect(&it.short, &it.grant.access_token).await.ok().active);
        assert!(!anonymous.introspect(&it.short, it.grant.refresh()).await.ok().active);
        anonymous.token_for_refresh(&it.short, it.grant.refresh()).await.refused(400, "oauth.invalid_grant");
        let [old, new] = &it.rotated;
        anonymous.introspect(old, "x").await.refused(401, "oauth.invalid_client");
        assert!(!anonymous.introspect(new, "x").await.ok().active);
        // The token before the last is given its pair again for ten seconds; after them it is a copy.
        let last = Session { api: case.api.clone(), ..it.operator.with_token(&it.second.access_token) };
        last.list_credentials(&Default::default()).await.ok();
        anonymous.token_for_refresh(&it.long, it.first.refresh()).await.refused(400, "oauth.invalid_grant");
        anonymous.token_for_refresh(&it.long, it.second.refresh()).await.refused(400, "oauth.invalid_grant");
        crate::cases::oauth_ends::is_refused_everywhere(&last).await;
    });
}

#[test]
fn is_over_on_sqlite() {
    end(Engine::Sqlite);
}

#[test]
fn is_over_on_postgres() {
    end(Engine::Postgres);
}

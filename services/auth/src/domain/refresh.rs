//! Families of refresh tokens. One row, the session, is a family: its tokens are derived, and only the number of the newest is stored.
//!
//! ```text
//! opened ──▶ open ◀─┬─ the newest is shown: number + 1, and a new pair
//!             │     └─ the one before it, within 10 s of the newest: the pair of the newest once more
//!             ├── any other of its tokens is shown ──▶ ended, and every token of it
//!             └── its absolute end, the client's or the operator's ──▶ ended
//! ```
//!
//! The client is asked first who it is: what a foreign client shows changes nothing. Nor does a token whose MAC is wrong: it never was one.
//! Many who show the newest at once meet at the row: one raises the number, the others find themselves one behind, within 10 s.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::{CallRecord, audited_write};
use coffre_db::Connection;
use coffre_types::{ApiAccessId, Timestamp};

use super::client::{Client, ShownClient};
use super::grants::{Issued, Pair, check_scope};
use super::oauth_error::OAuthError;
use super::secret_text::RefreshTokenText;
use super::session::{Refresh, Standing};
use super::{Auth, ClientAddress};
use crate::secrets::RefreshMacs;
use crate::store::changes::{self, Subject};
use crate::store::sessions;

/// How long the answer to the last refresh is given again.
const REPEATED_FOR: Duration = Duration::from_secs(10);

/// What is to be done with a refresh token that is one of its family's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is the newest.
    Next,
    /// Its successor was given a moment ago and not used.
    Again,
    /// It was used up.
    UsedUp,
}

/// Judges a token by its number.
pub(super) fn judge(newest: Refresh, shown: i64, now: Timestamp) -> Verdict {
    // Two clocks may differ by a little; one that was set back by more proves nothing about what was a moment ago.
    let moment_ago = now.since(newest.issued_at) <= REPEATED_FOR && newest.issued_at.since(now) <= REPEATED_FOR;
    match newest.generation.checked_sub(shown) {
        Some(0) => Verdict::Next,
        Some(1) if moment_ago => Verdict::Again,
        _ => Verdict::UsedUp,
    }
}

/// A refresh token whose family holds, with what stands behind it.
pub(super) struct Shown {
    pub(super) standing: Standing,
    pub(super) newest: Refresh,
    pub(super) verdict: Verdict,
}

/// Why a refresh token counts for nothing, for the audit alone.
pub(super) type Cause = &'static str;

/// Reads what stands behind a refresh token of a client.
pub(super) fn look(
    conn: &mut Connection,
    macs: &RefreshMacs,
    access: ApiAccessId,
    token: &RefreshTokenText,
    now: Timestamp,
) -> Result<Result<Shown, Cause>, coffre_db::Error> {
    let Some(standing) = sessions::standing(conn, token.session, None, now)? else { return Ok(Err("ended")) };
    let Some(newest) = standing.refresh else { return Ok(Err("not a refresh token of this session")) };
    if standing.api_access != Some(access) {
        return Ok(Err("of another client"));
    }
    let mac = macs.mac(token.session, standing.user_id, access, token.generation);
    if !coffre_secret::equal(&mac, &token.mac) {
        return Ok(Err("forged"));
    }
    if standing.password_change_required {
        return Ok(Err("password change pending"));
    }
    let verdict = judge(newest, token.generation, now);
    Ok(Ok(Shown { standing, newest, verdict }))
}

impl Auth {
    /// Renews a token.
    pub(crate) async fn token_for_refresh_token(
        &self,
        shown: ShownClient,
        refresh_token: &str,
        scope: &str,
        address: ClientAddress,
        record: &Arc<CallRecord>,
    ) -> Result<Issued, OAuthError> {
        let allows = |client: &Client| client.access.refresh_grant;
        let client = self.client_for(shown, "refresh_token", allows, address, record).await?;
        check_scope(scope)?;
        let refused = |cause: Cause| {
            record.detail("cause", cause);
            OAuthError::GrantInvalid
        };
        let token = RefreshTokenText::parse(refresh_token).ok_or_else(|| refused("not a refresh token"))?;
        let now = self.now();
        let (macs, access) = (self.secrets.refresh_macs().clone(), client.access.id);
        let seen = self.database.read(move |conn| look(conn, &macs, access, &token, now)).await?;
        let seen = seen.map_err(refused)?;
        record.actor(seen.standing.user_id, seen.standing.username.as_str(), Some(seen.standing.session_id));
        record.object("session", seen.standing.session_id, seen.standing.username.clone());
        let done = match seen.verdict {
            Verdict::Next => self.renewed(client, token, record).await?,
            Verdict::Again => {
                record.detail("repeated", "true");
                Ok(newest_pair(&seen.standing, access, seen.newest))
            }
            Verdict::UsedUp => Err("used up"),
        };
        match done {
            Ok(pair) => Ok(self.pair(&pair, now)?),
            Err(cause) => {
                self.end_family(&token).await?;
                Err(refused(cause))
            }
        }
    }

    /// Uses the newest token up, unless somebody was faster.
    async fn renewed(
        &self,
        client: Client,
        token: RefreshTokenText,
        record: &Arc<CallRecord>,
    ) -> Result<Result<Pair, Cause>, OAuthError> {
        let (now, macs, recorded) = (self.now(), self.secrets.refresh_macs().clone(), record.clone());
        let renewed = audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            let access = client.again(conn, now)?.ok_or(Refused::Client)?;
            let seen = look(conn, &macs, access.id, &token, now)?.map_err(Refused::Grant)?;
            let standing = &seen.standing;
            recorded.detail("grant", "refresh_token");
            match seen.verdict {
                Verdict::Again => {
                    recorded.detail("repeated", "true");
                    Ok(newest_pair(standing, access.id, seen.newest))
                }
                Verdict::UsedUp => Err(Refused::UsedUp),
                Verdict::Next => {
                    let generation = seen.newest.generation + 1;
                    let next = Refresh { generation, issued_at: now, life: access.access_token_life };
                    if !sessions::refreshed(conn, standing.session_id, next)? {
                        return Err(coffre_db::Error::Retryable.into());
                    }
                    Ok(newest_pair(standing, access.id, next))
                }
            }
        })
        .await;
        match renewed {
            Ok(pair) => Ok(Ok(pair)),
            Err(Refused::UsedUp) => Ok(Err("used up")),
            Err(Refused::Client) => Err(OAuthError::ClientInvalid),
            Err(Refused::Grant(cause)) => {
                record.detail("cause", cause);
                Err(OAuthError::GrantInvalid)
            }
            Err(Refused::Store(error)) => Err(error.into()),
        }
    }

    /// Ends a family. It is committed by itself: the call is refused, and its end stands.
    async fn end_family(&self, token: &RefreshTokenText) -> Result<(), OAuthError> {
        let (session, now) = (token.session, self.now());
        self.database
            .write(move |tx| {
                if sessions::end(tx.conn(), session, now)? {
                    changes::record(tx.conn(), Subject::Session(session), now)?;
                }
                Ok::<_, coffre_db::Error>(())
            })
            .await?;
        self.hub.poke();
        Ok(())
    }
}

fn newest_pair(standing: &Standing, access: ApiAccessId, newest: Refresh) -> Pair {
    Pair {
        session: standing.session_id,
        user: standing.user_id,
        epoch: standing.epoch,
        access,
        life: newest.life,
        session_end: standing.expires_at,
        generation: newest.generation,
        refreshable: true,
        issued: newest.issued_at,
    }
}

/// Why a transaction renewed nothing.
enum Refused {
    Client,
    Grant(Cause),
    UsedUp,
    Store(coffre_db::Error),
}

impl From<coffre_db::Error> for Refused {
    fn from(error: coffre_db::Error) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn newest(issued_at: Timestamp) -> Refresh {
        Refresh { generation: 5, issued_at, life: Duration::from_secs(3600) }
    }

    #[test]
    fn the_newest_is_renewed_however_old_it_is() {
        for issued_at in [NOW, NOW.minus(Duration::from_secs(1_000_000)), NOW.plus(Duration::from_secs(1_000_000))] {
            assert_eq!(judge(newest(issued_at), 5, NOW), Verdict::Next);
        }
    }

    #[test]
    fn the_one_before_counts_for_ten_seconds() {
        let at = |ago| judge(newest(NOW.minus(Duration::from_millis(ago))), 4, NOW);
        assert_eq!((at(0), at(10_000), at(10_001)), (Verdict::Again, Verdict::Again, Verdict::UsedUp));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_a_moment_ago() {
        let ahead = |millis| judge(newest(NOW.plus(Duration::from_millis(millis))), 4, NOW);
        assert_eq!((ahead(10_000), ahead(10_001)), (Verdict::Again, Verdict::UsedUp));
    }

    #[test]
    fn any_other_number_was_used_up() {
        for shown in [3, 0, -1, 6, i64::MIN, i64::MAX] {
            assert_eq!(judge(newest(NOW), shown, NOW), Verdict::UsedUp, "{shown}");
        }
    }
}

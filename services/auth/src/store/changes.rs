//! What changes: which numbered changes auth records.

use coffre_changes::provider::{self, Columns};
use coffre_types::{ApiAccessId, RoleId, SessionId, UserId};

pub(crate) use coffre_changes::provider::log::{KEPT, prune, record};

/// What watchers have to forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    Session(SessionId),
    User(UserId),
    Role(RoleId),
    Keys,
    ApiAccess(ApiAccessId),
}

impl provider::Subject for Subject {
    fn columns(&self) -> Columns {
        match self {
            Self::Session(session) => {
                Columns { kind: 1, subject_id: None, session_id: Some(session.uuid().as_bytes().to_vec()) }
            }
            Self::User(user) => Columns { kind: 2, subject_id: Some(user.get()), session_id: None },
            Self::Role(role) => Columns { kind: 3, subject_id: Some(role.get()), session_id: None },
            Self::Keys => Columns { kind: 4, subject_id: None, session_id: None },
            Self::ApiAccess(access) => Columns { kind: 5, subject_id: Some(access.get()), session_id: None },
        }
    }

    fn from_columns(columns: &Columns) -> Option<Self> {
        let session = columns.session_id.as_deref().and_then(SessionId::from_bytes);
        match (columns.kind, columns.subject_id, session) {
            (1, _, Some(session)) => Some(Self::Session(session)),
            (2, Some(user), _) => Some(Self::User(UserId::from_trusted(user))),
            (3, Some(role), _) => Some(Self::Role(RoleId::from_trusted(role))),
            (4, _, _) => Some(Self::Keys),
            (5, Some(access), _) => Some(Self::ApiAccess(ApiAccessId::from_trusted(access))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use coffre_changes::provider::Subject as _;

    use super::*;

    #[test]
    fn every_subject_is_read_back_as_it_was_written() {
        let session = SessionId::new(uuid::Uuid::from_u128(7));
        let all = [
            Subject::Session(session),
            Subject::User(UserId::from_trusted(1)),
            Subject::Role(RoleId::from_trusted(2)),
            Subject::Keys,
            Subject::ApiAccess(ApiAccessId::from_trusted(3)),
        ];
        for subject in all {
            assert_eq!(Subject::from_columns(&subject.columns()), Some(subject));
        }
        assert_eq!(Subject::from_columns(&Columns { kind: 6, ..Columns::default() }), None);
    }
}

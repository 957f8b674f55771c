//! `If-Match` and entity tags (RFC 9110, sections 8.8.3 and 13.1.1). Our tags are strong: the version in quotes.

use crate::Version;

/// A header that is not a list of entity tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("If-Match takes `*` or entity tags in double quotes, such as \"3\"")]
pub struct Malformed;

/// Returns the entity tag of a version.
#[must_use]
pub fn of(version: Version) -> String {
    format!("\"{version}\"")
}

/// Says whether a version satisfies an `If-Match` header. An empty header asks nothing; a weak tag never matches.
///
/// # Errors
/// [`Malformed`] where the header is neither `*` nor a list of entity tags.
pub fn matches(header: &str, version: Version) -> Result<bool, Malformed> {
    let header = header.trim();
    if header.is_empty() || header == "*" {
        return Ok(true);
    }
    let current = of(version);
    let mut matched = false;
    for tag in header.split(',') {
        let tag = tag.trim();
        let opaque = tag.strip_prefix("W/").unwrap_or(tag);
        let inner = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(Malformed)?;
        if inner.contains('"') {
            return Err(Malformed);
        }
        matched |= tag == current;
    }
    Ok(matched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strong_tags_match_their_version() {
        let version = Version::from_trusted(3);
        assert_eq!(matches("\"3\"", version), Ok(true));
        assert_eq!(matches("*", version), Ok(true));
        assert_eq!(matches("", version), Ok(true));
        assert_eq!(matches("\"1\", \"3\"", version), Ok(true));
        assert_eq!(matches("\"4\"", version), Ok(false));
        assert_eq!(matches("W/\"3\"", version), Ok(false));
        assert_eq!(matches("3", version), Err(Malformed));
        assert_eq!(matches("\"3", version), Err(Malformed));
    }
}

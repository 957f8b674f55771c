//! Secrets that are planted, to be found where they must not be.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// A text that occurs nowhere else.
#[derive(Clone, Debug)]
pub struct Canary(String);

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Canary {
    /// Makes one.
    #[must_use]
    pub fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(format!(
            "cAnArY-{:x}-{number}-{:x}",
            std::process::id(),
            u64::from(std::process::id()) * 0x9e37_79b9 + number
        ))
    }

    /// Returns the text to plant.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Says whether bytes hold it, as it is or in hexadecimal.
    #[must_use]
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        let hex: String = self.0.bytes().map(|byte| format!("{byte:02x}")).collect();
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        holds(self.0.as_bytes()) || holds(hex.as_bytes()) || holds(hex.to_uppercase().as_bytes())
    }

    /// Names the first file under a folder that holds it.
    #[must_use]
    pub fn find_under(&self, folder: &Path) -> Option<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).ok()?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                if let Some(found) = self.find_under(&path) {
                    return Some(found);
                }
            } else if std::fs::read(&path).is_ok_and(|bytes| self.is_in(&bytes)) {
                return Some(path);
            }
        }
        None
    }
}

impl Default for Canary {
    fn default() -> Self {
        Self::new()
    }
}

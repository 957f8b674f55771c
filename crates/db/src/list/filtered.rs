//! A filter without a page: for who reads the rows of a list in an order of its own.

use coffre_proto::query::v1::Filter;

use super::filter::Condition;
use super::{Error, Listing};
use crate::{Engine, Sql};

/// A checked filter of a list.
#[derive(Clone, Debug)]
pub struct Filtered(Condition);

impl Filtered {
    /// Returns the condition, on the columns of the list.
    pub fn sql(&self, engine: Engine) -> Sql {
        self.0.write(engine, Sql::empty())
    }

    /// Says whether every row matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        matches!(self.0, Condition::Always)
    }
}

impl Listing {
    /// Checks a filter.
    ///
    /// # Errors
    /// [`Error::FieldUnknown`], [`Error::Invalid`].
    pub fn filtered(&self, filter: Option<&Filter>) -> Result<Filtered, Error> {
        filter.map_or(Ok(Condition::Always), |filter| Condition::read(self, filter)).map(Filtered)
    }
}

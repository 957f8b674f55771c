//! The JSON pieces that all resources share: how a request is read, how ids, times and pages are written.

mod life;
mod list;
mod object;
mod reader;
mod written;

pub(crate) use life::{Life, read_life};
pub(crate) use list::{ListBody, Paged, read_query, whole_list};
pub(crate) use object::{Object, id_of, invalid, plain_id, plain_number, read_objects};
pub(crate) use reader::{Json, parse};
pub(crate) use written::{Id, Listed, Version, moment};

//! Rules of our own over what was rendered. Each returns sentences that say what is wrong; each has a test that breaks it.

pub(crate) mod compose;
pub(crate) mod monitoring;

mod availability;
mod entry;
mod network;
mod secrets;
mod settings;
mod workload;

#[cfg(test)]
mod sample;

use crate::deploy::facts::Facts;
use crate::deploy::object::Rendered;

/// Everything that is wrong with a folder.
pub(crate) fn breaches(rendered: &Rendered, facts: &Facts) -> Vec<String> {
    let rules: [fn(&Rendered, &Facts) -> Vec<String>; 6] = [
        workload::breaches,
        settings::breaches,
        secrets::breaches,
        network::breaches,
        availability::breaches,
        entry::breaches,
    ];
    rules.iter().flat_map(|rule| rule(rendered, facts)).collect()
}

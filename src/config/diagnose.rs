//! Findings made into diagnostics: each with its line and column, and of the line what may be seen.
//!
//! Apart from `read` and `draft`, which both end here. Left out: how a diagnostic is printed.

use toml::de::DeTable;

use super::diagnostic::{Diagnostic, Finding};
use super::excerpt::Private;
use super::source::Source;

/// What was found with lines and columns.
pub(super) fn diagnose(
    file_name: &str,
    source: &Source<'_>,
    root: &DeTable<'_>,
    list: Vec<Finding>,
) -> Vec<Diagnostic> {
    if list.is_empty() {
        return Vec::new();
    }
    let places: Vec<usize> = list
        .iter()
        .filter_map(|finding| finding.at.as_ref().map(|at| at.start))
        .collect();
    let private = Private::of(root, source, &places);
    list.into_iter()
        .map(|finding| finding.diagnose(file_name, source, &private))
        .collect()
}

//! Runs a row: round by round, and in each round for every build in its turn.
//!
//! A row does not know whom it is compared with, and of its round the number alone, for turns of its own. A panic of it
//! ends the row, not the run.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::bench::Bench;
use crate::figure::{Figure, Series};
use crate::pairs;
use crate::process::write_back;
use crate::rows::{Round, Row};

/// The figures of each build, in the order of [`Bench::builds`]; or why there are none.
pub(crate) type Measured = Result<Vec<Vec<Series>>, String>;

pub(crate) fn drive(bench: &mut Bench, row: &Row) -> Measured {
    let builds = bench.builds.clone();
    let mut pasts = Vec::new();
    for build in &builds {
        let past = row
            .past
            .map(|past| caught(bench, build.label, |bench| past(bench, build)))
            .transpose()?;
        pasts.push(past);
    }
    let mut figures: Vec<Vec<Vec<Figure>>> = vec![Vec::new(); builds.len()];
    for number in 0..bench.options.rounds(row) {
        let ceiling = row
            .ceiling
            .map(|ceiling| caught(bench, "", ceiling))
            .transpose()?;
        for at in pairs::order(number, builds.len()) {
            let round = Round {
                number,
                build: &builds[at],
                ceiling,
                past: pasts[at].as_deref(),
            };
            // What the other one left to be written is not to be this one's load.
            write_back();
            let measured = caught(bench, builds[at].label, |bench| {
                (row.measure)(bench, &round)
            })?;
            figures[at].push(measured);
        }
    }
    Ok(figures.into_iter().map(Series::collect).collect())
}

/// Runs a step with the notes it takes under a build's label; a panic becomes a reason.
fn caught<T>(
    bench: &mut Bench,
    label: &'static str,
    step: impl FnOnce(&mut Bench) -> T,
) -> Result<T, String> {
    bench.label = label;
    let ran = catch_unwind(AssertUnwindSafe(|| step(bench)));
    ran.map_err(|panic| match label {
        "" => reason(panic.as_ref()),
        label => format!("{label}: {}", reason(panic.as_ref())),
    })
}

fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic")
        .replace(['|', '\n'], " ")
}

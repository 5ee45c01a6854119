//! What `in_order` costs: a backlog in the order of ten thousand values, beside the same backlog in none.

use super::{Round, one};
use crate::bench::Bench;
use crate::figure::Figure;
use crate::measure::Load;

const VALUES: u64 = 10_000;

pub(crate) fn ordered(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let mut plain = Load::new(one(bench), bench.count(100_000, 20_000));
    plain.places = VALUES;
    let mut ordered = plain.clone();
    ordered.config.webhooks[0].order = Some("\"$.place\"".to_owned());
    let [plain, ordered] = [("in no order", &plain), ("in order", &ordered)].map(|(what, load)| {
        let (delivered, _) = bench.fresh_backlog(round.build, load, "info");
        bench.note(format!("{what}: {delivered}"));
        delivered
    });
    let [calls, pages] = ordered.written_of(&plain);
    vec![
        Figure::new(
            "in order of 10,000 values, of the rate in none",
            ordered.per_second / plain.per_second,
            "",
            2,
        )
        .at_least(0.8),
        calls,
        pages,
        plain.cpu("in no order"),
        ordered.cpu("in order"),
        ordered.peak("in order"),
    ]
}

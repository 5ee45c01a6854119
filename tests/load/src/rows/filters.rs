//! What `where` costs: a webhook with three rules, and a thousand webhooks with a filter each of which one
//! takes the event, beside one webhook without any.

use super::{Round, Webhook, one};
use crate::bench::Bench;
use crate::figure::Figure;
use crate::measure::Load;

/// Rules that hold for the bench's events, one of each cost: a string's beginning, nothing there, a denial.
const THREE: &str = "[ { path = \"$.text\", prefix = \"lorem ipsum\" }, \
    { path = \"$.origin.id\", exists = false }, { path = \"$.items[*].sku\", ne = \"x\" } ]";

pub(crate) fn filters(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let (webhooks, events) = (bench.count(1_000, 1_000), bench.count(100_000, 20_000));
    let plain = Load::new(one(bench), events);
    let mut three = plain.clone();
    three.config.webhooks[0].rules = Some(THREE.to_owned());
    let mut many = plain.clone();
    many.config.webhooks[0].rules =
        Some("[ { path = \"$.text\", prefix = \"lorem\" } ]".to_owned());
    many.config.webhooks.extend((1..webhooks).map(|n| {
        let mut webhook = Webhook::new(&format!("other-{n}"), bench.url("ok"), "tick");
        webhook.rules = Some(format!(
            "[ {{ path = \"$.text\", prefix = \"place-{n}\" }} ]"
        ));
        webhook
    }));
    let [plain, three, many] = [
        ("without", &plain),
        ("three rules", &three),
        ("a thousand webhooks", &many),
    ]
    .map(|(what, load)| {
        let (delivered, _) = bench.fresh_backlog(round.build, load, "info");
        bench.note(format!("{what}: {delivered}"));
        delivered
    });
    let of = |rate: f64| rate / plain.per_second;
    vec![
        Figure::new(
            "three rules, of the rate without",
            of(three.per_second),
            "",
            2,
        )
        .at_least(0.95),
        Figure::new(
            "a thousand webhooks, of the rate without",
            of(many.per_second),
            "",
            2,
        )
        .at_least(0.85),
        plain.cpu("without"),
        three.cpu("three rules"),
        many.cpu("a thousand webhooks"),
    ]
}

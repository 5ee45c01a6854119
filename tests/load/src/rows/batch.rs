//! What `batch` saves: a backlog in POSTs of up to 100 events beside the same backlog one by one, to the same
//! receiver, in the dialect that has batches.

use super::{Round, one};
use crate::bench::Bench;
use crate::figure::Figure;
use crate::measure::Load;

pub(crate) fn batch(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let mut single = Load::new(one(bench), bench.count(100_000, 20_000));
    single.config.webhooks[0].dialect = "openboxes-lift";
    let mut batched = single.clone();
    batched.config.webhooks[0].batch = Some("{ max_events = 100 }".to_owned());
    let [single, batched] =
        [("one by one", &single), ("batches of 100", &batched)].map(|(what, load)| {
            let (delivered, _) = bench.fresh_backlog(round.build, load, "info");
            let posts = bench.receiver.count().answered;
            bench.note(format!("{what}: {delivered}, {posts} POSTs"));
            delivered
        });
    let [calls, pages] = batched.written_of(&single);
    vec![
        Figure::new(
            "batches of 100, of the events/s one by one",
            batched.per_second / single.per_second,
            "",
            2,
        )
        .at_least(4.0),
        calls.at_most(0.5),
        pages,
        single.cpu("one by one"),
        batched.cpu("batches of 100"),
    ]
}

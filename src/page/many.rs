//! Deliveries that something is to be done with: which, how many, and the same as a command and as SQL.
//!
//! They are found twice, to be counted and to be done, and nothing is done where the two differ. Each is an order of its
//! own, so what was done is done, whenever it stops. There is a limit: beyond it the command does it, at the daemon's pace.

use std::collections::BTreeSet;

use super::act::Order;
use super::look::Trouble;
use super::{GiveOrder, Page, Source};
use crate::model::{AttemptId, DeliveryId, EventId, ReplayId, TimeWindow};
use crate::outbox::{Past, Row};
use crate::query::{self, Attempts};
use crate::store::{LogReader, Outcome, PendingPage, Replay};

/// The most deliveries that the page does something with at once: seconds of orders.
const MANY: usize = 500;

/// Attempts of a search that are looked through, and of those found that are looked at.
const LOOKED_THROUGH: usize = 50_000;
const FOUND: usize = 10_000;

/// Why something was not done: so many are told.
const TOLD: usize = 10;

/// Where one refusal follows the other the daemon is not asked further.
const IN_A_ROW: usize = 10;

/// What is done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// They are sent again.
    Redeliver,
    /// They are ended.
    Cancel,
}

impl Deed {
    /// By the last word of the address.
    pub(super) fn of(word: &str) -> Option<Self> {
        [Self::Redeliver, Self::Cancel]
            .into_iter()
            .find(|deed| deed.word() == word)
    }

    /// The word, which is the command's too.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Redeliver => "redeliver",
            Self::Cancel => "cancel",
        }
    }
}

/// Which deliveries are wanted: by their ids, by a search through the log, or all that is pending for a webhook.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub ids: Vec<i64>,
    pub search: Option<String>,
    pub webhook: Option<String>,
    /// Attempts below that one are searched, so that what is counted stays what is done.
    pub before: Option<AttemptId>,
    /// How many they were when they were counted.
    pub count: Option<usize>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The deliveries.
    pub ids: Vec<i64>,
    /// What was asked for.
    pub wanted: Wanted,
    /// Deliveries that were found and are left out, and why.
    pub left_out: Vec<(usize, &'static str)>,
    /// What is to be done with them ends them.
    pub cancels: bool,
    /// The search is one for what was delivered.
    pub asks_for_delivered: bool,
    /// There are more than the page does.
    pub too_many: bool,
    /// The search ended before the log did.
    pub is_bounded: bool,
    /// The command that does the same.
    pub command: String,
    /// The SQL, where there is one.
    pub sql: Option<String>,
    /// The mark of the form.
    pub once: String,
}

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Worked {
    pub done: usize,
    /// The first refusals, and how many there were.
    pub refused: Vec<(i64, String)>,
    pub refused_count: usize,
    /// Deliveries that were not tried any more.
    pub left: usize,
}

/// Finds them.
///
/// # Errors
/// The log can't be read, or the search is none.
pub(super) fn gathered(page: &Page, deed: Deed, wanted: &Wanted) -> Result<Gathered, Trouble> {
    let reader = page.reader()?;
    let mut found = Gathered {
        wanted: wanted.clone(),
        cancels: deed == Deed::Cancel,
        once: page.mark(),
        ..Gathered::default()
    };
    let candidates = if let Some(webhook) = wanted.webhook.as_ref().filter(|_| deed == Deed::Cancel)
    {
        pending(&*reader, webhook, &mut found)?
    } else if let Some(words) = &wanted.search {
        searched(page, words, &mut found)?
    } else {
        wanted.ids.iter().copied().collect()
    };
    let takes_delivered = wanted.search.is_none() || found.asks_for_delivered;
    let mut left_out = [0_usize; 5];
    for id in candidates {
        let row = reader.delivery(DeliveryId::new(id))?;
        let state = row.as_ref().map(|row| &*row.state);
        let out = match (deed, state) {
            (_, None) => Some(0),
            (Deed::Redeliver, Some("pending")) => Some(1),
            (Deed::Redeliver, Some("delivered")) if !takes_delivered => Some(2),
            (Deed::Redeliver, Some(_)) => {
                let again =
                    wanted.search.is_some() && reader.was_sent_again(DeliveryId::new(id))?;
                again.then_some(4)
            }
            (Deed::Cancel, Some("pending")) => None,
            (Deed::Cancel, Some(_)) => Some(3),
        };
        match out {
            Some(why) => left_out[why] += 1,
            None if found.ids.len() == MANY => found.too_many = true,
            None => found.ids.push(id),
        }
    }
    let why = [
        ["is no longer in the log", "are no longer in the log"],
        ["is still pending", "are still pending"],
        [
            "was delivered, which only outcome:delivered asks for,",
            "were delivered, which only outcome:delivered asks for,",
        ],
        ["has ended", "have ended"],
        ["was sent again already", "were sent again already"],
    ];
    let counted = left_out.into_iter().zip(why);
    let counted = counted.filter(|(count, _)| *count > 0);
    let counted = counted.map(|(count, [one, many])| (count, if count == 1 { one } else { many }));
    found.left_out = counted.collect();
    tell(deed, page.is_server(), &mut found);
    Ok(found)
}

/// The command and the SQL that do the same.
fn tell(deed: Deed, is_server: bool, found: &mut Gathered) {
    let ids: Vec<String> = found.ids.iter().map(ToString::to_string).collect();
    found.command = match &found.wanted.webhook {
        Some(webhook) if deed == Deed::Cancel => format!("webhooksd cancel --webhook {webhook}"),
        _ => format!("webhooksd {} {}", deed.word(), ids.join(" ")),
    };
    found.sql = (deed == Deed::Redeliver).then(|| {
        let ids = ids.join(", ");
        let schema = if is_server { "webhooksd." } else { "" };
        format!("INSERT INTO {schema}redelivery (delivery_id) SELECT id FROM {schema}delivery WHERE id IN ({ids});")
    });
}

/// Of what a search finds.
fn searched(page: &Page, words: &str, found: &mut Gathered) -> Result<BTreeSet<i64>, Trouble> {
    let reader = page.reader()?;
    let before = match found.wanted.before {
        Some(before) => before,
        None => AttemptId::new(reader.newest_id()?.get() + 1),
    };
    found.wanted.before = Some(before);
    let mut filter = query::search(words, page.now_ms(&*reader)?).map_err(Trouble::Wrong)?;
    found.asks_for_delivered = filter.outcome == Some(Outcome::Delivered);
    filter.before = Some(before);
    filter.looked_through = Some(LOOKED_THROUGH);
    let mut attempts = Attempts::new(reader, filter);
    let newest = attempts.newest(FOUND)?;
    found.is_bounded = newest.stopped_at.is_some();
    found.too_many = newest.ids.len() == FOUND;
    let rows = attempts.rows(&newest.ids)?;
    Ok(rows.iter().map(|row| row.delivery_id.get()).collect())
}

/// What is pending for a webhook.
fn pending(
    reader: &dyn LogReader,
    webhook: &str,
    found: &mut Gathered,
) -> Result<BTreeSet<i64>, Trouble> {
    let window = TimeWindow {
        from_ms: 0,
        to_ms: i64::MAX,
    };
    let (up_to, mut place) = (reader.newest_delivery()?, PendingPage::default());
    let mut ids = BTreeSet::new();
    // What waits in the log is one part, what memory has in hand another.
    while ids.len() <= MANY {
        let page = reader.pending_page(webhook, window, up_to, &mut place, MANY + 1 - ids.len())?;
        if page.is_empty() {
            break;
        }
        ids.extend(page.into_iter().map(DeliveryId::get));
    }
    found.too_many = ids.len() > MANY;
    Ok(ids)
}

/// Why it is not done.
pub(super) fn refusal(found: &Gathered, wanted: &Wanted) -> Option<String> {
    if found.too_many {
        return Some(too_many(found));
    }
    if found.ids.is_empty() {
        return Some("there is nothing to do any more".to_owned());
    }
    // What was named by its ids is known to who named it.
    let is_named = wanted.search.is_none() && wanted.webhook.is_none() && !wanted.ids.is_empty();
    let is_same = is_named || wanted.count == Some(found.ids.len());
    (!is_same).then(|| {
        let now = found.ids.len();
        format!("they are {now} now: look again, nothing was done")
    })
}

/// What to do about too many.
pub(super) fn too_many(found: &Gathered) -> String {
    let by = match &found.wanted.webhook {
        Some(_) => found.command.clone(),
        None if found.cancels => {
            "webhooksd cancel --webhook NAME --since TIME --dry-run".to_owned()
        }
        None => "webhooksd redeliver --failed --webhook NAME --since TIME --dry-run".to_owned(),
    };
    format!(
        "the page does {MANY} at the most: narrow the search, or use the command, which goes at the daemon's pace:\n{by}"
    )
}

/// Does it, one after the other.
pub(super) fn work_off(deed: Deed, ids: &[i64], give: &GiveOrder) -> Worked {
    let (mut worked, mut in_a_row) = (Worked::default(), 0);
    // From the end where they are cancelled, so that nobody's turn comes that is to be cancelled too.
    let mut ids = ids.to_vec();
    if deed == Deed::Cancel {
        ids.reverse();
    }
    for (place, id) in ids.iter().enumerate() {
        let order = match deed {
            Deed::Redeliver => Order::Redeliver(*id),
            Deed::Cancel => Order::Cancel(*id),
        };
        match order.give(give) {
            Ok(_) => {
                worked.done += 1;
                in_a_row = 0;
            }
            Err(why) => {
                worked.refused_count += 1;
                in_a_row += 1;
                if worked.refused.len() < TOLD {
                    // The hint stands on a line of its own.
                    worked.refused.push((*id, why.replace('\n', "; ")));
                }
            }
        }
        if in_a_row == IN_A_ROW {
            worked.left = ids.len() - place - 1;
            break;
        }
    }
    worked
}

/// How far a replay is.
///
/// # Errors
/// There is none of that id, or the log can't be read.
pub(super) fn replay(page: &Page, id: ReplayId) -> Result<Replay, Trouble> {
    let replay = page.reader()?.replay(id)?;
    replay.ok_or_else(|| Trouble::Nothing(format!("the log has no replay {id}")))
}

/// When an event was written, by its row.
///
/// # Errors
/// It has none.
pub(super) fn time_of(page: &Page, id: EventId) -> Result<i64, Trouble> {
    let Source::Own { config, .. } = &page.source else {
        return Err(Trouble::Nothing("a copy has no outbox".to_owned()));
    };
    let of = &config.outbox;
    let past = Past::open(of.server.as_ref(), &of.path, of.max_data_bytes);
    let row = past.and_then(|mut past| past.row(id));
    match row {
        Ok(Some(Row::Event(event))) => Ok(event.time_ms),
        _ => Err(Trouble::Nothing(format!(
            "the outbox has no event {id} any more, so nothing can be sent from there on"
        ))),
    }
}

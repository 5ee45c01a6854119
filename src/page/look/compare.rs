//! A delivery's newest attempt beside the last success of its webhook: what was different.

use super::{Page, Trouble};
use crate::model::{DeliveryId, Pattern};
use crate::store::{LogFilter, LogReader, LogRow, LogText, Outcome};

/// Attempts that are looked through for a success, twice: of the same event, and of any.
const LOOKED_THROUGH: usize = 5_000;

/// Two attempts.
pub(in crate::page) struct Compared {
    /// The delivery's newest one.
    pub this: (LogRow, LogText),
    /// The last success of its webhook, of an event of that name where there is one; `None` where none was found.
    pub success: Option<(LogRow, LogText)>,
    /// Whether the search for one ended before the log did.
    pub is_bounded: bool,
}

/// # Errors
/// There is no such attempt, or the log can't be read.
pub(in crate::page) fn compared(page: &Page, id: DeliveryId) -> Result<Compared, Trouble> {
    let reader = page.reader()?;
    let newest = reader.attempts_of(id, 1)?.pop();
    let this = newest
        .ok_or_else(|| Trouble::Nothing(format!("the log has no attempt of delivery {id}")))?;
    let mut compared = Compared {
        success: None,
        is_bounded: false,
        this: with_text(&*reader, this)?,
    };
    let row = &compared.this.0;
    let name = row.event.as_deref().map(Pattern::new);
    let tries = name.map(Some).into_iter().chain([None]);
    for event in tries {
        let filter = LogFilter {
            webhook: Some(row.webhook.clone()),
            outcome: Some(Outcome::Delivered),
            looked_through: Some(LOOKED_THROUGH),
            event,
            ..LogFilter::default()
        };
        // Two, for one may be of this very delivery.
        let newest = reader.newest(&filter, 2)?;
        compared.is_bounded |= newest.stopped_at.is_some();
        for id in newest.ids.iter().rev() {
            let found = reader.attempt(*id)?;
            let other = found.filter(|found| found.delivery_id != row.delivery_id);
            if let Some(other) = other {
                compared.success = Some(with_text(&*reader, other)?);
                return Ok(compared);
            }
        }
    }
    Ok(compared)
}

fn with_text(reader: &dyn LogReader, row: LogRow) -> Result<(LogRow, LogText), Trouble> {
    let text = reader.attempt_text(row.id)?.unwrap_or_default();
    Ok((row, text))
}

//! What of a webhook is due: by pages of the index alone, and then the rows that are wanted.
//!
//! Who has a delivery in memory says so by `skip`, and its body is not loaded. Left out: what becomes of a row that can't
//! be sent (`queues`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use tokio_postgres::Row;

use super::values::{int, ints, numbers, word};
use super::{Read, Writer, batches};
use crate::model::{Batch, DeliveryId, Dialect, Due, EventId, HELD_MS, PayloadId, Trigger};
use crate::store::Error;

const STEP: &str = "read due deliveries";

/// Those behind a place, in the order that they are sent in.
const DUE: &str = "SELECT id, due_at, payload_id FROM webhooksd.pending
   WHERE webhook = $1 AND NOT in_hand AND due_at <= $2 AND due_at >= $3 AND (due_at > $3 OR id > $4)
   ORDER BY due_at, id LIMIT $5";

/// Bodies are asked for by their ids, and not by a join: then only the days are looked at that have them.
const SIZES: &str = "SELECT id, octet_length(body)::bigint FROM webhooksd.payload WHERE id = ANY ($1) AND body IS NOT NULL";

const LOAD: &str = "SELECT k.id, k.origin, k.attempts, k.due_at, k.created_at, k.payload_id FROM webhooksd.pending k
 WHERE k.id = ANY ($1) AND k.webhook = $2 AND NOT k.in_hand";

/// One that goes meanwhile was needed by nothing.
const BODIES: &str =
    "SELECT id, event_id, event, dialect, body, message FROM webhooksd.payload WHERE id = ANY ($1)";

/// Rows of the index that are looked at in one statement, at the least and at the most.
const PAGE: (usize, usize) = (64, 1_024);

/// A pending row: what it is, or that nothing of it can be sent.
type Loaded = HashMap<DeliveryId, Option<Due>>;

/// One look at what is due.
pub(super) struct DueLook<'a> {
    pub(super) webhook: &'a str,
    pub(super) now_ms: i64,
    pub(super) max_rows: usize,
    pub(super) max_bytes: usize,
    pub(super) skip: &'a dyn Fn(DeliveryId) -> bool,
}

/// How far a look has come.
#[derive(Default)]
struct Taken {
    dues: Vec<Due>,
    bytes: usize,
    broken: Vec<DeliveryId>,
    /// They came with their batch.
    of_batches: HashSet<DeliveryId>,
}

impl Writer {
    /// What is due, and what of it can't be sent.
    pub(super) fn read_due(
        &mut self,
        look: &DueLook<'_>,
    ) -> Result<(Vec<Due>, Vec<DeliveryId>), Error> {
        let name: Arc<str> = look.webhook.into();
        let sql = "SELECT EXISTS (SELECT FROM webhooksd.batch)";
        let any = self.look(STEP, sql, &[], |row| row.try_get(0))?;
        let any = any.first().copied().unwrap_or(false);
        let mut taken = Taken::default();
        let mut place = (i64::MIN, i64::MIN);
        while taken.dues.len() < look.max_rows && taken.bytes < look.max_bytes {
            let page = (look.max_rows - taken.dues.len()).clamp(PAGE.0, PAGE.1);
            let found = self.page(look, place, page)?;
            let Some(last) = found.last() else { break };
            place = (last.1, last.0.get());
            let is_last = found.len() < page;
            let wanted = wanted(look, &taken, found);
            if !wanted.ids.is_empty() {
                let batches = if any {
                    self.batches_of(&wanted.ids)?
                } else {
                    HashMap::new()
                };
                let loaded = self.load(look, &name, &wanted.ids, &batches)?;
                take(look, &mut taken, &wanted.ids, &batches, loaded);
            }
            match wanted.goes_on_at {
                Some(at) => place = at,
                None if is_last => break,
                None => {}
            }
        }
        Ok((taken.dues, taken.broken))
    }

    /// The next rows, each with when it is due and its body's size; of what is skipped nothing is asked but its place.
    fn page(
        &mut self,
        look: &DueLook<'_>,
        place: (i64, i64),
        page: usize,
    ) -> Result<Vec<(DeliveryId, i64, i64)>, Error> {
        let page = i64::try_from(page).unwrap_or(i64::MAX);
        let values = [
            word(&look.webhook),
            int(&look.now_ms),
            int(&place.0),
            int(&place.1),
            int(&page),
        ];
        let of = |row: &Row| {
            let id = DeliveryId::new(row.try_get(0)?);
            Ok((id, row.try_get(1)?, row.try_get::<_, i64>(2)?))
        };
        let mut found = self.look(STEP, DUE, &values, of)?;
        let wanted = found.iter().filter(|(id, ..)| !(look.skip)(*id));
        let bodies: Vec<i64> = wanted.map(|(.., body)| *body).collect();
        let sizes = if bodies.is_empty() {
            HashMap::new()
        } else {
            self.sizes(&bodies)?
        };
        for (.., body) in &mut found {
            *body = sizes.get(body).copied().unwrap_or_default();
        }
        Ok(found)
    }

    fn sizes(&mut self, bodies: &[i64]) -> Result<HashMap<i64, i64>, Error> {
        let of = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let sizes = self.look(STEP, SIZES, &[ints(&bodies)], of)?;
        Ok(sizes.into_iter().collect())
    }

    /// The batches that begin with these.
    fn batches_of(&mut self, ids: &[DeliveryId]) -> Result<HashMap<DeliveryId, Arc<Batch>>, Error> {
        let ids = numbers(ids);
        let found = self.look(STEP, batches::OF, &[ints(&ids)], batches::read)?;
        Ok(found.into_iter().collect())
    }

    /// These and the members of their batches, where they are pending and in nobody's hands.
    fn load(
        &mut self,
        look: &DueLook<'_>,
        name: &Arc<str>,
        ids: &[DeliveryId],
        batches: &HashMap<DeliveryId, Arc<Batch>>,
    ) -> Result<Loaded, Error> {
        let members = batches.values().flat_map(|batch| batch.members.iter());
        let all: HashSet<DeliveryId> = ids.iter().chain(members).copied().collect();
        let ids = numbers(&all);
        let values = [ints(&ids), word(&look.webhook)];
        let rows = self.look(STEP, LOAD, &values, row)?;
        let wanted: Vec<i64> = rows.iter().map(|row| row.payload_id).collect();
        let bodies: HashMap<i64, Body> = if wanted.is_empty() {
            HashMap::new()
        } else {
            let bodies = self.look(STEP, BODIES, &[ints(&wanted)], body)?;
            bodies.into_iter().collect()
        };
        let dues = rows.into_iter().map(|row| {
            let body = bodies.get(&row.payload_id);
            (row.id, body.and_then(|body| row.due(name, body)))
        });
        Ok(dues.collect())
    }
}

/// What of a page is loaded, and where the next begins if that is not all of it.
struct Wanted {
    ids: Vec<DeliveryId>,
    goes_on_at: Option<(i64, i64)>,
}

/// As much of a page as there is room for, without what somebody has in hand.
fn wanted(look: &DueLook<'_>, taken: &Taken, page: Vec<(DeliveryId, i64, i64)>) -> Wanted {
    let mut wanted = Wanted {
        ids: Vec::new(),
        goes_on_at: None,
    };
    let mut bytes = taken.bytes;
    for (id, due_at_ms, size) in page {
        if (look.skip)(id) || taken.of_batches.contains(&id) {
            continue;
        }
        wanted.ids.push(id);
        bytes = bytes.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        if taken.dues.len() + wanted.ids.len() >= look.max_rows || bytes >= look.max_bytes {
            wanted.goes_on_at = Some((due_at_ms, id.get()));
            break;
        }
    }
    wanted
}

/// Takes what was loaded, in its order, up to the bounds.
fn take(
    look: &DueLook<'_>,
    taken: &mut Taken,
    ids: &[DeliveryId],
    batches: &HashMap<DeliveryId, Arc<Batch>>,
    mut loaded: Loaded,
) {
    for id in ids {
        if taken.dues.len() >= look.max_rows || taken.bytes >= look.max_bytes {
            return;
        }
        if taken.of_batches.contains(id) {
            continue;
        }
        if let Some(batch) = batches.get(id)
            && let Some(members) = whole(look, batch, &loaded)
        {
            taken.of_batches.extend(&batch.members);
            // A clock that was stepped may have brought some of them forward by more than others.
            if members.iter().all(|due| due.due_at_ms <= look.now_ms) {
                taken.bytes += members.iter().map(|due| due.body.len()).sum::<usize>();
                taken.dues.extend(members);
            }
            continue;
        }
        match loaded.remove(id) {
            Some(Some(due)) => {
                taken.bytes = taken.bytes.saturating_add(due.body.len());
                taken.dues.push(due);
            }
            Some(None) => taken.broken.push(*id),
            // Somebody has taken it meanwhile.
            None => {}
        }
    }
}

/// All deliveries of a batch; `None` where not all of them are pending, whole and in nobody's hands, some wait for
/// their turn, or some were sent without the others meanwhile.
fn whole(look: &DueLook<'_>, batch: &Arc<Batch>, loaded: &Loaded) -> Option<Vec<Due>> {
    let mut members: Vec<Due> = Vec::with_capacity(batch.members.len());
    for id in &batch.members {
        let due = loaded.get(id)?.as_ref()?;
        let first = members.first();
        let is_like = first.is_none_or(|first| first.attempts == due.attempts);
        if (look.skip)(*id) || due.due_at_ms == HELD_MS || !is_like {
            return None;
        }
        members.push(Due {
            batch: Some(batch.clone()),
            ..due.clone()
        });
    }
    Some(members)
}

/// A pending row, but for its body.
struct Pending {
    id: DeliveryId,
    origin: Option<Trigger>,
    attempts: i32,
    due_at: Option<i64>,
    created_at_ms: i64,
    payload_id: i64,
}

fn row(row: &Row) -> Read<Pending> {
    Ok(Pending {
        id: DeliveryId::new(row.try_get(0)?),
        origin: Trigger::from_name(row.try_get(1)?),
        attempts: row.try_get(2)?,
        due_at: row.try_get(3)?,
        created_at_ms: row.try_get(4)?,
        payload_id: row.try_get(5)?,
    })
}

/// A body, with what it is of.
struct Body {
    event_id: EventId,
    event: Arc<str>,
    dialect: Option<Dialect>,
    text: Option<Bytes>,
    message: Option<Arc<str>>,
}

fn body(row: &Row) -> Read<(i64, Body)> {
    let text: Option<&str> = row.try_get(4)?;
    let body = Body {
        event_id: EventId::new(row.try_get(1)?),
        event: row.try_get::<_, &str>(2)?.into(),
        dialect: Dialect::from_name(row.try_get(3)?),
        text: text.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        message: row.try_get::<_, Option<&str>>(5)?.map(Arc::from),
    };
    Ok((row.try_get(0)?, body))
}

impl Pending {
    /// The delivery; `None` where it is not whole.
    fn due(&self, webhook: &Arc<str>, body: &Body) -> Option<Due> {
        Some(Due {
            id: self.id,
            event_id: body.event_id,
            event: body.event.clone(),
            webhook: webhook.clone(),
            dialect: body.dialect?,
            origin: self.origin?,
            attempts: u32::try_from(self.attempts).ok()?,
            due_at_ms: self.due_at.unwrap_or(HELD_MS),
            created_at_ms: self.created_at_ms,
            payload_id: PayloadId::new(self.payload_id),
            body: body.text.clone()?,
            message: body.message.clone(),
            batch: None,
        })
    }
}

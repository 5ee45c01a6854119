//! How the webhooks are, out of the roll-up: of all of them, or of some by lookups of their own.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::deliveries::PENDING_OF;
use super::{COUNTED, Read, Reader, int, up_to, word};
use crate::model::{LOG_BUCKETS, LOG_EDGES_MS, Pause};
use crate::store::Error;
use crate::store::read::{Closely, Count, HourCounts, Lately, WebhookHealth};
use crate::store::summary::LastFailure;

const STEP: &str = "read how the webhooks are doing";

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Deliveries given up in the last hour are looked for among so many of the webhook's newest.
const LOOKED_THROUGH: i64 = 1_000;

/// The webhooks whose state is looked at to find those that fail.
const CHECKED: usize = 100;

/// The roll-up keeps hours for two days and days from then on; some hours more may wait for the sweep.
const HOURS_KEPT: i64 = 72;

/// Of several redeliveries of one only the last counts: the others were sent again by it.
const GIVEN_UP: &str = "SELECT count(*) FROM (
    SELECT e.id, e.finished_at, e.origin <> 'test' AND NOT (e.origin = 'redelivery'
             AND EXISTS (SELECT FROM webhooksd.ended o JOIN webhooksd.redelivery r ON r.delivery_id = o.id
                          WHERE o.payload_id = e.payload_id AND o.webhook = e.webhook AND r.new_delivery_id > e.id)) AS real
      FROM webhooksd.ended e WHERE e.state = 'failed' AND e.webhook = $1 ORDER BY e.id DESC LIMIT $2) d
   WHERE d.finished_at > $3 AND d.real
     AND NOT EXISTS (SELECT FROM webhooksd.redelivery r WHERE r.delivery_id = d.id)";

/// Every pause, by the webhook's name.
pub(in crate::store::postgres) const PAUSES: &str =
    "SELECT p.webhook, p.since, p.until, p.reason, s.next_at FROM webhooksd.pause p
       LEFT JOIN webhooksd.self_paused s ON s.webhook = p.webhook ORDER BY p.webhook COLLATE \"C\"";

pub(in crate::store::postgres) fn pause(row: &Row) -> Read<Pause> {
    Ok(Pause {
        webhook: row.try_get::<_, String>(0)?.into(),
        since_ms: row.try_get(1)?,
        until_ms: row.try_get(2)?,
        reason: row.try_get::<_, Option<String>>(3)?.map(Into::into),
        next_try_ms: row.try_get(4)?,
    })
}

fn webhook(row: &Row) -> Read<(WebhookHealth, Option<i64>)> {
    let health = WebhookHealth {
        name: row.try_get(0)?,
        state: row.try_get(1)?,
        pending: Count::default(),
        last_success_ms: row.try_get(2)?,
        last_failure_ms: row.try_get(3)?,
        last_error: row.try_get(4)?,
        hour: Lately::default(),
        day: Lately::default(),
        hours: Default::default(),
        given_up: 0,
        held_until_ms: None,
        held: None,
        pause: None,
    };
    Ok((health, row.try_get(5)?))
}

/// A webhook's attempts and failures, and how many took at most what each edge says.
type Sums = (String, (i64, i64), Vec<i64>);

fn sums(row: &Row) -> Read<Sums> {
    let within: Read<Vec<i64>> = (0..LOG_BUCKETS).map(|at| row.try_get(at + 3)).collect();
    Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?), within?))
}

/// A webhook as its own row says it.
struct Standing {
    name: String,
    /// When it last failed, where it may be failing.
    doubt: Option<i64>,
}

impl Reader {
    /// All tables of the log with their indexes, in bytes.
    pub(super) fn whole_size(&self) -> Result<u64, Error> {
        let sql = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::int8 FROM pg_class
          WHERE relnamespace = 'webhooksd'::regnamespace AND relkind = 'r'";
        let bytes: i64 = self.value("look how large the log is", sql, &[])?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    pub(super) fn all_pauses(&self) -> Result<Vec<Pause>, Error> {
        self.all("read which webhooks are paused", PAUSES, &[], pause)
    }

    pub(super) fn pauses_at(&self, now_ms: i64) -> Result<Vec<Pause>, Error> {
        let mut pauses = self.all_pauses()?;
        pauses.retain(|pause| !pause.is_over(now_ms));
        Ok(pauses)
    }

    /// Those of these names, or all, by name; removed ones are none.
    pub(super) fn health_of(
        &self,
        names: Option<&[String]>,
        now_ms: i64,
    ) -> Result<Vec<WebhookHealth>, Error> {
        let sql = "SELECT name, state, last_success_at, last_failure_at, last_error, above_ms FROM webhooksd.webhook
            WHERE state <> 'removed' AND ($1::text[] IS NULL OR name = ANY ($1)) ORDER BY name COLLATE \"C\"";
        let found = self.all(STEP, sql, &[(&names, Type::TEXT_ARRAY)], webhook)?;
        let above = |name: &str| {
            let one = found.iter().find(|(health, _)| health.name == name);
            one.and_then(|(_, above_ms)| *above_ms)
        };
        let lately = |span: &str, since_ms: i64| -> Result<HashMap<String, Lately>, Error> {
            let all = self.sums(names, span, since_ms)?.into_iter();
            let of = all.map(|(name, counts, within)| {
                let lately = Lately::of(counts, &within, above(&name));
                (name, lately)
            });
            Ok(of.collect())
        };
        let hour = lately("5min", now_ms - HOUR_MS)?;
        let day = lately("hour", now_ms - DAY_MS)?;
        let this_hour = now_ms - now_ms.rem_euclid(HOUR_MS);
        let mut counts = self.counts(names, "hour", this_hour - 23 * HOUR_MS, this_hour)?;
        let held = self.asked_to_wait(now_ms)?;
        let mut pauses = self.pauses_at(now_ms)?;
        let mut all: Vec<WebhookHealth> = found.into_iter().map(|(health, _)| health).collect();
        for one in &mut all {
            let name = &one.name;
            one.hour = hour.get(name).copied().unwrap_or_default();
            one.day = day.get(name).copied().unwrap_or_default();
            for (start, hour) in counts.remove(name).unwrap_or_default() {
                let place = usize::try_from((start - this_hour) / HOUR_MS + 23).ok();
                if let Some(kept) = place.and_then(|place| one.hours.get_mut(place)) {
                    *kept = hour;
                }
            }
            let (named, most) = (&**name, COUNTED + 1);
            let counted = self.value(STEP, PENDING_OF, &[word(&named), int(&most)])?;
            one.pending = up_to(COUNTED, counted);
            one.held_until_ms = held.get(name).copied();
            one.held = self.held_of_webhook(name)?;
            one.given_up = self.given_up(name, now_ms - HOUR_MS)?;
            let paused = pauses.iter().position(|pause| *pause.webhook == **name);
            one.pause = paused.map(|at| pauses.swap_remove(at));
        }
        Ok(all)
    }

    fn sums(
        &self,
        names: Option<&[String]>,
        span: &str,
        since_ms: i64,
    ) -> Result<Vec<Sums>, Error> {
        let edges = LOG_EDGES_MS.iter();
        let within: String = edges
            .map(|edge| format!(", sum(le_{edge})::int8"))
            .collect();
        let sql = format!(
            "SELECT webhook, sum(attempts)::int8, sum(failures)::int8{within} FROM webhooksd.rollup
              WHERE span = $1 AND start > $2 AND ($3::text[] IS NULL OR webhook = ANY ($3)) GROUP BY webhook"
        );
        let values = [word(&span), int(&since_ms), (&names, Type::TEXT_ARRAY)];
        self.all(STEP, &sql, &values, sums)
    }

    /// Attempts and failures by webhook and start, of spans from `first` to `last`.
    fn counts(
        &self,
        names: Option<&[String]>,
        span: &str,
        first: i64,
        last: i64,
    ) -> Result<HashMap<String, BTreeMap<i64, HourCounts>>, Error> {
        let sql = "SELECT webhook, start, attempts, failures FROM webhooksd.rollup
            WHERE span = $1 AND start BETWEEN $2 AND $3 AND ($4::text[] IS NULL OR webhook = ANY ($4))";
        let values = [
            word(&span),
            int(&first),
            int(&last),
            (&names, Type::TEXT_ARRAY),
        ];
        let found = self.all(STEP, sql, &values, |row| {
            let (attempts, failures) = (row.try_get(2)?, row.try_get(3)?);
            let counts = HourCounts { attempts, failures };
            Ok((
                row.try_get::<_, String>(0)?,
                row.try_get::<_, i64>(1)?,
                counts,
            ))
        })?;
        let mut all: HashMap<String, BTreeMap<i64, HourCounts>> = HashMap::new();
        for (name, start, counts) in found {
            all.entry(name).or_default().insert(start, counts);
        }
        Ok(all)
    }

    fn given_up(&self, webhook: &str, since_ms: i64) -> Result<i64, Error> {
        let values = [word(&webhook), int(&LOOKED_THROUGH), int(&since_ms)];
        self.value(STEP, GIVEN_UP, &values)
    }

    pub(super) fn closely_of(&self, names: &[String], now_ms: i64) -> Result<Vec<Closely>, Error> {
        let mut known: HashMap<String, WebhookHealth> = HashMap::new();
        for health in self.health_of(Some(names), now_ms)? {
            known.insert(health.name.clone(), health);
        }
        let (this_hour, today) = (
            now_ms - now_ms.rem_euclid(HOUR_MS),
            now_ms - now_ms.rem_euclid(DAY_MS),
        );
        let first_day = today - 29 * DAY_MS;
        let hours = self.counts(
            Some(names),
            "hour",
            this_hour - HOURS_KEPT * HOUR_MS,
            this_hour,
        )?;
        let days = self.counts(Some(names), "day", first_day, today)?;
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            let Some(health) = known.remove(name) else {
                continue;
            };
            let mut closely = Closely {
                health,
                oldest_pending_ms: self.oldest_of_first_due(name)?,
                days: Default::default(),
            };
            for (start, counts) in [&hours, &days]
                .into_iter()
                .filter_map(|by| by.get(name))
                .flatten()
            {
                let place = usize::try_from((start - first_day).div_euclid(DAY_MS)).ok();
                if let Some(day) = place.and_then(|place| closely.days.get_mut(place)) {
                    day.attempts += counts.attempts;
                    day.failures += counts.failures;
                }
            }
            all.push(closely);
        }
        Ok(all)
    }

    /// When the oldest of a hundred was made that are due first.
    fn oldest_of_first_due(&self, webhook: &str) -> Result<Option<i64>, Error> {
        let sql = "SELECT min(created_at) FROM (SELECT created_at FROM webhooksd.pending
             WHERE webhook = $1 ORDER BY due_at, id LIMIT 100) q";
        self.value(STEP, sql, &[word(&webhook)])
    }

    pub(super) fn names_by_need(&self, now_ms: i64) -> Result<Vec<String>, Error> {
        let sql = "SELECT name, CASE WHEN state = 'active'
                AND (last_failure_at > coalesce(last_success_at, last_failure_at - 1) OR last_failure_at >= $1)
                THEN last_failure_at END
             FROM webhooksd.webhook WHERE state <> 'removed' ORDER BY name COLLATE \"C\"";
        let lately = now_ms - 2 * HOUR_MS;
        let standing = self.all(STEP, sql, &[int(&lately)], |row| {
            let (name, doubt) = (row.try_get(0)?, row.try_get(1)?);
            Ok(Standing { name, doubt })
        })?;
        let mut doubtful: Vec<(i64, &str)> = standing
            .iter()
            .filter_map(|one| Some((one.doubt?, &*one.name)))
            .collect();
        doubtful.sort_unstable_by(|a, b| b.cmp(a));
        let judged: Vec<String> = doubtful
            .iter()
            .take(CHECKED)
            .map(|(_, name)| (*name).to_owned())
            .collect();
        let unjudged: HashSet<&str> = doubtful
            .iter()
            .skip(CHECKED)
            .map(|(_, name)| *name)
            .collect();
        let judged = self.health_of(Some(&judged), now_ms)?;
        let failing = judged.into_iter().filter(WebhookHealth::is_failing);
        let mut first: HashSet<String> = failing.map(|health| health.name).collect();
        first.extend(
            self.pauses_at(now_ms)?
                .iter()
                .map(|pause| pause.webhook.to_string()),
        );
        first.extend(self.names_that_hold()?);
        let rank = |name: &str| match (first.contains(name), unjudged.contains(name)) {
            (true, _) => 0_u8,
            (false, true) => 1,
            (false, false) => 2,
        };
        let mut all: Vec<(u8, String)> = standing
            .iter()
            .map(|one| (rank(&one.name), one.name.clone()))
            .collect();
        all.sort();
        Ok(all.into_iter().map(|(_, name)| name).collect())
    }

    pub(super) fn failed_last(&self) -> Result<Option<LastFailure>, Error> {
        let sql = "SELECT name, last_error FROM webhooksd.webhook
            WHERE state = 'active' AND last_failure_at > coalesce(last_success_at, 0)
            ORDER BY last_failure_at DESC LIMIT 1";
        self.first("look for the last failure", sql, &[], |row| {
            let (webhook, error) = (row.try_get(0)?, row.try_get(1)?);
            Ok(LastFailure { webhook, error })
        })
    }
}

//! How an attempt looks: a row of a table, a block with everything, or a line of JSON.
//!
//! Rows that come later line up with those before them; a longer cell makes its column wider.
//! Nothing that an endpoint or an application wrote reaches the terminal as it is.

use serde::Serialize;

use super::super::screen::{Look, Screen};
use super::super::table::{Cell, Column, Layout, longest};
use super::super::{Failure, text, when};
use crate::model::{AttemptId, DeliveryId, EventId};
use crate::query::Attempts;
use crate::store::{LogRow, LogText};

/// A screen narrower than this gets times without a year.
const WIDE: usize = 100;

/// The columns for a screen of that width: of what is cut, the result is cut last.
fn columns(width: Option<usize>) -> [Column; 8] {
    let mut columns = COLUMNS;
    columns[7].least = width.map_or(0, |width| width / 3).max(LEAST_RESULT);
    columns
}

/// `failed: answered 50` at least.
const LEAST_RESULT: usize = 18;

const COLUMNS: [Column; 8] = [
    Column::fixed("TIME"),
    Column::elastic("WEBHOOK", 6),
    Column::elastic("EVENT", 8),
    Column::fixed("ID").right(),
    Column::fixed("DELIVERY").right().rank(3),
    Column::fixed("TRY").right().rank(1),
    Column::fixed("TOOK").right().rank(2),
    Column::elastic("RESULT", LEAST_RESULT),
];

/// Rows that are laid out together.
const LAID_OUT: usize = 1_000;

pub(super) struct Show {
    screen: Screen,
    json: bool,
    verbose: bool,
    /// The longest cells so far; empty before the first row.
    longest: Vec<Cell>,
}

/// Version 1 of the shape that `--help` documents.
#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    id: AttemptId,
    time: &'a str,
    webhook: &'a str,
    event: Option<&'a str>,
    event_id: Option<EventId>,
    delivery_id: DeliveryId,
    attempt: i64,
    outcome: &'a str,
    status: Option<i64>,
    error: Option<&'a str>,
    class: Option<&'a str>,
    duration_ms: f64,
    phases: Phases,
    url: &'a str,
    peer: Option<&'a str>,
    dialect: Option<&'a str>,
    origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<&'a str>,
    #[serde(flatten)]
    text: Option<Text<'a>>,
}

#[derive(Serialize)]
struct Phases {
    name_ms: Option<f64>,
    connect_ms: Option<f64>,
    proxy_ms: Option<f64>,
    tls_ms: Option<f64>,
    head_ms: Option<f64>,
    body_ms: Option<f64>,
}

#[derive(Serialize)]
struct Text<'a> {
    request_headers: &'a str,
    request_body: Option<&'a str>,
    response_headers: Option<&'a str>,
    response_body: Option<&'a str>,
    response_truncated: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_kept: Vec<&'static str>,
}

impl Show {
    pub(super) fn new(screen: Screen, json: bool, verbose: bool) -> Self {
        Self {
            screen,
            json,
            verbose,
            longest: Vec::new(),
        }
    }

    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.screen.is_closed()
    }

    /// Shows the attempts with these ids, in this order; those that retention has taken are left out.
    pub(super) fn rows(&mut self, attempts: &Attempts, ids: &[AttemptId]) -> Result<(), Failure> {
        for some in ids.chunks(LAID_OUT) {
            let rows = attempts.rows(some)?;
            if self.json || self.verbose {
                for row in &rows {
                    self.whole(attempts, row)?;
                }
            } else if !rows.is_empty() {
                self.table(&rows)?;
            }
            self.screen.flush()?;
        }
        Ok(())
    }

    fn whole(&mut self, attempts: &Attempts, row: &LogRow) -> Result<(), Failure> {
        let found = if self.verbose {
            attempts.text(row.id)?
        } else {
            None
        };
        if self.json {
            self.screen
                .line(text::json(&json_line(row, found.as_ref())))?;
        } else {
            let head = head(&self.screen, row);
            self.screen.line(head)?;
            self.screen
                .write(details(row, &found.unwrap_or_default()))?;
            self.screen.line("")?;
        }
        Ok(())
    }

    fn table(&mut self, rows: &[LogRow]) -> Result<(), Failure> {
        let short = self.screen.width().is_some_and(|width| width < WIDE);
        let mut cells: Vec<Vec<Cell>> = rows.iter().map(|row| cells(row, short)).collect();
        let (colours, width) = (self.screen.colours(), self.screen.width());
        let is_first = self.longest.is_empty();
        cells.push(std::mem::take(&mut self.longest));
        let layout = Layout::of(&columns(width), &cells, width);
        self.longest = longest(&cells);
        cells.pop();
        if is_first {
            self.screen.line(layout.head(colours))?;
        }
        for row in &cells {
            self.screen.line(layout.row(row, colours))?;
        }
        Ok(())
    }
}

fn look(outcome: &str) -> Look {
    match outcome {
        "delivered" => Look::Good,
        "retry" => Look::Warning,
        _ => Look::Bad,
    }
}

/// `delivered 200`, `retry answered 500`, `failed the connection was refused`.
fn result(row: &LogRow) -> String {
    let outcome = &row.outcome;
    match (&row.error, row.status) {
        (Some(error), _) => format!("{outcome}: {}", text::line(error)),
        (None, Some(status)) => format!("{outcome} {status}"),
        (None, None) => outcome.clone(),
    }
}

fn cells(row: &LogRow, short: bool) -> Vec<Cell> {
    // 2026-03-01T12:00:00.000Z is 24 characters of ASCII; the milliseconds are in -v and --json.
    let (date, time) = row.time.split_once('T').unwrap_or(("", &row.time));
    let time = time.split('.').next().unwrap_or_default();
    let time = match date.split_once('-') {
        Some((_, day)) if short => format!("{day} {time}"),
        _ => format!("{date} {time}"),
    };
    let number = |number: Option<i64>| number.map_or_else(|| "-".into(), |n| n.to_string());
    vec![
        Cell::new(time, Look::Dim),
        row.webhook.as_str().into(),
        text::line(row.event.as_deref().unwrap_or("-")).into(),
        number(row.event_id.map(EventId::get)).into(),
        row.delivery_id.to_string().into(),
        row.attempt.to_string().into(),
        when::took(row.duration_ms).into(),
        Cell::new(result(row), look(&row.outcome)),
    ]
}

fn head(screen: &Screen, row: &LogRow) -> String {
    let event = text::line(row.event.as_deref().unwrap_or("-"));
    let id = row.event_id.map_or_else(String::new, |id| format!(" {id}"));
    format!(
        "{} {} {event}{id}, attempt {} of delivery {}: {}",
        row.time,
        screen.paint(&row.webhook, Look::Bold),
        row.attempt,
        row.delivery_id,
        screen.paint(result(row), look(&row.outcome)),
    )
}

/// What stands below the first line: where to, how long, and what was said.
fn details(row: &LogRow, said: &LogText) -> String {
    let mut block = format!("  POST {}", text::line(&row.url));
    if let Some(peer) = &row.peer {
        block.push_str(&format!(" ({})", text::line(peer)));
    }
    if let (Some(dialect), Some(origin)) = (&row.dialect, &row.origin) {
        block.push_str(&format!(", {dialect}, {origin}"));
    }
    if let Some(batch) = &row.batch {
        block.push_str(&format!(", in {}", text::line(batch)));
    }
    block.push_str(&format!("\n  {}\n", took(row)));
    if let Some(note) = &row.note {
        block.push_str(&format!("  ({})\n", text::line(note)));
    }
    let (request, response) = bodies(row, said);
    exchange(&mut block, &said.request_headers, request, '>');
    if let Some(headers) = &said.response_headers {
        if let Some(status) = row.status {
            block.push_str(&format!("  < {status}\n"));
        }
        exchange(&mut block, headers, response, '<');
        if said.response_truncated {
            block.push_str("  < (there was more than was kept)\n");
        }
    }
    block
}

/// `12 ms: name 0.1 ms, tcp 1.0 ms, ...`.
fn took(row: &LogRow) -> String {
    let names = ["name", "tcp", "proxy", "tls", "answer", "body"];
    let phases = names.iter().zip(row.phases_ms);
    let told: Vec<String> = phases
        .filter_map(|(name, ms)| Some(format!("{name} {}", when::took(ms?))))
        .collect();
    let all = when::took(row.duration_ms);
    if told.is_empty() {
        all
    } else {
        format!("{all}: {}", told.join(", "))
    }
}

/// A body, as far as the log has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body<'a> {
    Is(&'a str),
    /// There was one or none: the log keeps those of what failed alone.
    NotKept,
    /// Nothing was answered, or the delivery is gone.
    None,
}

/// The request's and the answer's.
fn bodies<'a>(row: &LogRow, said: &'a LogText) -> (Body<'a>, Body<'a>) {
    let body = |text: &'a Option<String>, was: bool| match text {
        Some(text) => Body::Is(text),
        None if was => Body::NotKept,
        None => Body::None,
    };
    let answered = said.response_headers.is_some();
    (
        body(&said.request_body, row.event.is_some()),
        body(&said.response_body, answered),
    )
}

/// Headers and body, each line with the sign of its direction.
fn exchange(block: &mut String, headers: &str, body: Body<'_>, sign: char) {
    let indent = format!("  {sign} ");
    block.push_str(&text::block(headers, &indent));
    match body {
        Body::Is(body) if !body.is_empty() => {
            block.push_str(&format!("  {sign}\n"));
            block.push_str(&text::block(body, &indent));
        }
        Body::NotKept => block.push_str(&format!("  {sign} (body not kept)\n")),
        Body::Is(_) | Body::None => {}
    }
}

fn json_line<'a>(row: &'a LogRow, said: Option<&'a LogText>) -> Line<'a> {
    let [name_ms, connect_ms, proxy_ms, tls_ms, head_ms, body_ms] = row.phases_ms;
    let (request, response) = said.map_or((Body::None, Body::None), |said| bodies(row, said));
    Line {
        v: 1,
        id: row.id,
        time: &row.time,
        webhook: &row.webhook,
        event: row.event.as_deref(),
        event_id: row.event_id,
        delivery_id: row.delivery_id,
        attempt: row.attempt,
        outcome: &row.outcome,
        status: row.status,
        error: row.error.as_deref(),
        class: row.class.as_deref(),
        duration_ms: row.duration_ms,
        phases: Phases {
            name_ms,
            connect_ms,
            proxy_ms,
            tls_ms,
            head_ms,
            body_ms,
        },
        url: &row.url,
        peer: row.peer.as_deref(),
        dialect: row.dialect.as_deref(),
        origin: row.origin.as_deref(),
        note: row.note.as_deref(),
        batch: row.batch.as_deref(),
        text: said.map(|said| Text {
            request_headers: &said.request_headers,
            request_body: said.request_body.as_deref(),
            response_headers: said.response_headers.as_deref(),
            response_body: said.response_body.as_deref(),
            response_truncated: said.response_truncated,
            not_kept: [("request_body", request), ("response_body", response)]
                .into_iter()
                .filter_map(|(name, body)| (body == Body::NotKept).then_some(name))
                .collect(),
        }),
    }
}

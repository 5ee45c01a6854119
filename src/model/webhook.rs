//! A webhook: a subscription with its endpoint, as the configuration means it.
//!
//! Defaults are already filled in and secrets already read.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::event::is_name;
use super::own::is_reserved;
use super::rule::Rule;
use super::{
    AddressRule, BatchRule, ClientIdentity, MinTls, Order, Proxy, Rate, Secret, StandardSecrets,
    TurnRule, Url,
};

/// A vendor's wire contract. What each one means is in the `dialect` module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// Bold CMS: the default; fixed policy.
    BoldCms,
    /// Bold Factory: exponential back-off.
    BoldFactory,
    /// OpenBoxes Lift: a ladder of five retries.
    OpenboxesLift,
    /// Standard Webhooks 1.0.0: a ladder of nine retries, over more than three days.
    StandardWebhooks,
}

impl Dialect {
    /// Every dialect, in the order of the documentation.
    pub const ALL: [Self; 4] = [
        Self::BoldCms,
        Self::BoldFactory,
        Self::OpenboxesLift,
        Self::StandardWebhooks,
    ];

    /// The name that users type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BoldCms => "bold-cms",
            Self::BoldFactory => "bold-factory",
            Self::OpenboxesLift => "openboxes-lift",
            Self::StandardWebhooks => "standard-webhooks",
        }
    }

    /// The dialect of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }
}

/// Which event names a webhook wants: the whole name, with `*` for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Wraps the text of a pattern; `config` has checked its characters.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Reads a pattern that a person typed: a name, once its stars stand for characters.
    #[must_use]
    pub(crate) fn read(text: &str) -> Option<Self> {
        is_name(text.replace('*', "x").as_bytes()).then(|| Self::new(text))
    }

    /// The pattern as typed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether a webhook that has it asks for events of that name: for those of webhooksd itself only by a
    /// pattern that begins as they do, so that `*` is all events of the application and no others.
    #[must_use]
    pub(crate) fn asks_for(&self, name: &str) -> bool {
        (self.is_reserved() || !is_reserved(name)) && self.matches(name)
    }

    /// Whether it asks for events of webhooksd itself alone.
    #[must_use]
    pub(crate) fn is_reserved(&self) -> bool {
        is_reserved(&self.0)
    }

    /// Whether the pattern is that whole name. Linear in practice and never worse than
    /// pattern × name: on a mismatch only the last `*` is given one character more.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            if pattern.get(p) == Some(&b'*') {
                star = Some((p, n));
                p += 1;
            } else if pattern.get(p) == Some(&name[n]) {
                p += 1;
                n += 1;
            } else if let Some((star_at, taken)) = star {
                star = Some((star_at, taken + 1));
                p = star_at + 1;
                n = taken + 1;
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|b| *b == b'*')
    }
}

/// One `[[webhook]]` of the configuration. Its `Debug` is its name: the user's own headers may hold
/// tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its unique name, `[a-z0-9-]`.
    pub name: Arc<str>,
    /// Where its requests go.
    pub url: Url,
    /// Which events it wants; at least one pattern.
    pub events: Vec<Pattern>,
    /// What its requests are signed with; without one they are unsigned.
    pub secret: Option<Secret>,
    /// The secrets of the headers of Standard Webhooks: of its own dialect, or beside another's signature.
    pub standard: Option<Box<StandardSecrets>>,
    /// The wire contract of deliveries made for it from now on.
    pub dialect: Dialect,
    /// An inactive webhook gets nothing.
    pub active: bool,
    /// Only these tenants' events; `None`: every event.
    pub tenants: Option<Vec<Box<str>>>,
    /// What it asks of an event's data: all of these must hold.
    pub rules: Box<[Rule]>,
    /// Whether connections are used again; the dialect's default is filled in.
    pub keep_alive: bool,
    /// Requests in flight at a time, at least 1.
    pub max_in_flight: usize,
    /// How many requests may begin in a second; `None`: any number.
    pub max_per_second: Option<Rate>,
    /// PEM text of the certificates that are trusted in addition to the system's roots.
    pub ca: Option<Arc<[u8]>>,
    /// The oldest TLS that it may speak.
    pub min_tls: MinTls,
    /// What it shows to a server that asks for a client certificate.
    pub client: Option<Arc<ClientIdentity>>,
    /// The files of that, certificate and key, also where no secret is read: for who sends a request by hand.
    pub client_files: Option<Box<[PathBuf; 2]>>,
    /// Through whom it is reached; `None`: directly.
    pub proxy: Option<Arc<Proxy>>,
    /// Whether each attempt says by a `traceparent` which delivery of our log it is, by the rule of `[delivery]`.
    pub traceparent: bool,
    /// Which addresses it, or its proxy, may be connected to, by the rule of `[delivery]`; `None`: any.
    pub addresses: Option<Arc<AddressRule>>,
    /// Headers of the user's own, sent as they stand, after the dialect's. Values are redacted in the log.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Several events in one POST.
    pub batch: Option<BatchRule>,
    /// One at a time, for all of its deliveries or for those of a value; `None`: as many as may be in flight.
    pub order: Option<Order>,
    /// How many sends `bold-factory` makes in all. The other dialects do not read it.
    pub max_attempts: u32,
    /// It pauses itself where every attempt failed for so many milliseconds; `None`: it does not.
    pub auto_pause_ms: Option<i64>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({:?})", self.name)
    }
}

/// Why a webhook does not get an event, by its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// The webhook is inactive.
    Inactive,
    /// None of its patterns is the event's name.
    Name,
    /// It is for certain tenants, and the event is of none of them.
    Tenant,
    /// Of the rules of its `where` the one at this place, from 0, is the first that does not hold.
    Rule(usize),
}

impl Webhook {
    /// The matching rule as far as the event's name and tenant decide it; the whole is `filter::wants`.
    ///
    /// # Errors
    /// The first reason why it is not.
    pub fn wants(&self, name: &str, tenant: Option<&str>) -> Result<(), Unwanted> {
        self.wants_name(name)?;
        self.wants_tenant(tenant)
    }

    /// What the log has to know of its order, where it has one.
    pub(crate) fn turn_rule(&self) -> Option<TurnRule> {
        let order = self.order.as_ref()?;
        Some(TurnRule {
            holds: order.holds,
            together: self.batch,
        })
    }

    /// The part of [`wants`](Self::wants) that is the same for every event of that name.
    ///
    /// # Errors
    /// [`Unwanted::Inactive`] or [`Unwanted::Name`].
    pub fn wants_name(&self, name: &str) -> Result<(), Unwanted> {
        if !self.active {
            return Err(Unwanted::Inactive);
        }
        let matched = self.events.iter().any(|pattern| pattern.asks_for(name));
        matched.then_some(()).ok_or(Unwanted::Name)
    }

    /// Whether it gets events of webhooksd itself.
    #[must_use]
    pub(crate) fn asks_for_own(&self) -> bool {
        self.active && self.events.iter().any(Pattern::is_reserved)
    }

    /// The part of [`wants`](Self::wants) that depends on the tenant. An event without a tenant is for
    /// nobody in particular.
    ///
    /// # Errors
    /// [`Unwanted::Tenant`].
    pub fn wants_tenant(&self, tenant: Option<&str>) -> Result<(), Unwanted> {
        let Some(mine) = &self.tenants else {
            return Ok(());
        };
        let is_mine = tenant.is_some_and(|tenant| mine.iter().any(|m| **m == *tenant));
        is_mine.then_some(()).ok_or(Unwanted::Tenant)
    }
}

#[cfg(test)]
impl Webhook {
    /// A webhook of `bold-cms` that wants every event, with the configuration's defaults of the rest:
    /// what every test begins with, so that a new field is filled in here and in `config` alone.
    pub(crate) fn sample(name: &str, url: &str) -> Self {
        Self {
            name: name.into(),
            url: Url::parse(url).unwrap(),
            events: vec![Pattern::new("*")],
            secret: None,
            standard: None,
            dialect: Dialect::BoldCms,
            active: true,
            tenants: None,
            rules: Box::default(),
            keep_alive: false,
            max_in_flight: 64,
            max_per_second: None,
            ca: None,
            min_tls: MinTls::V12,
            client: None,
            client_files: None,
            proxy: None,
            traceparent: false,
            addresses: None,
            headers: Vec::new(),
            batch: None,
            order: None,
            max_attempts: 10,
            auto_pause_ms: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|n| naive(rest, &name[n..])),
            Some((c, rest)) => name.first() == Some(c) && naive(rest, &name[1..]),
        }
    }

    #[test]
    fn patterns_are_whole_names() {
        let yes = [
            ("story-*", "story-submit"),
            ("*", "x"),
            ("a*c*e", "abcde"),
            ("p.*", "p."),
        ];
        let no = [
            ("story-*", "my-story-submit"),
            ("a", "ab"),
            ("a*b", "a"),
            ("", "a"),
        ];
        assert!(yes.iter().all(|(p, n)| Pattern::new(p).matches(n)));
        assert!(no.iter().all(|(p, n)| !Pattern::new(p).matches(n)));
    }

    #[test]
    fn only_who_names_them_asks_for_events_of_webhooksd_itself() {
        let asks = |pattern: &str, name| Pattern::new(pattern).asks_for(name);
        for pattern in [
            "*",
            "webhooksd*",
            "*.failed",
            "w*",
            "*webhooksd.delivery.failed",
        ] {
            assert!(!asks(pattern, "webhooksd.delivery.failed"), "{pattern}");
        }
        for pattern in [
            "webhooksd.*",
            "webhooksd.delivery.failed",
            "webhooksd.*.failed",
        ] {
            assert!(asks(pattern, "webhooksd.delivery.failed"), "{pattern}");
            assert!(!asks(pattern, "story-submit"), "{pattern}");
        }
        assert!(asks("webhooksd*", "webhooksd-story") && asks("*", "story"));
        let mut webhook = Webhook::sample("w", "http://h/");
        assert!(!webhook.asks_for_own());
        webhook.events.push(Pattern::new("webhooksd.webhook.*"));
        assert!(webhook.asks_for_own());
        webhook.active = false;
        assert!(!webhook.asks_for_own());
    }

    #[test]
    fn the_first_reason_against_an_event_is_told() {
        let mut webhook = Webhook::sample("w", "http://h/");
        webhook.events = vec![Pattern::new("a-*"), Pattern::new("b")];
        webhook.tenants = Some(vec!["acme".into(), "globex".into()]);
        assert_eq!(webhook.wants("a-1", Some("globex")), Ok(()));
        assert_eq!(webhook.wants("b", Some("acme")), Ok(()));
        assert_eq!(webhook.wants("c", Some("initech")), Err(Unwanted::Name));
        assert_eq!(webhook.wants("b", Some("initech")), Err(Unwanted::Tenant));
        assert_eq!(webhook.wants("b", None), Err(Unwanted::Tenant));
        webhook.tenants = None;
        assert_eq!(webhook.wants("b", None), Ok(()));
        webhook.active = false;
        assert_eq!(webhook.wants("c", None), Err(Unwanted::Inactive));
    }

    proptest! {
        #[test]
        fn matching_equals_the_obvious_recursion(p in "[ab*]{0,8}", n in "[ab]{0,8}") {
            prop_assert_eq!(Pattern::new(&p).matches(&n), naive(p.as_bytes(), n.as_bytes()));
        }
    }
}

//! The bare client's TLS sessions, as many as it has requests under way.
//!
//! Of a server rustls keeps eight tickets, each good for one handshake. Sixty-four connections that
//! begin together find them gone, and such a ceiling is mostly full handshakes, which a daemon whose
//! connections do not move in step need not make. Tickets of TLS 1.3 alone: no row speaks 1.2.

use std::collections::VecDeque;
use std::sync::Mutex;

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// Fewer than the receiver knows, which is 256, so that none is offered in vain.
const TICKETS: usize = 128;

/// Of the one server that there is.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<VecDeque<Tls13ClientSessionValue>>);

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut tickets = self.0.lock().unwrap();
        if tickets.len() == TICKETS {
            tickets.pop_front();
        }
        tickets.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().unwrap().pop_back()
    }
}

//! A connection that hears what others notify of.
//!
//! It needs a session of its own: a pooler may take `LISTEN` and pass nothing on, and nobody says so.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{Notify, mpsc};

use super::connect::PATIENCE;
use super::link::Link;
use super::trouble::Trouble;
use crate::model::Server;

/// What ended a wait for a notification.
pub(crate) enum Heard {
    /// It rang.
    Ring,
    /// The connection ended.
    Lost,
    /// Nobody wants to know any more.
    Left,
}

/// A connection that hears notifications.
pub(crate) struct Ear {
    link: Link,
    rings: mpsc::Receiver<()>,
}

impl Ear {
    /// Connects, and listens to a channel, by its name as SQL has it.
    pub(crate) fn open(server: &Arc<Server>, channel: &str) -> Result<Self, Trouble> {
        let (tell, rings) = mpsc::channel(1);
        let link = Link::told_by(server, Some(tell), (PATIENCE, None))?;
        link.execute("listen", &format!("LISTEN {channel}"), &[])?;
        Ok(Self { link, rings })
    }

    /// Waits.
    pub(crate) fn wait(&mut self, left: &Notify) -> Heard {
        let rings = &mut self.rings;
        let heard = async {
            tokio::select! {
                ring = rings.recv() => ring.map_or(Heard::Lost, |()| Heard::Ring),
                () = left.notified() => Heard::Left,
            }
        };
        self.link.wait_for(heard).unwrap_or(Heard::Lost)
    }

    /// Waits without a connection, and says whether nobody wants to know any more.
    pub(crate) fn rest(pause: Duration, left: &Notify) -> bool {
        match Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime
                .block_on(async { tokio::time::timeout(pause, left.notified()).await })
                .is_ok(),
            Err(_) => true,
        }
    }
}

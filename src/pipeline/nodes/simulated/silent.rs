//! What a simulated log has to answer and says nothing of nodes: nothing is asked of it, and nothing done.

use std::collections::HashMap;
use std::sync::Arc;

use super::log::Log;
use crate::model::{
    Announce, DeliveryId, Dialect, Due, EventId, FanOut, Generation, Pause, ReplayId, TurnRule,
};
use crate::store::parts::{
    CameOver, Cancelled, InHand, Obeys, Orders, Pauses, Retains, Syncs, Takes,
};
use crate::store::{Again, Error, Fill, Replay, Shrunk, SizeBounds, Swept, WalBounds, WalState};

impl Orders for Log {
    fn keep_order(&mut self, _: HashMap<Arc<str>, TurnRule>) -> Result<(), Error> {
        Ok(())
    }

    fn take_held_back(&mut self) -> Vec<(DeliveryId, Arc<str>)> {
        Vec::new()
    }

    fn take_released(&mut self) -> Result<Vec<Arc<str>>, Error> {
        Ok(Vec::new())
    }

    fn let_lines_go(&mut self, _: i64, _: InHand<'_>) -> Result<bool, Error> {
        Ok(false)
    }
}

impl Pauses for Log {
    fn pauses(&mut self) -> Result<Vec<Pause>, Error> {
        Ok(Vec::new())
    }

    fn pause(&mut self, _: &Pause) -> Result<(), Error> {
        Ok(())
    }

    fn resume(&mut self, _: &str, _: i64) -> Result<bool, Error> {
        Ok(false)
    }

    fn end_pauses(&mut self, _: i64) -> Result<(), Error> {
        Ok(())
    }

    fn pause_by_themselves(&mut self, _: HashMap<Arc<str>, i64>) -> Result<(), Error> {
        Ok(())
    }

    fn take_pauses_changed(&mut self) -> bool {
        false
    }

    fn tell_pauses(&mut self, _: i64) -> Result<(), Error> {
        Ok(())
    }

    fn ask_for_own(&mut self, _: bool) -> Result<(), Error> {
        Ok(())
    }

    fn announce_by(&mut self, _: Option<Arc<dyn Announce>>) {}

    fn take_announced(&mut self) -> Vec<Arc<str>> {
        Vec::new()
    }
}

impl Obeys for Log {
    fn register(&mut self, _: &[(Arc<str>, bool)], _: i64) -> Result<(), Error> {
        Ok(())
    }

    fn know_dialects(&mut self, _: &[(Arc<str>, Dialect)]) -> Result<(), Error> {
        Ok(())
    }

    fn next_test_id(&mut self, now_ms: i64) -> Result<EventId, Error> {
        Ok(EventId::new(now_ms))
    }

    fn redeliver(
        &mut self,
        _: &[DeliveryId],
        _: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Again>, Error> {
        Ok(Vec::new())
    }

    fn cancel_by_order(
        &mut self,
        _: &[DeliveryId],
        _: i64,
        _: InHand<'_>,
    ) -> Result<Vec<Cancelled>, Error> {
        Ok(Vec::new())
    }

    fn begin_replay(&mut self, _: &Replay, _: i64) -> Result<ReplayId, Error> {
        Ok(ReplayId::new(1))
    }

    fn unfinished_replay(&mut self) -> Result<Option<Replay>, Error> {
        Ok(None)
    }

    fn replay_step(
        &mut self,
        _: &Replay,
        _: EventId,
        _: &[FanOut],
        _: Takes<'_>,
        _: i64,
    ) -> Result<Vec<Due>, Error> {
        Ok(Vec::new())
    }

    fn finish_replay(&mut self, _: ReplayId, _: i64) -> Result<(), Error> {
        Ok(())
    }
}

impl Retains for Log {
    fn mark(&mut self, _: i64) -> Result<bool, Error> {
        Ok(false)
    }

    fn leapt(&mut self) -> Result<bool, Error> {
        Ok(false)
    }

    fn outbox_mark(&mut self, _: i64) -> Result<Option<(Generation, EventId)>, Error> {
        Ok(None)
    }

    fn sweep(&mut self, _: i64, _: usize) -> Result<Swept, Error> {
        Ok(Swept::default())
    }

    fn limit_size(&mut self, _: Option<SizeBounds>) {}

    fn fill(&self) -> Fill {
        Fill::default()
    }

    fn shrink(&mut self, _: &SizeBounds, _: usize, _: i64, _: InHand<'_>) -> Result<Shrunk, Error> {
        Ok(Shrunk::default())
    }

    fn come_over(&mut self, _: usize) -> Result<CameOver, Error> {
        Ok(CameOver::default())
    }
}

impl Syncs for Log {
    fn is_unsynced(&self) -> bool {
        false
    }

    fn set_unsynced(&mut self, _: bool) {}

    fn checkpoint(&mut self) -> Result<WalState, Error> {
        Ok(WalState::default())
    }

    fn wal_bounds(&self) -> WalBounds {
        WalBounds::default()
    }

    fn bound_wal(&mut self, _: WalBounds) -> Result<(), Error> {
        Ok(())
    }

    fn start_wal_over(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

//! Tenure: the loop that looks six times a lease, and has the dispatch own what the log says is this node's.
//!
//! A slot that is to be let go of has its webhooks' lanes shut first: what is under way ends and is recorded, and then
//! the slot is given. What became its own is found in the log. Who leads takes events in.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::differ;
use super::member::{Member, Standing};
use super::namesakes;
use super::skew::Skew;
use crate::pipeline::send::{Dispatch, Names};
use crate::pipeline::shared::chain;
use crate::pipeline::shared::standing::Matter;
use crate::store::{self, LEAD, NodeId, Roster};
use crate::transport::Transport;

/// Told of each row that this node has in the log.
pub(crate) type Named = Box<dyn FnMut(&NodeId) + Send>;

/// A member with its roster, and what it last knew of webhooks.
pub(crate) struct Tenure {
    member: Member,
    roster: Box<dyn Roster>,
    /// What the dispatch was told last: whose lanes are open.
    told: Told,
    /// Whether it was told anything: until then it takes all webhooks for its own.
    is_told: bool,
    leads: bool,
    /// Who is told of this node's row, and the row that was told.
    named: Option<(Named, Option<NodeId>)>,
    skew: Skew,
}

/// What this node sends for.
#[derive(Debug, Default)]
struct Told {
    /// Its slots.
    has: Vec<i32>,
    /// The webhooks of each slot that is its own, of those that it lets go of too.
    known: BTreeMap<i32, Vec<Arc<str>>>,
    /// Of them, those that are inactive by the file of who leads.
    inactive: HashSet<Arc<str>>,
    /// By which of them that was.
    stamp: String,
}

impl Told {
    /// The webhooks.
    fn names(&self) -> Names {
        let slots = self.has.iter().filter_map(|slot| self.known.get(slot));
        slots.flatten().cloned().collect()
    }
}

/// What a look has changed.
struct Changed {
    standing: Standing,
    /// What the dispatch is to be told; `None`: as before.
    tell: Option<Told>,
}

impl Tenure {
    pub(crate) fn new(member: Member, roster: Box<dyn Roster>) -> Self {
        Self {
            member,
            roster,
            told: Told::default(),
            is_told: false,
            leads: false,
            named: None,
            skew: Skew::default(),
        }
    }

    /// Tells of each row that this node has in the log: after the first look, and after it was declared dead.
    pub(crate) fn telling(mut self, named: Option<Named>) -> Self {
        self.named = named.map(|named| (named, None));
        self
    }

    /// One look, and what the dispatch makes of it.
    ///
    /// # Errors
    /// As of the log. What may pass is looked at again.
    pub(crate) async fn step<T: Transport>(
        mut self,
        dispatch: &Arc<Dispatch<T>>,
    ) -> (Self, Result<(), store::Error>) {
        let of = dispatch.clone();
        let (mut this, changed) = dispatch
            .with_blocking(move || {
                let changed = self.look(&of);
                (self, changed)
            })
            .await;
        let heeded = match changed {
            Ok(changed) => this.heed(dispatch, changed).await,
            Err(error) => Err(error),
        };
        (this, heeded)
    }

    /// Looks until the pipeline has stopped and nothing is in its hands, and leaves.
    ///
    /// # Errors
    /// The log can't be read or written for a reason that will not pass.
    pub(crate) async fn keep<T: Transport>(
        mut self,
        dispatch: Arc<Dispatch<T>>,
    ) -> Result<(), store::Error> {
        let period = Duration::from_millis(u64::try_from(self.member.period_ms()).unwrap_or(0));
        let mut next = dispatch.clock().instant() + period;
        loop {
            tokio::select! {
                biased;
                () = dispatch.let_all_go() => break,
                () = tokio::time::sleep_until(next) => {}
            }
            // From the begin of this look, and never sooner: whose beat stands still is counted in looks.
            next = dispatch.clock().instant() + period;
            let (this, looked) = self.step(&dispatch).await;
            self = this;
            let (heartbeat, clock) = (&dispatch.counters().nodes, dispatch.clock());
            match looked {
                Ok(()) => {
                    if heartbeat.tick(clock) {
                        tracing::info!("this node hears from the log again");
                    }
                }
                Err(error) if error.is_transient() => {
                    let (text, hint) = (chain(&error), error.hint());
                    if heartbeat.trouble(clock, (text.clone(), hint.clone()), 0) {
                        tracing::warn!(
                            step = "look which webhooks are this node's",
                            error = text,
                            hint,
                            "no attempt begins until the log answers"
                        );
                    }
                }
                Err(error) => return Err(error),
            }
        }
        // Whoever has left writes nothing any more.
        let written = dispatch
            .with_store(|this, log| log.flush(this.clock().now_ms()))
            .await;
        let left = match written {
            Ok(()) => {
                let leave = move || self.member.leave(&mut *self.roster);
                dispatch.with_blocking(leave).await
            }
            Err(error) => Err(error),
        };
        match left {
            // The others see that its beat stands still.
            Err(error) if error.is_transient() => Ok(()),
            left => left,
        }
    }

    fn look<T: Transport>(&mut self, dispatch: &Dispatch<T>) -> Result<Changed, store::Error> {
        let Told { has, known, .. } = &self.told;
        let is_let_go = |slot: i32| {
            let names = known.get(&slot).into_iter().flatten();
            // Where its lanes could not be shut, the next attempt may begin at any moment.
            !has.contains(&slot) && names.into_iter().all(|name| dispatch.is_let_go(name))
        };
        let before_ms = dispatch.clock().now_ms();
        let looked = self.member.look(
            &mut *self.roster,
            &|| dispatch.clock().boot_ms(),
            &is_let_go,
        );
        let standing = looked?;
        if let Some(server_ms) = standing.server_ms {
            let between = (before_ms, dispatch.clock().now_ms());
            let finding = self.skew.see(between, server_ms);
            let told = &dispatch.counters().standing;
            told.set(Matter::Clock, Vec::from_iter(finding));
        }
        let id = self.member.id();
        if let Some((named, told)) = &mut self.named
            && told.as_ref() != Some(&id)
        {
            named(&id);
            *told = Some(id);
        }
        if let Some(config) = dispatch.share().config() {
            let mine = standing.nodes.iter().find(|node| node.me);
            if mine.is_some_and(|node| node.config.as_deref() != Some(&*config)) {
                self.roster.tell(&self.member.id(), &config)?;
            }
        }
        // At once: what was asked of the log at that moment holds whatever becomes of the rest. But where a slot is no
        // longer its own, only once its lanes are shut.
        if has.iter().all(|slot| standing.owned.contains(slot)) {
            dispatch.share().extend(standing.until_ms);
        }
        let has: Vec<i32> = standing
            .owned
            .difference(&standing.draining)
            .copied()
            .collect();
        if self.is_told && standing.stamp == self.told.stamp && has == self.told.has {
            return Ok(Changed {
                standing,
                tell: None,
            });
        }
        // Of those that are to be let go of too: it is asked whether anything of them is in hand.
        let owned: Vec<i32> = standing.owned.iter().copied().collect();
        let mut known: BTreeMap<i32, Vec<Arc<str>>> = BTreeMap::new();
        let mut inactive = HashSet::new();
        for (slot, name, is_active) in self.roster.webhooks(&owned)? {
            if !is_active {
                inactive.insert(name.clone());
            }
            known.entry(slot).or_default().push(name);
        }
        let stamp = standing.stamp.clone();
        Ok(Changed {
            standing,
            tell: Some(Told {
                has,
                known,
                inactive,
                stamp,
            }),
        })
    }

    /// The webhooks that this node sends for and that its configuration lacks, or has inactive.
    fn lacking<T: Transport>(dispatch: &Dispatch<T>, told: &Told) -> Vec<Arc<str>> {
        let webhooks = dispatch.webhooks();
        let active = webhooks.iter().filter(|webhook| webhook.active);
        let known: HashSet<&str> = active.map(|webhook| &*webhook.name).collect();
        let mut lacking: Vec<_> = told.names().into_iter().collect();
        lacking.retain(|name| !known.contains(&**name) && !told.inactive.contains(name));
        lacking.sort_unstable();
        lacking
    }

    async fn heed<T: Transport>(
        &mut self,
        dispatch: &Arc<Dispatch<T>>,
        changed: Changed,
    ) -> Result<(), store::Error> {
        let Changed { standing, tell } = changed;
        say(&standing);
        let differs = standing.nodes.iter().any(|node| node.me && node.differs);
        let lacking = if differs {
            Self::lacking(dispatch, tell.as_ref().unwrap_or(&self.told))
        } else {
            Vec::new()
        };
        let findings = differ::findings(&standing.nodes, &lacking);
        dispatch.counters().standing.set(Matter::Files, findings);
        let findings = namesakes::findings(&standing.nodes);
        dispatch
            .counters()
            .standing
            .set(Matter::Namesakes, findings);
        dispatch.share().see(standing.nodes);
        let leads = standing.owned.contains(&LEAD);
        let led = std::mem::replace(&mut self.leads, leads);
        if !leads {
            dispatch.share().lead(false);
        }
        if let Some(tell) = tell {
            let (names, before) = (tell.names(), self.told.names());
            let gained: Vec<_> = names.difference(&before).cloned().collect();
            let (count, until_ms) = (names.len(), standing.until_ms);
            let taken = dispatch
                .with_store(move |this, log| {
                    if !gained.is_empty() {
                        log.take_over(&gained)?;
                    }
                    this.own(log, names);
                    this.share().extend(until_ms);
                    Ok(())
                })
                .await;
            if let Err(error) = taken {
                // Nothing was told: the next look tells it.
                self.leads = led && leads;
                return Err(error);
            }
            (self.told, self.is_told) = (tell, true);
            tracing::info!(
                webhooks = count,
                leads,
                "this node sends for its part of the webhooks"
            );
        }
        if leads && !led {
            dispatch.share().lead(true);
            let directed = dispatch.lead().await;
            if directed.is_err() {
                self.leads = false;
            }
            directed?.tell_cancelled();
        }
        Ok(())
    }
}

/// Tells the journal what became of others, and of this node.
fn say(standing: &Standing) {
    for name in &standing.buried {
        tracing::warn!(
            node = &**name,
            hint = "see its journal and its machine",
            "a node gave no sign of life for the time of a lease: its webhooks are taken over"
        );
    }
    if standing.succeeds {
        tracing::info!(
            "the run before this one ended without leaving: its webhooks are taken over at once"
        );
    }
    if standing.was_dead {
        tracing::warn!(
            hint = "the machine or the network stood still for longer than [node] lease",
            "this node was taken for dead: others have its webhooks, and it begins anew"
        );
    }
}

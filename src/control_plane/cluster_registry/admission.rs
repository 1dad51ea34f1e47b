//! Which link may speak for a node.
//!
//! One that proves to be the node supersedes an earlier link of it: that is a restart, a reload, a
//! change of control planes, or a connection that only one end knows to be lost. One that cannot
//! prove anything, because the node is of an earlier version or has not been seen before, waits
//! until the earlier link has failed to give a sign of life.

use super::doors::{LinkKind, Refusal};
use super::identity::Verdict;
use super::{ClusterRegistry, SessionId};
use crate::control_plane::session::{Admission, Challenge};
use crate::wire::{Hello, SecretHash};
use actix::prelude::*;
use std::sync::Arc;
use uuid::Uuid;

/// A link that waits for a sign of life of an earlier one.
pub(super) struct Waiting {
    candidate: SessionId,
    older: SessionId,
    /// What the id is bound to once the link is admitted.
    binds: Option<SecretHash>,
}

impl ClusterRegistry {
    /// Somebody introduces itself.
    pub(super) fn greeted(&mut self, id: SessionId, hello: &Hello, ctx: &mut Context<Self>) {
        let Some(entry) = self.sessions.get(&id) else {
            return;
        };
        let (node, vouched) = (hello.node_id, entry.vouched);
        let shown = hello.secret.as_ref().map(crate::wire::NodeSecret::hash);
        let identities = Arc::clone(&self.options.identities);
        let examined = async move { identities.examine(node, vouched, shown).await };
        ctx.spawn(
            examined
                .into_actor(self)
                .map(move |verdict, registry, ctx| registry.examined(id, node, verdict, ctx)),
        );
    }

    fn examined(&mut self, id: SessionId, node: Uuid, verdict: Verdict, ctx: &mut Context<Self>) {
        let binds = match verdict {
            Verdict::Proved => return self.admit(id, true),
            Verdict::Refused(why) => return self.turn_away(id, node, why),
            Verdict::Binds(shown) => Some(shown),
            Verdict::Unproved => None,
        };
        if self.waiting.contains_key(&node) {
            let why = format!("another link that asks for node {node} is being examined");
            return self.turn_away(id, node, why);
        }
        let older = self.by_node.get(&node).filter(|older| **older != id);
        let Some((older, entry)) = older.and_then(|older| self.sessions.get_key_value(older))
        else {
            return self.settle(id, node, binds, ctx);
        };
        let waiting = Waiting {
            candidate: id,
            older: *older,
            binds,
        };
        // One whose mailbox is full is not asked; the one that waits gives up by its own deadline.
        let _ = entry.session.try_send(Challenge);
        self.waiting.insert(node, waiting);
    }

    /// Nobody else speaks for the node.
    fn settle(
        &mut self,
        id: SessionId,
        node: Uuid,
        binds: Option<SecretHash>,
        ctx: &mut Context<Self>,
    ) {
        let Some(shown) = binds else {
            tracing::warn!(
                %node, session = id.0,
                "a data plane proves no identity: it is of an earlier version, and another could \
                 take its place"
            );
            return self.admit(id, false);
        };
        let identities = Arc::clone(&self.options.identities);
        let bound = async move { identities.bind(node, shown, false).await };
        ctx.spawn(
            bound
                .into_actor(self)
                .map(move |bound, registry, _| match bound {
                    true => registry.admit(id, true),
                    false => {
                        let why = format!("another one has become node {node} meanwhile");
                        registry.turn_away(id, node, why);
                    }
                }),
        );
    }

    /// A session that was challenged has given a sign of life.
    pub(super) fn alive(&mut self, older: SessionId) {
        let of = |(node, waiting): (&Uuid, &Waiting)| (waiting.older == older).then_some(*node);
        let Some(node) = self.waiting.iter().find_map(of) else {
            return;
        };
        if let Some(waiting) = self.waiting.remove(&node) {
            let why = format!("node {node} is connected and answers, and this link proves nothing");
            self.turn_away(waiting.candidate, node, why);
        }
    }

    /// A session has ended: whoever waited for that has its place, and it waits no more itself.
    pub(super) fn let_go(&mut self, ended: SessionId, ctx: &mut Context<Self>) {
        self.waiting.retain(|_, waiting| waiting.candidate != ended);
        let of = |(node, waiting): (&Uuid, &Waiting)| (waiting.older == ended).then_some(*node);
        let Some(node) = self.waiting.iter().find_map(of) else {
            return;
        };
        let Some(waiting) = self.waiting.remove(&node) else {
            return;
        };
        // It was superseded, by one that has proved more than this one can.
        if self.by_node.get(&node).is_some_and(|now| *now != ended) {
            let why = format!("another link has proved to be node {node} meanwhile");
            return self.turn_away(waiting.candidate, node, why);
        }
        self.settle(waiting.candidate, node, waiting.binds, ctx);
    }

    fn admit(&mut self, id: SessionId, proved: bool) {
        if let Some(entry) = self.sessions.get_mut(&id) {
            entry.proved = proved;
        }
        self.answer(id, Ok(()));
    }

    fn turn_away(&self, id: SessionId, node: Uuid, why: String) {
        let ip = self.sessions.get(&id).map(|entry| entry.presence.ip());
        tracing::warn!(%node, ?ip, why, "a link was refused: it is not that of the node it names");
        let doors = &self.options.doors;
        doors.refused(LinkKind::Configuration, Refusal::Identity);
        self.answer(id, Err(why));
    }

    fn answer(&self, id: SessionId, answer: Result<(), String>) {
        if let Some(entry) = self.sessions.get(&id) {
            // A session whose mailbox is full ends by its own deadline.
            let _ = entry.session.try_send(Admission(answer));
        }
    }
}

//! What happens at the data planes of a simulated cluster, and what must hold there.

use super::network::{Conn, End};
use super::nodes::{Applying, DataPlane, Persisting, limits};
use super::world::{Bug, CALM, Event, Outcome, World};
use crate::data_plane::cache_writer::ConfigCache;
use crate::data_plane::heartbeat_client::{self as client, Persist};
use crate::wire::{Applied, FromDataPlane, Position, encode};
use std::sync::Arc;
use std::time::Duration;

impl World {
    pub(super) fn start_data_plane(&mut self, node: usize) -> Outcome {
        let addresses = self.control_planes.len();
        let slot = &mut self.data_planes[node];
        if slot.process.is_some() {
            return Ok(());
        }
        slot.life += 1;
        let (kinds, proves) = (slot.kinds, slot.proves);
        let random = &mut self.random;
        let process = DataPlane::start(node, kinds, proves, &slot.disk, addresses, random);
        let held = process.position();
        slot.process = Some(process);
        if held.order() < slot.acknowledged.order() {
            return Err(format!(
                "node {node} starts with {held}, having acknowledged {}",
                slot.acknowledged
            ));
        }
        let life = slot.life;
        self.client(node, life, client::Input::Start)
    }

    pub(super) fn client(&mut self, node: usize, life: u64, input: client::Input) -> Outcome {
        let slot = &mut self.data_planes[node];
        let Some(process) = slot.process.as_mut().filter(|_| slot.life == life) else {
            return Ok(());
        };
        let outputs = client::step(&mut process.state, input, self.now);
        for output in outputs {
            self.client_output(node, life, output)?;
        }
        let process = self.data_planes[node].process.as_ref();
        if let Some(at) = process.and_then(|process| process.state.deadline()) {
            let at = at.max(self.now + Duration::from_micros(1));
            // Numbered below all connections: clients share the set with sessions.
            let key = (Conn(u64::MAX - node as u64 - life * 16), at);
            if self.ticks.insert(key) {
                self.at(at, Event::ClientTick(node, life));
            }
        }
        Ok(())
    }

    pub(super) fn client_output(
        &mut self,
        node: usize,
        life: u64,
        output: client::Output,
    ) -> Outcome {
        let slot = &mut self.data_planes[node];
        let slow = slot.slow_disk;
        let Some(process) = slot.process.as_mut() else {
            return Ok(());
        };
        match output {
            client::Output::Connect { link, address } => self.connect(node, link, address),
            client::Output::Disconnect { link } => {
                if let Some(conn) = process.links.get(&link).copied() {
                    self.close(conn, End::ControlPlane);
                }
            }
            client::Output::Send { link, message } => {
                let conn = process.links.get(&link).copied();
                if let FromDataPlane::Applied(applied) = &message {
                    self.acknowledging(node, applied)?;
                    if self.bug == Some(Bug::LostAcknowledgement) && self.chance(0.3) {
                        return Ok(());
                    }
                }
                let bytes = encode(&message, &limits()).map_err(|err| err.to_string())?;
                if let Some(conn) = conn {
                    self.transmit(conn, End::ControlPlane, bytes);
                }
            }
            client::Output::Apply(message) => {
                process.applying = Some(Applying::Change(message));
                self.after_millis(0..1500, Event::Applied(node, life));
            }
            client::Output::ApplySnapshot(parts) => {
                process.applying = Some(Applying::Snapshot(parts));
                self.after_millis(0..3000, Event::Applied(node, life));
            }
            client::Output::Persist(persist) => {
                process.persisting = Some(match persist {
                    Persist::Live => {
                        Persisting::Whole(process.epoch, Box::new(process.config.clone()))
                    }
                    change => Persisting::Write(change),
                });
                self.after_millis(
                    if slow { 1000..9000 } else { 1..50 },
                    Event::Persisted(node, life),
                );
                if self.bug == Some(Bug::AcknowledgementBeforePersistence) {
                    let position = self.live(node);
                    return self.client(node, life, client::Input::Persisted { position });
                }
            }
            client::Output::Report(client::Report::Disconnected { reason, .. })
                if reason.contains("violation") =>
            {
                return Err(format!("violation seen by node {node}: {reason}"));
            }
            client::Output::Report(client::Report::Rejected(rejected)) => {
                return Err(format!("rejected by node {node}: {rejected:?}"));
            }
            client::Output::Report(_) => {}
        }
        Ok(())
    }

    pub(super) fn live(&self, node: usize) -> Position {
        let process = self.data_planes[node].process.as_ref();
        process.map(DataPlane::position).unwrap_or_default()
    }

    /// Acknowledged means live and persisted.
    pub(super) fn acknowledging(&mut self, node: usize, applied: &Applied) -> Outcome {
        self.stats.acknowledgements += 1;
        let live = self.live(node);
        let slot = &mut self.data_planes[node];
        let persisted = slot.disk.position();
        let order = applied.position.order();
        if order > live.order() || order > persisted.order() {
            return Err(format!(
                "node {node} acknowledges {}, has {live} live and {persisted} persisted",
                applied.position
            ));
        }
        if order > slot.acknowledged.order() {
            slot.acknowledged = applied.position;
        }
        Ok(())
    }

    pub(super) fn applied(&mut self, node: usize, life: u64) -> Outcome {
        let slot = &mut self.data_planes[node];
        let Some(process) = slot.process.as_mut().filter(|_| slot.life == life) else {
            return Ok(());
        };
        let before = process.position();
        let done = match process.applying.take() {
            None => return Ok(()),
            Some(Applying::Change(message)) => process
                .config
                .apply(&message.change)
                .map_err(|err| err.to_string()),
            Some(Applying::Snapshot(parts)) => parts
                .decode(&limits())
                .map(|config| {
                    process.config = config;
                    process.epoch = parts.position.epoch;
                })
                .map_err(|err| err.to_string()),
        };
        let position = process.position();
        if let Err(reason) = done {
            return self.client(node, life, client::Input::NotApplied { reason });
        }
        if position.order() < before.order() {
            return Err(format!("node {node} goes from {before} back to {position}"));
        }
        let truth = self.truth.get(&position.order());
        if truth.map(|digests| digests.of(slot.kinds)) != Some(position.digest) {
            return Err(format!("node {node} has a wrong digest at {position}"));
        }
        let input = client::Input::InEffect {
            position,
            at: self.now.as_millis() as u64,
            quarantined: Arc::default(),
            last_good: Arc::default(),
        };
        self.client(node, life, input)
    }

    pub(super) fn persisted(&mut self, node: usize, life: u64) -> Outcome {
        let fails = self.now < CALM && self.chance(0.05);
        let slot = &mut self.data_planes[node];
        let Some(process) = slot.process.as_mut().filter(|_| slot.life == life) else {
            return Ok(());
        };
        let Some(persisting) = process.persisting.take() else {
            return Ok(());
        };
        let done = match &persisting {
            _ if fails => {
                self.stats.failed_writes += 1;
                Err("no space".to_owned())
            }
            Persisting::Whole(epoch, config) => process
                .cache
                .replace(*epoch, config, &[])
                .map_err(|err| err.to_string()),
            Persisting::Write(Persist::Change { epoch, change, .. }) => process
                .cache
                .commit(*epoch, change, &[])
                .map_err(|err| err.to_string()),
            Persisting::Write(Persist::Live) => return Err("unreachable".into()),
        };
        if self.bug == Some(Bug::AcknowledgementBeforePersistence) {
            return Ok(());
        }
        let input = match done {
            Ok(position) => client::Input::Persisted { position },
            Err(reason) if fails => client::Input::NotPersisted { reason },
            Err(reason) => return Err(format!("the cache of node {node} refuses: {reason}")),
        };
        self.client(node, life, input)
    }
}

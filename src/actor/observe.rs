//! Every actor can be asked what state it is in; `/debug/actors` asks them all.

use super::Guarded;
use super::slot::{Slot, Vitals};
use actix::Message;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A question to any actor: a serialisable picture of its state. The answer goes to people,
/// so it must be small and without secrets.
#[derive(Clone, Copy, Debug)]
pub struct Observe;

impl Message for Observe {
    type Result = Value;
}

type Answer = Pin<Box<dyn Future<Output = Option<Value>> + Send>>;

pub(super) struct Entry {
    /// Tells two actors of one name apart when the first one leaves.
    number: u64,
    pub(super) vitals: Arc<Vitals>,
    ask: Arc<dyn Fn() -> Answer + Send + Sync>,
}

#[derive(Default)]
pub(super) struct Entries {
    pub(super) by_name: BTreeMap<String, Entry>,
    next: u64,
    #[cfg(test)]
    pub(super) pace: Option<super::RestartPolicy>,
}

/// The actors of this process by name.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Entries>>);

impl Registry {
    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an actor until the registration is dropped. A second actor of the same name
    /// takes the place of the first.
    pub fn register<A: Guarded>(&self, name: String, slot: Slot<A>) -> Registration {
        let vitals = slot.vitals.clone();
        let ask: Arc<dyn Fn() -> Answer + Send + Sync> = Arc::new(move || {
            let slot = slot.clone();
            Box::pin(async move { slot.ask(Observe).await.ok() })
        });
        let mut entries = self.entries();
        let number = entries.next;
        entries.next += 1;
        let entry = Entry {
            number,
            vitals,
            ask,
        };
        entries.by_name.insert(name.clone(), entry);
        Registration {
            registry: self.clone(),
            name,
            number,
        }
    }

    /// The registered names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.entries().by_name.keys().cloned().collect()
    }

    /// All actors with their counts and states, as `/debug/actors` shows them. An actor that
    /// does not answer within `patience` is shown as unresponsive, and the others are not
    /// held up by it.
    pub async fn observe(&self, patience: Duration) -> Value {
        let asked: Vec<_> = self
            .entries()
            .by_name
            .iter()
            .map(|(name, entry)| (name.clone(), entry.vitals.clone(), entry.ask.clone()))
            .collect();
        let answers = asked.into_iter().map(|(name, vitals, ask)| async move {
            let (status, state) = match tokio::time::timeout(patience, ask()).await {
                Ok(Some(state)) => ("running", state),
                Ok(None) => ("restarting", Value::Null),
                Err(_) => ("unresponsive", Value::Null),
            };
            json!({
                "name": name,
                "status": status,
                "restarts": vitals.restarts(),
                "panics": vitals.panics(),
                "mailbox": { "capacity": vitals.mailbox(), "overflows": vitals.overflows() },
                "state": state,
            })
        });
        json!({ "actors": join_all(answers).await })
    }
}

/// An actor's place in the registry; dropping it leaves.
pub struct Registration {
    registry: Registry,
    name: String,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut entries = self.registry.entries();
        let mine = |entry: &Entry| entry.number == self.number;
        if entries.by_name.get(&self.name).is_some_and(mine) {
            entries.by_name.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::{RestartPolicy, guard};
    use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, MessageResult};

    struct Probe {
        stuck: bool,
    }

    impl Actor for Probe {
        type Context = Context<Self>;

        fn started(&mut self, context: &mut Self::Context) {
            if self.stuck {
                let for_ever = actix::fut::wrap_future::<_, Self>(std::future::pending::<()>());
                context.wait(for_ever.map(|(), _, _| ()));
            }
        }
    }

    impl Guarded for Probe {
        const MAILBOX: usize = 4;
    }

    impl Handler<Observe> for Probe {
        type Result = MessageResult<Observe>;
        fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
            MessageResult(json!({ "mood": "fine" }))
        }
    }

    fn probe(registry: &Registry, name: &str, stuck: bool) -> Slot<Probe> {
        guard(registry, name, RestartPolicy::default(), move || Probe {
            stuck,
        })
    }

    #[actix::test]
    async fn all_actors_are_shown_and_a_stuck_one_holds_nobody_up() {
        let registry = Registry::default();
        let _stuck = probe(&registry, "stuck", true);
        let _fine = probe(&registry, "fine", false);
        let shown = registry.observe(Duration::from_secs(1)).await;
        let mailbox = json!({ "capacity": 4, "overflows": 0 });
        assert_eq!(
            shown,
            json!({ "actors": [
                { "name": "fine", "status": "running", "restarts": 0, "panics": 0,
                  "mailbox": mailbox, "state": { "mood": "fine" } },
                { "name": "stuck", "status": "unresponsive", "restarts": 0, "panics": 0,
                  "mailbox": mailbox, "state": null },
            ]})
        );
    }

    #[actix::test]
    async fn the_second_actor_of_a_name_survives_the_first() {
        let registry = Registry::default();
        let first = probe(&registry, "session", false);
        let second = probe(&registry, "session", false);
        first.close();
        first.closed().await;
        assert_eq!(registry.names(), ["session"]);
        second.close();
        second.closed().await;
        assert!(registry.names().is_empty());
    }
}

//! Restarts an actor by factory when it stops or panics.
//!
//! actix's `Supervisor` restarts an actor that stops, but a panic takes the supervisor with
//! it and closes the address. Here the actor's future is a task of its own whose end, of
//! either kind, the guardian awaits; what others hold is a [`Slot`].

use super::observe::{Observe, Registration, Registry};
use super::slot::{Slot, Vitals};
use super::{Backoff, RestartPolicy};
use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// An actor that can live under a guardian.
pub trait Guarded: Actor<Context = Context<Self>> + Handler<Observe> {
    /// Messages its mailbox holds; the guardian sets it on every life.
    const MAILBOX: usize;
}

/// Starts an actor on the current arbiter and keeps it running. The actor runs when this
/// returns, unless its factory panicked.
pub fn guard<A, F>(
    registry: &Registry,
    name: impl Into<String>,
    policy: RestartPolicy,
    factory: F,
) -> Slot<A>
where
    A: Guarded,
    F: FnMut() -> A + 'static,
{
    let (guardian, slot) = Guardian::new(registry, name.into(), policy);
    guardian.start(factory);
    slot
}

/// Starts an actor on another arbiter and keeps it running there; [`Slot::started`] waits
/// for it.
pub fn guard_on<A, F>(
    arbiter: &ArbiterHandle,
    registry: &Registry,
    name: impl Into<String>,
    policy: RestartPolicy,
    factory: F,
) -> Slot<A>
where
    A: Guarded,
    F: FnMut() -> A + Send + 'static,
{
    let (guardian, slot) = Guardian::new(registry, name.into(), policy);
    if !arbiter.spawn_fn(move || guardian.start(factory)) {
        tracing::error!("the arbiter of an actor has ended, the actor was not started");
    }
    slot
}

struct Guardian<A: Actor> {
    name: String,
    policy: RestartPolicy,
    addr: watch::Sender<Option<Addr<A>>>,
    closing: watch::Receiver<bool>,
    vitals: Arc<Vitals>,
    /// Leaves `/debug/actors` with the guardian.
    _registration: Registration,
}

/// How one life ended.
enum Ended {
    Stopped,
    Panicked(String),
    Closed,
}

impl<A: Guarded> Guardian<A> {
    fn new(registry: &Registry, name: String, policy: RestartPolicy) -> (Guardian<A>, Slot<A>) {
        #[cfg(test)]
        let policy = registry.pace().unwrap_or(policy);
        let (addr, addr_seen) = watch::channel(None);
        let (close, closing) = watch::channel(false);
        let vitals = Arc::new(Vitals::sized(A::MAILBOX));
        let slot = Slot {
            addr: addr_seen,
            closing: Arc::new(close),
            vitals: vitals.clone(),
        };
        let guardian = Guardian {
            _registration: registry.register(name.clone(), slot.clone()),
            name,
            policy,
            addr,
            closing,
            vitals,
        };
        (guardian, slot)
    }

    /// The first life begins at once, so that a caller on this arbiter finds the slot filled.
    fn start<F>(self, mut factory: F)
    where
        F: FnMut() -> A + 'static,
    {
        let first = self.begin(&mut factory);
        actix_rt::spawn(self.watch_over(first, factory));
    }

    async fn watch_over<F>(mut self, first: Result<JoinHandle<()>, String>, mut factory: F)
    where
        F: FnMut() -> A,
    {
        let mut backoff = Backoff::new(self.policy);
        let mut life = first;
        loop {
            let begun = Instant::now();
            let ended = match life {
                Ok(task) => self.end_of(task).await,
                Err(panic) => Ended::Panicked(panic),
            };
            self.vitals.alive.store(false, Ordering::Relaxed);
            self.addr.send_replace(None);
            let delay = backoff.after(begun.elapsed());
            match ended {
                Ended::Closed => return,
                Ended::Stopped => {
                    tracing::warn!(actor = self.name, ?delay, "actor stopped, restarting");
                }
                Ended::Panicked(panic) => {
                    self.vitals.panics.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(
                        actor = self.name,
                        panic,
                        ?delay,
                        "actor panicked, restarting"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = closed(&mut self.closing) => return,
            }
            self.vitals.restarts.fetch_add(1, Ordering::Relaxed);
            life = self.begin(&mut factory);
        }
    }

    /// Builds an actor and runs it as a task of its own, or says how the factory panicked.
    fn begin<F: FnMut() -> A>(&self, factory: &mut F) -> Result<JoinHandle<()>, String> {
        let actor = catch_unwind(AssertUnwindSafe(factory)).map_err(|panic| panic_text(&*panic))?;
        let mut context = Context::new();
        context.set_mailbox_capacity(A::MAILBOX);
        let addr = context.address();
        let life = context.into_future(actor);
        #[cfg(test)]
        let life = super::death::mortal(life, Arc::clone(&self.vitals));
        let task = actix_rt::spawn(life);
        self.vitals.alive.store(true, Ordering::Relaxed);
        self.addr.send_replace(Some(addr));
        Ok(task)
    }

    async fn end_of(&mut self, mut task: JoinHandle<()>) -> Ended {
        let end = tokio::select! {
            end = &mut task => end,
            () = closed(&mut self.closing) => {
                // Dropping the future runs the actor's `stopping` and `stopped`.
                task.abort();
                let _ = task.await;
                return Ended::Closed;
            }
        };
        match end {
            Ok(()) => Ended::Stopped,
            Err(err) if err.is_panic() => Ended::Panicked(panic_text(&*err.into_panic())),
            Err(_) => Ended::Closed,
        }
    }
}

/// Resolves once the slot was closed; never when all slots are gone, because an actor may be
/// useful without anybody talking to it.
async fn closed(closing: &mut watch::Receiver<bool>) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::slot::Refused;
    use super::*;
    use actix::{ActorContext, Message, MessageResult};
    use serde_json::json;
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    #[derive(Message)]
    #[rtype(result = "u32")]
    struct Which;

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Panic;

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Stop;

    struct Probe {
        life: u32,
        stopped: Rc<Cell<u32>>,
    }

    impl Actor for Probe {
        type Context = Context<Self>;

        fn stopped(&mut self, _: &mut Self::Context) {
            self.stopped.set(self.stopped.get() + 1);
        }
    }

    impl Guarded for Probe {
        const MAILBOX: usize = 2;
    }

    impl Handler<Which> for Probe {
        type Result = u32;
        fn handle(&mut self, _: Which, _: &mut Self::Context) -> u32 {
            self.life
        }
    }

    impl Handler<Panic> for Probe {
        type Result = ();
        fn handle(&mut self, _: Panic, _: &mut Self::Context) {
            panic!("as asked");
        }
    }

    impl Handler<Stop> for Probe {
        type Result = ();
        fn handle(&mut self, _: Stop, context: &mut Self::Context) {
            context.stop();
        }
    }

    impl Handler<Observe> for Probe {
        type Result = MessageResult<Observe>;
        fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
            MessageResult(json!({ "life": self.life }))
        }
    }

    fn at_once() -> RestartPolicy {
        RestartPolicy {
            first_delay: Duration::ZERO,
            max_delay: Duration::ZERO,
            healthy_after: Duration::from_secs(60),
        }
    }

    fn probe(registry: &Registry) -> (Slot<Probe>, Rc<Cell<u32>>) {
        let stopped = Rc::new(Cell::new(0));
        let (mut life, seen) = (0, stopped.clone());
        let slot = guard(registry, "probe", at_once(), move || {
            life += 1;
            Probe {
                life,
                stopped: seen.clone(),
            }
        });
        (slot, stopped)
    }

    /// Waits for the life after `old`.
    async fn reborn(slot: &Slot<Probe>, old: &Addr<Probe>) {
        let mut addr = slot.addr.clone();
        addr.wait_for(|now| now.as_ref().is_some_and(|now| now != old))
            .await
            .expect("a guardian");
    }

    #[actix::test]
    async fn an_actor_that_panics_or_stops_is_built_anew() {
        let registry = Registry::default();
        let (slot, _) = probe(&registry);
        assert_eq!(slot.ask(Which).await.expect("an answer"), 1);

        let first = slot.addr().expect("running");
        assert!(slot.ask(Panic).await.is_err());
        reborn(&slot, &first).await;
        assert_eq!(slot.ask(Which).await.expect("an answer"), 2);
        assert_eq!((slot.vitals().restarts(), slot.vitals().panics()), (1, 1));

        let second = slot.addr().expect("running");
        slot.ask(Stop).await.expect("an answer");
        reborn(&slot, &second).await;
        assert_eq!(slot.ask(Which).await.expect("an answer"), 3);
        assert_eq!((slot.vitals().restarts(), slot.vitals().panics()), (2, 1));
    }

    #[actix::test]
    async fn a_factory_that_panics_is_tried_again() {
        let mut tries = 0;
        let slot = guard(&Registry::default(), "probe", at_once(), move || {
            tries += 1;
            assert!(tries > 2, "not yet");
            Probe {
                life: tries,
                stopped: Rc::default(),
            }
        });
        assert!(slot.addr().is_none());
        let addr = slot.started().await.expect("a guardian");
        assert_eq!(addr.send(Which).await.expect("an answer"), 3);
        assert_eq!(slot.vitals().panics(), 2);
    }

    #[actix::test]
    async fn a_closed_actor_stays_down_and_leaves_the_registry() {
        let registry = Registry::default();
        let (slot, stopped) = probe(&registry);
        assert_eq!(registry.names(), ["probe"]);
        slot.close();
        slot.closed().await;
        assert_eq!(stopped.get(), 1);
        assert!(matches!(slot.try_send(Stop), Err(Refused::Absent(Stop))));
        assert!(registry.names().is_empty());
    }

    #[actix::test]
    async fn a_full_mailbox_refuses_and_counts() {
        let (slot, _) = probe(&Registry::default());
        // Nothing runs between two sends without an await.
        let taken = (0..10).filter(|_| slot.try_send(Stop).is_ok()).count();
        assert_eq!(taken, 2);
        assert_eq!(slot.vitals().overflows(), 8);
    }

    #[actix::test]
    async fn an_actor_can_live_on_another_arbiter() {
        let arbiter = actix::Arbiter::new();
        let here = std::thread::current().id();
        let slot = guard_on(
            &arbiter.handle(),
            &Registry::default(),
            "probe",
            at_once(),
            move || {
                assert_ne!(std::thread::current().id(), here);
                Probe {
                    life: 1,
                    stopped: Rc::default(),
                }
            },
        );
        let addr = slot.started().await.expect("a guardian");
        assert_eq!(addr.send(Which).await.expect("an answer"), 1);
        arbiter.stop();
    }
}

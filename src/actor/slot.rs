//! The place of an actor: its address now, whichever life it is in.

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, MailboxError, Message};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::watch;

/// What is counted about an actor from the outside.
#[derive(Debug, Default)]
pub struct Vitals {
    pub(super) alive: AtomicBool,
    pub(super) restarts: AtomicU64,
    pub(super) panics: AtomicU64,
    pub(super) overflows: AtomicU64,
    pub(super) mailbox: usize,
    #[cfg(test)]
    pub(super) death: tokio::sync::Notify,
}

impl Vitals {
    pub(super) fn sized(mailbox: usize) -> Vitals {
        Vitals {
            mailbox,
            ..Vitals::default()
        }
    }

    /// Whether the actor runs now; false while a restart is being waited for.
    pub fn alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// Lives after the first.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Lives that ended in a panic.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Messages refused because the mailbox was full.
    pub fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }

    /// Messages the mailbox holds.
    pub fn mailbox(&self) -> usize {
        self.mailbox
    }
}

/// A message that was not taken, handed back to whoever owns the overflow rule.
#[derive(Debug, thiserror::Error)]
pub enum Refused<M> {
    #[error("the mailbox is full")]
    Full(M),
    #[error("the actor is not running")]
    Absent(M),
}

/// A stable handle to an actor under a guardian.
pub struct Slot<A: Actor> {
    pub(super) addr: watch::Receiver<Option<Addr<A>>>,
    pub(super) closing: Arc<watch::Sender<bool>>,
    pub(super) vitals: Arc<Vitals>,
}

impl<A: Actor> Clone for Slot<A> {
    fn clone(&self) -> Self {
        Slot {
            addr: self.addr.clone(),
            closing: self.closing.clone(),
            vitals: self.vitals.clone(),
        }
    }
}

impl<A: Actor> Slot<A> {
    /// The address of the current life; do not keep it.
    pub fn addr(&self) -> Option<Addr<A>> {
        self.addr.borrow().clone()
    }

    /// Waits until the actor runs. Returns `None` when its guardian is gone.
    pub async fn started(&self) -> Option<Addr<A>> {
        let mut addr = self.addr.clone();
        let running = addr.wait_for(Option::is_some).await.ok()?;
        running.clone()
    }

    /// Puts a message into the mailbox, or hands it back.
    ///
    /// # Errors
    /// [`Refused`] with the message: the caller decides what an overflow means.
    pub fn try_send<M>(&self, message: M) -> Result<(), Refused<M>>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        // Through the one shared address: actix grants every clone of an address one message
        // beyond the mailbox's size, so that sending through fresh clones knows no bound.
        let shared = self.addr.borrow();
        let Some(addr) = shared.as_ref() else {
            return Err(Refused::Absent(message));
        };
        addr.try_send(message).map_err(|err| match err {
            actix::prelude::SendError::Full(message) => {
                self.vitals.overflows.fetch_add(1, Ordering::Relaxed);
                Refused::Full(message)
            }
            actix::prelude::SendError::Closed(message) => Refused::Absent(message),
        })
    }

    /// Waits while the actor is being restarted, then puts a message into the mailbox or hands it back.
    ///
    /// # Errors
    /// [`Refused::Full`], and [`Refused::Absent`] when its guardian is gone.
    pub async fn send_when_running<M>(&self, mut message: M) -> Result<(), Refused<M>>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let mut lives = self.addr.clone();
        loop {
            let accepting = |addr: &Option<Addr<A>>| addr.as_ref().is_some_and(Addr::connected);
            if lives.wait_for(accepting).await.is_err() {
                return Err(Refused::Absent(message));
            }
            match self.try_send(message) {
                // It has ended in between.
                Err(Refused::Absent(back)) => message = back,
                done => return done,
            }
        }
    }

    /// Sends a message and waits for the answer; waits for room when the mailbox is full.
    ///
    /// # Errors
    /// `MailboxError::Closed` when the actor is not running or ends before it has answered.
    pub async fn ask<M>(&self, message: M) -> Result<M::Result, MailboxError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let request = self.addr.borrow().as_ref().map(|addr| addr.send(message));
        match request {
            Some(request) => request.await,
            None => Err(MailboxError::Closed),
        }
    }

    /// Sends a message and waits for the answer, like [`Slot::ask`], but waits while the actor is being
    /// restarted instead of failing. A message that was delivered to an actor that then died is not
    /// sent again.
    ///
    /// # Errors
    /// `MailboxError::Closed` when the actor ends before it has answered, or its guardian is gone.
    pub async fn ask_when_running<M>(&self, message: M) -> Result<M::Result, MailboxError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let mut lives = self.addr.clone();
        let accepting = |addr: &Option<Addr<A>>| addr.as_ref().is_some_and(Addr::connected);
        let request = match lives.wait_for(accepting).await {
            Ok(addr) => addr.as_ref().map(|addr| addr.send(message)),
            Err(_) => None,
        };
        match request {
            Some(request) => request.await,
            None => Err(MailboxError::Closed),
        }
    }

    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// Ends the actor (its `stopping` and `stopped` run) and its guardian.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Waits until the guardian has ended.
    pub async fn closed(&self) {
        let mut addr = self.addr.clone();
        while addr.changed().await.is_ok() {}
    }
}

//! Deadlines without a timer per request: one sweep per worker looks at all of them.
//!
//! Arming a deadline is two stores. A deadline is looked at when the earliest one of the
//! worker is due, so it fires up to `RESOLUTION` late, which timeouts of a proxy can bear.
//!
//! A slot also keeps the waker of its connection's task, so that the worker can wake every
//! connection at once when it drains.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The shortest pause between two sweeps.
const RESOLUTION: Duration = Duration::from_millis(20);
/// Stands for "no limit" where a sum would not fit.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The time was up before the operation was done.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("deadline passed")]
pub struct Elapsed;

/// All deadlines of one worker.
#[derive(Debug, Default)]
pub struct Deadlines {
    slots: RefCell<Slots>,
    /// When the sweep looks next; `None` while nothing is armed.
    next_sweep: Cell<Option<Instant>>,
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Slots {
    used: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Debug, Default)]
struct Slot {
    at: Option<Instant>,
    fired: bool,
    waker: Option<Waker>,
}

impl Deadlines {
    /// A new deadline, not armed.
    pub fn deadline(self: &Rc<Self>) -> Deadline {
        let mut slots = self.slots.borrow_mut();
        let index = slots.free.pop().unwrap_or_else(|| {
            slots.used.push(Slot::default());
            slots.used.len() - 1
        });
        Deadline {
            owner: self.clone(),
            index,
        }
    }

    /// Wakes every task that holds a deadline.
    pub fn wake_all(&self) {
        let wakers: Vec<Waker> = {
            let slots = self.slots.borrow();
            slots
                .used
                .iter()
                .filter_map(|slot| slot.waker.clone())
                .collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Fires deadlines as they pass; runs as long as the worker does.
    pub async fn sweep(self: Rc<Self>) {
        loop {
            match self.next_sweep.get() {
                None => self.earlier.notified().await,
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => self.fire(Instant::now()),
                        () = self.earlier.notified() => {}
                    }
                }
            }
        }
    }

    fn fire(&self, now: Instant) {
        let mut wakers = Vec::new();
        let mut earliest: Option<Instant> = None;
        for slot in &mut self.slots.borrow_mut().used {
            let Some(at) = slot.at else { continue };
            if at > now {
                earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
                continue;
            }
            slot.at = None;
            slot.fired = true;
            wakers.extend(slot.waker.clone());
        }
        self.next_sweep
            .set(earliest.map(|at| at.max(now + RESOLUTION)));
        wakers.into_iter().for_each(Waker::wake);
    }

    fn arm(&self, index: usize, limit: Duration) {
        let at = Instant::now() + limit.min(FAR);
        if let Some(slot) = self.slots.borrow_mut().used.get_mut(index) {
            slot.at = Some(at);
            slot.fired = false;
        }
        if self.next_sweep.get().is_none_or(|next| at < next) {
            self.next_sweep.set(Some(at));
            self.earlier.notify_one();
        }
    }
}

/// The one deadline of a connection, armed for whatever it waits for now.
#[derive(Debug)]
pub struct Deadline {
    owner: Rc<Deadlines>,
    index: usize,
}

impl Deadline {
    /// Lets the deadline pass after `limit` from now; replaces what was armed before.
    pub fn arm(&self, limit: Duration) {
        self.owner.arm(self.index, limit);
    }

    pub fn disarm(&self) {
        if let Some(slot) = self.owner.slots.borrow_mut().used.get_mut(self.index) {
            slot.at = None;
            slot.fired = false;
        }
    }

    /// Whether the armed deadline has passed; the task is woken when it does.
    pub fn poll_elapsed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut slots = self.owner.slots.borrow_mut();
        let Some(slot) = slots.used.get_mut(self.index) else {
            return Poll::Pending;
        };
        if slot.fired {
            return Poll::Ready(());
        }
        match &mut slot.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Polls until ready, for `limit` at most. Nothing is armed when the first poll is ready.
    pub async fn within<T>(
        &self,
        limit: Duration,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Elapsed> {
        let mut armed = false;
        poll_fn(|cx| {
            if let Poll::Ready(value) = poll(cx) {
                if armed {
                    self.disarm();
                }
                return Poll::Ready(Ok(value));
            }
            if !armed {
                self.arm(limit);
                armed = true;
            }
            self.poll_elapsed(cx).map(|()| Err(Elapsed))
        })
        .await
    }

    /// Awaits a future, for `limit` at most.
    pub async fn bound<T>(
        &self,
        limit: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        let mut future = std::pin::pin!(future);
        self.within(limit, |cx| future.as_mut().poll(cx)).await
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut slots = self.owner.slots.borrow_mut();
        if let Some(slot) = slots.used.get_mut(self.index) {
            *slot = Slot::default();
        }
        slots.free.push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::task::LocalSet;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        LocalSet::new().block_on(&runtime.unwrap(), test);
    }

    #[test]
    fn a_deadline_ends_what_does_not_end() {
        run(async {
            let deadlines = Rc::new(Deadlines::default());
            tokio::task::spawn_local(deadlines.clone().sweep());
            let (long, short) = (deadlines.deadline(), deadlines.deadline());
            long.arm(Duration::MAX);
            let bounded = short.bound(Duration::from_millis(1), pending::<()>()).await;
            assert_eq!(bounded, Err(Elapsed));
            let again = short.bound(Duration::from_millis(1), pending::<()>()).await;
            assert_eq!(again, Err(Elapsed));
            assert_eq!(short.bound(Duration::ZERO, async { 7 }).await, Ok(7));
        });
    }

    #[test]
    fn slots_are_reused_clean() {
        run(async {
            let deadlines = Rc::new(Deadlines::default());
            let first = deadlines.deadline();
            first.arm(Duration::ZERO);
            deadlines.fire(Instant::now());
            assert!(deadlines.slots.borrow().used[0].fired);
            drop(first);
            let second = deadlines.deadline();
            assert_eq!(second.index, 0);
            let polled = poll_fn(|cx| Poll::Ready(second.poll_elapsed(cx))).await;
            assert_eq!(polled, Poll::Pending);
        });
    }

    #[test]
    fn waking_all_reaches_every_waiting_task() {
        run(async {
            let deadlines = Rc::new(Deadlines::default());
            let flag = Rc::new(Cell::new(false));
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let (deadline, flag) = (deadlines.deadline(), flag.clone());
                    tokio::task::spawn_local(poll_fn(move |cx| match flag.get() {
                        true => Poll::Ready(()),
                        false => deadline.poll_elapsed(cx),
                    }))
                })
                .collect();
            tokio::task::yield_now().await;
            flag.set(true);
            deadlines.wake_all();
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
}

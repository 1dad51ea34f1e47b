//! What a peer may send before it is known and afterwards, and what an unfinished frame may cost.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The largest frame before the peer has introduced itself, in bytes: a hello with many plugins
/// and labels is a quarter of it.
pub const GREETING_FRAME: usize = 16 << 10;

/// So much of an unfinished frame costs nobody else anything.
const FREE: usize = 64 << 10;

/// What all unfinished frames of this process may take beyond that, in bytes.
const TOGETHER: usize = 256 << 20;

/// What they take now.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// How much the peer of one link may send; shared by the ends of the link that read and decide.
#[derive(Clone)]
pub struct Allowance(Rc<Inner>);

struct Inner {
    frame: Cell<usize>,
    /// Bytes since the last whole message.
    unfinished: Cell<usize>,
    /// The part of them that counts in [`TAKEN`].
    charged: Cell<usize>,
    /// Whole messages so far.
    messages: Cell<u64>,
    /// What is held until the peer has introduced itself.
    greeting: RefCell<Option<Box<dyn Any>>>,
}

impl Allowance {
    /// For a peer that is to introduce itself; `greeting` is dropped when it has, or at the end.
    #[must_use]
    pub fn greeting(greeting: impl Any) -> Allowance {
        let allowance = Allowance::known(GREETING_FRAME);
        allowance.0.greeting.replace(Some(Box::new(greeting)));
        allowance
    }

    /// For a peer that is known: frames up to this many bytes.
    #[must_use]
    pub fn known(frame: usize) -> Allowance {
        Allowance(Rc::new(Inner {
            frame: Cell::new(frame),
            unfinished: Cell::new(0),
            charged: Cell::new(0),
            messages: Cell::new(0),
            greeting: RefCell::new(None),
        }))
    }

    /// The peer has introduced itself: from now on frames may have this many bytes.
    pub fn introduced(&self, frame: usize) {
        self.0.frame.set(frame);
        self.0.greeting.take();
    }

    /// The largest frame, in bytes.
    #[must_use]
    pub fn frame(&self) -> usize {
        self.0.frame.get()
    }

    pub(super) fn messages(&self) -> u64 {
        self.0.messages.get()
    }

    pub(super) fn is_unfinished(&self) -> bool {
        self.0.unfinished.get() > 0
    }

    /// Bytes have come; false when it is too much of them.
    ///
    /// The WebSocket library looks at the length of a frame only once the frame is whole, so it is
    /// bounded here.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let unfinished = self.0.unfinished.get().saturating_add(bytes);
        self.0.unfinished.set(unfinished);
        let frame = self.0.frame.get();
        // Whole frames may come behind one another in one read.
        if unfinished > frame.saturating_add(frame.min(FREE)) {
            return false;
        }
        let charge = unfinished.saturating_sub(FREE);
        let more = charge.saturating_sub(self.0.charged.replace(charge));
        TAKEN.fetch_add(more, Ordering::Relaxed) + more <= TOGETHER
    }

    /// A message is whole.
    pub(super) fn finish(&self) {
        self.0.unfinished.set(0);
        self.0.messages.set(self.0.messages.get() + 1);
        self.0.refund();
    }
}

impl Inner {
    fn refund(&self) {
        TAKEN.fetch_sub(self.charged.take(), Ordering::Relaxed);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.refund();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trial_17_a_stranger_may_send_a_hello_and_no_more() {
        let held = std::sync::Arc::new(());
        let allowance = Allowance::greeting(std::sync::Arc::clone(&held));
        assert_eq!(allowance.frame(), GREETING_FRAME);
        assert!(allowance.take(GREETING_FRAME));
        assert!(!allowance.take(GREETING_FRAME + 1), "of one message");
        allowance.finish();
        assert!(allowance.take(GREETING_FRAME));
        assert_eq!(std::sync::Arc::strong_count(&held), 2);
        allowance.introduced(1 << 20);
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
        assert!(allowance.take(1 << 20));
        assert!(!allowance.take(1 << 20));
    }

    #[test]
    fn trial_17_unfinished_frames_are_bounded_together() {
        const LARGE: usize = 100 << 20;
        let peers: Vec<_> = (0..3).map(|_| Allowance::known(LARGE)).collect();
        assert!(peers[0].take(LARGE) && peers[1].take(LARGE));
        assert!(!peers[2].take(LARGE), "three are too much");
        drop(peers);
        let peer = Allowance::known(LARGE);
        assert!(peer.take(LARGE), "what is gone takes nothing");
        peer.finish();
        assert!(peer.take(LARGE));
    }
}

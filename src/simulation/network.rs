//! Connections: in order and without loss while they last, as TCP has it.

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use std::time::Duration;

/// One connection attempt, unique in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conn(pub u64);

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    ControlPlane,
    DataPlane,
}

/// One connection between a data plane and a control plane.
#[derive(Debug)]
pub struct Link {
    pub control_plane: usize,
    pub data_plane: usize,
    latency: Duration,
    /// When the last frame of each direction arrives.
    last: [Duration; 2],
    /// Nothing passes any more.
    pub cut: bool,
    /// The latest frames to the data plane, for ghosts.
    pub recent: Vec<Bytes>,
}

impl Link {
    pub fn new(control_plane: usize, data_plane: usize, random: &mut StdRng) -> Link {
        Link {
            control_plane,
            data_plane,
            latency: Duration::from_millis(random.random_range(1..200)),
            last: [Duration::ZERO; 2],
            cut: false,
            recent: Vec::new(),
        }
    }

    /// When a frame that is sent now arrives.
    pub fn arrival(&mut self, to: End, now: Duration, random: &mut StdRng) -> Duration {
        let delay = self.latency.mul_f64(random.random_range(1.0..3.0));
        let last = &mut self.last[to as usize];
        *last = (now + delay).max(*last + Duration::from_micros(1));
        *last
    }

    /// Like `arrival`, but the frame may overtake: what TCP never does.
    pub fn unordered_arrival(&self, now: Duration, random: &mut StdRng) -> Duration {
        now + self.latency.mul_f64(random.random_range(1.0..3.0))
    }

    pub fn remember(&mut self, bytes: &Bytes) {
        if self.recent.len() == 4 {
            self.recent.remove(0);
        }
        self.recent.push(bytes.clone());
    }
}

//! One memory of names for the node, and one question at a time for each of them.

use super::memory::{Answer, Known, Memory};
use super::question::Question;
use crate::data_plane::balancer::LookupError;
use crate::settings;
use hashbrown::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long one question may take with all its retries; name servers have their own time-outs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Resolves names; clones share what they know.
#[derive(Clone)]
pub struct Dns {
    shared: Arc<Shared>,
}

struct Shared {
    question: Question,
    /// Questions run here, so that they outlive whoever asked first.
    runtime: Handle,
    state: Mutex<State>,
}

struct State {
    memory: Memory,
    /// Questions under way. The end of the sender's life is the end of its question.
    asked: HashMap<Arc<str>, watch::Receiver<()>>,
}

impl Dns {
    /// A resolver with a thread of its own.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(settings: &settings::Dns) -> io::Result<Dns> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("dns".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        Ok(Dns {
            shared: Arc::new(Shared {
                question: Question::new(settings),
                runtime: handle,
                state: Mutex::new(State {
                    memory: Memory::new(settings),
                    asked: HashMap::new(),
                }),
            }),
        })
    }

    /// The addresses of a name. What is known is answered at once, also when it is outdated and
    /// may still be used; a new answer is then fetched meanwhile.
    pub async fn resolve(&self, name: &Arc<str>) -> Answer {
        loop {
            let mut end = {
                let mut state = self.shared.state();
                let known = state.memory.find(name, Instant::now());
                if let Known::Fresh(answer) = known {
                    return answer;
                }
                let end = match state.asked.get(name) {
                    Some(end) => end.clone(),
                    None => {
                        let end = self.ask(name);
                        state.asked.insert(Arc::clone(name), end.clone());
                        end
                    }
                };
                if let Known::Outdated(answer) = known {
                    return answer;
                }
                end
            };
            // Nothing is ever sent: the error is the end.
            let _ = end.changed().await;
        }
    }

    fn ask(&self, name: &Arc<str>) -> watch::Receiver<()> {
        let (ended, end) = watch::channel(());
        let (shared, name) = (Arc::clone(&self.shared), Arc::clone(name));
        self.shared.runtime.spawn(async move {
            // Dropped last: by then the answer can be found.
            let _ended = ended;
            let mut asked = Asked {
                shared: &shared,
                name: &name,
                // Also what a question comes to that panics.
                found: Err(LookupError::ServerFailure),
            };
            let answer = tokio::time::timeout(PATIENCE, shared.question.ask(&name));
            if let Ok(answer) = answer.await {
                asked.found = answer;
            }
        });
        end
    }
}

/// A question under way: however it ends, what came of it is remembered.
struct Asked<'a> {
    shared: &'a Shared,
    name: &'a Arc<str>,
    found: Result<super::question::Records, LookupError>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let found = std::mem::replace(&mut self.found, Err(LookupError::ServerFailure));
        let mut state = self.shared.state();
        state.memory.learn(self.name, found, Instant::now());
        state.asked.remove(self.name);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

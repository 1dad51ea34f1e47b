//! Whether the database answers, and what happens to statements while it does not.
//!
//! A frozen server takes a statement and says nothing, for as long as it is frozen; a server that is
//! gone makes each request wait for a connection. Neither may make every request wait in turn. So
//! whoever notices something asks a task of its own to look: it opens a connection beside the pool
//! and asks the simplest question. If that fails, statements under way are given up and others are
//! refused at once, until the task has had an answer again.

use super::error::is_lost;
use sea_orm::{DbErr, RuntimeErr};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// A statement that takes longer makes the task look; slow statements do no harm by that.
const SUSPICIOUS: Duration = Duration::from_secs(1);
/// Between two looks at a database that does not answer.
const RETRY: Duration = Duration::from_millis(500);

/// What is known of the database, shared by all who ask it.
pub(super) struct Breaker {
    /// Whether statements are refused.
    open: watch::Sender<bool>,
    suspected: Arc<Notify>,
    /// After which a statement is suspicious.
    suspicious: Duration,
    looking: Option<JoinHandle<()>>,
}

impl Breaker {
    /// Of a database in this process, which always answers.
    pub fn never() -> Breaker {
        Breaker {
            open: watch::Sender::new(false),
            suspected: Arc::default(),
            suspicious: SUSPICIOUS,
            looking: None,
        }
    }

    /// Of a server. One that says nothing for `patience` does not answer.
    pub fn of_server(server: PgConnectOptions, patience: Duration) -> Breaker {
        let mut breaker = Breaker::never();
        breaker.suspicious = SUSPICIOUS.min(patience);
        let (open, suspected) = (breaker.open.clone(), Arc::clone(&breaker.suspected));
        let looking = tokio::spawn(async move {
            loop {
                suspected.notified().await;
                look(&server, patience, &open).await;
            }
        });
        breaker.looking = Some(looking);
        breaker
    }

    /// Whether statements are refused.
    pub fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Changes with [`Breaker::is_open`].
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.open.subscribe()
    }

    /// What the database answers before `deadline`.
    ///
    /// # Errors
    /// Its own, or that it does not answer.
    pub async fn answer<T>(
        &self,
        deadline: Instant,
        statement: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let mut open = self.open.subscribe();
        if *open.borrow() {
            return Err(no_answer());
        }
        let mut statement = std::pin::pin!(statement);
        let mut suspicious = std::pin::pin!(sleep(self.suspicious));
        let mut suspected = false;
        loop {
            tokio::select! {
                biased;
                answer = &mut statement => {
                    if answer.as_ref().is_err_and(is_lost) {
                        self.suspected.notify_one();
                    }
                    return answer;
                }
                _ = open.wait_for(|open| *open) => return Err(no_answer()),
                () = &mut suspicious, if !suspected => {
                    suspected = true;
                    self.suspected.notify_one();
                }
                () = sleep_until(deadline) => return Err(too_slow()),
            }
        }
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        if let Some(looking) = &self.looking {
            looking.abort();
        }
    }
}

/// Looks until the database answers.
async fn look(server: &PgConnectOptions, patience: Duration, open: &watch::Sender<bool>) {
    loop {
        let answer = timeout(patience, ask(server)).await;
        let why = match answer {
            Ok(Ok(())) => break,
            Ok(Err(why)) => why.to_string(),
            Err(_) => "it says nothing".to_owned(),
        };
        if !open.send_replace(true) {
            tracing::warn!(
                why,
                "the database does not answer: requests that need it are refused"
            );
        }
        sleep(RETRY).await;
    }
    if open.send_replace(false) {
        tracing::info!("the database is back");
    }
}

/// A server that refuses to serve us is there; one that starts or stops is not.
async fn ask(server: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let asking = async {
        let mut connection = server.connect().await?;
        sqlx::query("SELECT 1").execute(&mut connection).await?;
        connection.close().await
    };
    match asking.await {
        Err(sqlx::Error::Database(refused)) => {
            let code = refused.code().unwrap_or_default();
            match code.starts_with("57") || code.starts_with("08") {
                true => Err(sqlx::Error::Database(refused)),
                false => Ok(()),
            }
        }
        done => done,
    }
}

fn no_answer() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(
        "the database does not answer".to_owned(),
    ))
}

fn too_slow() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("no answer in time".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    fn options(port: u16) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .username("nobody")
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(600)
    }

    async fn never() -> Result<(), DbErr> {
        std::future::pending().await
    }

    /// The first one finds out; who comes later is refused without being asked.
    async fn check_opens(port: u16) {
        let breaker = Breaker::of_server(options(port), Duration::from_millis(50));
        assert!(breaker.answer(soon(), async { Ok(()) }).await.is_ok());
        let first = breaker.answer(soon(), never()).await;
        assert_eq!(first, Err(no_answer()));
        assert!(breaker.is_open());
        let asked = async { panic!("asked all the same") };
        assert_eq!(breaker.answer::<()>(soon(), asked).await, Err(no_answer()));
    }

    #[tokio::test]
    async fn trial_24_nobody_waits_for_a_server_that_says_nothing() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 64]).await;
                kept.push(stream);
            }
        });
        check_opens(port).await;
    }

    #[tokio::test]
    async fn trial_24_nobody_waits_for_a_server_that_is_gone() {
        // Port 1 of this machine: nobody listens.
        check_opens(1).await;
    }

    #[tokio::test]
    async fn trial_31_a_statement_that_waits_is_given_up_at_its_deadline_alone() {
        let breaker = Breaker::never();
        let deadline = Instant::now() + Duration::from_millis(10);
        assert_eq!(breaker.answer(deadline, never()).await, Err(too_slow()));
        assert!(!breaker.is_open());
        assert!(breaker.answer(soon(), async { Ok(()) }).await.is_ok());
    }
}

//! Learning of the commits of other control planes.
//!
//! PostgreSQL tells of each commit; a slow poll is the safety net for a connection that died
//! silently, a pooler that forwards no notifications, or a second process on one SQLite file.
//! Either only says that there is something new: the journal says what.

use super::database::LIMIT;
use super::notice::NOTICES;
use super::write::CHANNEL;
use super::{Store, StoreError};
use sea_orm::{DbErr, RuntimeErr};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Between two attempts to listen.
const RETRY: Duration = Duration::from_secs(2);

impl Store {
    /// Keeps [`Store::revisions`] up to date, for as long as it is polled; never returns.
    pub async fn follow(&self) {
        let poll = self.poll(self.0.tempo.poll);
        match &self.0.listen {
            Some(options) => {
                futures_util::future::join(poll, self.listen(options)).await;
            }
            None => poll.await,
        }
    }

    async fn poll(&self, interval: Duration) {
        let mut was_read = true;
        let mut answering = self.0.breaker.watch();
        loop {
            let found = self.refresh().await;
            if let (Err(err), true) = (&found, was_read) {
                tracing::warn!(?err, "the latest revision cannot be read");
            }
            was_read = found.is_ok();
            // Whatever comes first; when the database is back, much may have been missed.
            let _ = timeout(interval, answering.changed()).await;
        }
    }

    async fn listen(&self, options: &PgConnectOptions) {
        loop {
            if let Err(err) = self.listen_until_lost(options).await {
                tracing::warn!(?err, "not listening for changes of other control planes");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn listen_until_lost(&self, options: &PgConnectOptions) -> Result<(), StoreError> {
        let connecting = async {
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .connect_with(options.clone())
                .await?;
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.ignore_pool_close_event(true);
            listener.listen_all([CHANNEL, NOTICES]).await?;
            Ok(listener)
        };
        let connected = timeout(LIMIT, connecting).await;
        let mut listener = connected
            .map_err(|_| StoreError::unanswered())?
            .map_err(lost)?;
        let mut answering = self.0.breaker.watch();
        tracing::debug!("listening for changes of other control planes");
        loop {
            // First what was committed before the listening began, then after each notification,
            // and after a reconnect, during which notifications were lost.
            self.refresh().await?;
            // A server that has said nothing for so long may have forgotten this connection.
            let heard = tokio::select! {
                heard = listener.try_recv() => heard.map_err(lost)?,
                _ = answering.wait_for(|open| *open) => return Err(StoreError::unanswered()),
            };
            match heard {
                Some(heard) if heard.channel() == NOTICES => {
                    // Nobody may be interested.
                    let _ = self.0.notices.send(heard.payload().to_owned());
                }
                Some(_) => {}
                None => tracing::info!("the connection that listens for changes was renewed"),
            }
        }
    }
}

fn lost(err: sqlx::Error) -> StoreError {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(err))).into()
}

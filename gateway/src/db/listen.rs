//! Hearing of changes: a connection that waits for notifications.

use futures_util::StreamExt;
use tokio_postgres::{AsyncMessage, NoTls};

use super::cause;
use crate::config::Config;

/// Listens for changes of the configuration, over a connection of its own, until that breaks. `connected` is called when
/// it hears, `heard` with the account of each change.
///
/// Answers why it ended.
pub async fn listen(config: &Config, connected: impl Fn(), heard: impl Fn(&str)) -> String {
    let (client, mut connection) = match config.database.connect(NoTls).await {
        Ok(pair) => pair,
        Err(failure) => return cause(&failure),
    };
    let messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
    futures_util::pin_mut!(messages);
    // The connection moves while it is polled, and the statement waits for the connection.
    let listening = client.batch_execute("listen snackbase_configuration");
    futures_util::pin_mut!(listening);
    let mut pending = true;
    loop {
        tokio::select! {
            done = &mut listening, if pending => {
                pending = false;
                match done {
                    Ok(()) => connected(),
                    Err(failure) => return cause(&failure),
                }
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(notice))) => heard(notice.payload()),
                Some(Ok(_)) => {}
                Some(Err(failure)) => return cause(&failure),
                None => return "the connection was closed".to_owned(),
            },
        }
    }
}

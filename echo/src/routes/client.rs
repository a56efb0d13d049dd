//! What a route may have to know of the client while it waits for the file.

use tokio::sync::Notify;

/// The client of a request.
#[derive(Default)]
pub struct Client {
    end: Notify,
}

impl Client {
    /// Says that the client has closed its side of the connection. It may still want its answer.
    pub fn sends_no_more(&self) {
        self.end.notify_one();
    }

    /// Waits for that.
    pub async fn has_sent_all(&self) {
        self.end.notified().await;
    }
}

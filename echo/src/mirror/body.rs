//! What comes from an upstream: just as many bytes as it has announced, or an error.

use std::mem;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::mirror::reason::Reason;

/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(30);

/// The body of an answer, of which no more is taken than its head has announced.
pub struct Received {
    frames: Incoming,
    /// What was announced and has not come.
    left: u64,
    /// What has come and was not asked for.
    ahead: Bytes,
}

impl Received {
    /// The body of an answer that has announced so many bytes.
    pub fn new(body: Incoming, length: u64) -> Self {
        Self { frames: body, left: length, ahead: Bytes::new() }
    }

    /// Whether all that was announced has come.
    pub fn has_come(&self) -> bool {
        self.left == 0 && self.ahead.is_empty()
    }

    /// The next `length` bytes, which the caller has room for.
    ///
    /// # Errors
    ///
    /// When fewer come, or those that come are not to be believed.
    pub async fn exactly(&mut self, length: u64) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            let mut piece =
                self.next().await?.context("the answer ended early").map_err(|error| Reason::Silent.of(error))?;
            self.ahead = piece.split_off(piece.len().min(length as usize - bytes.len()));
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    ///
    /// When none come in time, or more or less than was announced.
    pub async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        if !self.ahead.is_empty() {
            return Ok(Some(mem::take(&mut self.ahead)));
        }
        self.receive().await.map_err(|error| Reason::Silent.of(error))
    }

    async fn receive(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let frame = timeout(SILENCE, self.frames.frame()).await;
            let Ok(frame) = frame else { bail!("nothing more came within {SILENCE:?}") };
            let Some(frame) = frame else {
                ensure!(self.left == 0, "the answer ended {} bytes early", self.left);
                return Ok(None);
            };
            let Ok(bytes) = frame.context("the answer was cut")?.into_data() else { continue };
            let length = bytes.len() as u64;
            ensure!(length <= self.left, Reason::Misfit.because("it sent more than it announced"));
            self.left -= length;
            return Ok(Some(bytes));
        }
    }
}

//! Why nothing comes from the upstream, in words of our own: `/readyz` shows them to anybody.

use std::fmt;

use anyhow::anyhow;
use axum::http::StatusCode;

/// A reason, as an error that stands among the causes of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is no connection.
    Unreachable,
    /// Its certificate or its TLS does not fit.
    Tls,
    /// A request has no answer, or half of one.
    Silent,
    /// An error, as a status.
    Status(StatusCode),
    /// It redirects, which is not followed.
    Redirect,
    /// A page for people.
    WebPage,
    /// Other bytes than those of the file.
    Encoded,
    /// It sends nothing but the whole.
    NoRanges,
    /// It was an echo, and does not answer as one.
    NoOffsets,
    /// What it says does not hold together, or is not what was asked for.
    Misfit,
    /// It has less than is here.
    Shorter,
    /// A line is longer than a mirror takes.
    EndlessLine,
    /// Somebody else writes to our files.
    Meddled,
    /// Our own files, or the disk under them.
    Local,
}

impl Reason {
    /// Gives `error` this reason, unless it has one.
    pub fn of(self, error: anyhow::Error) -> anyhow::Error {
        if error.is::<Self>() { error } else { error.context(self) }
    }

    /// An error with this reason, and what the log has of it beside that.
    pub fn because(self, detail: impl fmt::Display) -> anyhow::Error {
        anyhow!("{detail}").context(self)
    }

    /// The reason that `error` was given. What has none did not come from the upstream.
    pub fn in_error(error: &anyhow::Error) -> Self {
        error.downcast_ref().copied().unwrap_or(Self::Local)
    }
}

impl std::error::Error for Reason {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status(status) => return write!(f, "it answered {status}"),
            Self::Unreachable => "cannot connect",
            Self::Tls => "cannot agree on TLS",
            Self::Silent => "no whole answer came",
            Self::Redirect => "it redirects",
            Self::WebPage => "it sent a web page, maybe to log in, instead of a file",
            Self::Encoded => "it sent the file encoded",
            Self::NoRanges => "it does not honour Range, and without that a file can't be followed",
            Self::NoOffsets => "it does not know offsets any more",
            Self::Misfit => "its answer does not fit",
            Self::Shorter => "it is shorter than what is here already, and may catch up",
            Self::EndlessLine => "it has a line that is longer than 64 MiB",
            Self::Meddled => "it was changed by somebody else",
            Self::Local => "the copy here can't be read or written",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_of_an_error_stays() {
        let error = Reason::Silent.of(anyhow!("secret").context(Reason::Redirect).context("more"));
        assert_eq!(Reason::in_error(&error), Reason::Redirect);
        assert_eq!(format!("{error:#}"), "more: it redirects: secret");
        assert_eq!(Reason::in_error(&Reason::Silent.of(anyhow!("cut"))), Reason::Silent);
        assert_eq!(Reason::in_error(&anyhow!("disk full")), Reason::Local);
    }
}

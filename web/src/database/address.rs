//! Where the database is, and who we are there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::database::password::Password;
use crate::database::tls::Tls;

/// The port of Postgres.
const PORT: u16 = 5432;
/// When a silent connection is probed, how often again, and how often in vain before it counts as dead.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(2), Duration::from_secs(1), 3);
/// How long the database may leave what was sent without acknowledgement.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// Where the database is, and who we are there.
#[derive(Clone)]
pub struct Address {
    config: Config,
    password: Option<Password>,
    tls: Option<Tls>,
}

/// An address in parts.
pub struct Parts {
    /// A name, an address, or the folder of a socket.
    pub host: String,
    /// The port; 5432 if there is none.
    pub port: Option<u16>,
    /// The database; that of the user's name if there is none.
    pub name: Option<String>,
    /// The user.
    pub user: String,
    /// The password.
    pub password: Option<Vec<u8>>,
}

impl Address {
    /// Understands a URL, such as `postgresql://user:password@host:port/name`.
    ///
    /// # Errors
    ///
    /// When it is none, or asks for what this program can't do. The URL is not shown: it may hold the password.
    pub fn from_url(url: &str) -> anyhow::Result<Self> {
        let config: Config = url.parse().context("DATABASE_URL is not understood")?;
        ensure!(!config.get_hosts().is_empty(), "DATABASE_URL names no host");
        ensure!(config.get_user().is_some(), "DATABASE_URL names no user");
        let tls = if config.get_ssl_mode() == SslMode::Require { Some(Tls::trusting(None)?) } else { None };
        Ok(Self { config, password: None, tls })
    }

    /// Puts parts together.
    pub fn from_parts(parts: Parts) -> Self {
        let mut config = Config::new();
        config.host(parts.host).port(parts.port.unwrap_or(PORT)).user(parts.user);
        parts.name.map(|name| config.dbname(name));
        parts.password.map(|password| config.password(password));
        Self { config, password: None, tls: None }
    }

    /// The same, with the password in a file, whichever that is by then.
    ///
    /// # Errors
    ///
    /// When there is another password already, or the file can't be read now.
    pub fn with_password_in(mut self, file: PathBuf) -> anyhow::Result<Self> {
        ensure!(self.config.get_password().is_none(), "there are two passwords: in a variable, and in db_pass_file");
        self.password = Some(Password::in_file(file)?);
        Ok(self)
    }

    /// The same, with TLS, which only what the certificates in the PEM file `ca` vouch for can answer.
    ///
    /// # Errors
    ///
    /// When the file can't be read, or holds no certificate.
    pub fn with_authorities_in(mut self, ca: &Path) -> anyhow::Result<Self> {
        self.tls = Some(Tls::trusting(Some(ca))?);
        Ok(self)
    }

    /// How to connect with TLS, if that is demanded.
    pub fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }

    /// What a session needs to connect now.
    pub fn config(&self) -> Config {
        let mut config = self.config.clone();
        let (idle, interval, retries) = KEEPALIVE;
        config.keepalives_idle(idle).keepalives_interval(interval).keepalives_retries(retries);
        config.tcp_user_timeout(UNACKNOWLEDGED);
        // Never one that an attacker could talk us out of.
        config.ssl_mode(if self.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        if let Some(password) = &self.password {
            config.password(password.latest());
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_host_and_a_user() {
        assert!(Address::from_url("postgresql://me:secret@db:5433/lines").is_ok());
        assert!(Address::from_url("host=db user=me").is_ok());
        for url in ["", "db", "http://db/", "postgresql:///lines", "postgresql://db/lines"] {
            assert!(Address::from_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn no_error_shows_the_password() {
        for url in [
            "postgresql://me:secret@/lines",
            "postgresql://me:secret@db:port/x",
            "postgresql://me:secret@db/?sslmode=x",
        ] {
            let error = format!("{:#}", Address::from_url(url).err().unwrap());
            assert!(!error.contains("secret"), "{error}");
        }
    }
}

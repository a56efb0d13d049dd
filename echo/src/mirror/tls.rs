//! TLS on the way to an upstream, and what is wrong with it, in words that help.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore, crypto,
};

use crate::mirror::foreign::shortened;
use crate::mirror::reason::Reason;

/// Agrees on keys with `host`, whose certificate an authority in the file `ca` vouches for, or a public one.
///
/// # Errors
///
/// When that fails, always in the same words: what changes is logged again.
pub async fn encrypt(stream: TcpStream, host: &str, ca: Option<&Path>) -> anyhow::Result<TlsStream<TcpStream>> {
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted(ca)?)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    stream.map_err(|error| Reason::Tls.because(explain(&error, ca)))
}

/// The authorities whose word counts. An image from scratch has none of its own, so the public ones are compiled in.
///
/// # Errors
///
/// When `ca` can't be read, or holds none.
pub fn trusted(ca: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let Some(ca) = ca else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let mut roots = RootCertStore::empty();
    let cannot = || format!("cannot read the certificates in {}", ca.display());
    for certificate in CertificateDer::pem_file_iter(ca).with_context(cannot)? {
        roots.add(certificate.with_context(cannot)?).with_context(cannot)?;
    }
    if roots.is_empty() {
        bail!("{} holds no certificate", ca.display());
    }
    Ok(roots)
}

fn explain(error: &io::Error, ca: Option<&Path>) -> String {
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(Error::InvalidCertificate(wrong)) => format!("its certificate {}", explain_certificate(wrong, ca)),
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "it does not speak TLS; does its URL begin with http://?".to_owned()
        }
        Some(Error::AlertReceived(AlertDescription::ProtocolVersion)) => {
            "it offers only versions of TLS before 1.2".to_owned()
        }
        _ => shortened(&error.to_string()),
    }
}

fn explain_certificate(wrong: &CertificateError, ca: Option<&Path>) -> String {
    match (wrong, ca) {
        (CertificateError::UnknownIssuer, Some(ca)) => format!("is not by an authority in {}", ca.display()),
        (CertificateError::UnknownIssuer, None) => "is not by a public authority: see --upstream-ca".to_owned(),
        (CertificateError::Expired | CertificateError::ExpiredContext { .. }, _) => {
            "has expired, or the clock here is wrong".to_owned()
        }
        (CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }, _) => {
            "is not valid yet, or the clock here is wrong".to_owned()
        }
        (wrong, _) => format!("is wrong: {}", shortened(&wrong.to_string())),
    }
}

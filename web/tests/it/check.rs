//! `web check`.

use crate::client::get;
use crate::postgres::database;
use crate::process::{Web, output, web};

#[test]
fn a_check_tells_whether_the_server_is_ready() {
    let Some(database) = database() else { return };
    let server = database.serve();
    let at = server.address.to_string();
    for arguments in [vec!["check", "--listen", &at], vec!["check", &format!("http://{at}/readyz")]] {
        let (status, said) = output(web().args(&arguments));
        assert_eq!((status, &*said), (Some(0), &*format!("http://{at}/readyz answered 200\n")));
    }
    // As a probe of Kubernetes sees it: by variables only.
    assert_eq!(output(web().args(["check"]).env("WEB_LISTEN", &at)).0, Some(0));
}

#[test]
fn a_check_that_fails_says_why() {
    let server = Web::start(web().env("db_host", "127.0.0.1").env("db_port", "1").env("db_user", "me"));
    let at = server.address.to_string();
    assert_eq!(get(server.address, "/readyz").status, 503);
    let (status, said) = output(web().args(["check", "--listen", &at]));
    assert_eq!(status, Some(1));
    assert!(said.contains("503") && said.contains("the database does not answer"), "{said}");
    assert_eq!(output(web().args(["check", &format!("http://{at}/healthz")])).0, Some(0));
    drop(server);
    let (status, said) = output(web().args(["check", "--listen", &at]));
    assert_eq!(status, Some(1));
    assert!(said.contains("cannot get") && said.contains("refused"), "{said}");
}

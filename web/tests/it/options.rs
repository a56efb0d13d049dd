//! Flags, their variables, and how the database is named.

use std::fs;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use tempfile::TempDir;

use crate::client::get;
use crate::postgres::database;
use crate::process::{Web, eventually, output, web};

#[test]
fn every_flag_has_a_variable() {
    let (_, help) = output(web().arg("--help"));
    for option in help.split("\n      --").skip(1) {
        let flag = option.split_whitespace().next().unwrap();
        let variable = match flag {
            "database-url" => "DATABASE_URL".to_owned(),
            flag if flag.starts_with("db-") => flag.replace('-', "_"),
            flag => format!("WEB_{}", flag.to_uppercase().replace('-', "_")),
        };
        assert!(option.contains(&format!("[env: {variable}")), "no {variable} in the help of --{flag}");
    }
}

#[test]
fn the_help_shows_no_secret() {
    let (_, help) = output(web().arg("--help").env("DATABASE_URL", "postgresql://me:Geheimnis@db/x"));
    assert!(!help.contains("Geheimnis"), "{help}");
}

#[test]
fn a_database_is_named_in_parts_or_by_a_url() {
    let Some(database) = database() else { return };
    let url = format!("postgresql://web@127.0.0.1:{}/{}", database.port, database.name);
    let server = Web::start(web().env("DATABASE_URL", url));
    server.program.logged("the database is there");
    let server = Web::start(database.web().args(["--db-name", "nowhere"]));
    server.program.logged("database \"nowhere\" does not exist"); // a flag wins over a variable
}

#[test]
fn a_password_is_used_and_its_file_read_for_every_connection() {
    let Some(database) = database() else { return };
    database.sql("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'right'");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "wrong\n").unwrap();
    let server = Web::start(database.web().env("db_user", "guarded").env("db_pass_file", &file));
    server.program.logged("password authentication failed");
    assert_eq!(get(server.address, "/readyz").status, 503);
    fs::write(&file, "right\n").unwrap();
    server.program.logged("the database is there");
    let server = Web::start(database.web().env("db_user", "guarded").env("db_pass", "right"));
    server.program.logged("the database is there");
}

/// A FIFO that nobody writes to keeps its readers waiting, as a disk that hangs does.
#[test]
fn a_password_that_can_not_be_read_for_ever_holds_nobody_up() {
    let Some(database) = database() else { return };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "any\n").unwrap();
    let server = Web::start(database.web().env("db_pass_file", &file));
    server.program.logged("the database is there");
    fs::remove_file(&file).unwrap();
    mknodat(CWD, &file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut kept_open = None;
    eventually("somebody waits for the password", || {
        kept_open = open(&file, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).ok();
        kept_open.is_some()
    });
    database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'web%'");
    server.program.logged("the connection to the database was lost");
    eventually("the database is there again", || get(server.address, "/readyz").status == 200);
}

#[test]
fn tls_is_used_when_it_is_demanded_and_only_with_whom_one_trusts() {
    let Some(database) = database() else { return };
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE datname = current_database() AND application_name LIKE 'web%' AND ssl";
    let server = database.serve();
    assert_eq!(database.sql(encrypted), "0");
    drop(server);
    let server = Web::start(database.web().env("db_host", "localhost").env("db_ca", &database.certificate));
    server.program.logged("the database is there");
    assert_eq!((get(server.address, "/readyz").status, &*database.sql(encrypted)), (200, "2"));
    let url = format!("postgresql://web@localhost:{}/{}?sslmode=require", database.port, database.name);
    let server = Web::start(web().env("DATABASE_URL", &url));
    server.program.logged("invalid peer certificate: UnknownIssuer"); // no public authority knows it
    let server = Web::start(web().env("DATABASE_URL", &url).env("db_ca", &database.certificate));
    server.program.logged("the database is there");
}

#[test]
fn what_can_never_work_ends_at_once() {
    let named = [("db_host", "127.0.0.1"), ("db_user", "me")];
    let cases: [(&[(&str, &str)], &str); 12] = [
        (&[], "no database is named"),
        (&[("db_host", "127.0.0.1")], "no user of the database is named"),
        (&[("DATABASE_URL", "http://db/")], "DATABASE_URL is not understood"),
        (&[("DATABASE_URL", "postgresql://me:Geheimnis@db/?sslmode=x")], "DATABASE_URL is not understood"),
        (&[named[0], named[1], ("db_ca", "/nowhere/ca")], "cannot read the certificates in /nowhere/ca"),
        (&[("DATABASE_URL", "postgresql://me@db/"), ("db_host", "db")], "cannot be used with"),
        (&[("DATABASE_URL", "postgresql://me@db/"), ("db_pass", "x")], "only one of them can count"),
        (&[named[0], named[1], ("db_pass", "x"), ("db_pass_file", "/dev/null")], "two passwords"),
        (&[named[0], named[1], ("db_pass_file", "/nowhere/file")], "cannot read the password in /nowhere/file"),
        (&[named[0], named[1], ("db_pass_file", "/dev/null")], "holds no password"),
        (&[named[0], named[1], ("WEB_FOLLOW", "https://echo/data")], "begins with http://"),
        (&[named[0], named[1], ("WEB_LISTEN", "8.8.8.8:1")], "cannot listen on 8.8.8.8:1"),
    ];
    for (variables, reason) in cases {
        let (status, said) = output(web().envs(variables.iter().copied()));
        assert!(status.is_some_and(|status| status != 0), "{variables:?}: {status:?}");
        assert!(said.contains(reason) && !said.contains("Geheimnis"), "{variables:?}: {said}");
    }
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    let Some(database) = database() else { return };
    let names = ["DATABASE_URL", "db_pass", "db_pass_file", "WEB_FOLLOW", "WEB_QUIT", "WEB_NAME", "WEB_LOG_LEVEL"];
    let more = ["WEB_LOG_FORMAT", "WEB_DRAIN_DELAY", "WEB_MAX_CONNECTIONS"];
    let server = Web::start(database.web().envs(names.iter().chain(&more).map(|name| (name, ""))));
    server.program.logged("the database is there");
    assert_eq!(get(server.address, "/quit").status, 404);
    let (status, _) = output(web().arg("check").env("WEB_LISTEN", ""));
    assert_eq!(status, Some(1));
}

//! The schema: versions, and many who make it at once.

use crate::client::{get, write};
use crate::postgres::database;
use crate::process::Web;

#[test]
fn five_replicas_may_start_at_once() {
    for _ in 0..3 {
        let Some(database) = database() else { return };
        let servers: Vec<_> = (0..5).map(|_| Web::start(&mut database.web())).collect();
        for server in &servers {
            server.program.logged("the database is there");
            assert!(!server.program.log().contains("WARN"), "{}", server.program.log());
            assert_eq!(write(server.address, "x").status, 200);
        }
        assert_eq!(database.sql("SELECT version FROM schema_versions ORDER BY version"), "1\n2");
        assert_eq!(database.count(), 5);
    }
}

#[test]
fn the_table_of_the_example_is_taken_over() {
    let Some(database) = database() else { return };
    database.sql("CREATE TABLE lines (id serial PRIMARY KEY, data text)");
    database.sql("INSERT INTO lines (data) VALUES ('old'), (NULL)");
    let server = database.serve();
    assert_eq!(write(server.address, "new").status, 200);
    let lines = get(server.address, "/read");
    assert!(lines.text().contains(r#"[{"id":1,"data":"old"},{"id":2,"data":""},{"id":3,"data":"new"}]"#), "{lines:?}");
    database.sql("SELECT setval('lines_id_seq', 2147483647)");
    assert_eq!(write(server.address, "more than the example could count").status, 200);
}

#[test]
fn a_schema_of_the_future_is_left_alone() {
    let Some(database) = database() else { return };
    drop(database.serve());
    database.sql("INSERT INTO schema_versions (version) VALUES (3)");
    let mut server = Web::start(&mut database.web());
    assert_eq!(server.program.ended().code(), Some(1));
    assert!(
        server.program.log().contains("the schema has version 3, and this program knows 2"),
        "{}",
        server.program.log()
    );
}

#[test]
fn a_database_of_another_encoding_is_refused() {
    let Some(database) = database() else { return };
    let name = format!("{}_latin", database.name);
    database.sql(&format!("CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0"));
    let mut server = Web::start(database.web().env("db_name", name));
    assert_eq!(server.program.ended().code(), Some(1));
    server.program.logged("the encoding of the database is LATIN1, and has to be UTF8");
}

#[test]
fn a_change_that_fails_is_not_made_by_half() {
    let Some(database) = database() else { return };
    database.sql("CREATE TABLE sources (id int)");
    let server = Web::start(&mut database.web());
    server.program.logged("cannot bring the schema to version 2");
    assert_eq!(get(server.address, "/readyz").status, 503);
    assert_eq!(database.sql("SELECT to_regclass('lines') IS NULL"), "t");
    database.sql("DROP TABLE sources");
    server.program.logged("the database is there");
    assert_eq!(write(server.address, "x").status, 200);
}

//! The page at `/` and the files that it loads, as they are sent. What a browser makes of them, `tests/page` tests.

use std::fs;

use tempfile::TempDir;

use crate::client::{Client, get};
use crate::process::Server;

/// What the page may load beside scripts, and as what.
const ASSETS: [(&str, &str); 2] = [("/-/icon.svg", "image/svg+xml"), ("/-/page.css", "text/css; charset=utf-8")];

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What the page and all that it loads may weigh, in bytes; packed it is a third.
const WEIGHT: usize = 80_000;

/// The paths in the attributes of this name.
fn paths<'page>(page: &'page str, attribute: &str) -> Vec<&'page str> {
    let values =
        page.split(&format!(" {attribute}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect::<Vec<_>>();
    values.into_iter().map(|value| value.strip_prefix('.').expect("a link that works below any path")).collect()
}

/// The path of the served file, by the page.
pub fn link_to_the_file(page: &str) -> &str {
    paths(page, "id=\"file\" href")[0]
}

/// The paths of the scripts that a script imports.
fn imports(script: &str) -> Vec<String> {
    let names = script.lines().filter_map(|line| line.strip_prefix("import ")?.split_once(" from './"));
    names.map(|(_, name)| format!("/-/{}", name.strip_suffix("';").unwrap())).collect()
}

/// The last lines, as the page holds them.
fn last_lines(server: &Server) -> String {
    let page = get(server.address, "/");
    assert_eq!(page.status, 200);
    let (_, lines) = page
        .text()
        .split_once("<pre id=\"lines\" tabindex=\"0\" role=\"group\" aria-labelledby=\"tail-title\">\n")
        .unwrap();
    lines.split_once("</pre>").unwrap().0.to_owned()
}

#[test]
fn the_page_is_safe_and_its_links_lead_somewhere() {
    let server = Server::serving("1\n");
    let mut client = Client::connect(server.address);
    let page = client.get("/");
    assert_eq!((page.status, page.the("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!((page.the("referrer-policy"), page.the("cache-control")), ("no-referrer", "no-cache"));

    let policy: Vec<&str> = page.the("content-security-policy").split(';').map(str::trim).collect();
    assert!(policy.contains(&"default-src 'none'"), "{policy:?}");
    assert!(policy.contains(&"frame-ancestors 'none'"), "{policy:?}");
    for trust in ["unsafe-", "http:", "https:", "*", "data:"] {
        assert!(!policy.iter().any(|directive| directive.contains(trust)), "{policy:?}");
    }
    // What the policy would block anyway: a page that needs it would be broken.
    for inline in ["<script>", "<style", "style=", "onclick=", "onload=", "javascript:", "src=\"http", "src=\"//"] {
        assert!(!page.text().contains(inline), "{inline}");
    }

    let links = paths(page.text(), "href");
    assert_eq!(
        links,
        ["/-/icon.svg", "/-/page.css", "/data", "/", "/data", "/data?follow", "/readyz", "/healthz", "/metrics"]
    );
    for link in links {
        // The answer to a GET of one of them never ends.
        assert_eq!(client.request("HEAD", link, &[]).status, 200, "{link}");
    }
    assert_eq!(paths(page.text(), "src"), ["/-/page.js"]);
    let head = client.request("HEAD", "/", &[]);
    assert_eq!((head.status, head.the("content-length")), (200, page.the("content-length")));
}

#[test]
fn the_files_that_the_page_loads_are_typed_and_small() {
    let server = Server::serving("1\n");
    let mut client = Client::connect(server.address);
    let mut weight = client.get("/").body.len();
    let mut known: Vec<String> = ASSETS.iter().map(|(path, _)| (*path).to_owned()).collect();
    known.push("/-/page.js".to_owned());
    let mut checked = 0;
    while let Some(path) = known.get(checked).cloned() {
        checked += 1;
        let kind = ASSETS.iter().find(|asset| asset.0 == path).map_or(SCRIPT, |asset| asset.1);
        let path = path.as_str();
        let asset = client.get(path);
        assert_eq!((asset.status, asset.the("content-type")), (200, kind), "{path}");
        assert_eq!(asset.the("cache-control"), "no-cache", "{path}: an upgrade must not meet an old script");
        assert_eq!(asset.the("x-content-type-options"), "nosniff", "{path}");
        let head = client.request("HEAD", path, &[]);
        assert_eq!((head.status, head.the("content-length")), (200, asset.the("content-length")), "{path}");
        let refused = client.request("POST", path, &["Content-Length: 0"]);
        assert_eq!((refused.status, refused.the("allow")), (405, "GET, HEAD, OPTIONS"), "{path}");
        weight += asset.body.len();
        for import in imports(asset.text()) {
            if !known.contains(&import) {
                known.push(import);
            }
        }
    }
    assert!(known.len() > 10, "{known:?}");
    assert!(weight < WEIGHT, "{weight} bytes");
    for path in ["/-", "/-/", "/-/data", "/-/page.js/", "/-/../data", "/-%2Fpage.js", "/page.js"] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
}

#[test]
fn a_file_named_like_an_asset_is_served_beside_it() {
    for name in ["-", "page.js"] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(name), "17\n").unwrap();
        let server = Server::start_in(folder, &["--file", &format!("./{name}")]);
        assert_eq!(get(server.address, &format!("/{name}")).text(), "17\n");
        assert_ne!(get(server.address, "/-/page.js").text(), "17\n");
    }
}

#[test]
fn the_page_holds_the_last_complete_lines_of_the_moment() {
    let server = Server::start(&[]);
    assert_eq!(last_lines(&server), "");
    server.append("1\n2\n3");
    assert_eq!(last_lines(&server), "1\n2\n");
    server.append("\n");
    assert_eq!(last_lines(&server), "1\n2\n3\n");
    let lines: Vec<String> = (1..=100).map(|line| format!("{line}\n")).collect();
    server.replace(lines.concat());
    assert_eq!(last_lines(&server), lines[76..].concat());
}

#[test]
fn what_the_file_holds_is_text_to_the_page() {
    let hostile = "</pre></main><script>alert(1)</script>\n<img src=x onerror=alert(1)>\n\"'>&lt;&#x3c;\n{name}{lines}\n\r\0\u{202e}\n";
    let server = Server::serving([hostile.as_bytes(), b"\xff\xfe<b>\n"].concat());
    let clean = get(Server::serving("\n").address, "/");
    let page = get(server.address, "/");
    assert_eq!(page.text().matches('<').count(), clean.text().matches('<').count(), "{}", page.text());
    let lines = last_lines(&server);
    assert!(lines.starts_with("&lt;/pre&gt;&lt;/main&gt;&lt;script&gt;alert(1)&lt;/script&gt;\n&lt;img "), "{lines}");
    assert!(lines.contains("&gt;&amp;lt;&amp;#x3c;\n{name}{lines}\n"), "{lines}");
    assert!(lines.ends_with("\u{fffd}\u{fffd}&lt;b&gt;\n"), "{lines}");
}

#[test]
fn of_a_big_file_the_page_holds_little() {
    let server = Server::of_a_big_file(&[]);
    assert!(get(server.address, "/").body.len() < 20 << 10);
}

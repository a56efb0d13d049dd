//! The names of the servers that an answer passed, as `X-Served-By` lists them: the one nearest to the file first.

use std::fs;

use axum::http::HeaderName;

/// The header that lists them.
pub const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// How many names a list has at most.
const MOST: usize = 8;
/// How long a name is at most, in bytes.
const LONGEST: usize = 64;

/// The name of this server, if it has one.
#[derive(Debug, Clone, Default)]
pub struct Names {
    own: Option<String>,
}

impl Names {
    /// `own` is left out where it is [no name](is_valid).
    pub fn new(own: Option<String>) -> Self {
        Self { own: own.filter(|own| is_valid(own)) }
    }

    /// The own name.
    pub fn own(&self) -> Option<&str> {
        self.own.as_deref()
    }

    /// The own name behind those that the upstream sent. Where they are too many, the own name stays, and those nearest to
    /// the file.
    pub fn chain(&self, upstream: &[String]) -> Vec<String> {
        let valid = upstream.iter().filter(|name| is_valid(name));
        valid.take(MOST - self.own.iter().count()).chain(&self.own).cloned().collect()
    }
}

/// The names in a header that somebody else sent. What is no name is left out, and what is too much.
pub fn parse(header: &str) -> Vec<String> {
    header.split(',').map(str::trim).filter(|name| is_valid(name)).take(MOST).map(str::to_owned).collect()
}

/// Whether `name` may be sent: 1 to 64 characters of `[A-Za-z0-9._-]`.
pub fn is_valid(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.chars().all(may_stand_in_a_name)
}

fn may_stand_in_a_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}

/// The name of the host, which in Kubernetes is the pod's, without what a name may not have; `None` where nothing is left.
pub fn host_name() -> Option<String> {
    // As uname(2) tells it, by a call that may fail.
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.chars().filter(|&c| may_stand_in_a_name(c)).collect::<String>();
    is_valid(&name).then_some(name) // Linux allows 64 bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_own_name_stands_behind_those_of_the_upstream() {
        let names = Names::new(Some("own".to_owned()));
        assert_eq!(names.chain(&[]), ["own"]);
        assert_eq!(names.chain(&owned(&["a", "b"])), ["a", "b", "own"]);
        assert_eq!(Names::new(None).chain(&owned(&["a", "b"])), ["a", "b"]);
    }

    #[test]
    fn of_too_many_names_the_first_and_the_own_stay() {
        let many = owned(&["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
        assert_eq!(Names::new(Some("own".to_owned())).chain(&many).join(""), "1234567own");
        assert_eq!(Names::new(None).chain(&many).join(""), "12345678");
        assert_eq!(parse(&many.join(",")).join(""), "12345678");
    }

    #[test]
    fn what_is_no_name_is_left_out() {
        let longest = "x".repeat(64);
        let header = format!("a,, b.c-d_E9 ,x y,\t,é,{longest},{longest}x,a\"b,<b>");
        assert_eq!(parse(&header), ["a", "b.c-d_E9", &*longest]);
        assert_eq!(parse(""), [""; 0]);
        assert_eq!(Names::new(Some("x y".to_owned())).chain(&owned(&["a b", "c"])), ["c"]);
    }

    #[test]
    fn the_host_has_a_name() {
        assert!(host_name().is_some_and(|name| is_valid(&name)));
    }
}

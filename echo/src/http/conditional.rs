//! Conditional requests: RFC 9110 §13, for a resource that has a strong `ETag` and a `Last-Modified`.

use std::time::{Duration, SystemTime};

use axum::http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use axum::http::{HeaderMap, HeaderValue};
use httpdate::HttpDate;

/// A date proves nothing about a file that was written so short before: it may be written again in the same second
/// (§8.8.2.2). Clocks of a file server and ours may be a little apart, too.
const DATE_IS_STRONG_AFTER: Duration = Duration::from_secs(5);

/// What tells one state of the resource from another.
pub struct Validators<'a> {
    /// The entity tag with its quotes; always strong.
    pub etag: &'a [u8],
    /// When the resource was last modified. HTTP dates have whole seconds.
    pub last_modified: HttpDate,
    /// When its content last changed here. A mirror's is dated as the upstream's, and changes later.
    pub changed: SystemTime,
}

/// What the preconditions of a `GET` or `HEAD` lead to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answer as if there were none.
    Proceed,
    /// `304 Not Modified`
    NotModified,
    /// `412 Precondition Failed`
    Failed,
}

impl Validators<'_> {
    /// Evaluates the preconditions in the order of §13.2.2, save `If-Range`.
    pub fn evaluate(&self, headers: &HeaderMap) -> Outcome {
        if let Some(tags) = Tags::of(headers, IF_MATCH) {
            if !tags.any(|tag| self.is_strongly(tag)) {
                return Outcome::Failed;
            }
        } else if let Some(date) = date_of(headers, IF_UNMODIFIED_SINCE)
            && self.last_modified > date
        {
            return Outcome::Failed;
        }
        if let Some(is_named) = is_named(self.etag, headers) {
            if is_named {
                return Outcome::NotModified;
            }
        } else if let Some(date) = date_of(headers, IF_MODIFIED_SINCE)
            && self.last_modified <= date
        {
            return Outcome::NotModified;
        }
        Outcome::Proceed
    }

    /// Whether a range may be answered, as far as `If-Range` has a say in it (§13.1.5).
    ///
    /// The comparison is strong, and a strong tag changes with every append, so a download of a file that grew meanwhile
    /// can't be resumed by it. That is right: what has to hold for resuming is more than a tag can say.
    pub fn allow_range(&self, headers: &HeaderMap, now: SystemTime) -> bool {
        let mut fields = headers.get_all(IF_RANGE).iter();
        match (fields.next(), fields.next()) {
            (None, _) => true,
            (Some(_), Some(_)) => false,
            (Some(field), None) => match Tag::parse(field.as_bytes()) {
                Some((tag, b"")) => self.is_strongly(&tag),
                _ => date(field.as_bytes()).is_some_and(|date| date == self.last_modified && self.date_is_strong(now)),
            },
        }
    }

    fn date_is_strong(&self, now: SystemTime) -> bool {
        now.duration_since(self.changed.max(self.last_modified.into())).is_ok_and(|age| age >= DATE_IS_STRONG_AFTER)
    }

    fn is_strongly(&self, tag: &Tag) -> bool {
        !tag.weak && tag.opaque == self.etag
    }
}

/// Whether `If-None-Match`, if there is one, names `etag`; the comparison is weak.
pub fn is_named(etag: &[u8], headers: &HeaderMap) -> Option<bool> {
    Tags::of(headers, IF_NONE_MATCH).map(|tags| tags.any(|tag| tag.opaque == etag))
}

/// An entity tag (§8.8.3); `opaque` has its quotes.
struct Tag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl<'a> Tag<'a> {
    /// Parses the tag that `text` begins with; returns what follows it, too.
    fn parse(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = match text.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let end = memchr::memchr(b'"', quoted.strip_prefix(b"\"")?)? + 2;
        let opaque = &quoted[..end];
        let is_etagc = |&byte: &u8| byte == b'!' || (b'#'..=b'~').contains(&byte) || byte >= 0x80;
        opaque[1..end - 1].iter().all(is_etagc).then_some((Self { weak, opaque }, &quoted[end..]))
    }
}

/// The value of `If-Match` or `If-None-Match`.
enum Tags {
    /// `*`: whatever there is.
    Any,
    /// The field lines, joined by commas. A tag may hold commas, so it is taken apart only while it is compared.
    List(Vec<u8>),
}

impl Tags {
    fn of(headers: &HeaderMap, name: HeaderName) -> Option<Self> {
        let mut fields = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let mut value = fields.next()?.to_vec();
        for field in fields {
            value.push(b',');
            value.extend_from_slice(field);
        }
        Some(if value.trim_ascii() == b"*" { Self::Any } else { Self::List(value) })
    }

    /// Whether one of the tags is meant. A list with a malformed element names nothing.
    fn any(&self, is_meant: impl Fn(&Tag) -> bool) -> bool {
        let Self::List(list) = self else { return true };
        let mut rest = list.trim_ascii_start();
        let mut meant = false;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(b",") {
                rest = after.trim_ascii_start();
                continue;
            }
            let Some((tag, after)) = Tag::parse(rest) else { return false };
            meant |= is_meant(&tag);
            rest = after.trim_ascii_start();
            if !rest.is_empty() && rest[0] != b',' {
                return false;
            }
        }
        meant
    }
}

/// The date in a header that may stand once. A value that is no date is as good as none (§13.1.3).
fn date_of(headers: &HeaderMap, name: HeaderName) -> Option<HttpDate> {
    let mut fields = headers.get_all(name).iter();
    match (fields.next(), fields.next()) {
        (Some(field), None) => date(field.as_bytes()),
        _ => None,
    }
}

fn date(text: &[u8]) -> Option<HttpDate> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    const TAG: &str = r#""a,b-7""#;
    const NOW: &str = "Mon, 23 Nov 2026 10:00:00 GMT";
    const BEFORE: &str = "Mon, 23 Nov 2026 09:59:59 GMT";
    const AFTER: &str = "Mon, 23 Nov 2026 10:00:01 GMT";

    fn validators() -> Validators<'static> {
        Validators { etag: TAG.as_bytes(), last_modified: NOW.parse().unwrap(), changed: SystemTime::UNIX_EPOCH }
    }

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn outcome(fields: &[(HeaderName, &str)]) -> Outcome {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        validators().evaluate(&map)
    }

    #[test]
    fn if_match_compares_strongly() {
        for right in [TAG, "*", r#""x", "a,b-7""#, r#" , "a,b-7" ,"#] {
            assert_eq!(outcome(&[(IF_MATCH, right)]), Outcome::Proceed, "{right}");
        }
        for wrong in [r#"W/"a,b-7""#, r#""x""#, "a,b-7", "", r#""a,b-7" "x""#, r#""a,b-7", x"#, r#"w/"a,b-7""#, "*, *"]
        {
            assert_eq!(outcome(&[(IF_MATCH, wrong)]), Outcome::Failed, "{wrong}");
        }
    }

    #[test]
    fn a_tag_may_hold_any_byte_but_blanks_quotes_and_controls() {
        let named = |value: &[u8]| {
            let value = HeaderValue::from_bytes(value).unwrap();
            validators().evaluate(&HeaderMap::from_iter([(IF_NONE_MATCH, value)])) == Outcome::NotModified
        };
        for other in [&b"!"[..], b"#", b"~", b"\x80", b"\xff", b"", b"\\"] {
            assert!(named(&[b"\"", other, b"\", \"a,b-7\""].concat()), "{other:?}");
        }
        for malformed in [&b" "[..], b"\t", b"a b"] {
            assert!(!named(&[b"\"", malformed, b"\", \"a,b-7\""].concat()), "{malformed:?}");
        }
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for named in [TAG, r#"W/"a,b-7""#, "*", r#""x", W/"a,b-7""#] {
            assert_eq!(outcome(&[(IF_NONE_MATCH, named)]), Outcome::NotModified, "{named}");
        }
        for other in [r#""x""#, r#""a,b""#, "a,b-7", "", r#""A,B-7""#] {
            assert_eq!(outcome(&[(IF_NONE_MATCH, other)]), Outcome::Proceed, "{other}");
        }
    }

    #[test]
    fn several_field_lines_are_one_list() {
        assert_eq!(outcome(&[(IF_NONE_MATCH, r#""x""#), (IF_NONE_MATCH, TAG)]), Outcome::NotModified);
        assert_eq!(outcome(&[(IF_MATCH, r#""x""#), (IF_MATCH, TAG)]), Outcome::Proceed);
    }

    #[test]
    fn dates_are_compared_by_the_second() {
        for (date, since, unmodified) in [
            (BEFORE, Outcome::Proceed, Outcome::Failed),
            (NOW, Outcome::NotModified, Outcome::Proceed),
            (AFTER, Outcome::NotModified, Outcome::Proceed),
        ] {
            assert_eq!(outcome(&[(IF_MODIFIED_SINCE, date)]), since, "{date}");
            assert_eq!(outcome(&[(IF_UNMODIFIED_SINCE, date)]), unmodified, "{date}");
        }
    }

    #[test]
    fn the_two_old_forms_of_a_date_are_understood() {
        for date in ["Monday, 23-Nov-26 10:00:00 GMT", "Mon Nov 23 10:00:00 2026"] {
            assert_eq!(outcome(&[(IF_MODIFIED_SINCE, date)]), Outcome::NotModified, "{date}");
        }
    }

    #[test]
    fn what_is_no_date_is_ignored() {
        for date in ["", "yesterday", "2026-11-23T10:00:00Z", "0", TAG] {
            assert_eq!(outcome(&[(IF_MODIFIED_SINCE, date)]), Outcome::Proceed, "{date}");
            assert_eq!(outcome(&[(IF_UNMODIFIED_SINCE, date)]), Outcome::Proceed, "{date}");
        }
        assert_eq!(outcome(&[(IF_MODIFIED_SINCE, NOW), (IF_MODIFIED_SINCE, NOW)]), Outcome::Proceed);
    }

    #[test]
    fn a_tag_takes_precedence_over_a_date() {
        assert_eq!(outcome(&[(IF_MATCH, TAG), (IF_UNMODIFIED_SINCE, BEFORE)]), Outcome::Proceed);
        assert_eq!(outcome(&[(IF_NONE_MATCH, r#""x""#), (IF_MODIFIED_SINCE, AFTER)]), Outcome::Proceed);
    }

    #[test]
    fn a_failed_precondition_takes_precedence_over_not_modified() {
        assert_eq!(outcome(&[(IF_MATCH, r#""x""#), (IF_NONE_MATCH, TAG)]), Outcome::Failed);
        assert_eq!(outcome(&[(IF_UNMODIFIED_SINCE, BEFORE), (IF_NONE_MATCH, TAG)]), Outcome::Failed);
        assert_eq!(outcome(&[(IF_MATCH, TAG), (IF_NONE_MATCH, TAG)]), Outcome::NotModified);
    }

    #[test]
    fn if_range_compares_strongly() {
        let later = SystemTime::from(NOW.parse::<HttpDate>().unwrap()) + DATE_IS_STRONG_AFTER;
        let allowed = |value: &str| validators().allow_range(&headers(&[(IF_RANGE, value)]), later);
        assert!(validators().allow_range(&HeaderMap::new(), later));
        assert!(allowed(TAG));
        assert!(allowed(NOW));
        for refused in [r#"W/"a,b-7""#, r#""x""#, "*", "a,b-7", "", r#""a,b-7", "x""#, BEFORE, AFTER, "yesterday"] {
            assert!(!allowed(refused), "{refused}");
        }
    }

    #[test]
    fn a_date_says_nothing_about_a_file_just_written() {
        let written = SystemTime::from(NOW.parse::<HttpDate>().unwrap());
        let allowed = |now| validators().allow_range(&headers(&[(IF_RANGE, NOW)]), now);
        assert!(!allowed(written));
        assert!(!allowed(written + DATE_IS_STRONG_AFTER - Duration::from_millis(1)));
        assert!(!allowed(UNIX_EPOCH));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                for name in [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE] {
                    let map = HeaderMap::from_iter([(name, value.clone())]);
                    validators().evaluate(&map);
                    validators().allow_range(&map, SystemTime::now());
                }
            }
        }

        #[test]
        fn a_tag_is_found_wherever_it_stands(tags in proptest::collection::vec("[!#-~]{0,8}", 0..6), at: prop::sample::Index, ours: bool) {
            let mut list: Vec<String> = tags.iter().map(|tag| format!("\"{tag}\"")).collect();
            if ours {
                list.insert(at.index(list.len() + 1), TAG.to_owned());
            }
            let named = list.iter().any(|tag| tag == TAG);
            let expected = if named { Outcome::NotModified } else { Outcome::Proceed };
            prop_assert_eq!(outcome(&[(IF_NONE_MATCH, &list.join(", "))]), expected);
        }
    }
}

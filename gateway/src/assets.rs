//! The front ends' files, embedded by build.rs, and how they are served: in the form the browser takes, with an ETag.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// One embedded file in its three forms.
pub(crate) struct File {
    /// `widget/…` or `inbox/…`, as in the front end's `dist/`.
    pub(crate) path: &'static str,
    pub(crate) raw: &'static [u8],
    pub(crate) br: Option<&'static [u8]>,
    pub(crate) gz: Option<&'static [u8]>,
}

mod table {
    use super::File;

    include!(concat!(env!("OUT_DIR"), "/assets.rs"));
}

/// Files by path, each with its ETag (the first half of its SHA-256).
static BY_PATH: LazyLock<HashMap<&'static str, (&'static File, String)>> = LazyLock::new(|| {
    let tag = |file: &File| Sha256::digest(file.raw).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    table::FILES.iter().map(|file| (file.path, (file, tag(file)))).collect()
});

/// How long a browser may keep a file.
#[derive(Clone, Copy)]
pub(crate) enum Keep {
    /// Its name holds its hash: a year, never asked again.
    Forever,
    /// The loader's name never changes: five minutes, so that a new version is everywhere within that.
    FiveMinutes,
    /// A page: asked again each time.
    Ask,
}

impl Keep {
    fn header(self) -> &'static str {
        match self {
            Self::Forever => "public, max-age=31536000, immutable",
            Self::FiveMinutes => "public, max-age=300",
            Self::Ask => "no-cache",
        }
    }
}

/// Whether a front end is in this binary.
pub(crate) fn has(path: &str) -> bool {
    BY_PATH.contains_key(path)
}

/// A file as an answer; `None` when there is none of this path.
pub(crate) fn serve(path: &str, asked: &HeaderMap, keep: Keep) -> Option<Response> {
    let (file, tag) = BY_PATH.get(path)?;
    let accepts = |form: &str| accepts(asked, form);
    // Each form is an answer of its own and needs a tag of its own (RFC 9110, 8.8.3.3).
    let (bytes, form, suffix) = match (file.br, file.gz) {
        (Some(br), _) if accepts("br") => (br, Some("br"), "-br"),
        (_, Some(gz)) if accepts("gzip") => (gz, Some("gzip"), "-gz"),
        _ => (file.raw, None, ""),
    };
    let tag = format!("\"{tag}{suffix}\"");
    let known = asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','))
        .any(|it| it.trim().trim_start_matches("W/") == tag || it.trim() == "*");
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        axum::body::Bytes::from_static(bytes).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(file.path)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep.header()));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    if let Some(form) = form.filter(|_| !known) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(form));
    }
    Some(response)
}

/// Whether `Accept-Encoding` names a form without `q=0`.
fn accepts(headers: &HeaderMap, form: &str) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(',')).any(
        |it| {
            let mut parts = it.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(form));
            named && !parts.any(|it| matches!(it.strip_prefix("q="), Some(q) if q.parse() == Ok(0.0f32)))
        },
    )
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_served_only_to_who_takes_it() {
        for (header, br) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, gzip", true),
            ("BR", true),
            ("br;q=0", false),
            ("br; q=0.0, gzip", false),
            ("gzip", false),
            ("", false),
            ("brotli", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(header).unwrap());
            assert_eq!(accepts(&headers, "br"), br, "{header}");
        }
    }
}

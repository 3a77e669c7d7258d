//! The OpenAPI document. What holds for a kind of route (the ways a body can be refused, say) is written here once and
//! added to each; a route's own annotation says what is its own.

use std::sync::LazyLock;

use axum::http::{HeaderName, header};
use bellhop_engine::domain::{is_invisible, is_visible};
use bellhop_protocol::limits::MAX_NAME_CHARS;
use bytes::Bytes;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, PathItem, Ref, RefOr};
use utoipa::{Modify, OpenApi as _, PartialSchema, ToSchema};

use super::{COOKIE, Document};
use crate::accounts::{MAX_EMAIL_CHARS, MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS, is_out_of_a_name};

/// The two ways to say who asks.
pub(super) struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(COOKIE)));
        components.add_security_scheme("cookie", cookie);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key, bhk_…")).build();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

/// Answers that a kind of route has in common, and an `operationId` that is one in the document.
pub(super) struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut OpenApi) {
        for item in document.paths.paths.values_mut() {
            let PathItem { get, post, patch, delete, .. } = item;
            for (operation, changes) in [(get, false), (post, true), (patch, true), (delete, true)] {
                if let Some(operation) = operation {
                    complete(operation, changes);
                }
            }
        }
    }
}

fn complete(operation: &mut Operation, changes: bool) {
    let tag = operation.tags.iter().flatten().next().map_or("", String::as_str);
    let name = operation.operation_id.as_deref().unwrap_or_default();
    // Handlers of two modules may share a name; generated clients need one for each.
    operation.operation_id = Some(format!("{tag}_{name}"));
    let asks_who = operation.security.as_ref().is_some_and(|it| !it.is_empty());
    let mut common = vec![(421, "`host`: this server is not known by the name in `Host`")];
    if changes {
        common.push((403, "`origin`: asked by a page of another origin"));
    }
    if operation.request_body.is_some() {
        common.extend([
            (400, "`bad_json`: the body is no JSON"),
            (408, "`body_too_slow`: the body did not come within 30 s"),
            (413, "`body_too_big`: over 1 MiB, or cut off"),
            (415, "`not_json`: the Content-Type is not application/json"),
            (422, "`bad_field`, `missing_field`, `unknown_field`, `not_object`: `field` names the one at fault"),
        ]);
    }
    if asks_who {
        common.push((429, "`too_many`: the API key's requests a second; come back after `Retry-After`"));
    }
    if asks_who || changes {
        common.push((503, "`overloaded`, `busy`, `unavailable`, `unknown`: come back after `Retry-After`"));
    }
    for (status, description) in common {
        operation.responses.responses.entry(status.to_string()).or_insert_with(|| {
            let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
            ResponseBuilder::new().description(description).content("application/json", body).build().into()
        });
    }
}

/// Characters of a kind as ranges of a regular expression's class.
fn class(of: impl Fn(char) -> bool) -> String {
    let mut text = String::new();
    let mut run: Option<(char, char)> = None;
    for character in (char::MIN..=char::MAX).map(Some).chain([None]) {
        let belongs = character.filter(|it| of(*it));
        run = match (run, belongs) {
            (None, it) => it.map(|it| (it, it)),
            (Some((first, _)), Some(last)) => Some((first, last)),
            (Some((first, last)), None) => {
                text += &escaped(first);
                if first != last {
                    text.push('-');
                    text += &escaped(last);
                }
                None
            }
        };
    }
    text
}

fn escaped(character: char) -> String {
    // Above the first plane \u means something else in each dialect; the character itself is the same in all.
    if u32::from(character) < 0x1_0000 { format!("\\u{:04X}", u32::from(character)) } else { character.to_string() }
}

fn text(least: usize, most: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(least)).max_length(Some(most))
}

/// The rule of [`crate::accounts`] for names, as a schema.
pub(super) struct Name;

impl PartialSchema for Name {
    fn schema() -> RefOr<Schema> {
        // The bound is for what is left after trimming; nobody is helped by a pattern that says so.
        let out = class(is_out_of_a_name);
        let unseen = class(|it| is_out_of_a_name(it) || !is_visible(it));
        text(1, MAX_NAME_CHARS).pattern(Some(format!("^[^{out}]*[^{unseen}][^{out}]*$"))).into()
    }
}

impl ToSchema for Name {}

/// The rule for e-mail addresses, as a schema.
pub(super) struct Email;

impl PartialSchema for Email {
    fn schema() -> RefOr<Schema> {
        let out = class(|it| it == '@' || it.is_whitespace() || it.is_control() || is_invisible(it));
        text(3, MAX_EMAIL_CHARS).pattern(Some(format!("^[^{out}]+@[^{out}]+$"))).into()
    }
}

impl ToSchema for Email {}

/// The rule for new passwords, as a schema.
pub(super) struct Password;

impl PartialSchema for Password {
    fn schema() -> RefOr<Schema> {
        text(MIN_PASSWORD_CHARS, MAX_PASSWORD_CHARS).into()
    }
}

impl ToSchema for Password {}

pub(super) fn whole() -> OpenApi {
    Document::openapi()
}

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "document",
    responses((status = 200, description = "The OpenAPI 3.1 document.", body = Object)),
)]
pub(super) async fn document() -> ([(HeaderName, &'static str); 1], Bytes) {
    // Made once: looking at every character for the patterns takes milliseconds.
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
        let text = serde_json::to_vec(&whole()).expect("a document of strings, numbers and lists");
        text.into()
    });
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_is_there_and_every_operation_has_its_own_name() {
        let document = serde_json::to_value(whole()).unwrap();
        let (mut names, mut seen, mut left) = (std::collections::BTreeSet::new(), 0, vec![&document]);
        while let Some(value) = left.pop() {
            if let Some(reference) = value["$ref"].as_str() {
                let pointer = reference.strip_prefix('#').expect("a reference into this document");
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
                seen += 1;
            }
            if let Some(name) = value["operationId"].as_str() {
                assert!(names.insert(name.to_owned()), "{name} twice");
            }
            left.extend(value.as_array().into_iter().flatten());
            left.extend(value.as_object().into_iter().flat_map(|it| it.values()));
        }
        assert_eq!(names.len(), super::super::ROUTES.len());
        assert!(seen > 100, "{seen}");
    }

    #[test]
    fn a_class_holds_the_characters_of_its_kind_and_no_other() {
        assert_eq!(class(|it| matches!(it, 'a'..='c' | 'x')), r"\u0061-\u0063\u0078");
        assert_eq!(class(|it| it == '\u{E0001}'), "\u{E0001}");
        assert_eq!(class(|it| it >= '\u{10FFFE}'), "\u{10FFFE}-\u{10FFFF}");
    }
}

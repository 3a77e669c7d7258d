//! HTTP: the REST API, the pages and the assets. Absent: rules about accounts (they are in `accounts`).

mod answer;
mod ask;
mod conversations;
mod guard;
mod invites;
mod keys;
pub mod listen;
mod members;
mod openapi;
mod pages;
mod session;
mod widget;
mod workspace;

pub(crate) use pages::front_ends_are_built;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bellhop_engine::Engine;

use self::openapi::{Common, Security};
use crate::accounts::Accounts;
use crate::ws::{Hub, Network, upgrade};

/// Name of the session cookie.
const COOKIE: &str = "bellhop_session";
/// The header that proves that a request with the cookie comes from our own page.
const CSRF_HEADER: &str = "x-bellhop-csrf";

/// What handlers work with.
pub struct App {
    pub accounts: Arc<Accounts>,
    pub engine: Engine,
    pub trusted_proxies: Vec<Network>,
}

/// One list makes the router, the OpenAPI document and what the tests walk over.
macro_rules! api {
    ($($method:ident $path:literal => $module:ident::$handler:ident,)*) => {
        /// Every route of the REST API: method and path.
        pub const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path),)*];

        fn api() -> Router<Arc<App>> {
            Router::new()$(.route($path, axum::routing::$method($module::$handler)))*
        }

        #[derive(utoipa::OpenApi)]
        #[openapi(
            info(
                title = "Bellhop",
                version = "1",
                description = "Accounts, settings and history. Live conversations go over the WebSocket at /ws (gateway/protocol/PROTOCOL.md).",
                license(name = "Apache-2.0", identifier = "Apache-2.0"),
            ),
            paths($($module::$handler,)*),
            components(schemas(answer::ErrorBody)),
            modifiers(&Security, &Common),
        )]
        struct Document;
    };
}

api! {
    post "/api/v1/setup/look" => session::look_at_setup,
    post "/api/v1/setup" => session::set_up,
    post "/api/v1/login" => session::log_in,
    post "/api/v1/logout" => session::log_out,
    get "/api/v1/me" => session::me,
    post "/api/v1/socket-token" => session::socket_token,
    post "/api/v1/password/reset" => session::reset_password,
    get "/api/v1/workspace" => workspace::read,
    patch "/api/v1/workspace" => workspace::change,
    get "/api/v1/members" => members::list,
    post "/api/v1/members" => members::add,
    delete "/api/v1/members/{id}" => members::remove,
    post "/api/v1/members/{id}/socket-token" => members::socket_token,
    get "/api/v1/invites" => invites::list,
    post "/api/v1/invites" => invites::add,
    delete "/api/v1/invites/{id}" => invites::remove,
    post "/api/v1/invites/look" => invites::look,
    post "/api/v1/invites/accept" => invites::accept,
    get "/api/v1/keys" => keys::list,
    post "/api/v1/keys" => keys::add,
    delete "/api/v1/keys/{id}" => keys::remove,
    get "/api/v1/conversations" => conversations::list,
    get "/api/v1/conversations/{id}" => conversations::read,
    get "/api/v1/conversations/{id}/events" => conversations::events,
    get "/api/v1/widget/{workspace}" => widget::look,
    get "/api/v1/openapi.json" => openapi::document,
}

/// Everything that the public port answers.
pub fn router(app: Arc<App>, hub: Arc<Hub>) -> Router {
    let layer = axum::middleware::from_fn_with_state(Arc::clone(&app), guard::guard);
    api()
        .merge(pages::routes(app.accounts.site().demo))
        .with_state(app)
        .route("/ws", get(upgrade).with_state(hub))
        .fallback(pages::nothing_here)
        .method_not_allowed_fallback(pages::wrong_method)
        .layer(layer)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_in_the_document_and_the_reverse() {
        let document = serde_json::to_value(openapi::whole()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
        let mut told = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                told.insert((method.clone(), path.clone()));
            }
        }
        let served: BTreeSet<(String, String)> =
            ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(told, served);
    }
}

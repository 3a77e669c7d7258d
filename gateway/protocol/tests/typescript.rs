//! The TypeScript types are these Rust types: `gateway/client/src/protocol.ts` is generated, and this test fails when
//! it is not what the types say. `BELLHOP_BLESS=1 cargo test -p bellhop-protocol` writes it anew.

use std::collections::BTreeMap;

use bellhop_protocol::{ClientFrame, CloseCode, ServerFrame, VERSION, limits};
use ts_rs::{Config, TS, TypeVisitor};

struct Declarations<'a> {
    config: &'a Config,
    found: BTreeMap<String, String>,
}

impl Declarations<'_> {
    fn add<T: TS + 'static + ?Sized>(&mut self) {
        // Only our own types declare an output path; primitives and containers do not.
        if T::output_path().is_none() {
            T::visit_generics(self);
            T::visit_dependencies(self);
            return;
        }
        let name = T::ident(self.config);
        if self.found.contains_key(&name) {
            return;
        }
        let docs = T::docs().unwrap_or_default();
        self.found.insert(name, format!("{docs}export {}\n", T::decl(self.config)));
        T::visit_dependencies(self);
    }
}

impl TypeVisitor for Declarations<'_> {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        self.add::<T>();
    }
}

fn generated() -> String {
    let config = Config::new().with_large_int("number");
    let mut declarations = Declarations { config: &config, found: BTreeMap::new() };
    declarations.add::<ClientFrame>();
    declarations.add::<ServerFrame>();
    let mut out = String::from("// Generated from gateway/protocol by its test `typescript`; do not edit.\n\n");
    out.push_str(&format!("export const VERSION = {VERSION};\n"));
    for (name, value) in [
        ("MAX_FRAME_BYTES", limits::MAX_FRAME_BYTES as u64),
        ("MAX_TEXT_BYTES", limits::MAX_TEXT_BYTES as u64),
        ("MAX_NAME_CHARS", limits::MAX_NAME_CHARS as u64),
        ("HEARTBEAT_MS", limits::HEARTBEAT_MS),
        ("HELLO_TIMEOUT_SECS", limits::HELLO_TIMEOUT_SECS),
        ("MAX_LIST_ROWS", limits::MAX_LIST_ROWS as u64),
    ] {
        out.push_str(&format!("export const {name} = {value};\n"));
    }
    out.push_str("\n/** Close codes: number, and whether coming back without a person's help can succeed. */\n");
    out.push_str("export const CLOSE_CODES = {\n");
    for code in CloseCode::ALL {
        out.push_str(&format!("  {code:?}: {{ code: {}, reconnect: {} }},\n", code.number(), code.reconnect()));
    }
    out.push_str("} as const;\n");
    for declaration in declarations.found.values() {
        out.push('\n');
        out.push_str(declaration);
    }
    out
}

#[test]
fn the_typescript_types_are_the_rust_types() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/src/protocol.ts");
    let want = generated();
    if std::env::var_os("BELLHOP_BLESS").is_some() {
        std::fs::write(&path, &want).unwrap();
    }
    let have = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(have == want, "{} is stale: run BELLHOP_BLESS=1 cargo test -p bellhop-protocol", path.display());
}

//! The line that an attack ends with on stdout, one a store attacked; `cargo xtask prove` makes its table of them.

use serde::Serialize;

use crate::{
    args::{StoreKind, Target},
    cassandra::Cassandra,
};

/// The CQL server that `cargo xtask cassandra` starts.
const CQL_SERVER: &str = "Cassandra 5.0.9";

/// What was promised, how it was attacked, and what came of it; plain English with thousands commas.
#[derive(Debug, Serialize)]
pub(crate) struct Proof {
    /// Numbers of the promises, such as `G1 G3`.
    pub(crate) promise: &'static str,
    pub(crate) attack: String,
    pub(crate) store: String,
    pub(crate) count: String,
    pub(crate) result: String,
    pub(crate) passed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
}

impl Proof {
    pub(crate) fn print(&self) {
        println!("{}", self.line());
    }

    fn line(&self) -> String {
        format!("PROOF {}", serde_json::to_string(self).expect("strings, a boolean and a number have a JSON form"))
    }
}

/// The store of a target, as the table names it.
pub(crate) fn store(target: &Target) -> String {
    match target.store {
        StoreKind::Embedded => "embedded".into(),
        StoreKind::Scylla => match Cassandra::find(&target.cassandra).map(|it| it.nodes()) {
            Ok(1) => format!("{CQL_SERVER}, 1 node"),
            Ok(nodes) => format!("{CQL_SERVER}, {nodes} nodes"),
            Err(_) => CQL_SERVER.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::Proof;

    #[test]
    fn a_proof_is_one_line_of_json() {
        let proof = Proof {
            promise: "G8",
            attack: "SIGTERM \"under load\"".into(),
            store: "embedded".into(),
            count: "1,000 commands".into(),
            result: "0 lost".into(),
            passed: true,
            seed: Some(7),
        };
        let line = proof.line();
        assert!(!line.contains('\n'));
        let json: serde_json::Value = serde_json::from_str(line.strip_prefix("PROOF ").unwrap()).unwrap();
        assert_eq!((&json["promise"], &json["passed"], &json["seed"]), (&"G8".into(), &true.into(), &7.into()));
        let without = Proof { seed: None, ..proof }.line();
        assert!(!without.contains("seed"));
    }
}

//! The long runs, as data. To add one: a row here; whatever it runs ends with a `PROOF` line for each store attacked.

/// The server that an attack needs beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    Embedded,
    /// So many nodes of `cargo xtask cassandra`.
    Cassandra(usize),
    /// In memory, or none at all.
    Model,
}

impl Store {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Cassandra(1) => "Cassandra 5.0.9, 1 node",
            Self::Cassandra(_) => "Cassandra 5.0.9, 3 nodes",
            Self::Model => "model",
        }
    }

    pub(super) fn nodes(self) -> Option<usize> {
        match self {
            Self::Cassandra(nodes) => Some(nodes),
            Self::Embedded | Self::Model => None,
        }
    }
}

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    /// `bellhop-loadtest`, release build, with these arguments.
    Loadtest(&'static str),
    /// `cargo test` with these arguments. The profile of the tests unless they say `--release`: overflows and
    /// `debug_assert` are checked then, and `cargo xtask test` has built it already.
    Test(&'static str),
    /// The same with Python's tools in `BELLHOP_PYTHON`.
    PythonTest(&'static str),
    /// `cargo xtask` with these arguments.
    Xtask(&'static str),
}

pub(super) struct Attack {
    /// For `cargo xtask prove NAME`, and of its file in target/prove.
    pub(super) name: &'static str,
    pub(super) promise: &'static str,
    /// What stands in the table as long as there is no proof.
    pub(super) what: &'static str,
    pub(super) store: Store,
    pub(super) tool: Tool,
    /// Variables with the size of the run.
    pub(super) sizes: &'static [(&'static str, &'static str)],
    /// After so many minutes it is ended and has failed: several times what it takes on a quiet machine of 2 cores.
    pub(super) minutes: u64,
}

const fn attack(
    name: &'static str,
    promise: &'static str,
    what: &'static str,
    store: Store,
    tool: Tool,
    minutes: u64,
) -> Attack {
    Attack { name, promise, what, store, tool, sizes: &[], minutes }
}

/// One whose size is a variable that all of the store's tests know.
const fn long(
    name: &'static str,
    promise: &'static str,
    what: &'static str,
    store: Store,
    tool: Tool,
    minutes: u64,
) -> Attack {
    Attack { sizes: &[("BELLHOP_LONG", "1")], ..attack(name, promise, what, store, tool, minutes) }
}

pub(super) const ATTACKS: &[Attack] = &[
    attack(
        "kill-embedded",
        "G1 G2 G3 G4",
        "kill -9 of the server at random moments",
        Store::Embedded,
        Tool::Loadtest("faults --spawn --kills 200 --terms 0 --seed 21"),
        20,
    ),
    attack(
        "kill-cassandra",
        "G1 G2 G3 G4",
        "kill -9 of the server and of database nodes at random moments",
        Store::Cassandra(3),
        Tool::Loadtest("faults --spawn --store scylla --kills 50 --terms 0 --seed 22"),
        20,
    ),
    attack(
        "kill-sabotage",
        "G1 G2 G3 G4 G8",
        "the checker of these runs is shown to fail: faults put in on purpose",
        Store::Embedded,
        Tool::Loadtest("faults --spawn --sabotage --seed 23"),
        10,
    ),
    attack(
        "terms-embedded",
        "G8",
        "SIGTERM under full load",
        Store::Embedded,
        Tool::Loadtest("terms --spawn --times 20 --seed 24"),
        10,
    ),
    attack(
        "terms-cassandra",
        "G8",
        "SIGTERM under full load",
        Store::Cassandra(1),
        Tool::Loadtest("terms --spawn --store scylla --times 20 --seed 24"),
        10,
    ),
    attack(
        "storm-embedded",
        "G9",
        "everyone reconnects at once after a restart",
        Store::Embedded,
        Tool::Loadtest("storm --spawn --sessions 10000 --seed 25"),
        10,
    ),
    attack(
        "storm-cassandra",
        "G9",
        "everyone reconnects at once after a restart",
        Store::Cassandra(1),
        Tool::Loadtest("storm --spawn --store scylla --sessions 10000 --seed 25"),
        10,
    ),
    // 40 s: what the full bucket lets through at once, a quarter of a second's worth, is then under one in a hundred, and p99
    // is that of the rest.
    attack(
        "overload-embedded",
        "G11 G1",
        "20,000 commands a second offered to a server set to 2,000",
        Store::Embedded,
        Tool::Loadtest("overload --spawn --admitted 2000 --offered 20000 --seconds 40 --measure"),
        5,
    ),
    // 500: 2,000 a second fill two cores with the database alone, beside the generator and the server, and what is measured
    // then is its queue.
    attack(
        "overload-cassandra",
        "G11 G1",
        "20,000 commands a second offered to a server set to 500",
        Store::Cassandra(1),
        Tool::Loadtest("overload --spawn --store scylla --admitted 500 --offered 20000 --seconds 40 --measure"),
        5,
    ),
    attack(
        "slow-embedded",
        "G7 G4",
        "readers at 0 and 100 B/s",
        Store::Embedded,
        Tool::Loadtest("slow --spawn --readers 200"),
        5,
    ),
    attack(
        "slow-cassandra",
        "G7 G4",
        "readers at 0 and 100 B/s",
        Store::Cassandra(1),
        Tool::Loadtest("slow --spawn --store scylla --readers 200"),
        5,
    ),
    attack(
        "supervision",
        "G12",
        "a panic in conversation, agent, queue, journal and session code",
        Store::Embedded,
        Tool::Test("--workspace --features bellhop-gateway/sabotage --test supervision -- --nocapture"),
        5,
    ),
    long(
        "power",
        "G1",
        "power cuts: what was not synced is dropped, reordered and torn",
        Store::Embedded,
        Tool::Test("--workspace --test power -- --nocapture"),
        10,
    ),
    long(
        "disk",
        "G1",
        "failing, full and read-only disks; a journal cut at every byte of its end and with flipped bits; damaged tables",
        Store::Embedded,
        Tool::Test(
            "--workspace --test disk_faults --test disk_journal --test disk_tables -- --nocapture --include-ignored",
        ),
        30,
    ),
    long(
        "conformance-embedded",
        "G1 G2 G3 G4",
        "every promise of the store's trait, paging over a million events",
        Store::Embedded,
        Tool::Test("--workspace --test conformance -- --nocapture"),
        30,
    ),
    long(
        "conformance-cassandra",
        "G1 G2 G3 G4",
        "every promise of the store's trait, paging over a million events",
        Store::Cassandra(1),
        Tool::Test("--workspace --test scylla -- --nocapture --ignored the_cql_store_keeps_every_promise"),
        40,
    ),
    attack(
        "cql",
        "G1 G2 G6 G11",
        "half-written ends, second owners, an absent database, on three nodes",
        Store::Cassandra(3),
        Tool::Test("--workspace --test scylla -- --nocapture --ignored"),
        10,
    ),
    attack(
        "simulation",
        "G2 G3 G4 G11 G12",
        "simulation from a seed",
        Store::Model,
        Tool::Xtask("sim --seeds 10000"),
        30,
    ),
    Attack {
        sizes: &[("BELLHOP_FRAMES", "10000000")],
        ..attack(
            "frames",
            "Input",
            "frames by grammar, spoilt by structure, token and byte",
            Store::Model,
            Tool::Test("--release --package bellhop-protocol --test fuzz -- --nocapture every_frame"),
            10,
        )
    },
    Attack {
        sizes: &[("BELLHOP_SESSION_FRAMES", "60000"), ("BELLHOP_CONFIGS", "100000")],
        ..attack(
            "sessions",
            "Input",
            "sessions of valid and spoilt frames, configuration files",
            Store::Embedded,
            Tool::Test("--workspace --test fuzz_sessions --test fuzz_config -- --nocapture"),
            10,
        )
    },
    Attack {
        sizes: &[("BELLHOP_VALUES", "500000")],
        ..attack(
            "values",
            "Input",
            "stored values, generated and damaged",
            Store::Model,
            Tool::Test("--workspace --lib -- --nocapture codec::generated"),
            10,
        )
    },
    Attack {
        sizes: &[("BELLHOP_EXAMPLES", "40")],
        ..attack(
            "routes",
            "Input",
            "every route of the OpenAPI document by schemathesis",
            Store::Embedded,
            Tool::PythonTest("--workspace --test schemathesis -- --nocapture --ignored"),
            10,
        )
    },
    attack(
        "rfc-6455",
        "Input",
        "RFC 6455: the Autobahn cases (kosoku)",
        Store::Model,
        Tool::PythonTest("--workspace --lib -- --nocapture --ignored every_case_of_rfc_6455"),
        5,
    ),
];

//! Values of every stored kind made from a seed: what is written is read back equal, and what was damaged is either
//! told, or a value that is itself written and read back equal. `BELLHOP_VALUES` is how many of each kind.

use std::sync::Arc;

use bellhop_engine::domain::*;
use bellhop_engine::ports::{Record, StoreError};

use super::*;

/// SplitMix64: the same seed, the same values.
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Of every length that a varint has, and its edges.
    fn seq(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            _ => self.number() >> self.below(64),
        }
    }

    fn id(&mut self) -> u128 {
        match self.below(8) {
            0 => 0,
            1 => u128::MAX,
            _ => u128::from(self.number()) << 64 | u128::from(self.number()),
        }
    }

    fn at(&mut self) -> Millis {
        Millis(match self.below(8) {
            0 => i64::MIN,
            1 => i64::MAX,
            _ => (self.number() >> self.below(64)).cast_signed(),
        })
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 10] =
            ["", "a", "ß", "\0", "\u{1F44B}", "\u{10FFFF}", "e\u{301}", "\u{202E}", "\n", "word "];
        // Around the lengths at which the length itself takes another byte.
        if self.below(40) == 0 {
            return "x".repeat([126, 127, 128, 16_383, 16_384][self.below(5)]);
        }
        (0..self.below(12)).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }

    fn name(&mut self) -> Arc<str> {
        self.text().into()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| make(self))
    }

    fn member(&mut self) -> MemberName {
        MemberName { id: MemberId(self.id()), name: self.name() }
    }

    fn mark(&mut self) -> CommandMark {
        CommandMark { id: CommandId(self.id()), hash: self.number() }
    }

    fn key(&mut self) -> ConversationKey {
        ConversationKey { workspace: WorkspaceId(self.id()), conversation: ConversationId(self.id()) }
    }

    fn status(&mut self) -> Status {
        [Status::Queued, Status::Assigned, Status::Resolved][self.below(3)]
    }

    fn side(&mut self) -> Side {
        [Side::Visitor, Side::Agent, Side::System][self.below(3)]
    }

    fn hash(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| self.number() as u8)
    }

    fn parts(&mut self) -> Vec<Part> {
        (0..self.below(4)).map(|_| Part::Text(self.name())).collect()
    }

    fn event(&mut self) -> Event {
        let author = match self.below(3) {
            0 => Author::Visitor { id: VisitorId(self.id()), name: self.name() },
            1 => Author::Agent(self.member()),
            _ => Author::System,
        };
        let body = match self.below(7) {
            0 => Body::Started { page: self.maybe(Self::name) },
            1 => Body::Message { parts: self.parts() },
            2 => Body::Note { parts: self.parts() },
            3 => Body::Queued {
                number: self.seq(),
                reason: [QueuedReason::New, QueuedReason::Reopened, QueuedReason::Released, QueuedReason::Returned]
                    [self.below(4)],
                prefer: self.maybe(|it| MemberId(it.id())),
            },
            4 => Body::Assigned {
                to: self.member(),
                reason: [AssignedReason::Routed, AssignedReason::Taken, AssignedReason::Given, AssignedReason::Replied]
                    [self.below(4)],
            },
            5 => Body::Resolved,
            _ => Body::Reopened,
        };
        Event {
            seq: self.seq(),
            prev_all: self.seq(),
            epoch: Epoch(self.seq()),
            at: self.at(),
            author,
            audience: if self.flag() { Audience::All } else { Audience::Staff },
            channel: Channel::Chat,
            external_id: self.maybe(Self::name),
            command: self.maybe(Self::mark),
            body,
        }
    }

    fn remembered(&mut self) -> Remembered {
        Remembered {
            sender: match self.below(3) {
                0 => Sender::Visitor(VisitorId(self.id())),
                1 => Sender::Agent(MemberId(self.id())),
                _ => Sender::System,
            },
            mark: self.mark(),
            seq: self.seq(),
            prev_all: self.seq(),
            at: self.at(),
        }
    }

    fn state(&mut self) -> ConversationState {
        ConversationState {
            key: self.key(),
            epoch: Epoch(self.seq()),
            seq: self.seq(),
            head_all: self.seq(),
            last_event_at: self.at(),
            visitor: VisitorId(self.id()),
            visitor_name: self.name(),
            page: self.maybe(Self::name),
            created_at: self.at(),
            status: self.status(),
            assignee: self.maybe(Self::member),
            queue_number: self.seq(),
            prefer: self.maybe(|it| MemberId(it.id())),
            answered: self.flag(),
            waiting_since: self.maybe(Self::at),
            resolved_at: self.maybe(Self::at),
            preview: self.name(),
            last_side: self.side(),
            last_name: self.name(),
            last_at: self.at(),
            last_visitor_seq: self.seq(),
            agent_seqs: (0..self.below(6)).map(|_| self.seq()).collect(),
            start: self.maybe(Self::remembered),
            recent: (0..self.below(33)).map(|_| self.remembered()).collect(),
            recent_floor: self.seq(),
        }
    }

    fn role(&mut self) -> Role {
        if self.flag() { Role::Owner } else { Role::Agent }
    }

    fn record(&mut self) -> Record {
        match self.below(7) {
            0 => Record::Workspace(Workspace {
                id: WorkspaceId(self.id()),
                name: self.text(),
                greeting: self.text(),
                accent: self.number() as u32,
                position: if self.flag() { Corner::Left } else { Corner::Right },
                allowed_origins: (0..self.below(4)).map(|_| self.text()).collect(),
                agent_cap: self.number() as u32,
                created_at: self.at(),
            }),
            1 => Record::Person(Person {
                id: PersonId(self.id()),
                email: self.text(),
                name: self.text(),
                password: self.maybe(Self::text),
                memberships: (0..self.below(4)).map(|_| (WorkspaceId(self.id()), MemberId(self.id()))).collect(),
                generation: self.seq(),
            }),
            2 => Record::Email(PersonId(self.id())),
            3 => Record::Member(Member {
                id: MemberId(self.id()),
                workspace: WorkspaceId(self.id()),
                person: PersonId(self.id()),
                email: self.text(),
                name: self.text(),
                role: self.role(),
                available: self.flag(),
                created_at: self.at(),
                removed_at: self.maybe(Self::at),
            }),
            4 => Record::Link(Link {
                id: TokenId(self.id()),
                secret_hash: self.hash(),
                purpose: match self.below(3) {
                    0 => LinkPurpose::Setup,
                    1 => LinkPurpose::Invite {
                        workspace: WorkspaceId(self.id()),
                        role: self.role(),
                        email: self.maybe(Self::text),
                    },
                    _ => LinkPurpose::ResetPassword { person: PersonId(self.id()), email: self.text() },
                },
                created_at: self.at(),
                expires_at: self.at(),
                used_at: self.maybe(Self::at),
            }),
            5 => Record::LoginSession(LoginSession {
                id: TokenId(self.id()),
                secret_hash: self.hash(),
                person: PersonId(self.id()),
                email: self.text(),
                workspace: WorkspaceId(self.id()),
                member: MemberId(self.id()),
                generation: self.seq(),
                created_at: self.at(),
                expires_at: self.at(),
            }),
            _ => Record::ApiKey(ApiKey {
                id: TokenId(self.id()),
                secret_hash: self.hash(),
                workspace: WorkspaceId(self.id()),
                name: self.text(),
                created_at: self.at(),
            }),
        }
    }
}

/// One value there and back, then its bytes damaged a few times; how many of those were told.
fn check<T: PartialEq + std::fmt::Debug>(
    random: &mut Random,
    value: &T,
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, StoreError>,
) -> u64 {
    let bytes = encode(value);
    assert_eq!(decode(&bytes).as_ref(), Ok(value));
    let mut told = 0;
    for _ in 0..8 {
        let mut other = bytes.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(other.len());
            match random.below(5) {
                0 => other.truncate(at.max(1)),
                1 => other.insert(at, random.number() as u8),
                2 => other[at] = random.number() as u8,
                // The largest lengths and numbers: what is announced is never believed before it is there.
                3 => other.splice(at..at, [0xff; 9]).for_each(drop),
                _ => other[at] ^= 1 << random.below(8),
            }
        }
        match decode(&other) {
            Ok(read) => assert_eq!(decode(&encode(&read)).as_ref(), Ok(&read), "{other:02x?}"),
            Err(StoreError::Damaged(_)) => told += 1,
            Err(error) => panic!("{error} instead of damage: {other:02x?}"),
        }
    }
    told
}

fn commas(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}

#[test]
fn every_value_is_read_as_it_was_written_and_damage_is_told_or_harmless() {
    let variable = |name: &str, default| std::env::var(name).map_or(default, |it| it.parse().expect("a number"));
    let (values, seed) = (variable("BELLHOP_VALUES", 20_000), variable("BELLHOP_SEED", 7));
    let mut random = Random(seed);
    let mut told = 0;
    for _ in 0..values {
        let event = random.event();
        told += check(&mut random, &event, encode_event, decode_event);
        let state = random.state();
        told += check(&mut random, &state, encode_state, decode_state);
        let (staff, visitor) = (random.seq(), random.seq());
        told += check(&mut random, &state.row(staff, visitor), encode_row, decode_row);
        told += check(&mut random, &staff, |seq| encode_read(*seq), decode_read);
        let record = (random.record(), random.seq());
        told += check(&mut random, &record, |(record, version)| encode_record(record, *version), decode_record);
    }
    let (whole, damaged) = (values * 5, values * 5 * 8);
    println!(
        "PROOF {{\"promise\":\"Input\",\"attack\":\"stored values: there and back, and damaged\",\"store\":\"-\",\
         \"count\":\"{} values, {} damaged ones\",\"result\":\"all read back equal; {} told as damaged, \
         {} another whole value, 0 panics\",\"passed\":true,\"seed\":{seed}}}",
        commas(whole),
        commas(damaged),
        commas(told),
        commas(damaged - told)
    );
    assert!(told > damaged / 4, "damage is mostly told: {told} of {damaged}");
}

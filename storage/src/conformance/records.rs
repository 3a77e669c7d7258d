//! Records: workspaces, people and what lets them in.

use std::sync::Arc;

use bellhop_engine::domain::{
    ApiKey, Corner, Link, LinkPurpose, LoginSession, Member, MemberId, Millis, Person, PersonId, Role, TokenId,
    Workspace, WorkspaceId,
};
use bellhop_engine::ports::{Expect, Record, RecordKey, RecordList, Store, StoreError, Version, Written};

use super::scene::{check, ok, same};
use super::{Factory, Outcome};

fn member(workspace: u128, id: u128) -> (RecordKey, Record) {
    let (workspace, id) = (WorkspaceId(workspace), MemberId(id));
    let member = Member {
        id,
        workspace,
        person: PersonId(3),
        email: "ada@example.org".to_owned(),
        name: "Ada Ågren".to_owned(),
        role: Role::Agent,
        available: true,
        created_at: Millis(-1),
        removed_at: Some(Millis(i64::MAX)),
    };
    (RecordKey::Member(workspace, id), Record::Member(member))
}

fn workspace(id: u128, name: &str) -> (RecordKey, Record) {
    let workspace = Workspace {
        id: WorkspaceId(id),
        name: name.to_owned(),
        greeting: "Hello \u{1F44B}".to_owned(),
        accent: 0xFF_8800,
        position: Corner::Left,
        allowed_origins: vec!["https://shop.example".to_owned(), "https://shop.example:8443".to_owned()],
        agent_cap: 5,
        created_at: Millis(1_763_838_000_000),
    };
    (RecordKey::Workspace(WorkspaceId(id)), Record::Workspace(workspace))
}

fn link(id: u128, purpose: LinkPurpose) -> (RecordKey, Record) {
    let link = Link {
        id: TokenId(id),
        secret_hash: [0xFE; 32],
        purpose,
        created_at: Millis(1),
        expires_at: Millis(2),
        used_at: None,
    };
    (RecordKey::Link(TokenId(id)), Record::Link(link))
}

fn session(id: u128) -> (RecordKey, Record) {
    let session = LoginSession {
        id: TokenId(id),
        secret_hash: [1; 32],
        person: PersonId(u128::MAX),
        email: "ada@example.org".to_owned(),
        workspace: WorkspaceId(1),
        member: MemberId(2),
        generation: 3,
        created_at: Millis(4),
        expires_at: Millis(5),
    };
    (RecordKey::LoginSession(TokenId(id)), Record::LoginSession(session))
}

fn api_key(id: u128) -> (RecordKey, Record) {
    let key = ApiKey {
        id: TokenId(id),
        secret_hash: [9; 32],
        workspace: WorkspaceId(1),
        name: "shop".to_owned(),
        created_at: Millis(6),
    };
    (RecordKey::ApiKey(TokenId(id)), Record::ApiKey(key))
}

fn every_kind() -> Vec<(RecordKey, Record)> {
    let person = Person {
        id: PersonId(8),
        email: "ada@example.org".to_owned(),
        name: "Ada Ågren".to_owned(),
        password: Some("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned()),
        memberships: vec![(WorkspaceId(1), MemberId(2)), (WorkspaceId(3), MemberId(4))],
        generation: u64::MAX,
    };
    let invite = LinkPurpose::Invite { workspace: WorkspaceId(1), role: Role::Owner, email: None };
    let reset = LinkPurpose::ResetPassword { person: PersonId(8), email: "ada@example.org".to_owned() };
    vec![
        workspace(1, "Hôtel"),
        (RecordKey::Person(PersonId(8)), Record::Person(person)),
        (RecordKey::Email("ada@example.org".to_owned()), Record::Email(PersonId(8))),
        member(1, 2),
        link(1, LinkPurpose::Setup),
        link(2, invite),
        link(3, reset),
        session(1),
        api_key(1),
    ]
}

async fn put(store: &dyn Store, (key, record): (RecordKey, Record), expect: Expect) -> Result<Written, String> {
    ok(store.put_record(key, record, expect).await)
}

pub(super) async fn every_kind_of_record_comes_back_equal(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    // Equal ids of different kinds are different records.
    for one in every_kind() {
        same(&format!("{:?}", one.0), &put(&*store, one, Expect::Absent).await?, &Written::Done(1))?;
    }
    for (key, record) in every_kind() {
        same(&format!("{key:?}"), &ok(store.record(key.clone()).await)?, &Some((record, 1)))?;
    }
    let store = factory.reopen(store).await?;
    for (key, record) in every_kind() {
        same(&format!("{key:?} after a reopen"), &ok(store.record(key.clone()).await)?, &Some((record, 1)))?;
    }
    Ok(())
}

pub(super) async fn a_record_is_written_only_if_its_expectation_holds(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (first, second) = (workspace(1, "first"), workspace(1, "second"));
    let steps = [
        (&first, Expect::Version(1), Written::Conflict, None),
        (&first, Expect::Absent, Written::Done(1), Some((&first, 1))),
        (&second, Expect::Absent, Written::Conflict, Some((&first, 1))),
        (&second, Expect::Version(2), Written::Conflict, Some((&first, 1))),
        (&second, Expect::Version(1), Written::Done(2), Some((&second, 2))),
        (&first, Expect::Version(1), Written::Conflict, Some((&second, 2))),
        (&second, Expect::Version(2), Written::Done(3), Some((&second, 3))),
    ];
    for (one, expect, want, stored) in steps {
        same(&format!("{expect:?}"), &put(&*store, one.clone(), expect).await?, &want)?;
        let stored = stored.map(|((_, record), version)| (record.clone(), version));
        same("stored", &ok(store.record(first.0.clone()).await)?, &stored)?;
    }
    Ok(())
}

pub(super) async fn of_many_writers_of_one_version_one_wins(factory: &dyn Factory) -> Outcome {
    const WRITERS: u128 = 50;
    let store = factory.open().await?;
    for expect in [Expect::Absent, Expect::Version(1), Expect::Version(2)] {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = Arc::clone(&store);
                let key = RecordKey::Email("one@example.org".to_owned());
                tokio::spawn(async move { store.put_record(key, Record::Email(PersonId(writer)), expect).await })
            })
            .collect();
        let mut won: Vec<Version> = Vec::new();
        for writer in writers {
            if let Written::Done(version) = ok(writer.await.map_err(|error| error.to_string())?)? {
                won.push(version);
            }
        }
        let next = if let Expect::Version(version) = expect { version + 1 } else { 1 };
        same(&format!("winners of {expect:?}"), &won, &vec![next])?;
    }
    Ok(())
}

pub(super) async fn a_deleted_record_is_gone_and_can_be_made_anew(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let email = RecordKey::Email("ada@example.org".to_owned());
    let one = || (email.clone(), Record::Email(PersonId(1)));
    ok(store.delete_record(email.clone()).await)?;
    same("made", &put(&*store, one(), Expect::Absent).await?, &Written::Done(1))?;
    same("changed", &put(&*store, one(), Expect::Version(1)).await?, &Written::Done(2))?;
    ok(store.delete_record(email.clone()).await)?;
    same("deleted", &ok(store.record(email.clone()).await)?, &None)?;
    same("changing what is gone", &put(&*store, one(), Expect::Version(2)).await?, &Written::Conflict)?;
    let made = put(&*store, one(), Expect::Absent).await?;
    check(matches!(made, Written::Done(_)), "made anew")?;
    ok(store.delete_record(email.clone()).await)?;
    let store = factory.reopen(store).await?;
    same("deleted, after a reopen", &ok(store.record(email.clone()).await)?, &None)
}

pub(super) async fn lists_of_records_are_whole_in_order_and_paged(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    // Ids whose order differs by the first and by the last byte.
    let ids: [u128; 6] = [0, 1, 256, 1 << 64, 1 << 127, u128::MAX];
    for id in ids.into_iter().rev() {
        for one in
            [workspace(id, "w"), member(1, id), member(2, id), link(id, LinkPurpose::Setup), session(id), api_key(id)]
        {
            let _ = put(&*store, one, Expect::Absent).await?;
        }
    }
    type Make = fn(u128) -> (RecordKey, Record);
    let lists: [(RecordList, Make); 6] = [
        (RecordList::Workspaces, |id| workspace(id, "w")),
        (RecordList::Members(WorkspaceId(1)), |id| member(1, id)),
        (RecordList::Members(WorkspaceId(2)), |id| member(2, id)),
        (RecordList::Links, |id| link(id, LinkPurpose::Setup)),
        (RecordList::ApiKeys, api_key),
        (RecordList::LoginSessions, session),
    ];
    for (list, make) in lists {
        for limit in [1, 4, 1_000] {
            for after in std::iter::once(None).chain(ids.map(Some)).chain([Some(2), Some(u128::MAX - 1)]) {
                let want = ids.into_iter().filter(|id| after.is_none_or(|after| *id > after)).take(limit);
                let want: Vec<_> = want.map(|id| (make(id).1, 1)).collect();
                let got = ok(store.records(list, after, limit).await)?;
                same(&format!("{list:?} after {after:?}, at most {limit}"), &got, &want)?;
            }
        }
    }
    same("members of none", &ok(store.records(RecordList::Members(WorkspaceId(3)), None, 10).await)?, &vec![])
}

pub(super) async fn a_key_of_another_record_is_refused(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let kinds = every_kind();
    for (key, _) in &kinds {
        for (other, record) in &kinds {
            let email_takes_any = matches!((key, record), (RecordKey::Email(_), Record::Email(_)));
            if key != other && !email_takes_any {
                let refused = store.put_record(key.clone(), record.clone(), Expect::Absent).await;
                check(matches!(refused, Err(StoreError::Unavailable(_))), "another record's key is refused")?;
            }
        }
        same("nothing was written", &ok(store.record(key.clone()).await)?, &None)?;
    }
    Ok(())
}

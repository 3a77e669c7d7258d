//! One-time links: made, looked at, used up. And the one that sets a new password.

use std::net::IpAddr;

use bellhop_engine::domain::{Link, LinkPurpose, Millis, Person, PersonId};
use bellhop_engine::ports::{RecordKey, RecordList, StoreError, Version, Written};

use super::secret::{self, TokenKind};
use super::{Accounts, NewLogin, Problem, Secret, fields, records};

/// A set-up link and a reset link are used at once by whoever asked for them.
pub(super) const SHORT_LINK_MS: i64 = 24 * 60 * 60 * 1000;

/// An invite waits for somebody's holiday to end.
pub(super) const INVITE_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Dead links are kept this long, so that an owner can still be told what became of one.
const KEEP_DEAD_MS: i64 = 30 * 24 * 60 * 60 * 1000;

fn alive(link: &Link, now: Millis) -> bool {
    link.used_at.is_none() && link.expires_at.since(now) > 0
}

impl Accounts {
    pub(super) async fn make_link(&self, purpose: LinkPurpose, lasts_ms: i64) -> Result<(Link, Secret), Problem> {
        let minted = secret::mint(TokenKind::Link);
        let now = self.now();
        let link = Link {
            id: minted.id,
            secret_hash: minted.hash,
            purpose,
            created_at: now,
            expires_at: now.plus(lasts_ms),
            used_at: None,
        };
        records::add(self.store(), link.clone()).await?;
        Ok((link, minted.text))
    }

    /// The live link of a token. Every attempt counts against the address.
    pub(super) async fn live_link(&self, token: &Secret, from: IpAddr) -> Result<(Link, Version), Problem> {
        self.count_link(from)?;
        let (id, hash) = secret::parse(TokenKind::Link, token.expose()).ok_or(Problem::LinkDead)?;
        let (link, version) = records::link(self.store(), id).await?.ok_or(Problem::LinkDead)?;
        if secret::same(&link.secret_hash, &hash) && alive(&link, self.now()) {
            Ok((link, version))
        } else {
            Err(Problem::LinkDead)
        }
    }

    /// Uses a link up. The version makes it happen once, however many try.
    pub(super) async fn use_up(&self, mut link: Link, version: Version) -> Result<(), Problem> {
        link.used_at = Some(self.now());
        match records::replace(self.store(), link, version).await? {
            Written::Done(_) => Ok(()),
            Written::Conflict => Err(Problem::LinkDead),
        }
    }

    /// Links that could still be used.
    pub(super) async fn live_links(&self) -> Result<Vec<Link>, StoreError> {
        let now = self.now();
        let links: Vec<Link> = records::all(self.store(), RecordList::Links).await?;
        Ok(links.into_iter().filter(|link| alive(link, now)).collect())
    }

    pub(super) async fn delete_link(&self, link: &Link) -> Result<(), StoreError> {
        self.store().delete_record(RecordKey::Link(link.id)).await
    }

    pub(super) async fn sweep_links(&self, now: Millis) -> Result<(), StoreError> {
        for link in records::all::<Link>(self.store(), RecordList::Links).await? {
            if link.expires_at.plus(KEEP_DEAD_MS).since(now) <= 0 {
                self.delete_link(&link).await?;
            }
        }
        Ok(())
    }

    /// A link by which the owner of an e-mail address sets a new password. For the operator; `NotFound` without such a
    /// person.
    pub(super) async fn make_reset_link(&self, email: &str) -> Result<Secret, Problem> {
        let email = fields::email("email", email)?;
        let (person, _) = records::person_of(self.store(), &email).await?.ok_or(Problem::NotFound)?;
        let (_, token) = self.make_link(LinkPurpose::ResetPassword { person: person.id, email }, SHORT_LINK_MS).await?;
        Ok(self.site.link("reset", &token))
    }

    /// Sets a new password and logs in; every other session of the person ends, and so do their other reset links.
    ///
    /// The link is used up first, so that it works once; the password and the raised generation are one record, so that
    /// no session outlives the change. A crash after the first step costs the link, and a new one can be made.
    pub async fn reset_password(&self, token: &Secret, password: Secret, from: IpAddr) -> Result<NewLogin, Problem> {
        fields::password("password", &password)?;
        let (link, version) = self.live_link(token, from).await?;
        let LinkPurpose::ResetPassword { person, .. } = link.purpose else { return Err(Problem::LinkDead) };
        let phc = self.passwords.hash(password).await?;
        self.use_up(link, version).await?;
        let changed = records::change::<Person>(self.store(), RecordKey::Person(person), |it| {
            it.password = Some(phc.clone());
            it.generation += 1;
            Ok(())
        });
        let person = changed.await?.ok_or(Problem::LinkDead)?;
        self.delete_reset_links(person.id).await?;
        self.delete_logins(|it| it.person == person.id).await?;
        let (workspace, member) = self.first_place(&person).await?;
        self.begin(person, member, workspace).await
    }

    async fn delete_reset_links(&self, whose: PersonId) -> Result<(), StoreError> {
        for link in self.live_links().await? {
            if matches!(link.purpose, LinkPurpose::ResetPassword { person, .. } if person == whose) {
                self.delete_link(&link).await?;
            }
        }
        Ok(())
    }
}

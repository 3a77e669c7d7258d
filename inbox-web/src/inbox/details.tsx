// What is known of the visitor and the conversation; folds away.

import { avatarColour, initials } from '../../../gateway/client/src/avatar.ts';
import type { Conversation } from '../../../gateway/client/src/conversation.ts';
import type { Id } from '../../../gateway/client/src/protocol.ts';
import { useLive, useSignal } from '../live/use.ts';
import { brief, clock, day, exact } from '../time.ts';
import { t } from '../words.ts';
import { metaWords, pathOf } from './conversation-pane.tsx';

export function Avatar({ id, name }: { id: Id; name: string }) {
  return (
    <span className="avatar" style={{ background: avatarColour(id) }} aria-hidden="true">
      {initials(name)}
    </span>
  );
}

/** An address that may be followed: only http and https, whatever the visitor's page said. */
function safe(page: string): string | undefined {
  try {
    const url = new URL(page);
    return url.protocol === 'https:' || url.protocol === 'http:' ? url.href : undefined;
  } catch {
    return undefined;
  }
}

export function Details({ id, close }: { id: Id; close: () => void }) {
  const live = useLive();
  const conversation: Conversation = live.conversation(id);
  useSignal(conversation.changed);
  useSignal(live.changed);
  const row = live.current(id);
  const { profile } = conversation;
  // Shown when all of it is known, so that no line moves for another.
  if (row === undefined || profile === null) return <aside className="details" aria-label={t('details.title')} />;
  const now = live.now();
  const online = profile.visitor_online;
  const held =
    row.assignee === undefined
      ? t('details.nobody')
      : row.assignee.id === live.me.id
        ? t('conv.you')
        : row.assignee.name;
  const last = conversation.events.findLast(
    (event) => event.body.kind === 'message' && event.author.kind !== 'visitor',
  );
  const read = conversation.readBy('visitor');
  const link = profile.page === undefined ? undefined : safe(profile.page);
  const steps = conversation.events.filter((event) => STEPS.has(event.body.kind)).reverse();
  return (
    <aside className="details" aria-label={t('details.title')}>
      <header className="details-who">
        <Avatar id={row.visitor.id} name={row.visitor.name} />
        <div>
          <h2 dir="auto">{row.visitor.name}</h2>
          {online !== undefined && (
            <p className={online ? 'presence on' : 'presence'}>{t(online ? 'conv.online' : 'conv.offline')}</p>
          )}
        </div>
        <button type="button" className="icon-button" aria-label={t('details.close')} onClick={close}>
          <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
            <path d="m5 5 10 10M15 5 5 15" />
          </svg>
        </button>
      </header>
      <section>
        <h3>{t('details.now')}</h3>
        <dl>
          {profile.page !== undefined && (
            <>
              <dt>{t('details.page')}</dt>
              <dd dir="ltr" title={profile.page}>
                {link === undefined ? (
                  pathOf(profile.page)
                ) : (
                  <a href={link} target="_blank" rel="noopener noreferrer">
                    {pathOf(profile.page)}
                  </a>
                )}
              </dd>
            </>
          )}
          <dt>{t('details.started')}</dt>
          <dd title={exact(row.created_at)}>
            {day(row.created_at, now)}, {clock(row.created_at)}
          </dd>
          <dt>{t('details.holder')}</dt>
          <dd dir="auto">{held}</dd>
          <dt>{t('details.channel')}</dt>
          <dd>{row.channel === 'chat' ? t('channel.chat') : row.channel}</dd>
          {last !== undefined && (
            <>
              <dt>{t('details.read')}</dt>
              <dd>
                {t(read >= last.seq ? 'details.read.all' : read === 0 ? 'details.read.none' : 'details.read.some')}
              </dd>
            </>
          )}
        </dl>
      </section>
      <section>
        <h3>{t('details.timeline')}</h3>
        <ol className="timeline">
          {steps.map((event, index) => (
            <li key={event.seq} data-now={index === 0 || undefined}>
              <span>{metaWords(event, live.me.id)}</span>
              <time dateTime={new Date(event.at).toISOString()} title={exact(event.at)}>
                {brief(event.at, now)}
              </time>
            </li>
          ))}
          {!conversation.older && (
            <li data-now={steps.length === 0 || undefined}>
              <span>{t('details.started')}</span>
              <time dateTime={new Date(row.created_at).toISOString()} title={exact(row.created_at)}>
                {brief(row.created_at, now)}
              </time>
            </li>
          )}
        </ol>
        {conversation.older && <p className="hint">{t('details.timeline.part')}</p>}
      </section>
    </aside>
  );
}

const STEPS: ReadonlySet<string> = new Set(['queued', 'assigned', 'resolved', 'reopened']);

// One conversation: its head, its log, who types, and the composer.

import { memo, type ReactNode, useEffect, useMemo, useState } from 'react';
import type { Conversation } from '../../../gateway/client/src/conversation.ts';
import { textOf } from '../../../gateway/client/src/conversation.ts';
import type { Event, Id, Row } from '../../../gateway/client/src/protocol.ts';
import { because } from '../live/live.ts';
import { useLive, useSignal } from '../live/use.ts';
import { Failed, useSlow } from '../pages/frame.tsx';
import { clock, day, exact } from '../time.ts';
import { t } from '../words.ts';
import type { CommandId } from './commands.ts';
import { Composer, type ComposerDoor } from './composer.tsx';
import { type Item, itemsOf, type MessageState } from './items.ts';
import { Kbd, useSingles } from './kbd.tsx';
import { useWindowed } from './window.ts';

type PaneProps = {
  id: Id;
  details: boolean;
  run: (command: CommandId) => void;
  back: () => void;
  door: ComposerDoor;
};

export function ConversationPane({ id, details, run, back, door }: PaneProps) {
  const live = useLive();
  const conversation = useMemo(() => live.conversation(id), [live, id]);
  useSignal(conversation.changed);
  useSignal(live.changed);
  const row = live.current(id);
  const name = row?.visitor.name ?? '';
  const keys = useSingles();

  return (
    <section className="conversation" aria-label={t('conv.log', { name })}>
      <header className="pane-head">
        <button type="button" className="icon-button back" aria-label={t('conv.back')} onClick={back}>
          <span className="arrow" aria-hidden="true" />
        </button>
        {row !== undefined && <Head row={row} conversation={conversation} />}
        <div className="head-acts">
          {row !== undefined && (
            <>
              {row.status !== 'resolved' && (
                <button
                  type="button"
                  className="button"
                  aria-keyshortcuts={keys ? 'a' : undefined}
                  onClick={() => run('assign')}
                >
                  <svg className="act-icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
                    <circle cx="8" cy="6.5" r="3" />
                    <path d="M2.5 16.5c.4-3.3 2.6-5 5.5-5 1.2 0 2.3.3 3.2.9M15 11.5v5M12.5 14h5" />
                  </svg>
                  <span className="act-words">{t('cmd.assign')}</span> <Kbd of="assign" />
                </button>
              )}
              <button
                type="button"
                className={row.status === 'resolved' ? 'button' : 'button primary'}
                aria-keyshortcuts={keys ? 'e' : undefined}
                onClick={() => run('resolve')}
              >
                <svg className="act-icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
                  <path d={row.status === 'resolved' ? 'M4 10a6 6 0 1 0 2-4.5L4 7.5M4 3.5v4h4' : 'm4 10.5 4 4 8-9'} />
                </svg>
                <span className="act-words">{t(row.status === 'resolved' ? 'cmd.reopen' : 'cmd.resolve')}</span>{' '}
                <Kbd of="resolve" />
              </button>
            </>
          )}
          <button
            type="button"
            className="icon-button"
            aria-label={t('conv.details')}
            aria-expanded={details}
            aria-keyshortcuts={keys ? 'd' : undefined}
            onClick={() => run('details')}
          >
            <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
              <rect x="3" y="4" width="14" height="12" rx="2" />
              <path d="M12.5 4v12" />
            </svg>
          </button>
        </div>
      </header>
      <LogStates conversation={conversation} row={row}>
        {row !== undefined && (
          <>
            <Log key={id} conversation={conversation} row={row} />
            <Composer key={`${id}c`} id={id} conversation={conversation} row={row} door={door} />
          </>
        )}
      </LogStates>
    </section>
  );
}

function Head({ row, conversation }: { row: Row; conversation: Conversation }) {
  const live = useLive();
  const online = conversation.profile?.visitor_online;
  const position = conversation.profile?.position;
  const held =
    row.status === 'resolved'
      ? t('conv.resolved')
      : row.assignee === undefined
        ? position === undefined
          ? t('conv.queued')
          : t('conv.queued_at', { n: position })
        : row.assignee.id === live.me.id
          ? t('conv.held_you')
          : t('conv.held', { name: row.assignee.name });
  return (
    <div className="head-words">
      <h2 dir="auto" title={row.visitor.name}>
        {row.visitor.name}
      </h2>
      {online !== undefined && (
        <span className={online ? 'presence on' : 'presence'}>{t(online ? 'conv.online' : 'conv.offline')}</span>
      )}
      <span className="chip">{held}</span>
    </div>
  );
}

/** Loading, gone, or there. What is cached is shown at once, whatever the connection does. */
function LogStates(props: { conversation: Conversation; row: Row | undefined; children: ReactNode }) {
  const { conversation } = props;
  if (conversation.refused !== null) {
    return (
      <Failed
        title={t('conv.failed')}
        more={t(conversation.refused === 'not_found' ? 'conv.failed.gone' : 'conv.failed.more')}
        action={t('page.retry')}
        act={() => conversation.follow()}
      />
    );
  }
  if (conversation.profile === null || props.row === undefined) return <LogSkeleton />;
  return props.children;
}

function LogSkeleton() {
  const slow = useSlow();
  return (
    <div className="log-skeleton" role="status" aria-label={t('conv.loading')}>
      {slow &&
        [62, 44, 70, 38].map((width, index) => (
          <span key={width} className={index % 2 === 0 ? 'ghost' : 'ghost mine'} style={{ inlineSize: `${width}%` }} />
        ))}
    </div>
  );
}

function midnight(at: number): number {
  return new Date(at).setHours(0, 0, 0, 0);
}

function Log({ conversation, row }: { conversation: Conversation; row: Row }) {
  const live = useLive();
  const { events, older } = conversation;
  const { pending } = conversation;
  const read = conversation.readBy('visitor');
  const me = live.me.id;
  const visitor = row.visitor.name;
  const waiting = live.socket.state !== 'open';
  const signature = pending.map((one) => `${one.id}${one.state}`).join();
  // biome-ignore lint/correctness/useExhaustiveDependencies: `pending` is made anew at each look; `signature` says when it differs.
  const items = useMemo(
    () => itemsOf({ events, pending, older, me, visitor, read, day: midnight }),
    [events, signature, older, me, visitor, read],
  );
  const keys = useMemo(() => items.map((item) => item.key), [items]);

  const [atEnd, setAtEnd] = useState(true);
  /** The newest event when the reader left the end: what came later is new. */
  const [leftAt, setLeftAt] = useState(0);
  const windowed = useWindowed({
    keys,
    guess: (index) => guess(items[index]),
    moved: (end, fromTop) => {
      if (end !== atEnd) {
        setAtEnd(end);
        if (!end) setLeftAt(conversation.cursor);
      }
      if (fromTop < 600) conversation.loadOlder();
    },
  });
  const { scroller, inner, first, last, above, below, onScroll, toEnd } = windowed;

  // A short page that does not fill the view still goes on to the one before it.
  useEffect(() => {
    const box = scroller.current;
    if (box !== null && older && box.scrollTop < 600) conversation.loadOlder();
  });

  // One's own words are always followed to the end.
  const own = pending.at(-1)?.id;
  useEffect(() => {
    if (own === undefined) return;
    setAtEnd(true);
    toEnd();
  }, [own, toEnd]);

  useReading(conversation, atEnd);

  const fresh = atEnd
    ? 0
    : events.filter((event) => event.seq > leftAt && event.body.kind === 'message' && event.author.id !== me).length;
  const typing = conversation.typing.filter((one) => one.kind === 'visitor');

  return (
    <div className="log-place">
      <div
        ref={scroller}
        className="log"
        role="log"
        aria-live="off"
        aria-label={t('conv.log', { name: visitor })}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard (WCAG 2.1.1).
        tabIndex={0}
        onScroll={onScroll}
      >
        <div ref={inner} className="log-inner">
          <div className="log-space" style={{ blockSize: above }}>
            {conversation.loadingOlder && <p role="status">{t('conv.older')}</p>}
          </div>
          {items.slice(first, last).map((item) => (
            <LogItem
              key={item.key}
              item={item}
              me={me}
              page={conversation.profile?.page}
              waiting={waiting}
              conversation={conversation}
            />
          ))}
          <div className="log-space" style={{ blockSize: below }} />
        </div>
      </div>
      {!atEnd && (
        <button
          type="button"
          className={fresh > 0 ? 'to-end fresh' : 'to-end'}
          aria-label={fresh > 0 ? undefined : t('conv.to_end')}
          onClick={() => {
            setAtEnd(true);
            toEnd();
          }}
        >
          {fresh > 0 && <span>{t('conv.new', { n: fresh })}</span>}
          <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
            <path d="M8 3v10M4 9l4 4 4-4" />
          </svg>
        </button>
      )}
      <p className="typing" aria-live="polite">
        {typing.length > 0 && (
          <>
            <span className="typing-dots" aria-hidden="true">
              <i />
              <i />
              <i />
            </span>
            {t('conv.typing', { name: typing[0]?.name ?? visitor })}
          </>
        )}
      </p>
      <Announcer conversation={conversation} />
    </div>
  );
}

/** A guess of an item's height: 20 px a line, about 64 characters a line. */
function guess(item: Item | undefined): number {
  if (item === undefined) return 40;
  if (item.type !== 'message') return 40;
  return 24 + 20 * Math.ceil((item.text.length + 1) / 64) + (item.head ? 32 : 0);
}

/** Says `read` once the newest words were in view for a moment, in a window that has the focus. */
function useReading(conversation: Conversation, atEnd: boolean): void {
  const live = useLive();
  const { cursor, live: current } = conversation;
  useEffect(() => {
    if (!atEnd || !current || cursor === 0) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      clearTimeout(timer);
      if (document.visibilityState !== 'visible' || !document.hasFocus()) return;
      // Passing by with j and k is not reading.
      timer = setTimeout(() => live.read(conversation), 400);
    };
    look();
    addEventListener('focus', look);
    document.addEventListener('visibilitychange', look);
    return () => {
      clearTimeout(timer);
      removeEventListener('focus', look);
      document.removeEventListener('visibilitychange', look);
    };
  }, [live, conversation, atEnd, current, cursor]);
}

/**
 * Says what others write. The log itself is not live: only a part of it is drawn, and scrolling would be read out as
 * if it were new.
 */
function Announcer({ conversation }: { conversation: Conversation }) {
  const [said, setSaid] = useState('');
  useEffect(
    () =>
      conversation.arrived.on((event) => {
        const words = textOf(event.body);
        if (words !== '') setSaid(`${event.author.name ?? ''}: ${words}`);
      }),
    [conversation],
  );
  return (
    <p className="unseen" role="status">
      {said}
    </p>
  );
}

type LogItemProps = { item: Item; me: Id; page: string | undefined; waiting: boolean; conversation: Conversation };

const LogItem = memo(function LogItem({ item, me, page, waiting, conversation }: LogItemProps) {
  const live = useLive();
  if (item.type === 'day') {
    const date = day(item.at, live.now());
    return (
      <p className="log-line day" data-key={item.key} title={exact(item.at)}>
        {!item.start
          ? date
          : page === undefined
            ? t('conv.start', { date })
            : t('conv.start_on', { date, page: pathOf(page) })}
      </p>
    );
  }
  if (item.type === 'meta') {
    return (
      <p className="log-line" data-key={item.key} title={exact(item.event.at)}>
        {metaWords(item.event, me)} ·{' '}
        <time dateTime={new Date(item.event.at).toISOString()}>{clock(item.event.at)}</time>
      </p>
    );
  }
  const who = item.side === 'mine' ? t('conv.you') : item.name;
  const says = item.note ? t('conv.note_by', { name: who }) : who;
  const time = clock(item.at);
  return (
    <div
      className={`message ${item.side}${item.note ? ' note' : ''}`}
      data-key={item.key}
      data-head={item.head || undefined}
    >
      {item.head ? (
        <p className="message-head" title={exact(item.at)}>
          <bdi>{says}</bdi> · <time dateTime={new Date(item.at).toISOString()}>{time}</time>
        </p>
      ) : (
        <span className="unseen">{`${says}, ${time}`}</span>
      )}
      <div className="bubble" dir="auto">
        {item.note && (
          <>
            {/* An isolate, so that the note's own words decide the direction. */}
            <bdi className="note-word">{t('conv.note')}</bdi>{' '}
          </>
        )}
        <span className="message-text">{item.text}</span>
      </div>
      {item.state !== undefined && (
        <State item={item} state={item.state} waiting={waiting} conversation={conversation} />
      )}
    </div>
  );
});

function State(props: {
  item: Extract<Item, { type: 'message' }>;
  state: MessageState;
  waiting: boolean;
  conversation: Conversation;
}) {
  const live = useLive();
  const { item, state, waiting } = props;
  if (state !== 'failed') {
    return <p className="message-state">{t(state === 'sending' && waiting ? 'state.waiting' : `state.${state}`)}</p>;
  }
  const id = item.pending?.id;
  const code = item.pending?.code;
  return (
    <p className="message-state failed" role="alert">
      <span>
        {t('state.failed')}. {code === undefined ? '' : because(code)}
      </span>
      <button type="button" className="link" onClick={() => id !== undefined && live.outbox.retry(id)}>
        {t('state.again')}
      </button>
      <button
        type="button"
        className="link"
        onClick={() => {
          if (id === undefined) return;
          // Nothing typed is lost: the words go back to where they were written.
          const conversation = props.conversation.id;
          if (conversation !== null) {
            const draft = live.drafts.get(conversation);
            const tab = item.note ? 'note' : 'reply';
            const words = draft[tab] === '' ? item.text : `${item.text}\n${draft[tab]}`;
            live.drafts.set(conversation, { ...draft, tab, [tab]: words });
          }
          live.outbox.discard(id);
        }}
      >
        {t('state.discard')}
      </button>
    </p>
  );
}

/** The path of an address; all of it when it is none. */
export function pathOf(page: string): string {
  try {
    const url = new URL(page);
    return `${url.pathname}${url.search}`;
  } catch {
    return page;
  }
}

/** What happened to the conversation, in a sentence. */
export function metaWords(event: Event, me: Id): string {
  const { body, author } = event;
  const own = author.id === me;
  const name = author.name ?? '';
  switch (body.kind) {
    case 'assigned': {
      const toMe = body.to.id === me;
      const to = body.to.name;
      if (body.reason === 'given') {
        if (own) return t('meta.assigned.you_gave', { to });
        return toMe ? t('meta.assigned.given_you', { name }) : t('meta.assigned.given', { name, to });
      }
      if (body.reason === 'taken') return toMe ? t('meta.assigned.taken_you') : t('meta.assigned.taken', { name: to });
      if (body.reason === 'replied') return toMe ? t('meta.assigned.replied_you') : t('meta.assigned.replied', { to });
      return toMe ? t('meta.assigned.routed_you') : t('meta.assigned.routed', { to });
    }
    case 'queued':
      if (body.reason === 'returned') return own ? t('meta.queued.returned_you') : t('meta.queued.returned', { name });
      return t(`meta.queued.${body.reason}`);
    case 'resolved':
      if (name === '') return t('meta.resolved_system');
      return own ? t('meta.resolved_you') : t('meta.resolved', { name });
    case 'reopened':
      if (author.kind !== 'agent') return t('meta.reopened');
      return own ? t('meta.reopened_you') : t('meta.reopened_agent', { name });
    default:
      return '';
  }
}

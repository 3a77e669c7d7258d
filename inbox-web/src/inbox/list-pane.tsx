// The list: rows of one height, of which only those in view are drawn.

import { memo, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { Id, Row, View } from '../../../gateway/client/src/protocol.ts';
import { useLive, useNow, useSignal } from '../live/use.ts';
import { Failed, Go, useSlow } from '../pages/frame.tsx';
import { go } from '../router.ts';
import { brief, exact, urgency, waited } from '../time.ts';
import { count, t, type WordKey } from '../words.ts';

/** Heights in px; the style sheet's --row and --row-group say the same. */
export const ROW = 60;
export const GROUP = 36;
/** Rows drawn beyond the edges. */
const BEYOND = 8;

type Line = { group: WordKey } | { row: Row; index: number };

/** The rows with their group headings. */
function linesOf(view: View, rows: readonly Row[]): Line[] {
  const lines: Line[] = [];
  let group: WordKey | undefined;
  for (const [index, row] of rows.entries()) {
    const belongs: WordKey =
      view === 'unassigned'
        ? 'list.line'
        : view === 'resolved'
          ? 'list.resolved'
          : row.waiting_since === undefined
            ? 'list.waiting_them'
            : view === 'mine'
              ? 'list.waiting_you'
              : 'list.waiting_us';
    if (belongs !== group) lines.push({ group: belongs });
    group = belongs;
    lines.push({ row, index });
  }
  return lines;
}

export function ListPane({ view, selected, menu }: { view: View; selected: Id | undefined; menu: () => void }) {
  const live = useLive();
  useSignal(live.changed);
  useSignal(live.drafts.changed);
  const list = live.list(view);
  const rows = live.rows(view);
  const lines = useMemo(() => linesOf(view, rows), [view, rows]);
  const total = view === 'resolved' ? undefined : live.counts?.[view];
  return (
    <section className="list" aria-label={t('list.label', { view: t(`view.${view}`) })}>
      <header className="pane-head">
        <button type="button" className="icon-button list-menu" aria-label={t('menu.views')} onClick={menu}>
          <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
            <path d="M3 5.5h14M3 10h14M3 14.5h14" />
          </svg>
        </button>
        <h1>{t(`view.${view}`)}</h1>
        {total !== undefined && <span className="pane-count">{t('list.count', { n: total })}</span>}
      </header>
      {!list.ready ? (
        <ListWaiting />
      ) : rows.length === 0 ? (
        <ListEmpty view={view} />
      ) : (
        <Rows view={view} lines={lines} rows={rows} selected={selected} more={list.more} paging={list.paging} />
      )}
    </section>
  );
}

function Rows(props: {
  view: View;
  lines: readonly Line[];
  rows: readonly Row[];
  selected: Id | undefined;
  more: boolean;
  paging: boolean;
}) {
  const live = useLive();
  const { view, lines, rows, selected } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [tall, setTall] = useState(900);

  // Where each line begins: groups and rows have fixed heights.
  const tops = useMemo(() => {
    const at = new Float64Array(lines.length + 1);
    for (const [index, line] of lines.entries()) at[index + 1] = (at[index] ?? 0) + ('group' in line ? GROUP : ROW);
    return at;
  }, [lines]);
  const whole = tops[lines.length] ?? 0;

  const find = (y: number) => {
    let low = 0;
    let high = lines.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((tops[middle + 1] ?? 0) <= y) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const first = Math.max(0, find(top) - BEYOND);
  const last = Math.min(lines.length, find(top + tall) + 1 + BEYOND);

  useEffect(() => {
    const box = scroller.current;
    if (box === null) return;
    const observer = new ResizeObserver(() => setTall(box.clientHeight));
    observer.observe(box);
    return () => observer.disconnect();
  }, []);

  // Rows come as they are needed.
  const near = whole - (top + tall) < ROW * 20;
  useEffect(() => {
    if (near && props.more && !props.paging) live.page(view);
  }, [near, props.more, props.paging, live, view]);

  // The open conversation stays in sight when it is chosen by key; never moved otherwise.
  const shown = useRef<Id | undefined>(undefined);
  useLayoutEffect(() => {
    const box = scroller.current;
    if (box === null || selected === undefined || shown.current === selected) return;
    const index = lines.findIndex((line) => 'row' in line && line.row.id === selected);
    if (index < 0) return;
    shown.current = selected;
    const from = tops[index] ?? 0;
    // The first row takes its group's heading along.
    if (from < box.scrollTop + GROUP) box.scrollTop = from - GROUP;
    else if (from + ROW > box.scrollTop + box.clientHeight) box.scrollTop = from + ROW - box.clientHeight;
  }, [lines, tops, selected]);

  const focusable = selected !== undefined && rows.some((row) => row.id === selected) ? selected : rows[0]?.id;
  return (
    <div className="rows-scroller" ref={scroller} onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
      <ul className="rows-all" style={{ height: whole }}>
        {lines.slice(first, last).map((line, offset) => {
          const y = tops[first + offset] ?? 0;
          if ('group' in line) {
            return (
              <li key={line.group} className="row-group" style={{ transform: `translateY(${y}px)` }}>
                {t(line.group)}
              </li>
            );
          }
          const { row } = line;
          return (
            <RowLine
              key={row.id}
              row={row}
              view={view}
              y={y}
              place={line.index + 1}
              of={props.more ? -1 : rows.length}
              selected={row.id === selected}
              focusable={row.id === focusable}
              me={live.me.id}
              draft={live.drafts.has(row.id)}
            />
          );
        })}
      </ul>
      {props.paging && (
        <p className="rows-more" role="status">
          {t('list.more')}
        </p>
      )}
    </div>
  );
}

/** Rows of the skeleton: as many as a small window shows. */
const GHOSTS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const;

type RowLineProps = {
  row: Row;
  view: View;
  y: number;
  place: number;
  of: number;
  selected: boolean;
  focusable: boolean;
  me: Id;
  draft: boolean;
};

const RowLine = memo(function RowLine({ row, view, y, place, of, selected, focusable, me, draft }: RowLineProps) {
  const live = useLive();
  const unread = row.last_visitor_seq > row.read;
  const link = useRef<HTMLAnchorElement>(null);
  // Choosing by key moves the focus along when it was in the list, so that Tab goes on from there.
  useEffect(() => {
    if (selected && document.activeElement?.closest('.rows-all') != null) link.current?.focus({ preventScroll: true });
  }, [selected]);
  const holder =
    view === 'mine'
      ? undefined
      : row.assignee === undefined
        ? view === 'resolved'
          ? undefined
          : t('list.nobody')
        : row.assignee.id === me
          ? t('list.with_you')
          : row.assignee.name;
  // The words stand in an element of their own: cut at their own end, whichever way they read.
  const by =
    row.last_author === 'visitor' || row.last_author === 'system'
      ? undefined
      : t(row.assignee?.id === me ? 'list.you' : 'list.team');
  const path = `/inbox/${view}/${row.id}`;
  return (
    <li aria-posinset={place} aria-setsize={of} className="row" style={{ transform: `translateY(${y}px)` }}>
      <a
        ref={link}
        href={path}
        className="row-link"
        data-unread={unread || undefined}
        data-waits={row.waiting_since !== undefined || undefined}
        aria-current={selected ? 'true' : undefined}
        tabIndex={focusable ? 0 : -1}
        onClick={(event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
          event.preventDefault();
          go(path);
        }}
      >
        <span className="row-line">
          <span className="row-who">
            {unread && <span className="dot" role="img" aria-label={t('list.unread')} />}
            <bdi className="row-name">{row.visitor.name}</bdi>
          </span>
          <span className="row-meta">
            {holder !== undefined && <bdi className="row-holder">{holder}</bdi>}
            {row.waiting_since === undefined ? (
              <time dateTime={new Date(row.last_at).toISOString()} title={exact(row.last_at)}>
                {brief(row.last_at, live.now())}
              </time>
            ) : (
              <span>{row.channel === 'chat' ? t('channel.chat') : row.channel}</span>
            )}
          </span>
        </span>
        <span className="row-line">
          <span className="row-preview">
            {draft && <span className="row-draft">{t('list.draft')}</span>}
            {by !== undefined && <span>{by}</span>}
            <bdi>{row.preview}</bdi>
          </span>
          {row.waiting_since !== undefined && <Waiting since={row.waiting_since} />}
          {row.waiting_since === undefined && row.channel !== 'chat' && <span className="row-meta">{row.channel}</span>}
        </span>
      </a>
    </li>
  );
});

/** How long a visitor has waited, live. Late is said by word, ground and colour. */
function Waiting({ since }: { since: number }) {
  const now = useNow(useLive());
  const span = now - since;
  const how = urgency(span);
  return (
    <span className={`wait ${how}`} title={t('wait.title', { time: exact(since) })}>
      {t(`wait.${how}`, { time: waited(span) })}
    </span>
  );
}

function ListWaiting() {
  const live = useLive();
  useSignal(live.socket.changed);
  const slow = useSlow();
  const failed = live.socket.state === 'stopped' || (live.socket.state === 'waiting' && live.socket.welcome === null);
  if (failed) {
    return (
      <Failed
        title={t('list.failed')}
        more={t('list.failed.more')}
        action={t('page.retry')}
        act={() => live.socket.retry()}
      />
    );
  }
  return (
    <div className="rows-skeleton" role="status" aria-label={t('list.loading')}>
      {slow &&
        GHOSTS.map((ghost) => (
          <div key={ghost} className="row-ghost">
            <span className="skeleton-line" />
            <span className="skeleton-line" />
          </div>
        ))}
    </div>
  );
}

function ListEmpty({ view }: { view: View }) {
  const live = useLive();
  const away = view === 'mine' && !live.available;
  return (
    <div className="state">
      <h2>{t(`list.empty.${view}`)}</h2>
      <p>{t(away ? 'list.empty.mine.away' : `list.empty.${view}.more`)}</p>
      {away && (
        <button type="button" className="button" onClick={() => live.setAvailable(true)}>
          {t('go_available')}
        </button>
      )}
      {view === 'open' && (
        <Go to="/inbox/settings" className="button">
          {t('list.empty.open.install')}
        </Go>
      )}
    </div>
  );
}

/** How many rows wait, for the sidebar. */
export function counted(value: number | undefined): string {
  return value === undefined ? '' : count(value);
}

// The inbox: which list and conversation are shown follows from the path; commands come from keys, palette and buttons
// and all run here.

import { useCallback, useEffect, useRef, useState } from 'react';
import { api, type Me } from '../api.ts';
import { neighbour } from '../live/overlay.ts';
import { useLive, useMedia, useSignal } from '../live/use.ts';
import { prefer, preference } from '../preferences.ts';
import { go, usePath } from '../router.ts';
import { t } from '../words.ts';
import { drawIcon, notify, ring } from './alerts.ts';
import { ConnectionBar, NotifyOffer, ToastStack } from './bars.tsx';
import { type Command, type CommandId, commandOf, type Pressed } from './commands.ts';
import type { ComposerDoor } from './composer.tsx';
import { ConversationPane } from './conversation-pane.tsx';
import { Details } from './details.tsx';
import { AssignDialog, Help, Palette } from './dialogs.tsx';
import { Key, singles, useKeyOf } from './kbd.tsx';
import { ListPane } from './list-pane.tsx';
import { placeOf } from './place.ts';
import { Sidebar } from './sidebar.tsx';

type Shown = 'palette' | 'assign' | 'help';

export function Inbox({ me, out }: { me: Me; out: () => void }) {
  const live = useLive();
  useSignal(live.changed);
  const path = usePath();
  const { view, id } = placeOf(path, preference('view'));
  const wide = useMedia('(min-width: 1360px)');
  const [details, setDetails] = useState(() =>
    preference('details') === undefined ? matchMedia('(min-width: 1360px)').matches : preference('details') === 'open',
  );
  const [dialog, setDialog] = useState<Shown>();
  const [drawer, setDrawer] = useState(false);
  const door = useRef<ComposerDoor['current']>(null);
  const row = id === undefined ? undefined : live.current(id);
  // On narrow pages the details lie over the conversation, so they are never there unasked.
  const detailed = details && id !== undefined;

  useEffect(() => {
    live.show(view);
    prefer('view', view);
  }, [live, view]);

  const openDetails = useCallback(
    (open: boolean) => {
      setDetails(open);
      if (wide) prefer('details', open ? 'open' : 'closed');
    },
    [wide],
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another conversation or width folds them.
  useEffect(() => {
    if (!wide) setDetails(false);
  }, [wide, id]);

  const move = (step: 1 | -1) => {
    const rows = live.rows(view);
    if (rows.length === 0) return;
    const at = rows.findIndex((one) => one.id === id);
    const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + step))];
    if (next !== undefined) go(`/inbox/${view}/${next.id}`, id === undefined ? 'push' : 'replace');
  };

  const able = (command: CommandId): boolean => {
    switch (command) {
      case 'reply':
      case 'note':
      case 'details':
        return row !== undefined;
      case 'resolve':
        return row !== undefined;
      case 'assign':
        return row !== undefined && row.status !== 'resolved';
      case 'take':
        return row !== undefined && row.status !== 'resolved' && row.assignee?.id !== live.me.id;
      case 'undo':
        return live.undoable;
      default:
        return true;
    }
  };

  const words = (command: Command): Command['words'] => {
    if (command.id === 'resolve' && row?.status === 'resolved') return 'cmd.reopen';
    if (command.id === 'available' && live.available) return 'cmd.away';
    return command.words;
  };

  const run = (command: CommandId): void => {
    if (command !== 'undo' && !able(command)) return;
    switch (command) {
      case 'palette':
      case 'assign':
      case 'help':
        setDrawer(false);
        setDialog(command);
        return;
      case 'next':
        move(1);
        return;
      case 'previous':
        move(-1);
        return;
      case 'reply':
      case 'note':
        door.current?.(command);
        return;
      case 'take':
        if (row !== undefined) live.assign(row, live.me);
        return;
      case 'resolve': {
        if (row === undefined) return;
        if (row.status === 'resolved') {
          live.reopen(row);
          return;
        }
        // What comes next in the list is opened, so that a series of conversations is worked off by one key.
        const next = view === 'resolved' ? id : neighbour(live.rows(view), row.id);
        live.resolve(row);
        if (phone()) go(`/inbox/${view}`, 'replace');
        else go(next === undefined ? `/inbox/${view}` : `/inbox/${view}/${next}`, 'replace');
        return;
      }
      case 'undo': {
        const back = live.undo();
        if (back !== undefined) go(`/inbox/${view}/${back}`, 'replace');
        return;
      }
      case 'details':
        openDetails(!details);
        return;
      case 'mine':
      case 'unassigned':
      case 'open':
      case 'resolved':
        go(`/inbox/${command}`);
        return;
      case 'available':
        live.setAvailable(!live.available);
        return;
      case 'settings':
        go('/inbox/settings');
        return;
      case 'logout':
        // Log-out that does not reach the server would leave the session alive, so it is not pretended.
        api('POST', '/logout', {}).then(out, () => live.toasts.bad(t('error.network')));
        return;
    }
  };

  // The listener is set once; it calls what the last render made.
  const latest = useRef(run);
  latest.current = run;
  const busy = dialog !== undefined;
  useEffect(() => {
    const pressed = (event: globalThis.KeyboardEvent) => {
      if (event.defaultPrevented) return;
      if (event.key === 'Escape' && !busy) {
        setDrawer(false);
        // Where they lie over the conversation, Escape takes them away.
        if (!matchMedia('(min-width: 1240px)').matches) setDetails(false);
      }
      const command = commandOf(read(event, busy), singles());
      if (command === undefined) return;
      event.preventDefault();
      latest.current(command);
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, [busy]);

  useEffect(() => live.undone.on((back) => go(`/inbox/${view}/${back}`, 'replace')), [live, view]);

  useEffect(
    () =>
      live.knocked.on((knocking) => {
        // What is being looked at needs no bell.
        if (document.hasFocus() && location.pathname.endsWith(knocking.id)) return;
        ring();
        if (!document.hasFocus()) {
          notify(knocking.visitor.name, knocking.preview, knocking.id, () => go(`/inbox/mine/${knocking.id}`));
        }
      }),
    [live],
  );

  const unread = live.unread();
  useEffect(() => {
    const title = t('title.inbox', { view: row?.visitor.name ?? t(`view.${view}`), workspace: me.workspace.name });
    document.title = unread > 0 ? t('title.unread', { n: unread, title }) : title;
    drawIcon(unread);
  }, [unread, view, row?.visitor.name, me.workspace.name]);

  const close = useCallback(() => setDialog(undefined), []);
  return (
    <div className="inbox" data-open={id !== undefined || undefined} data-details={detailed || undefined}>
      <ConnectionBar />
      <Sidebar view={view} workspace={me.workspace.name} run={run} drawn={drawer} close={() => setDrawer(false)} />
      {drawer && (
        <button type="button" className="drawer-scrim" aria-label={t('close')} onClick={() => setDrawer(false)} />
      )}
      <main className="panes">
        <ListPane key={view} view={view} selected={id} menu={() => setDrawer(true)} />
        {id === undefined ? (
          <NothingOpen empty={live.list(view).ready && live.rows(view).length === 0} />
        ) : (
          <ConversationPane id={id} details={detailed} run={run} back={() => go(`/inbox/${view}`)} door={door} />
        )}
        {detailed && id !== undefined && <Details id={id} close={() => openDetails(false)} />}
        <ToastStack />
        <NotifyOffer />
      </main>
      {dialog === 'palette' && <Palette able={able} run={run} close={close} words={words} />}
      {dialog === 'assign' && row !== undefined && <AssignDialog row={row} close={close} />}
      {dialog === 'help' && <Help close={close} />}
    </div>
  );
}

function phone(): boolean {
  return matchMedia('(max-width: 768px)').matches;
}

/** A key with the place it was pressed in. */
function read(event: globalThis.KeyboardEvent, dialog: boolean): Pressed {
  const { key, code, ctrlKey, metaKey, altKey, isComposing, target } = event;
  const element = target instanceof Element ? target : null;
  const place = dialog
    ? 'dialog'
    : element?.closest('input, textarea, select, [contenteditable]') != null
      ? 'field'
      : element?.closest('.log, .details, [role="tablist"]') != null
        ? 'scroller'
        : 'page';
  return { key, code, ctrlKey, metaKey, altKey, isComposing, place };
}

function NothingOpen({ empty }: { empty: boolean }) {
  const [before, after] = t('conv.empty.more').split('{key}');
  const key = useKeyOf('next') ?? 'ArrowDown';
  return (
    <section className="conversation nothing" aria-label={t('conv.empty')}>
      <div className="state">
        <h2>{t('conv.empty')}</h2>
        {empty ? (
          <p>{t('conv.empty.none')}</p>
        ) : (
          <p>
            {before}
            <Key name={key} />
            <span className="unseen">{key}</span>
            {after}
          </p>
        )}
      </div>
    </section>
  );
}

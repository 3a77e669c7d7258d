// Palette, assigning and the list of keys. Native dialogs: the browser holds the focus inside and Escape closes.

import { type KeyboardEvent, type ReactNode, useEffect, useId, useMemo, useRef, useState } from 'react';
import type { Face, MemberState, Row } from '../../../gateway/client/src/protocol.ts';
import { useLive, useSignal } from '../live/use.ts';
import { Go } from '../pages/frame.tsx';
import { t, type WordKey } from '../words.ts';
import { COMMANDS, type Command, type CommandId, keysOf } from './commands.ts';
import { Key, useSingles } from './kbd.tsx';

function Dialog({ label, close, children }: { label: string; close: () => void; children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const box = dialog.current;
    const before = document.activeElement;
    box?.showModal();
    return () => {
      box?.close();
      if (before instanceof HTMLElement && document.activeElement === document.body) before.focus();
    };
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it; a click beside it is the pointer's way.
    <dialog
      ref={dialog}
      className="dialog"
      aria-label={label}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClick={(event) => {
        if (event.target === dialog.current) close();
      }}
    >
      {children}
    </dialog>
  );
}

type Choice = {
  key: string;
  words: string;
  /** A name has its own direction. */
  person?: boolean;
  more?: ReactNode;
  trail?: ReactNode;
  disabled?: boolean;
  pick: () => void;
};

/** Those that hold the words: the exact one first, then those that begin with them; otherwise as they stood. */
export function ranked<C extends { words: string }>(choices: readonly C[], sought: string): C[] {
  const rank = ({ words }: C): number => {
    const said = words.toLocaleLowerCase();
    return said === sought ? 0 : said.startsWith(sought) ? 1 : 2;
  };
  return choices
    .filter(({ words }) => words.toLocaleLowerCase().includes(sought))
    .sort((one, other) => rank(one) - rank(other));
}

/** A field that narrows a list; arrows move, Enter picks (the combobox pattern of the ARIA practices). */
function Chooser(props: { hint: string; none: string; label: string; choices: readonly Choice[] }) {
  const [text, setText] = useState('');
  // What cannot be picked is not offered first.
  const [at, setAt] = useState(() =>
    Math.max(
      0,
      props.choices.findIndex((choice) => choice.disabled !== true),
    ),
  );
  const base = useId();
  const list = useRef<HTMLDivElement>(null);
  const sought = text.trim().toLocaleLowerCase();
  const found = useMemo(() => ranked(props.choices, sought), [props.choices, sought]);
  const now = Math.min(at, Math.max(0, found.length - 1));
  useEffect(() => {
    list.current?.children[now]?.scrollIntoView({ block: 'nearest' });
  }, [now]);
  const pressed = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === 'ArrowDown') setAt((now + 1) % Math.max(1, found.length));
    else if (event.key === 'ArrowUp') setAt((now - 1 + found.length) % Math.max(1, found.length));
    else if (event.key === 'Enter') {
      const choice = found[now];
      if (choice !== undefined && choice.disabled !== true) choice.pick();
    } else return;
    event.preventDefault();
  };
  return (
    <>
      <input
        className="chooser-field"
        // biome-ignore lint/a11y/noAutofocus: the dialog was asked for to type into.
        autoFocus
        role="combobox"
        aria-expanded="true"
        aria-controls={`${base}-list`}
        aria-activedescendant={found.length > 0 ? `${base}-${now}` : undefined}
        aria-label={props.hint}
        placeholder={props.hint}
        autoComplete="off"
        spellCheck={false}
        // Empty, the hint reads as the page does.
        dir={text === '' ? undefined : 'auto'}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
        onKeyDown={pressed}
      />
      <div ref={list} id={`${base}-list`} role="listbox" aria-label={props.label} className="chooser-list">
        {found.map((choice, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: keys go to the field, which names the chosen option.
          <div
            key={choice.key}
            id={`${base}-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === now}
            aria-disabled={choice.disabled ?? false}
            className="choice-line"
            onPointerMove={() => setAt(index)}
            onClick={() => {
              if (choice.disabled !== true) choice.pick();
            }}
          >
            {choice.person === true ? <bdi>{choice.words}</bdi> : <span>{choice.words}</span>}
            {choice.more !== undefined && <span className="choice-more">{choice.more}</span>}
            {choice.trail}
          </div>
        ))}
      </div>
      {found.length === 0 && <p className="none">{props.none}</p>}
    </>
  );
}

export function Palette(props: {
  able: (id: CommandId) => boolean;
  run: (id: CommandId) => void;
  close: () => void;
  words: (command: Command) => WordKey;
}) {
  const singles = useSingles();
  const choices = COMMANDS.filter((command) => command.id !== 'palette' && props.able(command.id)).map((command) => {
    const [key] = keysOf(command, singles);
    return {
      key: command.id,
      words: t(props.words(command)),
      trail: key === undefined ? undefined : <Key name={key} />,
      pick: () => {
        props.close();
        props.run(command.id);
      },
    };
  });
  return (
    <Dialog label={t('cmd.palette')} close={props.close}>
      <Chooser hint={t('palette.hint')} none={t('palette.none')} label={t('palette.list')} choices={choices} />
      {!singles && <SinglesOff />}
    </Dialog>
  );
}

export function AssignDialog({ row, close }: { row: Row; close: () => void }) {
  const live = useLive();
  useSignal(live.changed);
  const give = (to: Face | null) => {
    close();
    live.assign(row, to);
  };
  const holds = (id: string) => row.status === 'assigned' && row.assignee?.id === id;
  const mine = live.members.find((member) => member.id === live.me.id);
  // Who could answer at once stands first: online and available, then by how little they hold.
  const others = live.members
    .filter((member) => member.id !== live.me.id)
    .sort((a, b) => rank(a) - rank(b) || a.open - b.open || (a.name < b.name ? -1 : 1));
  const choices: Choice[] = [
    {
      key: live.me.id,
      words: t('assign.me', { name: live.me.name }),
      person: true,
      more: holds(live.me.id) ? t('assign.now') : t('team.open', { n: mine?.open ?? 0 }),
      disabled: holds(live.me.id),
      pick: () => give(live.me),
    },
    ...others.map((member) => ({
      key: member.id,
      words: member.name,
      person: true,
      more: holds(member.id) ? t('assign.now') : <Standing member={member} />,
      disabled: holds(member.id),
      pick: () => give({ id: member.id, name: member.name }),
    })),
  ];
  if (row.status === 'assigned') {
    choices.push({ key: 'line', words: t('assign.line'), more: t('assign.line.more'), pick: () => give(null) });
  }
  return (
    <Dialog label={t('assign.title')} close={close}>
      <Chooser hint={t('assign.hint')} none={t('assign.none')} label={t('assign.title')} choices={choices} />
    </Dialog>
  );
}

function rank(member: MemberState): number {
  return !member.online ? 2 : member.available ? 0 : 1;
}

/** Online, away or offline, and how many conversations they hold: a shape and words. */
export function Standing({ member }: { member: MemberState }) {
  const how = !member.online ? 'offline' : member.available ? 'on' : 'away';
  return (
    <>
      <span className={`presence-dot ${how}`} aria-hidden="true" />
      <span>
        {t(how === 'on' ? 'status.available' : how === 'away' ? 'status.away' : 'team.offline')} ·{' '}
        {t('team.open', { n: member.open })}
      </span>
    </>
  );
}

/** Why no letters stand beside the commands. */
function SinglesOff() {
  return (
    <p className="dialog-foot hint">
      {t('keys.off')} <Go to="/inbox/settings">{t('cmd.settings')}</Go>
    </p>
  );
}

export function Help({ close }: { close: () => void }) {
  const singles = useSingles();
  const groups: readonly [Command['group'], WordKey][] = [
    ['move', 'help.group.move'],
    ['act', 'help.group.act'],
    ['more', 'help.group.more'],
  ];
  const shown = groups.filter(([group]) =>
    COMMANDS.some((command) => command.group === group && keysOf(command, singles).length > 0),
  );
  return (
    <Dialog label={t('help.title')} close={close}>
      <header className="dialog-head">
        <h2>{t('help.title')}</h2>
        <button type="button" className="button quiet" onClick={close}>
          {t('close')}
        </button>
      </header>
      <div className="help">
        {shown.map(([group, words]) => (
          <section key={group}>
            <h3>{t(words)}</h3>
            <dl>
              {COMMANDS.filter((command) => command.group === group)
                .map((command) => ({ command, keys: keysOf(command, singles) }))
                .filter(({ keys }) => keys.length > 0)
                .map(({ command, keys }) => (
                  <HelpLine key={command.id} words={t(command.words)} keys={keys} />
                ))}
            </dl>
          </section>
        ))}
        <section>
          <h3>{t('help.group.write')}</h3>
          <dl>
            <HelpLine words={t('help.send')} keys={['Enter', 'Mod+Enter']} />
            <HelpLine words={t('help.newline')} keys={['Shift+Enter']} />
            <HelpLine words={t('cmd.escape')} keys={['Escape']} />
          </dl>
        </section>
      </div>
      {!singles && <SinglesOff />}
    </Dialog>
  );
}

function HelpLine({ words, keys }: { words: string; keys: readonly string[] }) {
  return (
    <div className="help-line">
      <dt>{words}</dt>
      <dd>
        {keys.map((key, index) => (
          <span key={key}>
            {index > 0 && <span className="help-or"> {t('key.or')} </span>}
            <Key name={key} />
            <span className="unseen">{key}</span>
          </span>
        ))}
      </dd>
    </div>
  );
}

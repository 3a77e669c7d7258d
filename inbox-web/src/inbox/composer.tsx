// Where an agent writes. A note has another ground, another button and another word than a reply, so that one is never
// taken for the other. Every keystroke is kept.

import { type KeyboardEvent, useEffect, useId, useLayoutEffect, useRef, useState } from 'react';
import type { Conversation } from '../../../gateway/client/src/conversation.ts';
import { type Id, MAX_TEXT_BYTES, type Row } from '../../../gateway/client/src/protocol.ts';
import type { Tab } from '../live/drafts.ts';
import { useLive, useSignal } from '../live/use.ts';
import { t } from '../words.ts';
import { Key } from './kbd.tsx';

/** How commands reach the composer that is shown. */
export type ComposerDoor = { current: ((tab: Tab) => void) | null };

const bytes = new TextEncoder();

export function Composer(props: { id: Id; conversation: Conversation; row: Row; door: ComposerDoor }) {
  const { id, conversation, row, door } = props;
  const live = useLive();
  useSignal(live.drafts.changed);
  const draft = live.drafts.get(id);
  const { tab } = draft;
  const words = draft[tab];
  const field = useRef<HTMLTextAreaElement>(null);
  const base = useId();
  /** Whether the words were kept since they were last typed at; said after a rest, not at every key. */
  const [rested, setRested] = useState(false);

  const write = (text: string) => live.drafts.set(id, { ...draft, [tab]: text });
  const turn = (next: Tab) => live.drafts.set(id, { ...live.drafts.get(id), tab: next });

  // However the reply is left, by tab, by key or for another conversation, nobody writes one any more.
  useEffect(() => {
    if (tab === 'reply') return () => conversation.stopTyping();
    return undefined;
  }, [conversation, tab]);

  useEffect(() => {
    door.current = (next) => {
      live.drafts.set(id, { ...live.drafts.get(id), tab: next });
      field.current?.focus();
    };
    return () => {
      door.current = null;
    };
  }, [door, id, live]);

  // Grows with its words up to a third of the view, where field-sizing is not known.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the height follows from the words.
  useLayoutEffect(() => {
    const area = field.current;
    if (area === null) return;
    area.style.blockSize = 'auto';
    area.style.blockSize = `${Math.min(area.scrollHeight, Math.max(64, innerHeight / 3))}px`;
  }, [words, tab]);

  useEffect(() => {
    setRested(false);
    if (words === '') return;
    const timer = setTimeout(() => setRested(true), 800);
    return () => clearTimeout(timer);
  }, [words]);

  const most = live.socket.welcome?.max_text_bytes ?? MAX_TEXT_BYTES;
  // Counting is dear for long texts only, and a short one cannot be too long.
  const over = words.length * 3 <= most ? 0 : Math.max(0, bytes.encode(words).length - most);
  const empty = words.trim() === '';

  const send = () => {
    if (empty || over > 0) return;
    // Trailing breaks are an accident of the Enter key; the rest is as it was written.
    const text = words.replace(/\s+$/, '');
    if (tab === 'note') conversation.command({ t: 'note', text });
    else conversation.say(text);
    live.drafts.set(id, { ...live.drafts.get(id), [tab]: '' });
    field.current?.focus();
  };

  const pressed = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    // 229 is what Safari says for the Enter that ends a composition.
    if (event.nativeEvent.isComposing || event.keyCode === 229) return;
    if (event.key === 'Enter' && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      send();
    } else if (event.key === 'Escape') {
      event.preventDefault();
      field.current?.blur();
    }
  };

  const tabs = (event: KeyboardEvent) => {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
    event.preventDefault();
    event.stopPropagation();
    const next = tab === 'reply' ? 'note' : 'reply';
    turn(next);
    document.getElementById(`${base}-${next}`)?.focus();
  };

  return (
    <div className={`composer ${tab}`}>
      <Collision conversation={conversation} drafting={words !== '' && tab === 'reply'} />
      <div className="composer-box">
        <div className="composer-tabs" role="tablist" aria-label={t('composer.tabs')} onKeyDown={tabs}>
          {(['reply', 'note'] as const).map((one) => (
            <button
              key={one}
              type="button"
              role="tab"
              id={`${base}-${one}`}
              aria-selected={tab === one}
              aria-controls={`${base}-field`}
              tabIndex={tab === one ? 0 : -1}
              onClick={() => {
                turn(one);
                field.current?.focus();
              }}
            >
              {t(`composer.${one}`)}
              {one !== tab && draft[one].trim() !== '' && <span className="row-draft">{t('list.draft')}</span>}
            </button>
          ))}
        </div>
        <div id={`${base}-field`} role="tabpanel" aria-labelledby={`${base}-${tab}`}>
          <textarea
            ref={field}
            // Empty, the placeholder reads as the page does.
            dir={words === '' ? undefined : 'auto'}
            rows={2}
            value={words}
            placeholder={t(tab === 'note' ? 'composer.note.hint' : 'composer.reply.hint', { name: row.visitor.name })}
            aria-label={
              tab === 'note' ? t('composer.note_label') : t('composer.reply_label', { name: row.visitor.name })
            }
            aria-invalid={over > 0}
            aria-describedby={`${base}-says`}
            onChange={(event) => {
              write(event.target.value);
              // The visitor is told of replies only.
              if (tab === 'reply') {
                if (event.target.value === '') conversation.stopTyping();
                else conversation.type();
              }
            }}
            onKeyDown={pressed}
          />
        </div>
        <div className="composer-foot">
          <p id={`${base}-says`} className={over > 0 ? 'wrong' : 'hint'}>
            {over > 0
              ? t('composer.too_long', { n: over })
              : row.status === 'resolved' && tab === 'reply'
                ? t('composer.resolved')
                : rested
                  ? t('composer.draft')
                  : ''}
          </p>
          <button
            type="button"
            className={tab === 'note' ? 'button noting' : 'button primary'}
            aria-disabled={empty || over > 0}
            onClick={send}
          >
            {t(tab === 'note' ? 'composer.add_note' : 'composer.send')} <Key name="Enter" />
          </button>
        </div>
      </div>
    </div>
  );
}

/** Another agent writes here, or has answered since this draft was begun. */
function Collision({ conversation, drafting }: { conversation: Conversation; drafting: boolean }) {
  const [answered, setAnswered] = useState<string>();
  const writing = conversation.typing.find((one) => one.kind === 'agent');
  useEffect(() => {
    if (!drafting) {
      setAnswered(undefined);
      return;
    }
    return conversation.arrived.on((event) => {
      if (event.body.kind === 'message' && event.author.kind === 'agent') setAnswered(event.author.name ?? '');
    });
  }, [conversation, drafting]);
  const words =
    writing !== undefined
      ? t('composer.collision', { name: writing.name ?? '' })
      : answered !== undefined
        ? t('composer.collision.done', { name: answered })
        : undefined;
  return (
    <div role="status" className="collision-place">
      {words !== undefined && (
        <p className="collision">
          <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
            <path d="M11 2.5 13.5 5 6 12.5l-3.2.7.7-3.2Z" />
          </svg>
          {words}
        </p>
      )}
    </div>
  );
}

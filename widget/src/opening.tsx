import { h } from 'preact';
import type { Id } from '../../gateway/client/src/protocol.ts';
import { Avatar } from './avatar.tsx';
import type { Visitor } from './visitor.ts';
import type { Words } from './words/en.ts';

interface Props {
  visitor: Visitor;
  words: Words;
}

/** The room before there is a conversation: the greeting, and first words on their way. Then `Log` takes over. */
export function Opening({ visitor, words }: Props) {
  const { pending } = visitor;
  return (
    <div class="room">
      <div class="log" role="log" aria-label={words.log}>
        <div class="filler" />
        {!visitor.loading && <Greeting visitor={visitor} />}
        {pending.length > 0 && (
          <div class="group own">
            {pending.map(({ id, text, state }) => [
              <p class="text" key={id}>
                {text}
              </p>,
              state === 'failed' && <Failed id={id} visitor={visitor} words={words} key={`${id}!`} />,
            ])}
            {pending.at(-1)?.state === 'sending' && (
              <p class="meta state">{visitor.took(pending.at(-1)?.id ?? '') ? words.sent : words.sending}</p>
            )}
          </div>
        )}
      </div>
    </div>
  );
}

/** How every conversation begins: the workspace's own words. */
export function Greeting({ visitor: { config } }: { visitor: Visitor }) {
  return config.greeting ? (
    <div class="group">
      <Avatar face={config.workspace} />
      <p class="text">{config.greeting}</p>
    </div>
  ) : null;
}

/** Shown at the message that failed. */
export function Failed({ id, visitor, words }: Props & { id: Id }) {
  return (
    <p class="meta state bad">
      {words.notSent} ·{' '}
      <button type="button" class="link" onClick={() => visitor.retry(id)}>
        {words.again}
      </button>
    </p>
  );
}

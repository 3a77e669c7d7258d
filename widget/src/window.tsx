import { Component, h, type VNode } from 'preact';
import { CLOSE_CODES } from '../../gateway/client/src/protocol.ts';
import { Avatar, firstName, Icon } from './avatar.tsx';
import { Opening } from './opening.tsx';
import { part } from './part.ts';
import type { Visitor } from './visitor.ts';
import type { Words } from './words/en.ts';

const CLOCK = 'M12 7v5l3 2M4 12a8 8 0 1 0 16 0 8 8 0 0 0-16 0z';

export interface Props {
  visitor: Visitor;
  words: Words;
  close: () => void;
  /** Adds a lazily loaded part's sheet. */
  adopt: (css: string) => void;
}

interface State {
  /** The part that shows past conversations, once it was asked for: how to draw it, or that it could not be loaded. */
  past?: ((close: () => void) => VNode) | 'failed' | undefined;
}

/** The open window: who is there, the messages, what one should know now, the composer. */
export class Window extends Component<Props, State> {
  #showPast = async (): Promise<void> => {
    const { visitor, words } = this.props;
    try {
      const { past, css } = await part<typeof import('./past.tsx')>('past');
      this.props.adopt(css);
      this.setState({ past: (close) => past({ visitor, words, close }) });
    } catch {
      this.setState({ past: 'failed' });
    }
  };

  override render({ visitor, words, close }: Props, { past }: State) {
    const { talk, conversation } = visitor;
    const back = (): void => this.setState({ past: undefined });
    return (
      <div
        class="window"
        role="dialog"
        aria-label={visitor.config.workspace.name}
        dir={words.dir}
        lang={words.locale}
        onKeyDown={(event) => {
          if (event.key !== 'Escape' || event.isComposing) return;
          event.stopPropagation();
          close();
        }}
      >
        <div class="header">
          {past && (
            <button type="button" class="icon turn" aria-label={words.back} onClick={back}>
              <Icon d="m14 6-6 6 6 6" />
            </button>
          )}
          {past ? <h2>{words.past}</h2> : <Who visitor={visitor} words={words} />}
          {visitor.others && !past && (
            <button type="button" class="icon" aria-label={words.past} title={words.past} onClick={this.#showPast}>
              <Icon d={CLOCK} />
            </button>
          )}
          <button type="button" class="icon" aria-label={words.close} onClick={close}>
            <Icon d="m6 9.5 6 6 6-6" />
          </button>
        </div>
        {past === 'failed' && <p class="line">{words.unavailable}</p>}
        {typeof past === 'function' ? (
          past(back)
        ) : talk && conversation && !visitor.beginning ? (
          <talk.Log visitor={visitor} conversation={conversation} words={words} />
        ) : (
          <Opening visitor={visitor} words={words} />
        )}
        {typeof past !== 'function' && [
          <Line visitor={visitor} words={words} key="line" />,
          <Composer visitor={visitor} words={words} key="composer" />,
        ]}
      </div>
    );
  }
}

/** Who will answer, and how soon, from real figures. */
function Who({ visitor, words }: { visitor: Visitor; words: Words }) {
  const { team, conversation, config } = visitor;
  const holder = conversation?.profile?.assignee?.id;
  const faces = [...team.faces].sort((one, other) => Number(other.id === holder) - Number(one.id === holder));
  const [first] = faces;
  const there = team.available && first;
  let said = words.nobody;
  if (there) {
    said =
      team.answers_in_secs === undefined
        ? words.here(faces.map(({ name }) => firstName(name)))
        : words.answersIn(firstName(first.name), Math.ceil(team.answers_in_secs / 60));
  }
  return (
    <div class="who">
      <div class="faces">
        {(there ? faces.slice(0, 3) : [config.workspace]).map((face) => (
          <Avatar face={face} key={face.id} />
        ))}
      </div>
      <div>
        <h2 dir="auto">{config.workspace.name}</h2>
        <p class={there ? 'there' : undefined}>{said}</p>
      </div>
    </div>
  );
}

/** One calm line at most: what keeps words from going out, or where the visitor stands. */
function Line({ visitor, words }: { visitor: Visitor; words: Words }) {
  const { socket, conversation, team } = visitor;
  let said: (string | VNode | false)[] = [];
  if (visitor.trouble && socket.state === 'stopped') {
    said = [
      socket.farewell?.code === CLOSE_CODES.UnsupportedVersion.code ? words.reload : words.unavailable,
      ' ',
      words.stays,
    ];
  } else if (visitor.trouble) {
    said = [
      <b>{socket.state === 'offline' ? words.offline : words.reconnecting}</b>,
      ' ',
      words.kept,
      ' ',
      <button type="button" class="link" onClick={() => socket.retry()}>
        {words.again}
      </button>,
    ];
  } else if (!visitor.writable) {
    said = [words.closed];
  } else if (conversation?.live && conversation.profile?.status === 'queued') {
    const { position } = conversation.profile;
    if (!team.available) said = [words.waits];
    else if (position) said = [position === 1 ? words.next : words.inLine(position)];
  }
  return (
    <div role="status">
      {said.length > 0 && (
        <p class="line">
          <Icon d={visitor.trouble ? 'M20 11a8 8 0 0 0-14-4L4 9m0-4v4h4M4 13a8 8 0 0 0 14 4l2-2m0 4v-4h-4' : CLOCK} />
          <span>{said}</span>
        </p>
      )}
    </div>
  );
}

class Composer extends Component<{ visitor: Visitor; words: Words }> {
  #field: HTMLTextAreaElement | null = null;

  #send = (event: Event): void => {
    event.preventDefault();
    const { visitor } = this.props;
    const text = visitor.draft.trim();
    if (text && !this.#tooLong()) visitor.say(text);
    this.#field?.focus();
  };

  #tooLong(): boolean {
    const { draft, maxBytes } = this.props.visitor;
    // Three bytes a UTF-16 unit at most: short texts need no counting.
    return draft.length * 3 > maxBytes && new TextEncoder().encode(draft.trim()).length > maxBytes;
  }

  /** The field is as high as its text, within the sheet's bounds. */
  #fit(): void {
    const field = this.#field;
    const box = field?.parentElement;
    if (!box) return;
    // Held still while measuring: a composer that is low for a moment would move the log away from its end.
    box.style.height = `${box.offsetHeight}px`;
    field.style.height = 'auto';
    field.style.height = `${field.scrollHeight}px`;
    box.style.height = '';
  }

  override componentDidMount(): void {
    this.#fit();
  }

  override componentDidUpdate(): void {
    this.#fit();
  }

  override render({ visitor, words }: { visitor: Visitor; words: Words }) {
    const { draft } = visitor;
    const tooLong = this.#tooLong();
    return (
      <form onSubmit={this.#send}>
        {tooLong && (
          <p class="meta bad" role="alert" id="long">
            {words.tooLong}
          </p>
        )}
        <div class="composer">
          <textarea
            rows={1}
            dir="auto"
            aria-label={words.write}
            aria-invalid={tooLong}
            aria-describedby={tooLong ? 'long' : undefined}
            placeholder={words.write}
            enterkeyhint="send"
            value={draft}
            ref={(field) => {
              this.#field = field;
            }}
            onInput={(event) => {
              // NUL and other controls would be refused; nobody means to type them, but a clipboard may hold them.
              // biome-ignore lint/suspicious/noControlCharactersInRegex: it is about control characters.
              visitor.draft = event.currentTarget.value.replace(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/g, '');
            }}
            onKeyDown={(event) => {
              // While an input method composes, Enter picks a candidate (229: Safari says so only by this number).
              if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
                this.#send(event);
              }
            }}
          />
          <button type="submit" class="send" aria-label={words.send} disabled={!draft.trim() || tooLong}>
            <Icon d="M12 19V5m-6 6 6-6 6 6" />
          </button>
        </div>
      </form>
    );
  }
}

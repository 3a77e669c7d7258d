import { Component, h } from 'preact';
import { Times } from './times.ts';
import type { Visitor } from './visitor.ts';
import type { Words } from './words/en.ts';

export interface Props {
  visitor: Visitor;
  words: Words;
  close: () => void;
}

export { default as css } from './past.css';

/** The visitor's conversations, newest first. Loaded when somebody asks for them. */
class Past extends Component<Props> {
  override componentDidMount(): void {
    // The rows of conversations that this tab follows are not told at every message: they are asked for when looked at.
    this.props.visitor.socket.send({ t: 'conversations' });
  }

  override render({ visitor, words, close }: Props) {
    const times = new Times(words.locale);
    return (
      <ul class="past">
        {(visitor.rows ?? []).map((row) => (
          <li key={row.id}>
            <button
              type="button"
              aria-current={row.id === visitor.current}
              onClick={() => {
                visitor.show(row.id);
                close();
              }}
            >
              <b dir="auto">{row.preview}</b>
              <span class="meta">
                <time title={times.exact(row.last_at)}>{times.short(row.last_at)}</time>
                {' · '}
                {row.status === 'resolved' ? words.done : words.open_}
              </span>
              {row.unread > 0 && <span class="count">{row.unread}</span>}
            </button>
          </li>
        ))}
      </ul>
    );
  }
}

export const past = (props: Props) => <Past {...props} />;

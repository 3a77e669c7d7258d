import { Component, h, type VNode } from 'preact';
import type { Conversation } from '../../gateway/client/src/conversation.ts';
import { Avatar, firstName, Icon } from './avatar.tsx';
import { type Item, itemsOf, type Message } from './groups.ts';
import { linked } from './links.tsx';
import { Failed, Greeting } from './opening.tsx';
import { Times } from './times.ts';
import type { Visitor } from './visitor.ts';
import type { Words } from './words/en.ts';

/** Nearer to the end than this counts as at the end, px: about one line. */
const END = 32;
/** Nearer to the beginning than this, older messages are asked for, px. */
const BEGINNING = 240;

const size = (box: HTMLElement): string => `${box.clientWidth} ${box.clientHeight}`;

interface Props {
  visitor: Visitor;
  conversation: Conversation;
  words: Words;
}

/** The messages. It stays at the end unless the reader scrolled up, and does not move when older ones come in above. */
export class Log extends Component<Props> {
  #box: HTMLElement | null = null;
  #atEnd = true;
  /** Seq up to which the reader has had the end in view. */
  #seen = 0;
  #first: string | undefined;
  #pending = 0;
  /** Width and height of its window when it was last at its end, px. */
  #size = '';
  #conversation: unknown;
  readonly #times = new Times(this.props.words.locale);
  readonly #resize = new ResizeObserver(() => this.#stick());

  override componentDidMount(): void {
    if (!this.#box) return;
    this.#resize.observe(this.#box);
    this.componentDidUpdate(null, null, null);
  }

  override componentWillUnmount(): void {
    this.#resize.disconnect();
  }

  override getSnapshotBeforeUpdate(): number {
    // How far the view's top is from the log's end: what stays the same when something comes in above.
    return this.#box ? this.#box.scrollHeight - this.#box.scrollTop : 0;
  }

  override componentDidUpdate(_: unknown, __: unknown, fromEnd: number | null): void {
    const { conversation } = this.props;
    const first = conversation.events[0]?.seq.toString();
    const pending = conversation.pending.length;
    // One's own words, or another conversation: to the end.
    if (pending > this.#pending || conversation !== this.#conversation) this.#atEnd = true;
    if (this.#atEnd) this.#stick();
    else if (this.#box && fromEnd !== null && first !== this.#first)
      this.#box.scrollTop = this.#box.scrollHeight - fromEnd;
    this.#first = first;
    this.#pending = pending;
    this.#conversation = conversation;
    if (this.#box && this.#box.scrollTop < BEGINNING) conversation.loadOlder();
  }

  #stick(): void {
    const { visitor, conversation } = this.props;
    if (!this.#box || !this.#atEnd) return;
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#size = size(this.#box);
    this.#seen = conversation.cursor;
    visitor.readNow();
  }

  #scrolled = (): void => {
    const box = this.#box;
    if (!box) return;
    const was = this.#atEnd;
    // A phone that is turned scrolls too: only in a window of the same size is it the reader who left the end.
    if (was && size(box) !== this.#size) {
      this.#stick();
      return;
    }
    this.#atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < END;
    if (this.#atEnd) this.#seen = this.props.conversation.cursor;
    if (this.#atEnd) this.props.visitor.readNow();
    if (box.scrollTop < BEGINNING) this.props.conversation.loadOlder();
    if (was !== this.#atEnd) this.setState({});
  };

  override render({ visitor, conversation, words }: Props) {
    const items = itemsOf(conversation);
    const loading = !conversation.live && !items.length;
    const lastOwn = items.findLast((item) => item.kind === 'group' && item.own);
    const fresh = this.#atEnd
      ? 0
      : conversation.events.filter(
          ({ seq, body, author }) => seq > this.#seen && body.kind === 'message' && author.kind !== 'visitor',
        ).length;
    return (
      <div class="room">
        <div
          class="log"
          role="log"
          aria-label={words.log}
          aria-busy={conversation.loadingOlder}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by the keyboard.
          tabIndex={0}
          ref={(box) => {
            this.#box = box;
          }}
          onScroll={this.#scrolled}
        >
          <div class="filler" />
          {conversation.loadingOlder && <p class="meta">{words.earlier}</p>}
          {loading && <Skeleton />}
          {!loading && !conversation.older && <Greeting visitor={visitor} />}
          {items.map((item) => this.#item(item, item === lastOwn))}
          {conversation.typing.map((author) => (
            <div class="group" key={author.id} aria-live="off">
              <Avatar face={{ id: author.id ?? '0', name: author.name ?? '' }} />
              <p class="text dots" role="img" aria-label={words.typing(firstName(author.name ?? ''))}>
                <i />
                <i />
                <i />
              </p>
            </div>
          ))}
        </div>
        {fresh > 0 && (
          <button
            type="button"
            class="fresh"
            onClick={() => {
              this.#atEnd = true;
              this.#stick();
              this.setState({});
            }}
          >
            {words.newMessages(fresh)}
            <Icon d="M12 5v14m-6-6 6 6 6-6" />
          </button>
        )}
      </div>
    );
  }

  #item(item: Item, isLastOwn: boolean): VNode {
    const { words } = this.props;
    const times = this.#times;
    const time = (
      <time title={times.exact(item.at)} dateTime={new Date(item.at).toISOString()}>
        {times.short(item.at)}
      </time>
    );
    if (item.kind === 'joined')
      return (
        <p class="meta joined" key={item.key} title={times.exact(item.at)}>
          {words.joined(firstName(item.face.name), times.short(item.at))}
        </p>
      );
    if (item.kind === 'resolved')
      return (
        <p class="meta" key={item.key} title={times.exact(item.at)}>
          {words.resolved(times.short(item.at))}
        </p>
      );
    const { own, author, named, messages } = item;
    const name = author.name ?? '';
    return (
      <div class={own ? 'group own' : 'group'} key={item.key}>
        {own ? <span class="hidden">{words.you}</span> : <Avatar face={{ id: author.id ?? '0', name }} />}
        {!own && named && (
          <p class="meta">
            <bdi>{firstName(name)}</bdi> · {time}
          </p>
        )}
        {messages.map((message) => [
          <p class="text" key={message.key} title={times.exact(message.at)}>
            {linked(message.text)}
          </p>,
          message.pending?.state === 'failed' && (
            <Failed id={message.key} visitor={this.props.visitor} words={words} key={`${message.key}!`} />
          ),
        ])}
        {own && !(isLastOwn && messages.at(-1)?.pending?.state === 'failed') && (
          <p class="meta state">
            {time}
            {isLastOwn && ` · ${this.#state(messages)}`}
          </p>
        )}
      </div>
    );
  }

  #state(messages: Message[]): string {
    const { words, conversation } = this.props;
    const last = messages.at(-1);
    if (last?.pending) return words.sending;
    return conversation.readBy('agent') >= (last?.seq ?? 0) ? words.read : words.sent;
  }
}

/** What a conversation will look like; invisible for its first 300 ms. */
function Skeleton() {
  return (
    <div class="skeleton" aria-hidden="true">
      <i />
      <i />
      <i />
    </div>
  );
}

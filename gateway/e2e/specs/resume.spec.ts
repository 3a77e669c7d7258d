import { expect, test } from '../fixtures.ts';
import { conversations, Inbox, stored } from '../inbox.ts';
import { Widget } from '../widget.ts';

test('unsent text survives a reload, on both sides', async ({ bellhop, owner, context, another }) => {
  const agent = await Inbox.of(context, bellhop, owner);
  const visitor = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
  await visitor.field.fill('Half a first sent');
  await visitor.page.reload();
  // The window stays open from page to page, and takes no focus by itself.
  await expect(visitor.field).toHaveValue('Half a first sent');
  await expect(visitor.field).not.toBeFocused();
  await visitor.sent('A whole sentence');
  await visitor.field.fill('Half a second\nwith two lines');
  await visitor.page.reload();
  await expect(visitor.field).toHaveValue('Half a second\nwith two lines');
  await expect(visitor.own).toHaveText(['A whole sentence']);

  await agent.open('A whole sentence');
  await agent.field.fill('Half an answer');
  await agent.page.getByRole('tab', { name: 'Note' }).click();
  await agent.field.fill('Half a note');
  await agent.page.reload();
  await expect(agent.field).toHaveValue('Half a note');
  await agent.page.getByRole('tab', { name: 'Reply' }).click();
  await expect(agent.field).toHaveValue('Half an answer');
  await expect(agent.rows.first()).toContainText('Draft');
});

test('the conversation goes on after a reload, a restarted browser and a server killed by kill -9', async ({
  bellhop,
  owner,
  context,
  another,
  announced,
}) => {
  announced.add('no network');
  const agent = await Inbox.of(context, bellhop, owner);
  const browser = await another();
  const visitor = await Widget.opened(await browser.newPage(), `${bellhop.url}/demo`);
  await visitor.sent('One');
  await agent.open('One');
  await agent.reply('Two');
  await expect(visitor.messages.last()).toHaveText('Two');
  const name = await agent.name.textContent();

  await visitor.page.reload();
  await expect(visitor.messages).toHaveText([/./, 'One', 'Two']);
  await agent.page.reload();
  await expect(agent.messages).toHaveText(['One', 'Two']);

  // The browser is restarted: its storage is all that is left of it.
  const storageState = await browser.storageState();
  await browser.close();
  const later = new Widget(await (await another({ storageState })).newPage());
  await later.page.goto(`${bellhop.url}/demo`);
  await later.open();
  await expect(later.messages).toHaveText([/./, 'One', 'Two']);
  await later.sent('Three');
  await expect(agent.messages).toHaveText(['One', 'Two', 'Three']);
  await expect(agent.name).toHaveText(name ?? '');

  await bellhop.kill9();
  await bellhop.restart();
  await expect(async () => {
    expect((await later.line.count()) + (await agent.bar.count())).toBe(0);
  }).toPass();
  await later.say('Four');
  await expect(agent.messages).toHaveText(['One', 'Two', 'Three', 'Four'], { timeout: 30_000 });
  await agent.reply('Five');
  await expect(later.messages).toHaveText([/./, 'One', 'Two', 'Three', 'Four', 'Five'], { timeout: 30_000 });
  const [row, ...others] = await conversations(bellhop, owner, 'open');
  expect(others).toEqual([]);
  expect(await stored(bellhop, owner, row?.id ?? '')).toEqual(['One', 'Two', 'Three', 'Four', 'Five']);
});

test('what was sent just before the page went away is not lost', async ({ bellhop, owner, another, announced }) => {
  announced.add('no network');
  const visitor = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
  await visitor.sent('Before');
  process.kill(bellhop.pid, 'SIGSTOP');
  await visitor.say('Pressed Enter and left');
  await bellhop.kill9();
  // The tab forgets that the window was open, as a new tab does not know it.
  await visitor.page.evaluate(() => sessionStorage.clear());
  await visitor.page.goto('about:blank');
  await bellhop.restart();
  await visitor.page.goto(`${bellhop.url}/demo`);
  // The bubble alone is enough: nobody opens the window.
  await expect(visitor.bubble).toBeVisible();
  const [row] = await conversations(bellhop, owner, 'open');
  await expect.poll(() => stored(bellhop, owner, row?.id ?? '')).toEqual(['Before', 'Pressed Enter and left']);
  await expect(visitor.window).toBeHidden();
});

import { expect, test } from '../fixtures.ts';
import { conversations, Inbox, stored } from '../inbox.ts';
import { Widget } from '../widget.ts';

for (const place of ['on the server’s own origin', 'on another origin with a strict policy'] as const) {
  test(`a visitor ${place} and an agent talk in real time`, async ({ bellhop, owner, context, another }) => {
    const agent = await Inbox.of(context, bellhop, owner);
    const shop = place.startsWith('on another') ? bellhop.otherOriginUrl : `${bellhop.url}/demo`;
    const browser = await another();
    const visitor = await Widget.opened(await browser.newPage(), shop);
    await expect(visitor.window).toContainText('Northwind Tea');
    await expect(visitor.messages).toHaveCount(1); // The greeting.
    await expect(visitor.window.locator('.who')).toContainText('Olive is here');

    await visitor.say('Is the Pier chair in stock?');
    await expect(visitor.own).toHaveText(['Is the Pier chair in stock?']);
    await expect(agent.rows).toHaveCount(1);
    await expect(agent.rows).toContainText('Is the Pier chair in stock?');
    await expect(visitor.state).toContainText('Sent');
    await agent.open('Is the Pier chair in stock?');
    await expect(agent.messages).toHaveText(['Is the Pier chair in stock?']);
    await expect(agent.presence).toHaveText('online');
    await expect(visitor.state).toContainText('Read');

    await agent.field.pressSequentially('Yes,');
    await expect(visitor.typing).toBeVisible();
    await expect(visitor.typing).toHaveAccessibleName('Olive is typing');
    await agent.field.pressSequentially(' eight of them.');
    await agent.field.press('Enter');
    await expect(visitor.messages.last()).toHaveText('Yes, eight of them.');
    await expect(visitor.typing).toHaveCount(0);
    await expect(agent.state).toHaveText('Read');

    await visitor.field.pressSequentially('Great');
    await expect(agent.typing).toContainText('is writing');
    await visitor.field.press('Enter');
    await expect(agent.messages).toHaveText(['Is the Pier chair in stock?', 'Yes, eight of them.', 'Great']);
    await expect(agent.typing).not.toContainText('is writing');

    // What is not looked at is sent, not read.
    await visitor.window.getByRole('button', { name: 'Close the chat' }).click();
    await expect(visitor.bubble).toBeFocused();
    await agent.reply('Shall I keep one for you?');
    await expect(agent.state).toHaveText('Sent');
    await expect(visitor.bubble).toHaveAccessibleName('Chat, 1 unread');
    await visitor.open();
    await expect(agent.state).toHaveText('Read');

    await visitor.page.close();
    await expect(agent.presence).toHaveText('offline');
    const back = await browser.newPage();
    await back.goto(shop);
    await expect(agent.presence).toHaveText('online');

    const [row] = await conversations(bellhop, owner, 'mine');
    expect(await stored(bellhop, owner, row?.id ?? '')).toEqual([
      'Is the Pier chair in stock?',
      'Yes, eight of them.',
      'Great',
      'Shall I keep one for you?',
    ]);
  });
}

test('every tab of either side keeps in step', async ({ bellhop, owner, context, another }) => {
  const agents = [await Inbox.of(context, bellhop, owner), await Inbox.of(context, bellhop, owner)];
  const browser = await another();
  const first = await Widget.opened(await browser.newPage(), `${bellhop.url}/demo`);
  const second = await Widget.opened(await browser.newPage(), `${bellhop.url}/demo`);
  await first.say('From the first tab');
  await expect(second.own).toHaveText(['From the first tab']);
  for (const agent of agents) await agent.open('From the first tab');
  await second.say('From the second tab');
  await expect(first.own).toHaveText(['From the first tab', 'From the second tab']);
  await agents[0]?.reply('From the first agent tab');
  await agents[1]?.reply('From the second agent tab');
  // Each says it on its own; the server's order is the same for all.
  const both = ['From the first agent tab', 'From the second agent tab'];
  for (const tab of [first, second]) {
    await expect(tab.messages.filter({ hasText: 'agent tab' })).toHaveCount(2);
    await expect(tab.own).toHaveText(['From the first tab', 'From the second tab']);
  }
  const order = await first.messages.filter({ hasText: 'agent tab' }).allTextContents();
  expect([...order].sort()).toEqual(both);
  await expect(second.messages.filter({ hasText: 'agent tab' })).toHaveText(order);
  for (const agent of agents) {
    await expect(agent.messages).toHaveText(['From the first tab', 'From the second tab', ...order]);
  }
  // One person, one conversation.
  expect(await conversations(bellhop, owner, 'open')).toHaveLength(1);
  // Resolved in one tab is resolved in the other.
  await agents[0]?.page.getByRole('button', { name: /Resolve/ }).click();
  await expect(agents[1]?.chip ?? first.window).toHaveText('Resolved');
  for (const tab of [first, second]) await expect(tab.window).toContainText('Settled');
});

test('the widget’s log stays at its end when the view changes, and where the reader is when they scrolled up', async ({
  bellhop,
  owner,
  context,
  another,
}) => {
  const page = await (await another({ viewport: { width: 740, height: 390 } })).newPage();
  const visitor = await Widget.opened(page, `${bellhop.url}/demo`);
  for (let line = 1; line <= 12; line += 1) {
    await visitor.say(`${'A message of several lines, as many as the width makes of it. '.repeat(3)}${line}`);
  }
  await expect(visitor.state).toContainText('Sent');
  const agent = await Inbox.of(context, bellhop, owner);
  await agent.open('A message of several lines');
  const log = visitor.window.locator('.log');
  const fromEnd = () => log.evaluate((box) => Math.round(box.scrollHeight - box.scrollTop - box.clientHeight));
  // A phone is turned, the keyboard comes and goes.
  for (const [width, height] of [
    [390, 740],
    [390, 400],
    [390, 740],
    [740, 390],
    [390, 740],
    [768, 1024],
    [360, 740],
    [1280, 800],
  ] as const) {
    await page.setViewportSize({ width, height });
    await expect.poll(fromEnd, { message: `at ${width} x ${height}`, timeout: 3_000 }).toBeLessThan(2);
  }
  await agent.reply('An answer');
  await expect(visitor.messages.last()).toBeInViewport();
  await expect.poll(fromEnd).toBeLessThan(2);

  await log.evaluate((box) => {
    box.scrollTop = 0;
  });
  await agent.reply('Another answer');
  const fresh = visitor.window.getByRole('button', { name: '1 new message' });
  await expect(fresh).toBeVisible();
  expect(await log.evaluate((box) => box.scrollTop)).toBe(0);
  await fresh.click();
  await expect(visitor.messages.last()).toBeInViewport();
  await expect(fresh).toHaveCount(0);
});

import { expect, test } from '../fixtures.ts';
import { conversations, Inbox, stored } from '../inbox.ts';
import { Widget } from '../widget.ts';

test.beforeEach(({ announced }) => void announced.add('no network'));

// A server that is stopped mid-way (SIGSTOP) is what a dead network looks like: nothing answers and nothing closes.

test('words sent while the server does not answer arrive once, in order, on both sides', async ({
  bellhop,
  owner,
  context,
  another,
}) => {
  const agent = await Inbox.of(context, bellhop, owner);
  const visitor = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
  await visitor.sent('Before');
  await agent.open('Before');
  await agent.reply('Hello');
  await expect(visitor.messages.last()).toHaveText('Hello');

  process.kill(bellhop.pid, 'SIGSTOP');
  try {
    await visitor.say('Said into the silence, one');
    await visitor.say('Said into the silence, two');
    await expect(visitor.state).toContainText('Sending');
    await agent.reply('Answered into the silence');
    await expect(agent.state).toHaveText('Sending');
  } finally {
    process.kill(bellhop.pid, 'SIGCONT');
  }
  await expect(visitor.state).toContainText(/Sent|Read/);
  await expect(visitor.own).toHaveText(['Before', 'Said into the silence, one', 'Said into the silence, two']);
  await expect(visitor.messages.filter({ hasText: 'Answered into the silence' })).toHaveCount(1);
  await expect(agent.messages).toHaveCount(5);
  const [row] = await conversations(bellhop, owner, 'mine');
  const kept = await stored(bellhop, owner, row?.id ?? '');
  expect([...kept].sort()).toEqual(
    ['Answered into the silence', 'Before', 'Hello', 'Said into the silence, one', 'Said into the silence, two'].sort(),
  );
  await expect(agent.messages).toHaveText(kept);
});

test('a server killed in the middle of sending: both sides say so, keep the words, and send them once', async ({
  bellhop,
  owner,
  context,
  another,
}) => {
  const agent = await Inbox.of(context, bellhop, owner);
  const visitor = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
  await visitor.sent('Before the cut');
  await agent.open('Before the cut');
  await agent.reply('Before the cut as well');
  await expect(agent.state).toHaveText(/Sent|Read/);

  // Its words reach the frozen server's socket, and die there with it.
  process.kill(bellhop.pid, 'SIGSTOP');
  await visitor.say('In the middle of it');
  await agent.reply('Also in the middle');
  await bellhop.kill9();
  await expect(visitor.line).toContainText('Reconnecting. Your messages are kept and go out by themselves.');
  await expect(agent.bar).toContainText('Reconnecting. Your replies are kept and will be sent.');
  await visitor.say('And one more while it is away');
  await agent.note('A note while it is away');
  await expect(visitor.own.last()).toHaveText('And one more while it is away');

  await bellhop.restart();
  // Both try again by themselves; nobody has to press anything.
  await expect(visitor.line).toHaveCount(0, { timeout: 30_000 });
  await expect(agent.bar).toHaveCount(0, { timeout: 30_000 });
  await expect(visitor.own).toHaveText(['Before the cut', 'In the middle of it', 'And one more while it is away']);
  await expect(visitor.state).toContainText(/Sent|Read/);
  await expect(visitor.messages.filter({ hasText: 'Also in the middle' })).toHaveCount(1);
  const [row] = await conversations(bellhop, owner, 'mine');
  await expect.poll(() => stored(bellhop, owner, row?.id ?? '', 'note')).toEqual(['A note while it is away']);
  const kept = await stored(bellhop, owner, row?.id ?? '');
  expect(kept).toHaveLength(5);
  expect(new Set(kept).size).toBe(5);
  await expect(agent.messages).toHaveCount(6);
});

test('a browser without a network says so, keeps what is written, and sends it once when it is back', async ({
  bellhop,
  owner,
  context,
  another,
}) => {
  const agent = await Inbox.of(context, bellhop, owner);
  const browser = await another();
  const visitor = await Widget.opened(await browser.newPage(), `${bellhop.url}/demo`);
  await visitor.sent('Before');
  await agent.open('Before');

  await browser.setOffline(true);
  // Chromium's switch leaves open sockets alone; a real loss of network does not.
  await bellhop.kill9();
  await visitor.say('Written on a train');
  await expect(visitor.line).toContainText('You are offline. Your messages are kept and go out by themselves.');
  await bellhop.restart();
  await agent.page.bringToFront();
  await agent.reply('Are you there?');
  await expect(agent.state).toHaveText('Sent', { timeout: 30_000 });
  await browser.setOffline(false);
  await expect(visitor.line).toHaveCount(0, { timeout: 30_000 });
  await expect(visitor.messages.filter({ hasText: 'Are you there?' })).toHaveCount(1);
  await expect(visitor.own).toHaveText(['Before', 'Written on a train']);
  await expect(agent.messages.filter({ hasText: 'Written on a train' })).toHaveCount(1);
  const [row] = await conversations(bellhop, owner, 'mine');
  expect((await stored(bellhop, owner, row?.id ?? '')).sort()).toEqual([
    'Are you there?',
    'Before',
    'Written on a train',
  ]);

  // The same for the agent.
  await context.setOffline(true);
  await bellhop.kill9();
  await agent.reply('Typed in a tunnel');
  await expect(agent.bar).toContainText('You are offline. What you write is kept and will be sent.');
  await bellhop.restart();
  await context.setOffline(false);
  await expect(agent.bar).toHaveCount(0, { timeout: 30_000 });
  await expect(visitor.messages.filter({ hasText: 'Typed in a tunnel' })).toHaveCount(1, { timeout: 30_000 });
});

test('first words written while the server is away begin one conversation when it is back', async ({
  bellhop,
  owner,
  another,
}) => {
  const visitor = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
  await bellhop.kill9();
  await expect(visitor.line).toContainText('Reconnecting.');
  await visitor.say('First');
  await visitor.say('Second');
  await bellhop.restart();
  await expect(visitor.line).not.toContainText('Reconnecting', { timeout: 30_000 });
  await expect(visitor.own).toHaveText(['First', 'Second']);
  await expect(visitor.state).toContainText('Sent');
  const rows = await conversations(bellhop, owner, 'open');
  expect(rows).toHaveLength(1);
  expect(await stored(bellhop, owner, rows[0]?.id ?? '')).toEqual(['First', 'Second']);
});

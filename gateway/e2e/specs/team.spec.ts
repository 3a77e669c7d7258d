import { addAgent, api } from '../accounts.ts';
import { expect, test } from '../fixtures.ts';
import { conversations, Inbox, stored } from '../inbox.ts';
import { Widget } from '../widget.ts';

test('a note never reaches the visitor: not the page, not the socket', async ({ bellhop, owner, context, another }) => {
  const agent = await Inbox.of(context, bellhop, owner);
  const page = await (await another()).newPage();
  const frames: string[] = [];
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => frames.push(String(payload))));
  const visitor = await Widget.opened(page, `${bellhop.url}/demo`);
  await visitor.sent('Can I have a discount?');
  await agent.open('Can I have a discount?');
  await agent.note('Secret: up to ten per cent');
  await expect(agent.notes).toHaveText(['Secret: up to ten per cent']);
  await agent.reply('Let me ask');
  await expect(visitor.messages.last()).toHaveText('Let me ask');
  // What was missed comes by another way than what is live.
  await page.reload();
  await expect(visitor.messages.last()).toHaveText('Let me ask');
  await agent.note('Secret: or fifteen');
  await agent.reply('Five per cent');
  await expect(visitor.messages.last()).toHaveText('Five per cent');

  expect(frames.some((frame) => frame.includes('Five per cent'))).toBe(true);
  expect(frames.filter((frame) => /Secret|"note"/.test(frame))).toEqual([]);
  const kept = await page.evaluate(() => {
    const roots = [...document.querySelectorAll('*')].flatMap((one) => one.shadowRoot?.textContent ?? []);
    return document.documentElement.outerHTML + roots.join() + JSON.stringify({ ...localStorage, ...sessionStorage });
  });
  expect(kept).toContain('Five per cent');
  expect(kept).not.toContain('Secret');
  const [row] = await conversations(bellhop, owner, 'mine');
  expect(await stored(bellhop, owner, row?.id ?? '', 'note')).toEqual([
    'Secret: up to ten per cent',
    'Secret: or fifteen',
  ]);
});

test('a conversation is assigned to a colleague and taken back, resolved, and reopened by the visitor’s next words', async ({
  bellhop,
  owner,
  context,
  another,
}) => {
  const amir = await addAgent(bellhop, owner);
  // Only Olive is there when the visitor writes, so it is given to her.
  const olive = await Inbox.of(context, bellhop, owner);
  const visitor = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
  await visitor.sent('A question for two');
  await expect(olive.rows).toHaveCount(1);
  const colleague = await Inbox.of(await another(), bellhop, amir);
  await olive.open('A question for two');
  await expect(olive.chip).toHaveText('Yours');

  await olive.page.getByRole('button', { name: /Assign/ }).click();
  await olive.page.getByRole('option', { name: /Amir Agent/ }).click();
  await expect(olive.chip).toHaveText('With Amir Agent');
  await expect(colleague.rows).toContainText('A question for two');
  await expect(visitor.window).toContainText('Amir · joined');
  await colleague.open('A question for two');
  await expect(colleague.chip).toHaveText('Yours');
  await expect(colleague.page.getByText('Olive Owner gave it to you')).toBeVisible();

  // Two agents in one conversation see each other write.
  await olive.field.pressSequentially('I think');
  await expect(colleague.page.getByText('Olive Owner is writing here too')).toBeVisible();
  await olive.field.fill('');

  await olive.page.locator('body').press('Escape');
  await olive.page.keyboard.press('t');
  await expect(olive.chip).toHaveText('Yours');
  await expect(colleague.chip).toHaveText('With Olive Owner');

  await olive.reply('That was all?');
  await olive.page.getByRole('button', { name: /Resolve/ }).click();
  await expect(visitor.window).toContainText('Settled');
  await expect(olive.page.getByText('Nothing waits for you')).toBeVisible();
  expect(await conversations(bellhop, owner, 'resolved')).toHaveLength(1);

  await visitor.sent('One thing more');
  await olive.page.getByRole('link', { name: /All open/ }).click();
  await expect(olive.rows).toContainText('One thing more');
  const open = await conversations(bellhop, owner, 'open');
  expect(open).toHaveLength(1);
  expect(await stored(bellhop, owner, open[0]?.id ?? '')).toEqual([
    'A question for two',
    'That was all?',
    'One thing more',
  ]);
  expect(await conversations(bellhop, owner, 'resolved')).toEqual([]);
});

test('with nobody there visitors wait in order, are told so, and are handed out when someone returns', async ({
  bellhop,
  owner,
  context,
  another,
}) => {
  const first = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
  await expect(first.window).toContainText('Nobody is here now. Answers appear here.');
  await first.sent('I came first');
  await expect(first.line).toContainText('Your message waits; answers will appear here.');
  const second = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
  await second.sent('I came second');

  // One at a time, so that the order shows.
  await api(bellhop, 'PATCH', '/api/v1/workspace', { as: owner, body: { agent_cap: 1 } });
  const agent = await Inbox.of(context, bellhop, owner);
  await expect(agent.rows).toHaveCount(1);
  await expect(agent.rows).toContainText('I came first');
  await expect(first.line).toHaveCount(0);
  await expect(second.line).toContainText('You are next in line.');
  const third = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
  await third.sent('I came third');
  await expect(third.line).toContainText('You are number 2 in line.');
  await agent.page.getByRole('link', { name: /Unassigned/ }).click();
  await expect(agent.rows).toHaveCount(2);
  await expect(agent.rows.first()).toContainText('I came second');
  await expect(agent.rows.last()).toContainText('I came third');

  // Away: nothing new, but what was given stays. Available again: it goes on.
  await agent.page.getByRole('switch').click();
  await expect(agent.page.getByRole('switch')).toHaveText('Away');
  await expect(first.window).toContainText('Nobody is here now.');
  await agent.page.getByRole('link', { name: /Mine/ }).click();
  await agent.open('I came first');
  await agent.page.keyboard.press('Escape');
  await agent.page.keyboard.press('e');
  await expect(first.window).toContainText('Settled');
  await expect(second.line).toContainText('Your message waits');
  await agent.page.getByRole('switch').click();
  await expect(agent.rows).toContainText('I came second');
  await expect(second.line).toHaveCount(0);
  await expect(third.line).toContainText('You are next in line.');
});

test.describe(() => {
  test.use({ configuration: { BELLHOP_ROUTING__RELEASE_AFTER: '1s' } });
  test('an agent who stays away loses what they have not answered, and keeps what they have', async ({
    bellhop,
    owner,
    context,
    another,
  }) => {
    const amir = await addAgent(bellhop, owner);
    const olive = await Inbox.of(context, bellhop, owner);
    const answered = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
    await answered.sent('This gets an answer');
    await olive.open('This gets an answer');
    await olive.reply('Here it is');
    await expect(answered.messages.last()).toHaveText('Here it is');
    const unanswered = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
    await unanswered.sent('This gets none');
    await expect(olive.rows).toHaveCount(2);
    await olive.page.close();
    await expect(unanswered.line).toContainText('Your message waits');
    const colleague = await Inbox.of(await another(), bellhop, amir);
    await expect(colleague.rows).toHaveCount(1);
    await expect(colleague.rows).toContainText('This gets none');
    const rows = await conversations(bellhop, owner, 'open');
    expect(rows.map((row) => row.assignee?.name).sort()).toEqual(['Amir Agent', 'Olive Owner']);
  });
});

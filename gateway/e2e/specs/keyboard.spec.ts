import { addAgent } from '../accounts.ts';
import { expect, test } from '../fixtures.ts';
import { conversations, Inbox, stored } from '../inbox.ts';
import { Widget } from '../widget.ts';

test('the inbox is worked by keys alone', async ({ bellhop, owner, context, another }) => {
  const amir = await addAgent(bellhop, owner);
  const agent = await Inbox.of(context, bellhop, owner);
  const { page } = agent;
  const keys = page.keyboard;
  const visitors: Widget[] = [];
  for (const words of ['Alpha', 'Beta', 'Gamma']) {
    const visitor = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
    await visitor.sent(words);
    visitors.push(visitor);
  }
  await expect(agent.rows).toHaveCount(3);
  await Inbox.of(await another(), bellhop, amir);

  // Next, previous. The one that waits longest stands first.
  await keys.press('j');
  await expect(agent.messages).toHaveText(['Alpha']);
  await keys.press('j');
  await expect(agent.messages).toHaveText(['Beta']);
  await keys.press('ArrowDown');
  await expect(agent.messages).toHaveText(['Gamma']);
  await keys.press('k');
  await keys.press('ArrowUp');
  await expect(agent.messages).toHaveText(['Alpha']);
  await expect(page.locator('.row-link[aria-current=true]')).toContainText('Alpha');

  // Note, reply. While writing, letters are letters.
  await keys.press('n');
  await expect(agent.field).toBeFocused();
  await expect(agent.field).toHaveAccessibleName('Internal note');
  await keys.type('jerk? no');
  await keys.press('Enter');
  await expect(agent.notes).toHaveText(['jerk? no']);
  await keys.press('Escape');
  await keys.press('r');
  await expect(agent.field).toHaveAccessibleName(/^Reply to /);
  await keys.type('Line one');
  await keys.press('Shift+Enter');
  await keys.type('line two');
  await keys.press('Enter');
  await expect(agent.messages.last()).toHaveText('Line one\nline two');
  await expect(visitors[0]?.messages.last() ?? agent.field).toHaveText('Line one\nline two');
  await keys.press('Escape');
  await expect(agent.field).not.toBeFocused();

  // Assign, and take it back by undo.
  await keys.press('a');
  await expect(page.getByRole('dialog', { name: 'Assign to' })).toBeVisible();
  await keys.type('amir');
  await keys.press('Enter');
  await expect(agent.chip).toHaveText('With Amir Agent');
  await keys.press('z');
  await expect(agent.chip).toHaveText('Yours');
  await keys.press('a');
  await keys.press('Escape');
  await expect(page.getByRole('dialog')).toHaveCount(0);
  await expect(agent.chip).toHaveText('Yours');

  // Resolve goes on to the next; undo brings it back.
  const name = (await agent.name.textContent()) ?? '';
  await keys.press('e');
  await expect(agent.toast).toContainText(`Resolved: ${name}`);
  await expect(agent.messages).not.toContainText(['Alpha']);
  await expect(agent.rows).toHaveCount(2);
  await keys.press('z');
  await expect(agent.rows).toHaveCount(3);
  await expect(agent.name).toHaveText(name);
  await expect(agent.chip).toHaveText('Yours');
  await expect.poll(async () => (await conversations(bellhop, owner, 'mine')).length).toBe(3);

  await keys.press('e');
  await expect(agent.toast).toContainText(`Resolved: ${name}`);
  await keys.press('Control+k');
  await expect(page.getByRole('dialog', { name: 'Commands' }).getByRole('combobox')).toBeFocused();
  await keys.type('go to resolved');
  await keys.press('Enter');
  await expect(page.getByRole('dialog')).toHaveCount(0);
  await expect(page).toHaveURL(/\/inbox\/resolved$/);
  await expect(agent.rows).toHaveCount(1);
  await keys.press('j');
  await expect(agent.name).toHaveText(name);
  await keys.press('3');
  await expect(page).toHaveURL(/\/inbox\/open$/);
  await keys.press('1');
  await expect(page).toHaveURL(/\/inbox\/mine$/);

  // `?` tells all of it.
  await keys.press('?');
  const help = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
  for (const words of ['Next conversation', 'Previous conversation', 'Reply', 'Write a note', 'Assign', 'Resolve']) {
    await expect(help.getByText(words, { exact: true })).toBeVisible();
  }
  await expect(help.getByText('Undo the last resolve or assign')).toBeVisible();
  await keys.press('Escape');
  await expect(help).toHaveCount(0);

  const [resolved] = await conversations(bellhop, owner, 'resolved');
  expect(await stored(bellhop, owner, resolved?.id ?? '')).toEqual(['Alpha', 'Line one\nline two']);
});

test('the palette chooses the command whose name was typed', async ({ bellhop, owner, context, another }) => {
  const agent = await Inbox.of(context, bellhop, owner);
  const visitor = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
  await visitor.sent('Hello');
  await agent.open('Hello');
  const { page } = agent;
  await page.keyboard.press('Escape');
  for (const name of ['Next conversation', 'Reply', 'Write a note', 'Assign', 'Resolve', 'Settings']) {
    await page.keyboard.press('Control+k');
    await page.keyboard.type(name.toLowerCase());
    await expect(page.getByRole('option', { selected: true }).locator('span').first()).toHaveText(name);
    await page.keyboard.press('Escape');
    await expect(page.getByRole('dialog')).toHaveCount(0);
  }
});

test('every command can be reached by Tab, and the focus is always seen', async ({
  bellhop,
  owner,
  context,
  another,
}) => {
  const agent = await Inbox.of(context, bellhop, owner);
  const visitor = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
  await visitor.sent('Hello');
  await agent.open('Hello');
  const { page } = agent;
  // From the top of the page.
  await page.reload();
  await agent.field.waitFor();
  const seen = new Set<string>();
  const unseen: string[] = [];
  for (let step = 0; step < 40; step += 1) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const one = document.activeElement;
      if (one === null || one === document.body) return null;
      const name = one.getAttribute('aria-label') ?? one.textContent?.trim() ?? one.tagName;
      // Some controls show the focus on the box around them.
      let shown = false;
      for (let up: Element | null = one; up !== null && !shown && up !== document.body; up = up.parentElement) {
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(up);
        shown =
          (outlineStyle !== 'none' && outlineWidth !== '0px') || (boxShadow !== 'none' && up.matches(':focus-within'));
      }
      return { name, shown };
    });
    if (stop === null) break;
    seen.add(stop.name);
    if (!stop.shown) unseen.push(stop.name);
  }
  expect(unseen).toEqual([]);
  for (const name of [
    /^Mine/,
    /^Unassigned/,
    /Commands/,
    /Log out/,
    /Assign/,
    /Resolve/,
    /Details/,
    /^Reply/,
    /Send/,
  ]) {
    expect(
      [...seen].some((one) => name.test(one)),
      String(name),
    ).toBe(true);
  }
});

test('the widget is used by keys alone', async ({ bellhop, owner, context, another }) => {
  const agent = await Inbox.of(context, bellhop, owner);
  const page = await (await another()).newPage();
  await page.goto(`${bellhop.url}/demo`);
  const widget = new Widget(page);
  await widget.bubble.focus();
  await page.keyboard.press('Enter');
  await expect(widget.field).toBeFocused();
  await page.keyboard.type('One');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('Two');
  await page.keyboard.press('Enter');
  await expect(widget.own).toHaveText(['One\nTwo']);
  await expect(widget.field).toBeFocused();
  await expect(agent.rows).toContainText('One');
  await page.keyboard.press('Escape');
  await expect(widget.window).toHaveCount(0);
  await expect(widget.bubble).toBeFocused();
});

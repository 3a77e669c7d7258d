import { addAgent } from '../accounts.ts';
import { axe, expect, test } from '../fixtures.ts';
import { Inbox } from '../inbox.ts';
import { Widget } from '../widget.ts';

/**
 * The shop's own skip link, which axe accepts while the widget is closed. Beside a link inside the widget's shadow root
 * axe no longer takes it for one: it compares the two by their place in the document, which shadow trees have not.
 */
const SHOP = ['.skip'];

test('axe looks when the widget has faded in', async ({ bellhop, owner, another }) => {
  void owner;
  const page = await (await another()).newPage();
  await page.goto(`${bellhop.url}/demo`);
  const widget = new Widget(page);
  await expect(widget.bubble).toBeVisible();
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Animation.enable');
  await devtools.send('Animation.setPlaybackRate', { playbackRate: 0.05 });
  await widget.bubble.evaluate((it) => (it as HTMLElement).click());
  await expect(widget.field).toBeFocused();
  expect(await axe(page)).toEqual([]);
});

for (const colorScheme of ['light', 'dark'] as const) {
  test.describe(colorScheme, () => {
    test.use({ colorScheme });

    test(`axe finds nothing in the widget (${colorScheme})`, async ({
      bellhop,
      owner,
      context,
      another,
      announced,
    }) => {
      announced.add('no network');
      const page = await (await another()).newPage();
      await page.goto(`${bellhop.url}/demo`);
      const widget = new Widget(page);
      await expect(widget.bubble).toBeVisible();
      expect(await axe(page), 'closed').toEqual([]);
      await widget.open();
      expect(await axe(page), 'open and empty, nobody there').toEqual([]);
      await widget.sent('Is the Pier chair in stock? See https://harbour.example/pier');
      await expect(widget.line).toBeVisible();
      expect(await axe(page, SHOP), 'waiting').toEqual([]);
      const agent = await Inbox.of(context, bellhop, owner);
      await agent.open('Is the Pier chair');
      await agent.reply('Yes, it is.');
      await expect(widget.messages.last()).toHaveText('Yes, it is.');
      await agent.field.pressSequentially('And');
      await expect(widget.typing).toBeVisible();
      expect(await axe(page, SHOP), 'with messages').toEqual([]);
      await agent.page.locator('body').press('Escape');
      await agent.page.getByRole('button', { name: /Resolve/ }).click();
      await expect(widget.window).toContainText('Settled');
      await bellhop.kill9();
      await widget.say('Still there?');
      await expect(widget.line).toContainText('Reconnecting');
      expect(await axe(page, SHOP), 'settled, reconnecting').toEqual([]);
    });

    test(`axe finds nothing in the inbox (${colorScheme})`, async ({
      page,
      bellhop,
      owner,
      context,
      another,
      announced,
    }) => {
      announced.add('410 /api/v1/setup/look').add('401 /api/v1/login');
      await page.goto(`${bellhop.url}/setup#dead`);
      await expect(page.getByText('This set-up link is no longer good')).toBeVisible();
      expect(await axe(page), 'dead link').toEqual([]);
      await page.goto(`${bellhop.url}/login`);
      await expect(page.getByRole('button', { name: 'Log in' })).toBeVisible();
      expect(await axe(page), 'log-in').toEqual([]);
      await page.getByLabel('E-mail').fill('nobody@example.com');
      await page.getByLabel('Password').fill('not a password');
      await page.getByRole('button', { name: 'Log in' }).click();
      await expect(page.getByText('E-mail and password do not match.')).toBeVisible();
      expect(await axe(page), 'log-in failed').toEqual([]);

      const amir = await addAgent(bellhop, owner);
      const agent = await Inbox.of(context, bellhop, owner);
      expect(await axe(agent.page), 'empty list').toEqual([]);
      const visitor = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
      await visitor.sent('Hello');
      await expect(agent.rows).toHaveCount(1);
      expect(await axe(agent.page), 'list').toEqual([]);
      await agent.open('Hello');
      await agent.reply('Good day');
      await agent.note('Seems friendly');
      await expect(agent.notes).toHaveCount(1);
      await Inbox.of(await another(), bellhop, amir);
      expect(await axe(agent.page), 'conversation').toEqual([]);
      await agent.page.locator('body').press('Escape');
      await agent.page.getByRole('button', { name: 'Details', exact: true }).click();
      await expect(agent.page.getByRole('complementary', { name: 'Details' })).toBeVisible();
      expect(await axe(agent.page), 'details').toEqual([]);
      for (const [key, name] of [
        ['Control+k', 'Commands'],
        ['a', 'Assign to'],
        ['?', 'Keyboard shortcuts'],
      ] as const) {
        await agent.page.keyboard.press(key);
        await expect(agent.page.getByRole('dialog', { name })).toBeVisible();
        expect(await axe(agent.page), name).toEqual([]);
        await agent.page.keyboard.press('Escape');
        await expect(agent.page.getByRole('dialog')).toHaveCount(0);
      }
      await agent.page.keyboard.press('e');
      await expect(agent.toast).toBeVisible();
      expect(await axe(agent.page), 'resolved, with its way back').toEqual([]);
      await agent.page.getByRole('link', { name: 'Settings' }).click();
      await expect(agent.page.getByText(amir.email)).toBeVisible();
      expect(await axe(agent.page), 'settings').toEqual([]);
    });
  });
}

// Every view as a picture, in target/e2e-artefacts/views, for people to look at. What can be measured is: nothing is
// wider than its window.
import type { Page } from '@playwright/test';
import { addAgent, setUp } from '../accounts.ts';
import { expect, picture, test } from '../fixtures.ts';
import { Inbox } from '../inbox.ts';
import { Widget } from '../widget.ts';

const SIZES = [
  { width: 1920, height: 1080 },
  { width: 1280, height: 800 },
  { width: 768, height: 1024 },
  { width: 360, height: 740 },
];

const LONG =
  'I bought two of the Pier chairs in March and one of them has begun to creak at the back left leg when somebody leans to the side. The other one is fine. I would rather have it repaired than sent back, if the workshop does that, and I can bring it by myself on most Saturdays.';

for (const colorScheme of ['light', 'dark'] as const) {
  test.describe(colorScheme, () => {
    test.use({ colorScheme });

    test(`each view is drawn at each size, and none is wider than its window (${colorScheme})`, async ({
      page,
      bellhop,
      context,
      another,
      announced,
    }) => {
      announced.add('no network');
      test.setTimeout(150_000);
      const wide: string[] = [];
      const shots = async (of: Page, name: string) => {
        for (const size of SIZES) {
          await of.setViewportSize(size);
          await picture(of, `${name}-${size.width}-${colorScheme}`);
          const over = await of.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          if (over > 0) wide.push(`${name} at ${size.width}: ${over} px`);
        }
        await of.setViewportSize({ width: 1280, height: 800 });
      };

      await page.goto(bellhop.setupLink);
      await expect(page.getByRole('heading', { name: 'Set up Bellhop' })).toBeVisible();
      await shots(page, 'inbox-setup');
      const owner = await setUp(bellhop);
      const amir = await addAgent(bellhop, owner);
      await page.goto(`${bellhop.url}/login`);
      await expect(page.getByRole('button', { name: 'Log in' })).toBeVisible();
      await shots(page, 'inbox-login');

      const visiting = await (await another()).newPage();
      await visiting.goto(`${bellhop.url}/demo`);
      const visitor = new Widget(visiting);
      await expect(visitor.bubble).toBeVisible();
      await shots(visiting, 'widget-closed');
      const agent = await Inbox.of(context, bellhop, owner);
      await shots(agent.page, 'inbox-empty');
      await visitor.open();
      await expect(visitor.window).toContainText('is here');
      await shots(visiting, 'widget-open');
      await agent.page.close();

      await visitor.sent('Good evening. Is somebody there?');
      await expect(visitor.line).toContainText('waits');
      await shots(visiting, 'widget-queue');

      const crowd: [string, string][] = [
        ['Do you deliver to the islands?', 'We do, twice a week.'],
        ['My lamp came without a bulb', ''],
        [LONG, ''],
      ];
      const olive = await Inbox.of(context, bellhop, owner);
      await Inbox.of(await another(), bellhop, amir);
      for (const [words, answer] of crowd) {
        const other = await Widget.opened(await (await another()).newPage(), `${bellhop.url}/demo`);
        await other.sent(words);
        if (answer === '') continue;
        await olive.page.getByRole('link', { name: /All open/ }).click();
        await olive.open(words.slice(0, 30));
        await olive.reply(answer);
        await olive.page.keyboard.press('Escape');
      }
      await olive.page.getByRole('link', { name: /All open/ }).click();
      await expect(olive.rows).toHaveCount(4);
      await olive.open('Good evening');
      await olive.reply('Good evening. I am. How can I help?');
      await expect(visitor.messages.last()).toHaveText('Good evening. I am. How can I help?');
      await visitor.sent(LONG);
      await olive.note('Bought in March, so the two years are not over. Workshop: Lindqvist.');
      await olive.reply('They do. Bring it on Saturday before noon: https://harbour.example/workshop');
      await expect(visitor.messages.last()).toContainText('Saturday before noon');
      await visitor.sent('Perfect, thank you');
      await olive.field.pressSequentially('You are wel');
      await expect(visitor.typing).toBeVisible();
      await shots(visiting, 'widget-conversation');
      await olive.page.getByText('Draft kept').waitFor();
      await shots(olive.page, 'inbox-conversation');
      await olive.page.getByRole('tab', { name: 'Note' }).click();
      await olive.field.fill('Ask the workshop about leg joints.');
      await shots(olive.page, 'inbox-note');
      await olive.page.keyboard.press('Escape');
      await olive.page.keyboard.press('Control+k');
      await expect(olive.page.getByRole('dialog')).toBeVisible();
      await shots(olive.page, 'inbox-palette');
      await olive.page.keyboard.press('Escape');
      // From the smallest up: on the way down the details fold by themselves.
      await olive.page.setViewportSize({ width: 360, height: 740 });
      await olive.page.getByRole('button', { name: 'Details', exact: true }).click();
      for (const size of SIZES.toReversed()) {
        await olive.page.setViewportSize(size);
        await expect(olive.page.getByRole('complementary', { name: 'Details' })).toBeVisible();
        await picture(olive.page, `inbox-details-${size.width}-${colorScheme}`);
      }
      await olive.page.goto(`${bellhop.url}/inbox/open`);
      await expect(olive.rows).toHaveCount(4);
      await shots(olive.page, 'inbox-list');
      await olive.page.getByRole('link', { name: 'Settings' }).click();
      await expect(olive.page.getByText(amir.email)).toBeVisible();
      for (const size of SIZES) {
        await olive.page.setViewportSize(size);
        await picture(olive.page, `inbox-settings-${size.width}-${colorScheme}`, true);
      }
      await olive.page.close();

      await bellhop.kill9();
      await visitor.say('And the other chair?');
      await expect(visitor.line).toContainText('Reconnecting');
      await shots(visiting, 'widget-offline');
      expect(wide).toEqual([]);
    });
  });
}

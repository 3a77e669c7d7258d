// The widget on a page, as a visitor uses it.
import { expect, type Locator, type Page } from '@playwright/test';

export class Widget {
  readonly page: Page;
  readonly bubble: Locator;
  readonly window: Locator;
  readonly field: Locator;
  /** Every message shown, greeting included. */
  readonly messages: Locator;
  /** The visitor's own. */
  readonly own: Locator;
  /** "Sending…", "Sent", "Read" under the last of one's own. */
  readonly state: Locator;
  /** The calm line over the composer. */
  readonly line: Locator;
  /** Somebody of the team types. */
  readonly typing: Locator;

  constructor(page: Page) {
    this.page = page;
    // In an open shadow root, which locators pierce.
    this.bubble = page.locator('button.bubble');
    this.window = page.locator('.window[role=dialog]');
    this.field = this.window.getByRole('textbox', { name: 'Write a message' });
    this.messages = this.window.locator('.group > .text:not(.dots)');
    this.own = this.window.locator('.group.own > .text');
    this.state = this.window.locator('.group.own > .state').last();
    this.line = this.window.locator('[role=status] .line');
    this.typing = this.window.locator('.dots');
  }

  /** Goes to a page that carries the widget, and opens it. */
  static async opened(page: Page, url: string): Promise<Widget> {
    await page.goto(url);
    const widget = new Widget(page);
    await widget.open();
    return widget;
  }

  async open(): Promise<void> {
    await this.bubble.click();
    await expect(this.field).toBeFocused();
  }

  /** Writes and presses Enter. */
  async say(text: string): Promise<void> {
    await this.field.fill(text);
    await this.field.press('Enter');
    await expect(this.field).toHaveValue('');
  }

  /** Writes, and waits until the server has it. */
  async sent(text: string): Promise<void> {
    await this.say(text);
    await expect(this.own.last()).toHaveText(text);
    await expect(this.state).toContainText(/Sent|Read/);
  }
}

/** "Maya", "Maya and Jonas", "Maya, Jonas and Lea". */
const join = (names: string[]): string => new Intl.ListFormat('en').format(names);

/** Every word of the chat. `dir` and `locale` steer layout and dates. */
export const words = {
  locale: 'en',
  dir: 'ltr' as 'ltr' | 'rtl',
  open: 'Open the chat',
  openUnread: (count: number) => `Open the chat, ${count} unread`,
  close: 'Close the chat',
  title: (name: string) => `Chat with ${name}`,
  answersIn: (name: string, minutes: number) =>
    minutes <= 1 ? `${name} answers in about a minute` : `${name} answers in about ${minutes} minutes`,
  here: (names: string[]) => `${join(names)} ${names.length > 1 ? 'are' : 'is'} here`,
  nobody: 'Nobody is here now. Answers will appear here.',
  log: 'Messages',
  write: 'Write a message',
  send: 'Send',
  you: 'You',
  sending: 'Sending…',
  sent: 'Sent',
  read: 'Read',
  notSent: 'Not sent',
  again: 'Try again',
  joined: (name: string, time: string) => `${name} · joined ${time}`,
  resolved: (time: string) => `Settled ${time}. Write again if anything is left.`,
  typing: (name: string) => `${name} is typing`,
  newMessages: (count: number) => (count === 1 ? '1 new message' : `${count} new messages`),
  earlier: 'Loading earlier messages…',
  tooLong: 'This is too long for one message. Please split it.',
  offline: 'You are offline.',
  reconnecting: 'Reconnecting.',
  kept: 'Your message is kept and goes out by itself.',
  keepsWriting: 'What you write is kept and goes out by itself.',
  tryNow: 'Try now',
  unavailable: 'The chat is not available here at the moment. What you wrote is kept.',
  reload: 'Please reload the page to go on. What you wrote is kept.',
  next: 'You are next in line.',
  inLine: (place: number) => `You are number ${place} in line.`,
  waits: 'Nobody is here now. Your message waits in line; answers will appear here.',
  closed: 'This conversation is over. Writing begins a new one.',
  past: 'Past conversations',
  back: 'Back',
  open_: 'Open',
  done: 'Settled',
  failedPart: 'This could not be loaded. Your messages are safe.',
};

export type Words = typeof words;

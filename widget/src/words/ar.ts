import type { Words } from './en.ts';

/** Arabic counts in six ways; these are the ones that its plural rules name. */
const plural = new Intl.PluralRules('ar');

export const words: Words = {
  locale: 'ar',
  dir: 'rtl',
  open: 'دردشة',
  openUnread: (count) => `دردشة، غير مقروء: ${count}`,
  close: 'إغلاق المحادثة',
  title: (name) => `محادثة مع ${name}`,
  answersIn: (name, minutes) => `الرد من ${name} خلال نحو ${minutes} د`,
  here: (names) => `${new Intl.ListFormat('ar').format(names)} هنا الآن`,
  nobody: 'لا أحد هنا الآن. ستظهر الردود هنا.',
  log: 'الرسائل',
  write: 'اكتب رسالة',
  send: 'إرسال',
  you: 'أنت',
  sending: 'جارٍ الإرسال…',
  sent: 'أُرسلت',
  read: 'قُرئت',
  notSent: 'لم تُرسل',
  again: 'إعادة المحاولة',
  joined: (name, time) => `${name} · انضمّ ${time}`,
  resolved: (time) => `انتهى الأمر ${time}`,
  typing: (name) => `${name} يكتب`,
  newMessages: (count) =>
    ({ one: 'رسالة جديدة', two: 'رسالتان جديدتان', few: `${count} رسائل جديدة` })[plural.select(count) as string] ??
    `${count} رسالة جديدة`,
  earlier: 'جارٍ تحميل الرسائل السابقة…',
  tooLong: 'النص أطول من رسالة واحدة. يُرجى تقسيمه.',
  offline: 'أنت غير متصل.',
  reconnecting: 'جارٍ إعادة الاتصال.',
  kept: 'رسائلك محفوظة وستُرسل تلقائيًا.',
  tryNow: 'حاول الآن',
  unavailable: 'المحادثة غير متاحة هنا حاليًا. ما كتبته محفوظ.',
  reload: 'يُرجى إعادة تحميل الصفحة للمتابعة. ما كتبته محفوظ.',
  next: 'دورك هو التالي.',
  inLine: (place) => `رقمك في الانتظار ${place}.`,
  waits: 'لا أحد هنا الآن. رسالتك في الانتظار وستظهر الردود هنا.',
  closed: 'انتهت هذه المحادثة. الكتابة تبدأ محادثة جديدة.',
  past: 'المحادثات السابقة',
  back: 'رجوع',
  open_: 'مفتوحة',
  done: 'منتهية',
};

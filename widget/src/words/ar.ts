import type { Words } from './en.ts';

export const words: Words = {
  locale: 'ar',
  dir: 'rtl',
  open: 'دردشة',
  openUnread: (count) => `دردشة، غير مقروء: ${count}`,
  close: 'إغلاق المحادثة',
  answersIn: (name, minutes) => `يرد ${name} خلال نحو ${minutes} د`,
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
  // One, two, a few (3 to 10 of each hundred), many.
  newMessages: (count) => {
    if (count === 1) return 'رسالة جديدة';
    if (count === 2) return 'رسالتان جديدتان';
    const few = count % 100 > 2 && count % 100 < 11;
    return `${count} ${few ? 'رسائل' : 'رسالة'} جديدة`;
  },
  earlier: 'جارٍ تحميل الرسائل السابقة…',
  tooLong: 'النص طويل جدًا. يُرجى تقسيمه.',
  offline: 'أنت غير متصل.',
  reconnecting: 'جارٍ إعادة الاتصال.',
  kept: 'رسائلك محفوظة وستُرسل تلقائيًا.',
  unavailable: 'المحادثة غير متاحة الآن.',
  reload: 'يُرجى إعادة تحميل الصفحة.',
  stays: 'ما كتبته محفوظ.',
  next: 'دورك هو التالي.',
  inLine: (place) => `رقمك في الانتظار ${place}.`,
  waits: 'رسالتك محفوظة. ستظهر الردود هنا.',
  closed: 'انتهت هذه المحادثة. الكتابة تبدأ محادثة جديدة.',
  past: 'المحادثات السابقة',
  back: 'رجوع',
  open_: 'مفتوحة',
  done: 'منتهية',
};

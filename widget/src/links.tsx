import { h, type VNode } from 'preact';

/** Only what begins with http(s)://; anything else that could be an address stays text. */
const LINK = /https?:\/\/[^\s<>"]+/gi;

/** Text with its addresses clickable: elements and text nodes, never markup. */
export function linked(text: string): (string | VNode)[] {
  const out: (string | VNode)[] = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(LINK)) {
    // A full stop or bracket after an address belongs to the sentence.
    const address = found.replace(/[.,;:!?'")\]}…]+$/, '');
    out.push(
      text.slice(end, index),
      <a href={address} target="_blank" rel="noopener nofollow ugc">
        {address}
      </a>,
    );
    end = index + address.length;
  }
  out.push(text.slice(end));
  return out;
}

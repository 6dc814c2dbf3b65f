// Says the page's sentences in another language. The page itself is English: what has no
// translation stays as it is, and so does whatever stands under translate="no".
const ATTRIBUTES = ['placeholder', 'aria-label', 'title'];
const SKIPPED = 'script, style, textarea, code, [translate="no"], [contenteditable]';
const CHOICE = 'input[role="combobox"]';
const VALUE = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value');
const LONGEST = 900, KEPT = 3000, SURE = 11;
const spoken = new WeakMap(), dressed = new WeakSet(), known = new Map();
let exact = new Map(), patterns = [], space = ' ';

// A place {} or {name} of a sentence stands for any text; in one that begins with it and has few
// words of its own, for a number or a name, or it would be seen in sentences that it is not.
const toPattern = ([english, words]) => {
  const parts = english.split(/\{\w*\}/);
  const own = parts.join('').length;
  const name = own >= SURE || parts[0] ? '(.*?)' : '(\\S+(?: [kMG]i?B)?)';
  const place = words.includes('{#}') ? '([\\d.,]+)' : name;
  const fixed = parts.map((part) => part.replace(/[.*+?^$()|[\]\\{}]/g, '\\$&'));
  const sign = parts.reduce((a, b) => (b.length > a.length ? b : a));
  return { own, sign, words, regex: new RegExp(`^${fixed.join(place)}$`, 's') };
};
// In a translation {} is the next of these texts, {2} the second, {=} or {2=} one that is translated
// itself, and {#} one that is a number.
const fill = (words, match) => {
  let next = 0;
  return words.replace(/\{(\d?)([=#]?)\w*\}/g, (_, number, kind) => {
    const text = match[number || (next += 1)];
    return kind === '=' ? find(text) ?? text : text;
  });
};
const byPattern = (words) => {
  for (const { sign, regex, words: put } of words.length > LONGEST ? [] : patterns) {
    const match = words.includes(sign) && regex.exec(words);
    if (match) return fill(put, match);
  }
  return undefined;
};
// What stands between marks, and sentences one after another, are translated by themselves.
const byParts = (parts, join) => {
  const said = parts.length > 1 ? parts.map(find) : [];
  return said.some(Boolean) ? said.map((part, i) => part ?? parts[i]).join(join) : undefined;
};
const find = (words) => {
  if (known.has(words)) return known.get(words);
  if (known.size > KEPT) known.clear();
  const found = exact.get(words) ?? byPattern(words) ?? byParts(words.split(' · '), ' · ')
    ?? byParts(words.replace(/([.!?…]) /g, '$1\0').split('\0'), space)
    ?? byParts(words.split(': '), ': ');
  known.set(words, found);
  return found;
};
const say = (english) => {
  const words = english.trim(), found = words && find(words);
  return found ? english.replace(words, () => found) : english;
};
// What was said before is told from what the page wrote since by comparing it.
const once = (holder, key, now, put) => {
  const said = spoken.get(holder) ?? {};
  const english = said[key]?.shown === now ? said[key].english : now;
  const shown = say(english);
  spoken.set(holder, { ...said, [key]: { english, shown } });
  if (shown !== now) put(shown);
};
// A picker writes its choice into a field and reads it back: it gets the English that it wrote,
// unless somebody typed over the words that are shown.
const dress = (input) => {
  if (!dressed.has(input)) {
    let english = input.value, shown = english;
    dressed.add(input);
    Object.defineProperty(input, 'value', {
      configurable: true,
      get: () => { const now = VALUE.get.call(input); return now === shown ? english : now; },
      set: (text) => { english = text; shown = say(String(text ?? '')); VALUE.set.call(input, shown); },
    });
  }
  input.value = input.value;
};
const read = (node) => {
  if (node.nodeType === Node.TEXT_NODE) {
    if (!node.parentElement?.closest(SKIPPED)) once(node, 'text', node.data, (text) => { node.data = text; });
    return;
  }
  if (node.nodeType !== Node.ELEMENT_NODE) return;
  if (!node.closest('[translate="no"]')) {
    for (const name of ATTRIBUTES) {
      if (node.hasAttribute(name)) once(node, name, node.getAttribute(name), (text) => node.setAttribute(name, text));
    }
    if (node.matches(CHOICE)) dress(node);
  }
  node.childNodes.forEach(read);
};
const take = () => {
  const told = element.querySelector('[data-language]');
  if (!told) return;
  const entries = Object.entries(JSON.parse(told.dataset.words || '{}'));
  const isNew = entries.length || exact.size;
  exact = new Map(entries.filter(([english]) => !/\{\w*\}/.test(english)));
  patterns = entries.filter(([english]) => /\{\w*\}/.test(english)).map(toPattern).sort((a, b) => b.own - a.own);
  known.clear();
  space = told.dataset.language === 'zh' ? '' : ' ';
  document.documentElement.lang = told.dataset.language;
  if (isNew) read(document.body);
};
new MutationObserver((changes) => {
  if (!exact.size) return;
  for (const { target, addedNodes, type } of changes) {
    if (type === 'childList') addedNodes.forEach(read);
    else if (type === 'characterData') read(target);
    else for (const name of ATTRIBUTES) {
      if (target.hasAttribute(name) && !target.closest('[translate="no"]')) once(target, name, target.getAttribute(name), (text) => target.setAttribute(name, text));
    }
  }
}).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES });
window.atelierSpeak = () => trigger('tick');
watch('value', take);
take();

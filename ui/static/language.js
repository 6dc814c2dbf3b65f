// Says the page's sentences in another language. The page itself is English: what has no
// translation stays as it is, and so does whatever stands under translate="no".
const ATTRIBUTES = ['placeholder', 'aria-label', 'title'];
const SKIPPED = 'script, style, textarea, code, [translate="no"], [contenteditable]';
const spoken = new WeakMap();
let exact = new Map(), patterns = [];

// A place {} or {name} stands for any text; the translation has as many, in the same order.
const toPattern = ([english, words]) => [
  new RegExp(`^${english.split(/\{\w*\}/).map((part) => part.replace(/[.*+?^$()|[\]\\{}]/g, '\\$&')).join('(.+)')}$`, 's'),
  words.split(/\{\w*\}/),
];
const say = (english) => {
  const words = english.trim();
  if (!words) return english;
  let found = exact.get(words);
  for (const [pattern, parts] of found === undefined ? patterns : []) {
    const match = pattern.exec(words);
    if (match) { found = parts.map((part, i) => part + (match[i + 1] ?? '')).join(''); break; }
  }
  return found === undefined ? english : english.replace(words, () => found);
};
// What was said before is told from what the page wrote since by comparing it.
const once = (holder, key, now, put) => {
  const said = spoken.get(holder) ?? {};
  const english = said[key]?.shown === now ? said[key].english : now;
  const shown = say(english);
  spoken.set(holder, { ...said, [key]: { english, shown } });
  if (shown !== now) put(shown);
};
const read = (node) => {
  if (node.nodeType === Node.TEXT_NODE) {
    if (!node.parentElement?.closest(SKIPPED)) once(node, 'text', node.data, (text) => { node.data = text; });
    return;
  }
  if (node.nodeType !== Node.ELEMENT_NODE) return;
  if (!node.closest('[translate="no"]')) for (const name of ATTRIBUTES) {
    if (node.hasAttribute(name)) once(node, name, node.getAttribute(name), (text) => node.setAttribute(name, text));
  }
  node.childNodes.forEach(read);
};
const take = () => {
  const told = element.querySelector('[data-language]');
  if (!told) return;
  const entries = Object.entries(JSON.parse(told.dataset.words || '{}'));
  exact = new Map(entries.filter(([english]) => !/\{\w*\}/.test(english)));
  patterns = entries.filter(([english]) => /\{\w*\}/.test(english)).map(toPattern);
  document.documentElement.lang = told.dataset.language;
  read(document.body);
};
new MutationObserver((changes) => {
  if (!exact.size && !patterns.length) return;
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

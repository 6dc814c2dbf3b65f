// Arrow keys in an empty or untouched prompt walk through the prompts of earlier days, as in a shell.
let prompts = [], place = -1, draft = '';
const read = () => {
  const text = element.querySelector('[data-prompts]')?.dataset.prompts;
  if (text) prompts = JSON.parse(text);
};
const box = (event) => event.target.matches?.('.z-prompt textarea') ? event.target : null;
const show = (field, text) => {
  Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set.call(field, text);
  field.dispatchEvent(new InputEvent('input', { bubbles: true, data: 'earlier' }));
  field.setSelectionRange(0, 0);
};
const shown = () => (place < 0 ? draft : prompts[place]);
const walk = (event) => {
  const field = box(event);
  const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (!field || !step || event.shiftKey || event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
  // Elsewhere the keys move between lines, as they do everywhere.
  if (field.selectionStart !== 0 || field.selectionEnd !== 0) return;
  if (field.value !== shown()) { place = -1; draft = field.value; }
  const next = place + step;
  if (next < -1 || next >= prompts.length) return;
  event.preventDefault();
  place = next;
  show(field, shown());
};
const remember = (event) => {
  if (!event.target.closest?.('.z-generate')) return;
  for (const field of document.querySelectorAll('.z-prompt textarea')) {
    if (field.offsetParent === null || !field.value.trim()) continue;
    prompts = [field.value, ...prompts.filter((prompt) => prompt !== field.value)];
  }
  place = -1;
};
document.addEventListener('keydown', walk, true);
document.addEventListener('click', remember, true);
watch('value', read);
read();

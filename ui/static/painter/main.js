// The painter: joins the parts, keeps the toolbar true, and sends what was painted.

const MOST_UNDO_BYTES = 32 * 2 ** 20;
const MOST_PIXELS = 32_000_000;
const LARGEST_BRUSH = 1024;
const SIDES = ['left', 'top', 'right', 'bottom'];
const find = (selector) => element.querySelector(selector);
const every = (selector) => [...element.querySelectorAll(selector)];
const root = find('.painter'), area = find('.area'), note = find('[data-note]'), share = find('[data-share]');

const scene = {
  picture: null, name: '', width: 1, height: 1, extend: [0, 0, 0, 0],
  layers: [null, null, null, null], colours, painted: [], active: 0, prompts: ['', '', '', ''],
  tool: 'brush', erase: false, size: 64, sized: false, soft: 0, spaceHeld: false,
  mask() { return (this.layers[this.active] ??= newMask(this.width, this.height)); },
};
const history = newHistory(MOST_UNDO_BYTES), keeper = newKeeper(`${tab} ${window.atelierIdentity().split(' ')[1]}`);
let before = null, uploading = null, announced = '', savingSoon = 0, loads = 0;

// What the active layer was before the gesture that is under way.
const remember = () => { before = scene.layers[scene.active]?.data.slice() ?? null; };
const beforeAs = (mask) => ({ ...mask, data: before ?? new Uint8Array(mask.data.length) });
const changed = (found) => {
  const mask = scene.mask();
  if (isEmpty(found)) { scene.showMarks(null); return; }
  say('');
  history.note(scene.active, found, copyOf(beforeAs(mask), found));
  if (before) putBack({ ...mask, data: before }, found, copyOf(mask, found));
  else remember();
  heedChange(found);
};
scene.takeBack = (found) => {
  if (isEmpty(found)) { scene.showMarks(null); return; }
  const mask = scene.mask();
  putBack(mask, found, copyOf(beforeAs(mask), found));
  scene.view.redraw(found);
};
const heedChange = (found) => {
  scene.view.redraw(found);
  scene.showMarks(null);
  tell();
  saveSoon();
};
const alter = (change) => changed(change(scene.mask()));
const step = (way) => {
  const done = history[way](scene.layers);
  if (!done) return;
  chooseLayer(done.layer);
  heedChange(done.area);
};

scene.view = newView(area, scene);
const tools = newTools(scene, changed), marks = newMarks(find('.area > svg'), scene, tools);
scene.pointAt = marks.pointAt;
scene.showMarks = marks.show;
scene.drawn = () => {
  const { x, y, scale } = scene.view.place;
  find('[data-zoom]').textContent = `${Math.round(scale * 100)} %`;
  area.dataset.view = JSON.stringify([x, y, scale]);
};
heedPointers(area, scene, tools);

// The toolbar
const setTool = (tool, erase = scene.erase) => {
  Object.assign(scene, { tool, erase });
  refresh();
};
const setSize = (size) => {
  Object.assign(scene, { size: Math.min(LARGEST_BRUSH, Math.max(1, Math.round(size) || 1)), sized: true });
  refresh();
  scene.showMarks(null);
};
const chooseLayer = (layer) => {
  scene.active = layer;
  remember();
  refresh();
};
const amount = () => Math.min(64, Math.max(1, Number(find('[data-field="amount"]').value) || 1));
const acts = {
  brush: () => setTool('brush'), lasso: () => setTool('lasso'), box: () => setTool('box'), hand: () => setTool('hand'),
  erase: () => setTool(scene.tool, !scene.erase),
  undo: () => step('undo'), redo: () => step('redo'),
  all: () => alter((mask) => fillBox(mask, { x: 0, y: 0 }, { x: mask.width, y: mask.height }, false)),
  invert: () => alter(invert),
  grow: () => alter((mask) => spread(mask, amount(), false)), shrink: () => alter((mask) => spread(mask, amount(), true)),
  clear: () => alter((mask) => { const found = inked(mask); mask.data.fill(0); return found; }),
  in: () => scene.view.zoom(1.25), out: () => scene.view.zoom(0.8), fit: () => scene.view.fit(), exact: () => scene.view.exact(),
  save: () => saveMask(), remove: () => removePicture(),
};
const KEYS = {
  b: () => setTool('brush', false), e: () => setTool('brush', true), l: acts.lasso, r: acts.box, h: acts.hand, x: acts.erase,
  '[': () => setSize(scene.size / 1.25), ']': () => setSize(Math.max(scene.size + 1, scene.size * 1.25)), i: acts.invert,
  g: acts.grow, s: acts.shrink, delete: acts.clear, backspace: acts.clear,
  '+': acts.in, '=': acts.in, '-': acts.out, 0: acts.fit, 1: () => chooseLayer(0), 2: () => chooseLayer(1),
  3: () => chooseLayer(2), 4: () => chooseLayer(3), 9: acts.exact,
};
const COMMANDS = { z: acts.undo, y: acts.redo, a: acts.all };
heedKeys(area, scene, tools, (key, command, shift) => {
  const act = command ? COMMANDS[key === 'z' && shift ? 'y' : key] : KEYS[key];
  act?.();
  return Boolean(act);
});

element.addEventListener('click', ({ target }) => {
  const act = target.closest('[data-act]'), layer = target.closest('[data-layer]');
  if (act && !act.disabled) acts[act.dataset.act]();
  if (layer) chooseLayer(Number(layer.dataset.layer));
});
const fields = {
  size: (value) => setSize(value),
  soft: (value) => { scene.soft = Math.min(1, Math.max(0, value / 100)); },
  prompt: (_, text) => { scene.prompts[scene.active] = text; saveSoon(); },
  ...Object.fromEntries(SIDES.map((side, i) => [side, (value) => extend(scene.extend.with(i, value))])),
};
element.addEventListener('input', ({ target }) => {
  const heed = fields[target.dataset.field];
  if (heed && target.type !== 'file') heed(Number(target.value), target.value);
});
element.addEventListener('change', ({ target }) => {
  if (target.dataset.field === 'ratio') extendTo(target.value);
  const file = target.type === 'file' && target.files[0];
  if (!file) return;
  if (target.dataset.field === 'picture') openPicture(file);
  else loadMask(file, scene.active);
  target.value = '';
});

const refresh = () => {
  const [past, future] = history.counts;
  root.classList.toggle('blank', !scene.picture);
  area.dataset.tool = scene.tool;
  every('[data-tool]').forEach((one) => one.setAttribute('aria-pressed', String(one.dataset.tool === scene.tool)));
  find('[data-act="erase"]').setAttribute('aria-pressed', String(scene.erase));
  find('[data-act="undo"]').disabled = !past;
  find('[data-act="redo"]').disabled = !future;
  every('[data-layer]').forEach((one, i) => {
    one.setAttribute('aria-pressed', String(i === scene.active));
    one.classList.toggle('used', scene.painted.includes(i));
  });
  const write = (field, value) => every(`[data-field="${field}"]`).forEach((one) => {
    // What is being typed is left alone.
    if (one !== document.activeElement || one.type === 'range') one.value = value;
  });
  write('size', scene.size);
  write('prompt', scene.prompts[scene.active]);
  SIDES.forEach((side, i) => write(side, scene.extend[i]));
};

/** Tell the page when there begins or ceases to be something to paint. */
const announce = (state) => {
  const news = JSON.stringify(state);
  if (news === announced) return;
  announced = news;
  trigger('input', state);
};
/** Say how much is painted. */
const tell = () => {
  scene.painted = [0, 1, 2, 3].filter((i) => scene.layers[i] && isInked(scene.layers[i]));
  const { width, height, painted } = scene, [left, top, right, bottom] = scene.extend, wider = scene.extend.some(Boolean);
  const size = [`${width} × ${height}`];
  if (wider) size.push(`${width + left + right} × ${height + top + bottom}`);
  const told = painted.length ? words.painted.replace('{}', percent()) : wider ? words.extended : words.nothing;
  share.textContent = scene.picture ? `${size.join(' → ')} · ${told}` : '';
  announce({ picture: Boolean(scene.picture), painted: painted.length > 0, extended: wider });
  refresh();
};
const percent = () => ((100 * countPainted(union())) / (scene.width * scene.height)).toFixed(1);
/** Return all layers as one mask. */
const union = () => {
  const [first, ...others] = scene.painted.map((i) => scene.layers[i]);
  if (!first || !others.length) return first ?? null;
  const mask = { ...first, data: first.data.slice() };
  for (const { data } of others) for (let i = 0; i < data.length; i++) if (data[i] > mask.data[i]) mask.data[i] = data[i];
  return mask;
};

// Pictures and masks on their way in and out: from disk, clipboard, another tab, and to the server.

const say = (text, bad = false) => {
  note.textContent = text;
  note.classList.toggle('bad', bad);
};
/** Tell another component of this tab what field of the request it holds now. */
const hold = (field, value) => {
  document.dispatchEvent(new CustomEvent('atelier-hold', { detail: { tab, field, value } }));
};

// Extending
const extend = (sides) => {
  scene.extend = sides.map((side) => Math.min(4096, Math.max(0, Math.round(side) || 0)));
  scene.view.fit();
  tell();
  saveSoon();
};
/** Add what is missing to a shape like "16:9", by halves on both sides. */
const extendTo = (ratio) => {
  const [a, b] = ratio.split(':').map(Number), { width, height } = scene;
  if (!a || !b) { extend([0, 0, 0, 0]); return; }
  const wide = Math.max(0, Math.round((height * a) / b) - width), tall = Math.max(0, Math.round((width * b) / a) - height);
  extend([wide >> 1, tall >> 1, wide - (wide >> 1), tall - (tall >> 1)]);
};

// Pictures
const place = (picture, blob, name) => {
  scene.picture?.close();
  Object.assign(scene, { picture, name, blob, width: picture.width, height: picture.height });
  scene.layers.fill(null);
  scene.prompts.fill('');
  Object.assign(scene, { extend: [0, 0, 0, 0], active: 0 });
  // A brush that suits the picture, unless its size was chosen.
  if (!scene.sized) scene.size = Math.max(4, Math.round(Math.min(scene.width, scene.height) / 16));
  history.forget();
  remember();
  say('');
  hold('images', name ? JSON.stringify([name]) : '');
  scene.view.measure();
  scene.view.fit();
  tell();
};
const decode = async (blob) => {
  try {
    const picture = await createImageBitmap(blob);
    if (picture.width * picture.height <= MOST_PIXELS) return picture;
    say(words.large.replace('{}', `${picture.width} × ${picture.height}`), true);
    picture.close();
  } catch {
    say(words.unreadable, true);
  }
  return null;
};
/** Take a picture that the server does not have yet. */
const openPicture = async (file) => {
  const load = ++loads, picture = await decode(file);
  if (!picture || load !== loads) return;
  place(picture, file, '');
  keeper.keepPicture({ blob: file });
  savePainting();
  await bring();
};
/** Bring the picture to the server; return whether it is there. */
const bring = () => {
  const { blob } = scene, load = loads;
  const sending = (async () => {
    const { path } = await upload(blob instanceof File ? blob : new File([blob], 'picture', { type: blob.type }));
    const kept = await server.keep_picture({ path });
    if (load !== loads) return false;
    if (kept.error || kept.width !== scene.width || kept.height !== scene.height) {
      say(kept.error ?? words.unreadable, true);
      return false;
    }
    scene.name = kept.name;
    hold('images', JSON.stringify([kept.name]));
    savePainting();
    return true;
  })().catch(() => { say(words.unsent, true); return false; });
  uploading = sending.finally(() => { uploading = null; });
  return sending;
};
/** Take a picture that another tab sends, perhaps with masks: { url, name, masks, extend }. */
const arrive = async (sending) => {
  if (!sending?.url) return;
  const load = ++loads;
  try {
    const blob = await (await fetch(sending.url)).blob(), picture = await decode(blob);
    if (!picture || load !== loads) return;
    place(picture, blob, sending.name);
    keeper.keepPicture({ blob });
    for (const [i, { url, prompt }] of (sending.masks ?? []).entries()) {
      await loadMask(await (await fetch(url)).blob(), i);
      scene.prompts[i] = prompt;
    }
    extend(sending.extend ?? [0, 0, 0, 0]);
    chooseLayer(0);
    savePainting();
  } catch {
    say(words.unreadable, true);
  }
};
const removePicture = () => {
  loads++;
  scene.picture?.close();
  Object.assign(scene, { picture: null, name: '', blob: null, width: 1, height: 1, extend: [0, 0, 0, 0], painted: [] });
  scene.layers.fill(null);
  history.forget();
  hold('images', '');
  hold('regions', '');
  hold('extend', '[0,0,0,0]');
  props.value = '';
  say('');
  scene.view.redraw();
  tell();
  keeper.forget();
};

// Masks
const loadMask = async (blob, layer) => {
  try {
    const { mask, resized, found } = await readMask(blob, scene.width, scene.height);
    const sizes = [`${found.width} × ${found.height}`, `${scene.width} × ${scene.height}`];
    const fill = (text) => sizes.reduce((told, size) => told.replace('{}', size), text);
    if (!mask) { say(fill(words.misshapen), true); return; }
    chooseLayer(layer);
    const target = scene.mask();
    target.data.set(mask.data);
    changed(whole(target));
    say(resized ? fill(words.resized) : '');
  } catch {
    say(words.unreadable, true);
  }
};
const saveMask = async () => {
  const mask = union();
  if (!mask) { say(words.nothing, true); return; }
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(await encodePng(mask)), download: 'mask.png' });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};

// Keeping
const savePainting = () => {
  clearTimeout(savingSoon);
  if (!scene.picture) return;
  const { name, width, height, prompts } = scene, layers = scene.layers.map((mask) => mask && packRuns(mask.data));
  keeper.keepPainting({ name, width, height, layers, prompts: [...prompts], extend: [...scene.extend] });
};
const saveSoon = () => {
  clearTimeout(savingSoon);
  savingSoon = setTimeout(savePainting, 250);
};
const recall = async () => {
  const load = loads, kept = await keeper.recall();
  if (!kept || load !== loads) return;
  const picture = await decode(kept.picture.blob), { painting } = kept;
  if (!picture || load !== loads) return;
  place(picture, kept.picture.blob, painting.name);
  if (picture.width === painting.width && picture.height === painting.height) {
    const { width, height } = painting;
    scene.layers = painting.layers.map((runs) => runs && { width, height, data: unpackRuns(runs, width * height) });
    scene.prompts = painting.prompts;
    remember();
    extend(painting.extend);
  }
  if (!painting.name) await bring();
};

// Sending
const send = async (again = true) => {
  await uploading;
  if (!scene.name && !(await bring())) return false;
  const own = scene.painted.filter((i) => scene.prompts[i].trim());
  const masks = scene.painted.length ? [union(), ...own.map((i) => scene.layers[i])] : [];
  const pictures = await Promise.all(masks.map(async (mask) => dataUrl(await encodePng(mask))));
  const kept = await server.keep_masks({ picture: scene.name, masks: pictures });
  if (kept.missing) {
    scene.name = '';
    if (again && (await bring())) return send(false);
    if (!again) say(words.unsent, true);
    return false;
  }
  if (kept.error) { say(kept.error, true); return false; }
  const [mask = '', ...regions] = kept.masks;
  hold('regions', regions.length ? JSON.stringify(regions.map((name, i) => ({ prompt: scene.prompts[own[i]], mask: name }))) : '');
  hold('extend', JSON.stringify(scene.extend));
  hold('images', JSON.stringify([scene.name]));
  props.value = mask;
  return true;
};
// The buttons that begin a job wait until the server has what was painted.
let sending = false, passing = false;
document.addEventListener('click', async (event) => {
  const button = event.target.closest?.('.z-generate, .z-compare');
  if (!button || passing || button.closest('.z-tab') !== element.closest('.z-tab')) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const lacking = !scene.picture ? words.missing : !scene.painted.length && !scene.extend.some(Boolean) ? words.unpainted : '';
  if (lacking) {
    say(lacking, true);
    root.scrollIntoView({ block: 'nearest' });
  }
  if (sending || lacking) return;
  sending = true;
  say(words.sending);
  const done = await send().catch(() => { say(words.unsent, true); return false; });
  sending = false;
  if (note.textContent === words.sending) say('');
  passing = done;
  if (done) button.click();
  passing = false;
}, true);

// Dropping and pasting
for (const kind of ['dragover', 'dragleave', 'drop']) {
  element.addEventListener(kind, (event) => {
    event.preventDefault();
    root.classList.toggle('over', kind === 'dragover');
    const file = kind === 'drop' && event.dataTransfer.files[0];
    if (file) openPicture(file);
  });
}
document.addEventListener('paste', (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith('image/'));
  // Every tab of the page hears of it; the one that is seen is meant.
  if (!file || !area.offsetParent) return;
  event.preventDefault();
  openPicture(file);
});

watch('picture', () => arrive(props.picture));
tell();
if (props.picture?.url) arrive(props.picture);
else recall();

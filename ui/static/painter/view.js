// What is seen: the picture and the painted areas over it, at any zoom.

const MOST_ZOOM = 32;
const MARGIN = 10;
const COVER = 150;

/** Shows `scene` ({ picture, width, height, extend, layers, colours }) in `area`. */
const newView = (area, scene) => {
  const [below, above] = ['picture', 'ink'].map((name) => area.querySelector(`[data-canvas="${name}"]`));
  const floor = below.getContext('2d'), ink = above.getContext('2d');
  const view = { scale: 1, x: 0, y: 0 };
  let width = 0, height = 0, ratio = 1, fitted = true, stale = null, waiting = false;

  const world = () => {
    const [left, top, right, bottom] = scene.extend;
    return { x: -left, y: -top, width: scene.width + left + right, height: scene.height + top + bottom };
  };
  const fitScale = () => {
    const { width: w, height: h } = world();
    return Math.max(0.01, Math.min((width - 2 * MARGIN) / w, (height - 2 * MARGIN) / h));
  };
  const place = (scale, x, y) => {
    Object.assign(view, { scale, x, y });
    stale = 'all';
    redraw();
  };
  const fit = () => {
    const { x, y, width: w, height: h } = world(), scale = Math.min(fitScale(), MOST_ZOOM);
    fitted = true;
    place(scale, (width - w * scale) / 2 - x * scale, (height - h * scale) / 2 - y * scale);
  };
  /** Keep a part of the picture in sight, wherever it is pushed. */
  const held = (scale, x, y) => {
    const { x: wx, y: wy, width: w, height: h } = world(), edge = 40;
    return [
      Math.min(width - edge - wx * scale, Math.max(edge - (wx + w) * scale, x)),
      Math.min(height - edge - wy * scale, Math.max(edge - (wy + h) * scale, y)),
    ];
  };
  const zoom = (factor, at = { x: width / 2, y: height / 2 }) => {
    const least = Math.min(fitScale() / 2, 1), scale = Math.min(MOST_ZOOM, Math.max(least, view.scale * factor));
    fitted = false;
    const grown = scale / view.scale;
    place(scale, ...held(scale, at.x - (at.x - view.x) * grown, at.y - (at.y - view.y) * grown));
  };
  const pan = (dx, dy) => {
    fitted = false;
    place(view.scale, ...held(view.scale, view.x + dx, view.y + dy));
  };

  const drawPicture = () => {
    floor.setTransform(ratio, 0, 0, ratio, 0, 0);
    floor.clearRect(0, 0, width, height);
    if (!scene.picture) return;
    const { x, y, width: w, height: h } = world(), s = view.scale;
    drawNewGround(x * s + view.x, y * s + view.y, w * s, h * s);
    floor.fillStyle = '#fff';
    floor.fillRect(view.x, view.y, scene.width * s, scene.height * s);
    floor.imageSmoothingEnabled = s * ratio < 3;
    floor.imageSmoothingQuality = 'high';
    floor.drawImage(scene.picture, view.x, view.y, scene.width * s, scene.height * s);
  };
  const drawNewGround = (x, y, w, h) => {
    if (!scene.extend.some(Boolean)) return;
    floor.save();
    floor.beginPath();
    floor.rect(x, y, w, h);
    floor.clip();
    floor.fillStyle = 'rgb(148 163 184 / 0.25)';
    floor.fillRect(x, y, w, h);
    floor.strokeStyle = scene.colours[0];
    floor.globalAlpha = 0.55;
    floor.beginPath();
    for (let at = -h; at < w; at += 12) {
      floor.moveTo(x + at, y + h);
      floor.lineTo(x + at + h, y);
    }
    floor.stroke();
    floor.restore();
  };

  /** Draw the painted areas of one part of the screen, in device pixels. */
  const drawInk = (part) => {
    const wide = part.x1 - part.x0, tall = part.y1 - part.y0;
    if (wide <= 0 || tall <= 0) return;
    const image = ink.createImageData(wide, tall), out = new Uint32Array(image.data.buffer);
    const step = 1 / (ratio * view.scale);
    const column = (x) => Math.floor((x + 0.5) * step - view.x / view.scale);
    const columns = Int32Array.from({ length: wide }, (_, i) => column(part.x0 + i));
    const first = columns.findIndex((x) => x >= 0), last = columns.findLastIndex((x) => x < scene.width);
    const used = scene.layers.map((mask, i) => ({ mask, tint: tints(scene.colours[i]) })).filter((one) => one.mask);
    for (let y = 0; first >= 0 && y < tall; y++) {
      const iy = Math.floor((part.y0 + y + 0.5) * step - view.y / view.scale);
      if (iy < 0 || iy >= scene.height) continue;
      for (const { mask, tint } of used) {
        const row = iy * scene.width;
        for (let x = first; x <= last; x++) {
          const value = mask.data[row + columns[x]];
          if (value) out[y * wide + x] = tint[value];
        }
      }
    }
    ink.putImageData(image, part.x0, part.y0);
  };
  const onScreen = (found) => {
    const s = view.scale * ratio, x = view.x * ratio, y = view.y * ratio;
    return clipped({ x0: found.x0 * s + x - 1, y0: found.y0 * s + y - 1, x1: found.x1 * s + x + 1, y1: found.y1 * s + y + 1 }, above);
  };

  const draw = () => {
    waiting = false;
    if (!width || !height) return;
    if (stale === 'all') drawPicture();
    if (stale) drawInk(stale === 'all' ? whole(above) : onScreen(stale));
    stale = null;
    scene.drawn?.();
  };
  const redraw = (found = 'all') => {
    stale = stale === 'all' || found === 'all' ? 'all' : joined(stale ?? NOWHERE, found);
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  };

  // The tab may be hidden at first, and a window may grow.
  const measure = () => {
    const box = area.getBoundingClientRect();
    if (!box.width || !box.height) return;
    [width, height, ratio] = [box.width, box.height, window.devicePixelRatio || 1];
    for (const canvas of [below, above]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    if (fitted) fit();
    else place(view.scale, ...held(view.scale, view.x, view.y));
  };
  new ResizeObserver(measure).observe(area);

  return {
    fit, zoom, pan, redraw, measure,
    exact: () => zoom(1 / view.scale),
    get scale() { return view.scale; },
    get size() { return { width, height }; },
    get place() { return view; },
    toPicture: (x, y) => ({ x: onGrid((x - view.x) / view.scale), y: onGrid((y - view.y) / view.scale) }),
    toScreen: (x, y) => ({ x: x * view.scale + view.x, y: y * view.scale + view.y }),
  };
};

const tintsOf = new Map();

/** Return a colour at each strength of a mask, as a canvas stores it. */
const tints = (colour) => {
  if (!tintsOf.has(colour)) {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    const bytes = new Uint8ClampedArray(1024);
    for (let v = 0; v < 256; v++) bytes.set([r, g, b, Math.round((COVER * v) / 255)], 4 * v);
    tintsOf.set(colour, new Uint32Array(bytes.buffer));
  }
  return tintsOf.get(colour);
};

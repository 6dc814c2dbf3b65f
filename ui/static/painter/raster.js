// Masks: one byte a pixel, 0 = keep, 255 = repaint. A pixel counts by its centre, and all places
// are multiples of 1/16, so that a hard edge is the same to the pixel on every machine.

const GRID = 16;
const onGrid = (value) => Math.round(value * GRID) / GRID;

const NOWHERE = { x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity };
const isEmpty = (area) => area.x0 >= area.x1 || area.y0 >= area.y1;
const joined = (a, b) => ({
  x0: Math.min(a.x0, b.x0), y0: Math.min(a.y0, b.y0), x1: Math.max(a.x1, b.x1), y1: Math.max(a.y1, b.y1),
});
const clipped = (area, mask) => ({
  x0: Math.max(0, Math.floor(area.x0)), y0: Math.max(0, Math.floor(area.y0)),
  x1: Math.min(mask.width, Math.ceil(area.x1)), y1: Math.min(mask.height, Math.ceil(area.y1)),
});
const whole = (mask) => ({ x0: 0, y0: 0, x1: mask.width, y1: mask.height });

const newMask = (width, height) => ({ width, height, data: new Uint8Array(width * height) });

/** Draw from point a to point b, each { x, y, r }; soft: the part of the radius that fades out. */
const drawStroke = (mask, a, b, soft, erase) => {
  const r = Math.max(a.r, b.r);
  const area = clipped({
    x0: Math.min(a.x, b.x) - r, y0: Math.min(a.y, b.y) - r, x1: Math.max(a.x, b.x) + r, y1: Math.max(a.y, b.y) + r,
  }, mask);
  const dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy;
  const plain = soft === 0 && a.r === b.r;
  // How far the band around the line reaches sideways in one row.
  const reach = dy ? (r * Math.sqrt(length2)) / Math.abs(dy) + 1 : Infinity;
  for (let y = area.y0; y < area.y1; y++) {
    const py = y + 0.5 - a.y, row = y * mask.width;
    const middle = dy ? a.x + (py * dx) / dy : a.x;
    const from = Math.max(area.x0, Math.floor(middle - reach)), to = Math.min(area.x1, Math.ceil(middle + reach));
    for (let x = from; x < to; x++) {
      const px = x + 0.5 - a.x, along = px * dx + py * dy;
      let value = 255;
      if (plain) {
        if (!insideStroke(px, py, dx, dy, along, length2, r)) continue;
      } else {
        value = strokeValue(px, py, dx, dy, along, length2, a.r, b.r, soft);
        if (!value) continue;
      }
      const i = row + x, old = mask.data[i];
      mask.data[i] = erase ? Math.min(old, 255 - value) : Math.max(old, value);
    }
  }
  return area;
};

const insideStroke = (px, py, dx, dy, along, length2, r) => {
  if (along <= 0) return px * px + py * py <= r * r;
  if (along >= length2) return (px - dx) ** 2 + (py - dy) ** 2 <= r * r;
  // Compared as squares of products, which are exact; a quotient would round at the very edge.
  return (px * dy - py * dx) ** 2 <= r * r * length2;
};

const strokeValue = (px, py, dx, dy, along, length2, ra, rb, soft) => {
  const t = length2 ? Math.min(1, Math.max(0, along / length2)) : 0;
  const distance = Math.hypot(px - t * dx, py - t * dy), r = ra + (rb - ra) * t, inner = r * (1 - soft);
  if (distance > r) return 0;
  return distance <= inner ? 255 : Math.round((255 * (r - distance)) / (r - inner));
};

/** Fill what a closed line goes round, however often it crosses itself. points: [{ x, y }]. */
const fillLasso = (mask, points, erase) => {
  const area = clipped(points.reduce((found, { x, y }) => joined(found, { x0: x, y0: y, x1: x, y1: y }), NOWHERE), mask);
  for (let y = area.y0; y < area.y1; y++) {
    let turns = 0, from = 0;
    for (const { x, way } of crossings(points, y + 0.5)) {
      if (turns !== 0) fillRow(mask, y, from, x, erase);
      turns += way;
      from = x;
    }
  }
  return area;
};

const crossings = (points, y) => {
  const found = [];
  points.forEach((a, i) => {
    const b = points[(i + 1) % points.length];
    if ((a.y <= y) === (b.y <= y)) return;
    found.push({ x: a.x + ((y - a.y) * (b.x - a.x)) / (b.y - a.y), way: a.y < b.y ? 1 : -1 });
  });
  return found.sort((a, b) => a.x - b.x);
};

/** Fill the pixels of one row whose centres lie from x0 on and before x1. */
const fillRow = (mask, y, x0, x1, erase) => {
  const from = Math.max(0, Math.ceil(x0 - 0.5)), to = Math.min(mask.width, Math.ceil(x1 - 0.5));
  if (from < to) mask.data.fill(erase ? 0 : 255, y * mask.width + from, y * mask.width + to);
};

/** Fill the box between two corners. */
const fillBox = (mask, a, b, erase) => {
  const area = clipped({
    x0: Math.ceil(Math.min(a.x, b.x) - 0.5), y0: Math.ceil(Math.min(a.y, b.y) - 0.5),
    x1: Math.ceil(Math.max(a.x, b.x) - 0.5), y1: Math.ceil(Math.max(a.y, b.y) - 0.5),
  }, mask);
  for (let y = area.y0; y < area.y1; y++) fillRow(mask, y, area.x0 + 0.5, area.x1 + 0.5, erase);
  return area;
};

const invert = (mask) => {
  for (let i = 0; i < mask.data.length; i++) mask.data[i] = 255 - mask.data[i];
  return whole(mask);
};

/** Where a mask holds anything. */
const inked = (mask) => {
  const { width, height, data } = mask, area = { ...NOWHERE };
  for (let y = 0; y < height; y++) {
    const start = y * width, end = start + width;
    let first = start, last = end;
    while (first < end && !data[first]) first++;
    if (first === end) continue;
    while (!data[last - 1]) last--;
    area.x0 = Math.min(area.x0, first - start);
    area.x1 = Math.max(area.x1, last - start);
    area.y0 = Math.min(area.y0, y);
    area.y1 = y + 1;
  }
  return area;
};
// Loops and not callbacks: these look at every one of up to 32 million pixels.
const isInked = (mask) => {
  for (let i = 0; i < mask.data.length; i++) if (mask.data[i]) return true;
  return false;
};
const countPainted = (mask) => {
  let count = 0;
  for (let i = 0; i < mask.data.length; i++) count += mask.data[i] >> 7;
  return count;
};
const hasGrey = (mask) => {
  for (let i = 0; i < mask.data.length; i++) if (mask.data[i] !== 0 && mask.data[i] !== 255) return true;
  return false;
};

/** Widen (or narrow) what is painted, a pixel at a time, by turns with and without the corners:
    an octagon, nearly round. Beyond the picture's border all counts as the border does. */
const spread = (mask, pixels, narrow) => {
  const found = inked(mask);
  if (isEmpty(found)) return NOWHERE;
  const room = narrow ? 0 : pixels;
  const area = clipped({ x0: found.x0 - room, y0: found.y0 - room, x1: found.x1 + room, y1: found.y1 + room }, mask);
  for (let step = 0; step < pixels; step++) spreadOnce(mask, area, narrow ? 255 : 0, step % 2 === 1);
  return area;
};

/** Give each pixel the most of its neighbours; turn: 255 for the least, as bytes turned over. */
const spreadOnce = (mask, area, turn, corners) => {
  const wide = area.x1 - area.x0 + 2, old = framed(mask, area, wide);
  const beside = corners ? [-1, 1, -wide, wide, -wide - 1, -wide + 1, wide - 1, wide + 1] : [-1, 1, -wide, wide];
  for (let y = area.y0; y < area.y1; y++) {
    let i = (y - area.y0 + 1) * wide + 1, out = y * mask.width + area.x0;
    for (let x = area.x0; x < area.x1; x++, i++, out++) {
      let most = old[i] ^ turn;
      for (let k = 0; k < beside.length && most < 255; k++) most = Math.max(most, old[i + beside[k]] ^ turn);
      mask.data[out] = most ^ turn;
    }
  }
};

/** Copy an area with one more pixel on each side; beyond the border stands what the border has. */
const framed = (mask, area, wide) => {
  const found = new Uint8Array(wide * (area.y1 - area.y0 + 2)), last = mask.width - 1;
  for (let y = area.y0 - 1; y <= area.y1; y++) {
    const row = Math.min(mask.height - 1, Math.max(0, y)) * mask.width, start = (y - area.y0 + 1) * wide;
    found.set(mask.data.subarray(row + area.x0, row + area.x1), start + 1);
    found[start] = mask.data[row + Math.max(0, area.x0 - 1)];
    found[start + wide - 1] = mask.data[row + Math.min(last, area.x1)];
  }
  return found;
};

const copyOf = (mask, area) => {
  const wide = area.x1 - area.x0, found = new Uint8Array(wide * (area.y1 - area.y0));
  for (let y = area.y0; y < area.y1; y++) {
    const start = y * mask.width;
    found.set(mask.data.subarray(start + area.x0, start + area.x1), (y - area.y0) * wide);
  }
  return found;
};

const putBack = (mask, area, data) => {
  const wide = area.x1 - area.x0;
  for (let y = area.y0; y < area.y1; y++) {
    mask.data.set(data.subarray((y - area.y0) * wide, (y - area.y0 + 1) * wide), y * mask.width + area.x0);
  }
};

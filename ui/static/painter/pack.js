// Masks made small: as runs of equal bytes for undo and for the browser's store, as PNG to send.

/** Return runs, each length * 256 + value. */
const packRuns = (data) => {
  let runs = new Uint32Array(256), count = 0;
  for (let i = 0; i < data.length; ) {
    const value = data[i], start = i, most = Math.min(data.length, i + 0xffffff);
    while (i < most && data[i] === value) i++;
    if (count === runs.length) {
      const more = new Uint32Array(count * 2);
      more.set(runs);
      runs = more;
    }
    runs[count++] = (i - start) * 256 + value;
  }
  return runs.slice(0, count);
};

const unpackRuns = (runs, size) => {
  const data = new Uint8Array(size);
  let at = 0;
  for (const run of runs) {
    data.fill(run & 255, at, at + (run >>> 8));
    at += run >>> 8;
  }
  return data;
};

/** What may be undone and done again, within so many bytes; the oldest is forgotten first. */
const newHistory = (mostBytes) => {
  let past = [], future = [];
  const bytes = () => [...past, ...future].reduce((sum, one) => sum + one.runs.byteLength, 0);
  const swap = (from, to, masks) => {
    const change = from.pop();
    if (!change) return null;
    const mask = masks[change.layer], { area } = change;
    const old = packRuns(copyOf(mask, area));
    putBack(mask, area, unpackRuns(change.runs, (area.x1 - area.x0) * (area.y1 - area.y0)));
    to.push({ ...change, runs: old });
    return change;
  };
  return {
    note(layer, area, before) {
      past.push({ layer, area, runs: packRuns(before) });
      future = [];
      while (past.length > 1 && bytes() > mostBytes) past.shift();
    },
    undo: (masks) => swap(past, future, masks),
    redo: (masks) => swap(future, past, masks),
    forget() { past = []; future = []; },
    get counts() { return [past.length, future.length]; },
    get bytes() { return bytes(); },
  };
};

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});

const crc32 = (bytes) => {
  let c = 0xffffffff;
  for (const byte of bytes) c = CRC_TABLE[(c ^ byte) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
};

const pngChunk = (name, body) => {
  const chunk = new Uint8Array(body.length + 12), view = new DataView(chunk.buffer);
  view.setUint32(0, body.length);
  chunk.set(new TextEncoder().encode(name), 4);
  chunk.set(body, 8);
  view.setUint32(body.length + 8, crc32(chunk.subarray(4, body.length + 8)));
  return chunk;
};

/** Encode a mask as PNG: one bit a pixel where it is all black and white, else eight. */
const encodePng = async (mask) => {
  const { width, height, data } = mask, grey = hasGrey(mask);
  const stride = 1 + (grey ? width : Math.ceil(width / 8)), rows = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const row = data.subarray(y * width, (y + 1) * width), out = y * stride + 1;
    if (grey) rows.set(row, out);
    else for (let x = 0; x < width; x++) if (row[x]) rows[out + (x >> 3)] |= 128 >> (x & 7);
  }
  const deflated = new Blob([rows]).stream().pipeThrough(new CompressionStream('deflate'));
  const body = new Uint8Array(await new Response(deflated).arrayBuffer());
  const head = new Uint8Array(13), view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head[8] = grey ? 8 : 1;
  const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
  const parts = [signature, pngChunk('IHDR', head), pngChunk('IDAT', body), pngChunk('IEND', new Uint8Array(0))];
  return new Blob(parts, { type: 'image/png' });
};

const dataUrl = (blob) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(blob);
});

/** Read a picture as a mask of a size: white = repaint. */
const readMask = async (blob, width, height) => {
  const picture = await createImageBitmap(blob);
  const sameShape = Math.abs((picture.width * height) / (picture.height * width) - 1) <= 0.01;
  const resized = picture.width !== width || picture.height !== height;
  if (!sameShape) return { mask: null, resized, found: picture };
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext('2d', { willReadFrequently: true });
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, 0, 0, width, height);
  const mask = newMask(width, height), { data } = context.getImageData(0, 0, width, height);
  for (let i = 0; i < mask.data.length; i++) {
    mask.data[i] = Math.round(0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]);
  }
  return { mask, resized, found: picture };
};

// What survives a reload: the picture and what was painted on it, in the browser's own store.

const STORE = 'atelier-painter';
const MOST_KEPT = 4;

const finished = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

const openStore = () => {
  const request = indexedDB.open(STORE, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore('pictures');
    request.result.createObjectStore('paintings');
  };
  return finished(request);
};

/** Keep values under a browser tab's own key. A browser that keeps nothing only loses the reload. */
const newKeeper = (key) => {
  const opened = openStore().catch(() => null);
  const store = async (name, mode) => (await opened)?.transaction(name, mode).objectStore(name);
  const put = async (name, value) => {
    try {
      const target = await store(name, 'readwrite');
      if (target) await finished(target.put(value, key));
    } catch { /* full, or a private window */ }
  };
  /** Return the owners of what is kept and their paintings: the own first, then from new to old. */
  const kept = async () => {
    const paintings = await store('paintings', 'readonly');
    if (!paintings) return [];
    const [keys, values] = await Promise.all([finished(paintings.getAllKeys()), finished(paintings.getAll())]);
    const found = keys.map((owner, i) => [owner, values[i]]);
    found.sort(([a, { time: x }], [b, { time: y }]) => (b === key) - (a === key) || y - x);
    for (const [old] of found.slice(MOST_KEPT)) await remove(old);
    return found;
  };
  const remove = async (name) => {
    for (const part of ['pictures', 'paintings']) await finished((await store(part, 'readwrite')).delete(name));
  };
  return {
    keepPicture: (value) => put('pictures', value),
    keepPainting: (value) => put('paintings', { ...value, time: Date.now() }),
    async forget() {
      try { await remove(key); } catch { /* nothing was kept */ }
    },
    /** Return { picture, painting }, this tab's own or the latest of another; or null. */
    async recall() {
      try {
        for (const [owner, painting] of await kept()) {
          const picture = await finished((await store('pictures', 'readonly')).get(owner));
          if (!picture) continue;
          // From now on the other tab may change what is its own.
          if (owner !== key) await put('pictures', picture);
          return { picture, painting };
        }
      } catch { /* what cannot be read is not there */ }
      return null;
    },
  };
};

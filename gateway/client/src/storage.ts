/** What the client keeps between visits: text by key. Other tabs of the origin may change it at any time. */
export interface Store {
  get(key: string): string | null;
  set(key: string, value: string): void;
  remove(key: string): void;
  /** All keys, without the prefix of the store. */
  keys(): string[];
  /** Tells of changes made by *other* tabs; `value` is null when the key was removed. Returns the function that ends it. */
  watch(listener: (key: string, value: string | null) => void): () => void;
}

/** For tests, and where the browser refuses storage: lasts as long as the page. */
export function memoryStore(): Store {
  const kept = new Map<string, string>();
  return {
    get: (key) => kept.get(key) ?? null,
    set: (key, value) => void kept.set(key, value),
    remove: (key) => void kept.delete(key),
    keys: () => [...kept.keys()],
    watch: () => () => {},
  };
}

/**
 * localStorage under a prefix. Where it is blocked (private modes, a sandboxed frame) or full, what cannot be written
 * is kept in memory, so that within the page nothing is lost.
 */
export function localStore(prefix: string): Store {
  let area: Storage;
  try {
    area = localStorage;
    area.getItem(prefix);
  } catch {
    return memoryStore();
  }
  const unwritten = memoryStore();
  return {
    get: (key) => unwritten.get(key) ?? area.getItem(prefix + key),
    set: (key, value) => {
      try {
        area.setItem(prefix + key, value);
        unwritten.remove(key);
      } catch {
        unwritten.set(key, value);
      }
    },
    remove: (key) => {
      unwritten.remove(key);
      area.removeItem(prefix + key);
    },
    keys: () => {
      const keys = new Set(unwritten.keys());
      for (let index = 0; index < area.length; index++) {
        const key = area.key(index);
        if (key?.startsWith(prefix)) keys.add(key.slice(prefix.length));
      }
      return [...keys];
    },
    watch: (listener) => {
      const heard = (event: StorageEvent): void => {
        if (event.storageArea === area && event.key?.startsWith(prefix)) {
          listener(event.key.slice(prefix.length), event.newValue);
        }
      };
      addEventListener('storage', heard);
      return () => removeEventListener('storage', heard);
    },
  };
}

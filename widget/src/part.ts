/** Loads a lazy part: it lies beside this module, under the same hash. */
export function part<Part>(name: string): Promise<Part> {
  return import(import.meta.url.replace(/widget(?=\.\w+\.js)/, name));
}

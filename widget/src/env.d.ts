declare module '*.css' {
  /** The sheet's text, minified, its tokens resolved (build.mjs). */
  const text: string;
  export default text;
}

/** Where the chunks are, relative to the loader, and the hash in their names (build.mjs). */
declare const ASSETS: string;
declare const HASH: string;

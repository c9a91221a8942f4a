/** What Node.js has of WebAssembly and Ballast uses; TypeScript knows it from browsers alone. */
declare namespace WebAssembly {
  interface Memory {
    readonly buffer: ArrayBuffer;
    /** Adds pages of 64 KB; what `buffer` gave before is detached. */
    grow(pages: number): number;
  }
  interface Instance {
    readonly exports: object;
  }
  type Module = object;
  function compile(file: Uint8Array): Promise<Module>;
  function instantiate(module: Module): Promise<Instance>;
}

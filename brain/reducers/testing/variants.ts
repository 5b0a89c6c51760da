/** Modules that do the same and are others: for tests that need many. */

/** The module with a custom section of its own. */
export function variantOf(module: Uint8Array, number: number): Uint8Array {
  const name = new TextEncoder().encode(`variant-${number}`);
  return new Uint8Array([...module, 0, name.length + 1, name.length, ...name]);
}

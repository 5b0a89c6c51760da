/** Equivalent modules with different digests, for tests that need many. */

/** The module with a unique custom section. */
export function variantOf(module: Uint8Array, number: number): Uint8Array {
  const name = new TextEncoder().encode(`variant-${number}`);
  return new Uint8Array([...module, 0, name.length + 1, name.length, ...name]);
}

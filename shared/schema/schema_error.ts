/**
 * The one error of everything that reads schemas. What is answered to a client is decided in outer
 * layers.
 */

/** A descriptor set or message type that cannot be used; the message is a sentence for its sender. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}

/** A name out of a descriptor as a refusal shows it: quoted, and never longer than a line. */
export function quoteName(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 117)}...` : name);
}

/** The one error of everything that reads schemas. Outer layers decide the answer to a client. */

/** A descriptor set or message type that cannot be used; the message is a sentence for its sender. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}

/** A name from a descriptor for a refusal: quoted, and never longer than a line. */
export function quoteName(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 117)}...` : name);
}

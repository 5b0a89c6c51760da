/** The data of a call of a room's reducer: from the JSON that a client writes to the bytes that the reducer gets. Pure. */
import { invalidCommand } from "./command_data.ts";

const encoder = new TextEncoder();
/** Compact JSON that says bytes; encoders may write the text with escapes, as PHP's does with each slash. */
const Base64 = /^\{"base64":("[^"\\]*(?:\\.[^"\\]*)*")\}$/;

/** The bytes of compact JSON: a text as it is, any other value as JSON, and bytes from base64. Throws `invalid-command`. */
export function callData(json: string | undefined): Uint8Array {
  if (json === undefined) return new Uint8Array();
  if (json.startsWith('"')) {
    const data: string = JSON.parse(json);
    if (!data.isWellFormed()) throw invalidCommand('"data" must be well-formed Unicode');
    return encoder.encode(data);
  }
  const base64 = Base64.exec(json)?.[1];
  if (base64 === undefined) return encoder.encode(json);
  try {
    return Uint8Array.fromBase64(JSON.parse(base64));
  } catch (cause) {
    throw invalidCommand('"data" has "base64" that is none', cause);
  }
}

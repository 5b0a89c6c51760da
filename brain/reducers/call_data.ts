/** Converts the data of a reducer call from the client's JSON to the reducer's bytes. Pure. */
import { invalidCommand } from "../desk/command_data.ts";

const encoder = new TextEncoder();
/** Compact JSON of base64 bytes; encoders may escape characters, as PHP's does with each slash. */
const Base64 = /^\{"base64":("[^"\\]*(?:\\.[^"\\]*)*")\}$/;

/**
 * The bytes of compact JSON: a text unchanged, bytes from base64, and any other value as JSON. Throws
 * `invalid-command`.
 */
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

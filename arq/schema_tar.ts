/**
 * A tar archive in memory (POSIX ustar), in which `arq schema build` hands sources to buf. Writes
 * regular files only; reads nothing.
 */

/** One file of an archive; the path is relative, with `/` between its parts. */
export interface TarFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
const PREFIX_BYTES = 155;

const encoder = new TextEncoder();

/** The name's two header fields. Throws RangeError when it does not fit into them. */
function splitName(path: string): readonly [prefix: Uint8Array, name: Uint8Array] {
  const whole = encoder.encode(path);
  if (whole.length <= NAME_BYTES) return [new Uint8Array(), whole];
  for (let at = whole.length - NAME_BYTES - 1; at < whole.length && at <= PREFIX_BYTES; at++) {
    if (at > 0 && whole[at] === 0x2f) return [whole.subarray(0, at), whole.subarray(at + 1)];
  }
  throw new RangeError(`the path is too long for an archive: ${path}`);
}

const octal = (number: number, digits: number) => number.toString(8).padStart(digits, "0");

function headerOf({ path, bytes }: TarFile): Uint8Array {
  const header = new Uint8Array(BLOCK_BYTES);
  const put = (at: number, text: string) => header.set(encoder.encode(text), at);
  const [prefix, name] = splitName(path);
  header.set(name, 0);
  put(100, `${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`);
  put(124, `${octal(bytes.length, 11)}\0${octal(0, 11)}\0`);
  // The checksum is taken with its own field blank.
  put(148, "        0");
  put(257, "ustar\x0000");
  header.set(prefix, 345);
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(148, `${octal(sum, 6)}\0 `);
  return header;
}

/** The archive. Throws RangeError when a path is longer than the format allows. */
export function tarOf(files: readonly TarFile[]): Uint8Array<ArrayBuffer> {
  const parts = files.flatMap((file) => {
    const padding = (BLOCK_BYTES - file.bytes.length % BLOCK_BYTES) % BLOCK_BYTES;
    return [headerOf(file), file.bytes, new Uint8Array(padding)];
  });
  parts.push(new Uint8Array(2 * BLOCK_BYTES));
  const archive = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    archive.set(part, at);
    at += part.length;
  }
  return archive;
}

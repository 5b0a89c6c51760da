/**
 * Writes a tar archive in memory, in which `arq schema build` gives sources to buf. It has regular files
 * only.
 */
import { tarEnd, tarHeader, tarPadding } from "../../shared/tar.ts";

/** One file of an archive; the path is relative, with `/` between its parts. */
export interface TarFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** The bytes of the archive. Throws RangeError for a path that is too long for the format. */
export function tarOf(files: readonly TarFile[]): Uint8Array<ArrayBuffer> {
  const parts = files.flatMap(({ path, bytes }) => [
    tarHeader(path, bytes.length),
    bytes,
    tarPadding(bytes.length),
  ]);
  parts.push(tarEnd());
  const archive = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    archive.set(part, at);
    at += part.length;
  }
  return archive;
}

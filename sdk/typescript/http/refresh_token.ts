/**
 * The token in a REFRESH frame of this SDK. The codec of `@arqon/proto` reads every frame, but what is
 * loaded later shall not make the rest of a page larger: bundlers then cut the codec out of it.
 */

const REFRESH = 0x06;
/** A field of bytes, by the lowest bits of its tag (Protobuf). */
const BYTES = 2;

/** The token; undefined: this is another frame. */
export function refreshToken(frame: Uint8Array): string | undefined {
  if (frame[0] !== REFRESH) return undefined;
  for (let at = 1; at < frame.length;) {
    const tag = frame[at++]!;
    let value = 0;
    for (let shift = 0, byte = 128; byte >= 128; shift += 7) {
      byte = frame[at++] ?? 0;
      value += (byte & 127) * 2 ** shift;
    }
    // Its id comes before it; there is no third field.
    if (tag % 8 === BYTES) return new TextDecoder().decode(frame.subarray(at, at + value));
  }
  return undefined;
}

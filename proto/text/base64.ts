/** Standard base64 with padding (RFC 4648, section 4); decoding is strict. */
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Encodes any number of bytes, as for `data` and `signature` in the text form. */
export function encodeBase64(bytes: Uint8Array): string {
  // Engines before 2025 have only `btoa`.
  const encoded = bytes.toBase64?.();
  if (encoded !== undefined) return encoded;
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** Decodes; `undefined` if the text is not base64. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length % 4 !== 0 || !BASE64.test(text)) return undefined;
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

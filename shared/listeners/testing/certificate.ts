/**
 * A fresh self-signed Ed25519 certificate for 127.0.0.1 and localhost, so that tests of TLS need no openssl and no
 * private key in the repository. Not for production: nothing here is configurable.
 */

const INTEGER = 0x02, BITS = 0x03, BYTES = 0x04, OID = 0x06, UTF8 = 0x0c, TIME = 0x17;
const SEQUENCE = 0x30, SET = 0x31;
const ED25519 = [0x2b, 0x65, 0x70];
const COMMON_NAME = [0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11];

type Content = ArrayLike<number>;

/** One DER element; content of up to 65,535 bytes. */
function der(tag: number, ...parts: Content[]): number[] {
  const body = parts.flatMap((part) => Array.from(part));
  const size = body.length;
  if (size < 0x80) return [tag, size, ...body];
  return size < 0x100 ? [tag, 0x81, size, ...body] : [tag, 0x82, size >> 8, size & 255, ...body];
}

const ascii = (text: string) => new TextEncoder().encode(text);

function pem(label: string, body: Uint8Array): string {
  const lines = body.toBase64().match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}

/**
 * PEM texts for a listener; clients must trust `cert`. It is valid from the first to the last of the two years (of this
 * century), unless `end` is another time; for 127.0.0.1 and localhost, unless `only` is one of them.
 */
export async function testCertificate(
  [from, to]: readonly [number, number] = [25, 49],
  end?: Date,
  only?: "127.0.0.1" | "localhost",
): Promise<{ cert: string; key: string }> {
  const pair = await crypto.subtle.generateKey("Ed25519", true, [
    "sign",
    "verify",
  ]) as CryptoKeyPair;
  const algorithm = der(SEQUENCE, der(OID, ED25519));
  const common_name = der(SEQUENCE, der(OID, COMMON_NAME), der(UTF8, ascii("arqon test")));
  const name = der(SEQUENCE, der(SET, common_name));
  const dns = der(0x82, ascii("localhost"));
  const address = der(0x87, [127, 0, 0, 1]);
  const last = end?.toISOString().replaceAll(/[-:T]|\..*/g, "").slice(2) ?? `${to}1231235959`;
  const names = [only === "127.0.0.1" ? [] : dns, only === "localhost" ? [] : address];
  const alternatives = der(BYTES, der(SEQUENCE, ...names));
  const extension = der(SEQUENCE, der(OID, SUBJECT_ALT_NAME), alternatives);
  const content = der(
    SEQUENCE,
    der(0xa0, der(INTEGER, [2])),
    der(INTEGER, [1]),
    algorithm,
    name,
    der(SEQUENCE, der(TIME, ascii(`${from}0101000000Z`)), der(TIME, ascii(`${last}Z`))),
    name,
    new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey)),
    der(0xa3, der(SEQUENCE, extension)),
  );
  const signature = await crypto.subtle.sign("Ed25519", pair.privateKey, new Uint8Array(content));
  const signed = der(SEQUENCE, content, algorithm, der(BITS, [0], new Uint8Array(signature)));
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", pair.privateKey);
  return {
    cert: pem("CERTIFICATE", new Uint8Array(signed)),
    key: pem("PRIVATE KEY", new Uint8Array(pkcs8)),
  };
}

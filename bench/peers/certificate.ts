/** The certificate of every measured server, so that their handshakes differ only by the server. */
import { ROOT } from "../measure/scenario.ts";

/** Path of the certificate, which is for 127.0.0.1. */
export const CERTIFICATE_FILE = `${ROOT}/tests/tls/server.pem`;
/** Path of its private key, which protects nothing. */
export const KEY_FILE = `${ROOT}/tests/tls/server_key.pem`;

/** The authority that signed the certificate, in PEM. */
export function certificateAuthority(): Promise<string> {
  return Deno.readTextFile(`${ROOT}/tests/tls/ca.pem`);
}

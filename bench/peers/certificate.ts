/** The certificate that every measured server has, so that handshakes differ by the server alone. */
import { ROOT } from "../measure/scenario.ts";

/** For 127.0.0.1; a path, as servers want. */
export const CERTIFICATE_FILE = `${ROOT}/tests/tls/server.pem`;
/** Its private key, which protects nothing. */
export const KEY_FILE = `${ROOT}/tests/tls/server_key.pem`;

/** PEM of the authority that signed it. */
export function certificateAuthority(): Promise<string> {
  return Deno.readTextFile(`${ROOT}/tests/tls/ca.pem`);
}

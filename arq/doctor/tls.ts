/**
 * Findings about the certificate of the client listener: whether it can be read, is in force, and fits its
 * key and its name.
 */
import { X509Certificate } from "node:crypto";
import type { Config } from "../../shared/config/schema.ts";
import { endOf, pairProblem } from "../../shared/listeners/tls_reload.ts";
import type { TlsPair } from "../../shared/http1/door.ts";
import type { Io } from "../terminal/io.ts";
import { fail, ok, warn, whyOf } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { fileText, PATH_FIX, privateFinding } from "./paths.ts";

const CHECK = "TLS";
const DAY_MS = 86_400_000;
/** Days before its end at which a certificate becomes a warning. */
const NEAR_DAYS = 21;
const RENEW =
  "name a certificate that is in force, and its key (or set the clock); a running process takes them without a restart";

const isLoopback = (host: string) => /^(localhost|127(\.\d+){3}|::1)$/.test(host);

/** Whether a certificate is for this name or address. */
function fitsName(certificate: X509Certificate, name: string): boolean {
  const is_address = /^[\d.]+$/.test(name) || name.includes(":");
  const fits = is_address ? certificate.checkIP(name) : certificate.checkHost(name);
  return fits !== undefined;
}

/**
 * The finding about a certificate and key in PEM at `now_ms`. `name` is the host by which clients come, if
 * known.
 */
export function certificateFinding(
  pair: TlsPair,
  now_ms: number,
  name: string | undefined,
): Finding {
  let problem: string | undefined;
  try {
    problem = pairProblem(pair, now_ms);
  } catch (error) {
    return fail(CHECK, `tls_cert and tls_key: ${whyOf(error)}`, "both must be PEM");
  }
  if (problem !== undefined) return fail(CHECK, problem, RENEW);
  const certificate = new X509Certificate(pair.cert);
  const to_ms = endOf(pair.cert);
  const day = new Date(to_ms).toISOString().slice(0, 10);
  const names = certificate.subjectAltName ?? certificate.subject;
  if (name !== undefined && !fitsName(certificate, name)) {
    const fix = "get a certificate for this name, or use one of its names in the URL";
    return fail(CHECK, `the certificate is not for ${name}, but for ${names}`, fix);
  }
  if (to_ms - now_ms < NEAR_DAYS * DAY_MS) {
    return warn(CHECK, `the certificate ends on ${day}`, RENEW);
  }
  return ok(CHECK, `the certificate is good until ${day}, for ${names}`);
}

/**
 * The findings about the configured certificate. `name` is the host in the URL by which clients reach this
 * bus, if known.
 */
export async function tlsFindings(
  io: Io,
  { server }: Config,
  name: string | undefined,
): Promise<Finding[]> {
  const { tls_cert, tls_key, host } = server;
  if (tls_cert === undefined || tls_key === undefined) {
    if (isLoopback(host)) return [ok(CHECK, `none needed on ${host}`)];
    const fix = "set [server] tls_cert and tls_key, or let a proxy in front speak TLS";
    return [warn(CHECK, `none on ${host}: tokens travel in the clear`, fix)];
  }
  const [cert, key] = await Promise.all([fileText(io, tls_cert), fileText(io, tls_key)]);
  const problems = [cert, key].flatMap((file) => "problem" in file ? [file.problem] : []);
  if ("problem" in cert || "problem" in key) return [fail(CHECK, problems.join("; "), PATH_FIX)];
  return [
    certificateFinding({ cert: cert.text, key: key.text }, io.now(), name),
    await privateFinding(io, "TLS key", tls_key),
  ];
}

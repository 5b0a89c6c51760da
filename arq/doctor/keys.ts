/**
 * Findings about the keys, certificates and secrets of a configuration: whether files and URLs can be read, have valid
 * content, and are readable for their owners only.
 */
import { textOf } from "../../shared/listeners/answer_body.ts";
import type { Config } from "../../shared/config/schema.ts";
import { keyFromPem, keysFromJwks, type LoadedKeys } from "../../shield/auth/keys.ts";
import { type Io, resolvePath } from "../terminal/io.ts";
import {
  fail,
  fileText,
  type Finding,
  isWritableByAll,
  ok,
  PATH_FIX,
  privateFinding,
  warn,
  whyOf,
} from "./paths.ts";
import { X509Certificate } from "node:crypto";
import { endOf, pairProblem } from "../../shared/listeners/tls_reload.ts";
import type { TlsPair } from "../../shared/http1/door.ts";
import { namedFiles } from "../../shared/config/named_files.ts";
import { namedFileProblems } from "./config_files.ts";

type Issuer = Config["auth"]["issuers"][number];

const CHECK = "keys";
const KEY_FIX = "make others with arq auth keys, or ask who runs the token server";
const BODY_BYTES_MAX = 1_048_576;

function loadedFinding(issuer: Issuer, where: string, { index, problems }: LoadedKeys): Finding {
  const of = `issuer ${issuer.issuer}: ${where}`;
  if (problems.length > 0) return fail(CHECK, `${of}: ${problems.join("; ")}`, KEY_FIX);
  if (index.size === 0) {
    const fix = "set the issuer's algorithms to the key's";
    return fail(CHECK, `${of} has no key for ${issuer.algorithms.join(", ")}`, fix);
  }
  return ok(CHECK, `${of} has ${index.size} for ${issuer.algorithms.join(", ")}`);
}

async function fileFinding(io: Io, issuer: Issuer, path: string): Promise<Finding> {
  const file = await fileText(io, path);
  if ("problem" in file) {
    return fail(CHECK, `issuer ${issuer.issuer}: ${file.problem}`, PATH_FIX);
  }
  try {
    const read = issuer.pem_file === undefined ? keysFromJwks : keyFromPem;
    const finding = loadedFinding(issuer, path, await read(file.text, issuer.algorithms));
    if (finding.status !== "ok" || !await isWritableByAll(io, path)) return finding;
    const text = `issuer ${issuer.issuer}: everybody may write ${path}, and so issue tokens`;
    return fail(CHECK, text, `chmod 644 ${resolvePath(io.cwd, path)}`);
  } catch (error) {
    return fail(CHECK, `issuer ${issuer.issuer}: ${path}: ${whyOf(error)}`, KEY_FIX);
  }
}

async function urlFinding(io: Io, issuer: Issuer, timeout_ms: number): Promise<Finding> {
  const url = new URL(issuer.jwks_url ?? "");
  const where = `${url.origin}${url.pathname}`;
  const fix = "check [[auth.issuers]] jwks_url, and whether this machine can reach it";
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(timeout_ms)]);
  try {
    const response = await fetch(url, { redirect: "error", signal });
    if (!response.ok) {
      await response.body?.cancel();
      throw new TypeError(`it answers HTTP ${response.status}`);
    }
    const length = Number(response.headers.get("content-length") ?? 0);
    if (length > BODY_BYTES_MAX) throw new TypeError(`more than ${BODY_BYTES_MAX} bytes`);
    const keys = await keysFromJwks(await textOf(response, signal), issuer.algorithms);
    return loadedFinding(issuer, where, keys);
  } catch (error) {
    io.signal.throwIfAborted();
    const why = whyOf(error).replaceAll(url.href, where);
    return fail(CHECK, `issuer ${issuer.issuer}: ${where}: ${why}`, fix);
  }
}

/** Findings about private keys beside the public sets, where `arq auth keys` and `arq init` write them. */
async function privateFindings(io: Io, issuers: readonly Issuer[]): Promise<Finding[]> {
  const paths = issuers.flatMap(({ jwks_file }) => jwks_file ?? [])
    .filter((path) => path.endsWith("arqon-jwks.json"))
    .map((path) => `${path.slice(0, -"arqon-jwks.json".length)}arqon-private.jwk.json`);
  const findings: Finding[] = [];
  for (const path of new Set(paths)) {
    // Another check reports files that cannot be inspected.
    const state = await io.files.state(resolvePath(io.cwd, path)).catch(() => undefined);
    if (state !== undefined) findings.push(await privateFinding(io, "private key", path));
  }
  return findings;
}

/** One finding for each issuer, and one for each private key beside its public set. */
export async function keyFindings(io: Io, { auth }: Config): Promise<Finding[]> {
  const { issuers, jwks_timeout_ms } = auth;
  if (issuers.length === 0) {
    const fix = "add an [[auth.issuers]] entry: arq auth keys prints one";
    return [warn(CHECK, "there is no issuer: a Shield would refuse every token", fix)];
  }
  const findings = await Promise.all(issuers.map((issuer) => {
    const path = issuer.jwks_file ?? issuer.pem_file;
    return path === undefined
      ? urlFinding(io, issuer, jwks_timeout_ms)
      : fileFinding(io, issuer, path);
  }));
  return [...findings, ...await privateFindings(io, issuers)];
}

const TLS = "TLS";
const DAY_MS = 86_400_000;
/** Days before its expiry from which on a certificate is a warning. */
const NEAR_DAYS = 21;
const RENEW =
  "name a valid certificate, and its key (or set the clock); a running process reloads them without a restart";

const isLoopback = (host: string) => /^(localhost|127(\.\d+){3}|::1)$/.test(host);

/** Whether a certificate is for this name or address. */
function fitsName(certificate: X509Certificate, name: string): boolean {
  const is_address = /^[\d.]+$/.test(name) || name.includes(":");
  const fits = is_address ? certificate.checkIP(name) : certificate.checkHost(name);
  return fits !== undefined;
}

/** The finding about a certificate and key in PEM. `name`: the host that clients use, if known. */
export function certificateFinding(
  pair: TlsPair,
  now_ms: number,
  name: string | undefined,
): Finding {
  let problem: string | undefined;
  try {
    problem = pairProblem(pair, now_ms);
  } catch (error) {
    return fail(TLS, `tls_cert and tls_key: ${whyOf(error)}`, "both must be PEM");
  }
  if (problem !== undefined) return fail(TLS, problem, RENEW);
  const certificate = new X509Certificate(pair.cert);
  const to_ms = endOf(pair.cert);
  const day = new Date(to_ms).toISOString().slice(0, 10);
  const names = certificate.subjectAltName ?? certificate.subject;
  if (name !== undefined && !fitsName(certificate, name)) {
    const fix = "get a certificate for this name, or use one of its names in the URL";
    return fail(TLS, `the certificate is not for ${name}, but for ${names}`, fix);
  }
  if (to_ms - now_ms < NEAR_DAYS * DAY_MS) {
    return warn(TLS, `the certificate ends on ${day}`, RENEW);
  }
  return ok(TLS, `the certificate is good until ${day}, for ${names}`);
}

/** The findings about the configured certificate. `name`: the host that clients use, if known. */
export async function tlsFindings(
  io: Io,
  { server }: Config,
  name: string | undefined,
): Promise<Finding[]> {
  const { tls_cert, tls_key, host } = server;
  if (tls_cert === undefined || tls_key === undefined) {
    if (isLoopback(host)) return [ok(TLS, `none needed on ${host}`)];
    const fix = "set [server] tls_cert and tls_key, or let a proxy in front speak TLS";
    return [warn(TLS, `none on ${host}: tokens travel in the clear`, fix)];
  }
  const [cert, key] = await Promise.all([fileText(io, tls_cert), fileText(io, tls_key)]);
  const problems = [cert, key].flatMap((file) => "problem" in file ? [file.problem] : []);
  if ("problem" in cert || "problem" in key) return [fail(TLS, problems.join("; "), PATH_FIX)];
  return [
    certificateFinding({ cert: cert.text, key: key.text }, io.now(), name),
    await privateFinding(io, "TLS key", tls_key),
  ];
}

/** Keys of files that other findings are about. */
const ELSEWHERE = /^(auth|server|nats)\.(?!tls_cert_file$)/;
/** Problems for which advice about paths does not help. */
const NOT_IN_FORCE = /the certificate (ended|is good from) |tls_key is of another certificate/;

/** A finding for each file that cannot be used, each secret, and each operators' certificate. */
export async function secretFindings(io: Io, config: Config): Promise<Finding[]> {
  const files = namedFiles(config).filter(({ key }) => !ELSEWHERE.test(key));
  if (files.length === 0) return [];
  const problems = (await namedFileProblems(io, config)).filter(({ key }) => !ELSEWHERE.test(key));
  const findings = problems.map(({ key, text }) =>
    fail(key, text, NOT_IN_FORCE.test(text) ? RENEW : PATH_FIX)
  );
  const bad = new Set(problems.map(({ key }) => key));
  for (const { key, path, is_private } of files) {
    if (is_private && !bad.has(key)) findings.push(await privateFinding(io, key, path));
  }
  for (const table of ["ops", "admin"] as const) {
    const { tls_cert, tls_key } = config[table];
    if (tls_cert === undefined || tls_key === undefined || bad.has(`${table}.tls_cert`)) continue;
    const [cert, key] = await Promise.all([fileText(io, tls_cert), fileText(io, tls_key)]);
    if ("problem" in cert || "problem" in key) continue;
    const pair = { cert: cert.text, key: key.text };
    findings.push({ ...certificateFinding(pair, io.now(), undefined), check: `${table} TLS` });
  }
  return findings;
}

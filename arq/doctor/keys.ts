/**
 * Findings about the keys of a configuration's issuers: whether files and URLs can be read, and have keys of
 * the right kind and strength.
 */
import { textOf } from "../../shared/listeners/answer_body.ts";
import type { Config } from "../../shared/config/schema.ts";
import { keyFromPem, keysFromJwks } from "../../shield/auth/keys.ts";
import type { LoadedKeys } from "../../shield/auth/keys.ts";
import type { Io } from "../terminal/io.ts";
import { resolvePath } from "../terminal/io.ts";
import { fail, ok, warn, whyOf } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { fileText, isWritableByAll, PATH_FIX, privateFinding } from "./paths.ts";

type Issuer = Config["auth"]["issuers"][number];

const CHECK = "keys";
const KEY_FIX = "make others with arq auth keys, or ask who runs the token server";
const BODY_BYTES_MAX = 1_048_576;

function loadedFinding(issuer: Issuer, where: string, { index, problems }: LoadedKeys): Finding {
  const of = `issuer ${issuer.issuer}: ${where}`;
  if (problems.length > 0) return fail(CHECK, `${of}: ${problems.join("; ")}`, KEY_FIX);
  if (index.size === 0) {
    const fix = "set algorithms of the issuer to what the key is for";
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
    const text = `issuer ${issuer.issuer}: everybody may write ${path}, and so make tokens`;
    return fail(CHECK, text, `chmod 644 ${resolvePath(io.cwd, path)}`);
  } catch (error) {
    return fail(CHECK, `issuer ${issuer.issuer}: ${path}: ${whyOf(error)}`, KEY_FIX);
  }
}

async function urlFinding(io: Io, issuer: Issuer, timeout_ms: number): Promise<Finding> {
  const url = new URL(issuer.jwks_url ?? "");
  const where = `${url.origin}${url.pathname}`;
  const fix = "look at [[auth.issuers]] jwks_url, and whether this machine may reach it";
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

/** Findings about private keys beside the public sets, where `arq auth keys` and `arq init` leave them. */
async function privateFindings(io: Io, issuers: readonly Issuer[]): Promise<Finding[]> {
  const paths = issuers.flatMap(({ jwks_file }) => jwks_file ?? [])
    .filter((path) => path.endsWith("arqon-jwks.json"))
    .map((path) => `${path.slice(0, -"arqon-jwks.json".length)}arqon-private.jwk.json`);
  const findings: Finding[] = [];
  for (const path of new Set(paths)) {
    // A file that cannot be looked at is another check's.
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

/**
 * Findings about the secrets of `[ops]`, `[admin]`, `[quota]` and `[telemetry]`: whether the files can be
 * used, and only by their owner. NATS and the clients' port have their own checks.
 */
import { namedFiles } from "../../shared/config/named_files.ts";
import type { Config } from "../../shared/config/schema.ts";
import { namedFileProblems } from "./config_files.ts";
import type { Io } from "../terminal/io.ts";
import { fail } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { fileText, PATH_FIX, privateFinding } from "./paths.ts";
import { certificateFinding } from "./tls.ts";

const TABLES = /^(ops|admin|quota|telemetry|bridge)\./;

/**
 * One finding for each file that cannot be used, for each secret, and for each certificate of an operators'
 * port.
 */
export async function secretFindings(io: Io, config: Config): Promise<Finding[]> {
  const files = namedFiles(config).filter(({ key }) => TABLES.test(key));
  if (files.length === 0) return [];
  const problems = (await namedFileProblems(io, config)).filter(({ key }) => TABLES.test(key));
  const findings = problems.map(({ key, text }) => fail(key, text, PATH_FIX));
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

/**
 * `arq doctor`: checks everything that a bus on this machine needs, and the bus that commands use here. Changes
 * nothing; `doctor/` has the checks.
 */
import { ConfigError, configFrom, configText, parseConfig } from "../../../shared/config/load.ts";
import { natsFiles } from "../../../shared/config/named_files.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { type BusReport, busReport } from "../../doctor/bus.ts";
import { dataFinding, fail, fileText, ok, privateFinding, warn } from "../../doctor/paths.ts";
import type { Finding } from "../../doctor/paths.ts";
import { keyFindings, secretFindings, tlsFindings } from "../../doctor/keys.ts";
import { natsFindings } from "../../doctor/nats.ts";
import { outsideFindings } from "../../doctor/config_files.ts";
import { placesOf } from "../../../shared/listeners/port_check.ts";
import { plural } from "../../../shared/plural.ts";
import {
  clockFinding,
  denoFinding,
  fileLimit,
  fileLimitFinding,
  portFinding,
} from "../../doctor/system.ts";
import { CommandError, EXIT, explain, printable } from "../../terminal/exit.ts";
import { readInput } from "../../terminal/input.ts";
import { type Ended, type Io, resolvePath, unlessStopped } from "../../terminal/io.ts";
import { painter } from "../../answers/schema_text.ts";
import { findTarget, type Target } from "../../bus/target.ts";
import type { Flags } from "../../program/flags.ts";

const DEFAULT_FILE = "config.toml";

interface Given {
  /** The configuration; undefined when it cannot be used. */
  readonly config: Config | undefined;
  /** True when it comes from a file, false for the defaults. */
  readonly is_own: boolean;
  readonly finding: Finding;
}

async function givenConfig(io: Io, flags: Flags): Promise<Given> {
  const check = "configuration";
  // A file that cannot be inspected counts as absent.
  const there = await io.files.state(resolvePath(io.cwd, DEFAULT_FILE)).catch(() => undefined);
  const file = flags.config ?? (there === undefined ? undefined : DEFAULT_FILE);
  if (file === undefined) {
    const finding = ok(check, `no ${DEFAULT_FILE} here and no --config: the defaults are checked`);
    return { config: configFrom({}), is_own: false, finding };
  }
  const bytes = await readInput(io, file);
  try {
    return {
      config: parseConfig(configText(bytes, file), { file }),
      is_own: true,
      finding: ok(check, `${file} is valid`),
    };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const first = error.message.split("\n")[0] ?? "";
    const more = error.problems.length > 1 ? ` (and ${error.problems.length - 1} more)` : "";
    const finding = fail(check, `${first}${more}`, `arq config check ${file} lists all`);
    return { config: undefined, is_own: true, finding };
  }
}

/** The texts of the files that `[nats]` names. A file that cannot be read becomes a finding. */
async function readNatsFiles(io: Io, nats: NonNullable<Config["nats"]>) {
  const files = new Map<string, string>();
  const findings: Finding[] = [];
  for (const { key, path, is_private } of natsFiles(nats)) {
    const file = await fileText(io, path);
    if ("text" in file) files.set(path, file.text);
    else findings.push(fail("NATS login", file.problem, `name the file in ${key}`));
    if ("text" in file && is_private) findings.push(await privateFinding(io, "NATS login", path));
  }
  return { files, findings };
}

async function spineFindings(io: Io, config: Config): Promise<Finding[]> {
  if (config.nats === undefined) {
    return [ok("NATS", "none: the embedded Spine"), await dataFinding(io, config.server.data_dir)];
  }
  const { nats } = config;
  const { files, findings } = await readNatsFiles(io, nats);
  if (findings.some(({ status }) => status === "fail")) return findings;
  return [...findings, ...await natsFindings({ ...config, nats }, files)];
}

/** The host in the URL by which clients reach this bus; undefined when no URL is known. */
function publicName(target: Target | undefined, config: Config): string | undefined {
  if (target === undefined || !URL.canParse(target.url)) return undefined;
  const { protocol, hostname, port } = new URL(target.url);
  const same_port = Number(port || 443) === config.server.port;
  return /^(wss|https):$/.test(protocol) && same_port
    ? hostname.replace(/^\[|\]$/g, "")
    : undefined;
}

async function configFindings(
  io: Io,
  { config, is_own }: Given,
  target: Target | undefined,
): Promise<Finding[]> {
  if (config === undefined) return [];
  const limit = await fileLimit(io.signal);
  const places = placesOf(config);
  const ports = await Promise.all(places.map((place) => portFinding(place, io.signal, places)));
  const machine = [
    fileLimitFinding(limit, config.limits.connections_per_process, Deno.build.os),
    ...ports,
  ];
  if (!is_own) return machine;
  const parts = await Promise.all([
    spineFindings(io, config),
    keyFindings(io, config),
    tlsFindings(io, config, publicName(target, config)),
    secretFindings(io, config),
    outsideFindings(io, config),
  ]);
  return [...machine, ...parts.flat()];
}

/** The bus that commands use here; a finding when the context cannot be used. */
async function targetOf(io: Io, flags: Flags): Promise<Target | Finding | undefined> {
  try {
    return await findTarget(io, flags);
  } catch (error) {
    if (!(error instanceof CommandError) || error.exit_code === EXIT.usage) throw error;
    return fail(
      "context",
      explain(error).replace(/^arq: /, "").trim().replace(/\s+/g, " "),
      error.hint ?? "",
    );
  }
}

function findingText(io: Io, { check, status, text, fix }: Finding, width: number): string {
  const paint = painter(io.stdout.has_color);
  const mark = {
    ok: paint("green", "ok  "),
    warn: paint("yellow", "warn"),
    fail: paint("red", "FAIL"),
  };
  const line = `${mark[status]}  ${check.padEnd(width)}  ${printable(text)}\n`;
  return fix === undefined ? line : `${line}      ${"".padEnd(width)}  ${printable(fix)}\n`;
}

function summary(findings: readonly Finding[]): string {
  const count = (status: string) => findings.filter((one) => one.status === status).length;
  const warnings = plural(count("warn"), "warning");
  return `${plural(findings.length, "check")}: ${count("fail")} failed, ${warnings}\n`;
}

/** Prints the findings. Exit code 1 means that something does not work. */
export async function doctor(io: Io, flags: Flags): Promise<Ended> {
  const given = await givenConfig(io, flags);
  const found = await targetOf(io, flags);
  const target = found === undefined || "check" in found ? undefined : found;
  const nothing = warn(
    "bus",
    "none is named here and no development bus runs",
    "arq context --help",
  );
  const none: BusReport = {
    findings: [found !== undefined && "check" in found ? found : nothing],
    time: undefined,
  };
  const looking = Promise.all([
    configFindings(io, given, target),
    target === undefined ? none : busReport(io, target, flags),
  ]);
  // A NATS server that does not answer is waited for as long as at a start.
  const [parts, bus] = await unlessStopped(io.signal, looking);
  const skew = given.config?.auth.clock_skew_seconds ?? configFrom({}).auth.clock_skew_seconds;
  const findings = [
    denoFinding(Deno.version.deno),
    given.finding,
    ...parts,
    clockFinding(io.now(), bus.time, skew),
    ...bus.findings,
  ];
  const works = findings.every(({ status }) => status !== "fail");
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines = findings.map((finding) => findingText(io, finding, width)).join("");
  return {
    json: { ok: works, findings },
    text: lines + summary(findings),
    code: works ? EXIT.ok : EXIT.failure,
  };
}

/**
 * `deno task bench SCENARIO`: measures the bus beside a bare Deno server in one run, prints a table
 * and writes JSON. Figures of different machines or runs do not compare; the ratio does.
 */
import { parseArgs } from "node:util";
import { openLoop } from "./open_loop.ts";
import type { LoadOptions, LoadResult } from "./open_loop.ts";
import { renderTable } from "./report.ts";
import type { Report } from "./report.ts";
import { arqonEmbedded, bareDeno } from "./targets.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

const HELP = `Usage: deno task bench echo [options]

echo: publish -> receive at a constant rate; every connection publishes to a room of
its own and hears itself. The same load runs against a bare Deno echo server.

Options:
  --rate N          messages a second, all connections together (10000)
  --seconds N       counted time (10)
  --warmup N        seconds before that are not counted (2)
  --connections N   (10)
  --bytes N         size of a body (256)
  --out FILE        where the JSON goes (bench/results/echo.json)
`;

function fail(message: string): never {
  console.error(`bench: ${message} (see --help)`);
  Deno.exit(2);
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  fail(`--${name} expects a whole number above 0, got ${JSON.stringify(text)}`);
}

function readArguments(): { options: LoadOptions; out: string } {
  const text = (value: string) => ({ type: "string", default: value }) as const;
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        rate: text("10000"),
        seconds: text("10"),
        warmup: text("2"),
        connections: text("10"),
        bytes: text("256"),
        out: text(`${ROOT}/bench/results/echo.json`),
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help === true || positionals.length === 0) {
      console.log(HELP);
      Deno.exit(values.help === true ? 0 : 2);
    }
    if (positionals.length > 1 || positionals[0] !== "echo") {
      fail(`no scenario ${JSON.stringify(positionals.join(" "))}; there is: echo`);
    }
    return {
      out: values.out,
      options: {
        rate: positive("rate", values.rate),
        seconds: positive("seconds", values.seconds),
        warmup_seconds: positive("warmup", values.warmup),
        connections: positive("connections", values.connections),
        body_bytes: positive("bytes", values.bytes),
      },
    };
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  }
}

async function commit(): Promise<string> {
  const git = new Deno.Command("git", { args: ["rev-parse", "HEAD"], cwd: ROOT, stderr: "null" });
  try {
    return new TextDecoder().decode((await git.output()).stdout).trim();
  } catch {
    return "unknown";
  }
}

async function echo(options: LoadOptions): Promise<Report> {
  const started = new Date().toISOString();
  const results: LoadResult[] = [];
  for (const start of [arqonEmbedded, bareDeno]) {
    await using target = await start();
    console.error(`${target.name}: ${options.rate}/s for ${options.seconds} s ...`);
    results.push(await openLoop(target, options));
  }
  const [ours, limit] = results as [LoadResult, LoadResult];
  return {
    scenario: "echo",
    options,
    results,
    ratio: { p50: ours.p50_ms / limit.p50_ms, p99: ours.p99_ms / limit.p99_ms },
    machine: {
      os: Deno.build.os,
      arch: Deno.build.arch,
      cores: navigator.hardwareConcurrency,
      deno: Deno.version.deno,
      v8: Deno.version.v8,
    },
    commit: await commit(),
    started,
  };
}

if (import.meta.main) {
  const { options, out } = readArguments();
  const report = await echo(options);
  console.log(renderTable(report));
  await Deno.mkdir(out.replace(/[^/]*$/, "") || ".", { recursive: true });
  await Deno.writeTextFile(out, JSON.stringify(report, null, 2) + "\n");
  console.error(`written to ${out}`);
  const lost = report.results.some(({ sent, received }) => sent !== received);
  if (lost) console.error("bench: messages were lost; the figures above do not count them");
  Deno.exit(lost ? 1 : 0);
}

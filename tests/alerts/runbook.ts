/**
 * The runbooks of `docs/runbooks.md` as an operator follows them: what is printed there is run as it is printed, and
 * what it shows is looked at.
 */
import assert from "node:assert/strict";
import { runArq } from "../../arq/testing/run_arq.ts";
import { type Alerting, api } from "./alerting.ts";

const TEXT = await Deno.readTextFile(new URL("../../docs/runbooks.md", import.meta.url));

/** A bus that an operator looks at. */
export interface Operated {
  readonly url: string;
  readonly admin_url: string;
  readonly ops_url: string;
  /** Of an operator. */
  readonly token: string;
  /** The output of its processes. */
  log(): string;
  /** The values of a runbook's words in capitals, such as TENANT. */
  readonly words: Readonly<Record<string, string>>;
  /** Its configuration, which is in the folder of the operator; absent: there is none. */
  readonly config?: string;
  /** Runs SQL in its database. */
  sql?(text: string): Promise<string>;
}

/** The section of an alert, each run of white space as one space. */
export function sectionOf(alert: string): string {
  const [, section = ""] = `${TEXT}\n## `.split(`\n## ${alert}\n`);
  const [text = ""] = section.split("\n## ");
  assert.ok(text.includes("**Look at**"), `no runbook of ${alert}`);
  return text.replaceAll(/\s+/g, " ");
}

/** The code in a section. */
export function printedIn(section: string): string[] {
  return [...section.matchAll(/`([^`]+)`/g)].map(([, printed = ""]) => printed);
}

/** Whether it is a command of ours, or a request to a bus. */
export const isOurs = (printed: string): boolean =>
  /^(arq |((GET|PUT|POST) )?\/(v1|health)\/)/.test(printed);

/** Fails unless the runbook of the alert says to do that. */
export function runbookSays(alert: string, words: RegExp): void {
  const [, what = ""] = sectionOf(alert).split("**Do**:");
  assert.match(what, words, alert);
}

/** Runs `arq` with these words in a context of the bus, as an operator; everything that it says. */
export async function runAsOperator(bus: Operated, words: readonly string[]): Promise<string> {
  const home = await Deno.makeTempDir({ prefix: "arqon-operator-" });
  try {
    await Deno.mkdir(`${home}/arqon`);
    await Deno.writeTextFile(`${home}/token`, bus.token);
    const { url, admin_url, ops_url, config } = bus;
    if (config !== undefined) await Deno.writeTextFile(`${home}/config.toml`, config);
    const context = { name: "bus", url, admin_url, ops_url, token_file: `${home}/token` };
    const contexts = { current: "bus", contexts: [context] };
    await Deno.writeTextFile(`${home}/arqon/contexts.json`, JSON.stringify(contexts));
    const { code, stdout, stderr } = await runArq([...words], { cwd: home, config_home: home });
    return `${stdout}${stderr}exit code ${code}`;
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

async function request(bus: Operated, method: string, path: string): Promise<string> {
  const base = path.startsWith("/health/") ? bus.ops_url : bus.admin_url;
  const headers = { authorization: `Bearer ${bus.token}` };
  const answer = await fetch(`${base}${path}`, { method, headers });
  return `${answer.status} ${await answer.text()}`;
}

async function seriesOf(prometheus: Alerting, query: string): Promise<string> {
  // Of a histogram the counts.
  const asked = /[{]/.test(query) ? query : `${query} or ${query}_count`;
  const { result } = await api(prometheus, `query?query=${encodeURIComponent(asked)}`);
  return result.map(({ metric, value }: { metric: object; value: [number, string] }) =>
    `${JSON.stringify(metric)} ${value[1]}`
  ).join("\n");
}

/** The result of following the runbook: of a command, a request, a metric, SQL, or a line of the log. */
export async function seenBy(
  bus: Operated,
  prometheus: Alerting,
  printed: string,
): Promise<string> {
  const text = printed.replaceAll(/\{([a-z]+)\}|\b[A-Z][A-Z0-9]+\b/g, (word, named) => {
    return bus.words[named ?? word] ?? word;
  });
  const [, method, path] = /^(?:(GET|PUT|POST) )?(\/\S+)$/.exec(text) ?? [];
  if (text.startsWith("arq ")) {
    // It runs until it is stopped, and its rates are between two views.
    const end = text === "arq top" ? ["--count", "2"] : [];
    return await runAsOperator(bus, [...text.split(" ").slice(1), ...end]);
  }
  if (path !== undefined) return await request(bus, method ?? "GET", path);
  if (text.startsWith("select ")) return await bus.sql!(text);
  if (/^(up|[a-z]+_[a-z_]+)(\{.*\})?$/.test(text)) return await seriesOf(prometheus, text);
  return bus.log().split("\n").filter((line) => line.includes(text)).join("\n");
}

/**
 * Renders `proto/errors.json` as the TypeScript union, the Python module and the tables of `docs/errors.md`.
 * Pure text functions; `gen.ts` writes the files.
 */
import { table, tableRow } from "./gen_pages.ts";

/** One refusal. `outcome`: the connection continues after the answer, is closed, or receives an HTTP status. */
interface ErrorEntry {
  number: number;
  code: number;
  name: string;
  outcome: "reply" | "close" | "http";
  client: "never-retry" | "back-off" | "refresh-token" | "other-node";
  message: string;
  help: string;
  close?: number;
  /** Whether the refusal counts towards `limits.protocol_errors`. */
  counted?: boolean;
  /** Whether clients use it for an unknown reason with this code. Each code has one such entry. */
  nearest?: boolean;
  /** Whether it is part of the contract, but not yet implemented in this version. */
  planned?: boolean;
}

/** One WebSocket close code. `client` is a client's reaction to it, as in `ErrorEntry`. */
interface CloseEntry {
  code: number;
  name: string;
  reconnect: boolean;
  client: string;
  help: string;
}

/** The content of `proto/errors.json`. Every rendering keeps its order. */
export interface Registry {
  errors: ErrorEntry[];
  closes: CloseEntry[];
}

const NOTICE = "Generated from proto/errors.json by `deno task gen`. Do not edit.";

/** Whether the message is only the name, or the name before the detail: `invalid-room`, "Invalid room: {detail}". */
function isPlain({ name, message }: ErrorEntry): boolean {
  const words = name.charAt(0).toUpperCase() + name.slice(1).replaceAll("-", " ");
  return message === words || message === `${words}: {detail}`;
}

/**
 * The entries in a compact form for clients: one line for each combination of code, close code and action, followed by
 * the names. A name has a text only if its message is not plain; a line without an action means `never-retry`. The
 * nearest reason of a code is first; the others are sorted so that similar names are adjacent, which compresses well.
 */
function groupsOf(errors: readonly ErrorEntry[]): string[] {
  const groups = new Map<string, string>();
  const nearest = errors.filter((e) => e.nearest);
  const end = (e: ErrorEntry) => [...e.name].reverse().join("");
  const rest = errors.filter((e) => !e.nearest).sort((a, b) => end(a) < end(b) ? -1 : 1);
  for (const e of [...nearest, ...rest]) {
    const client = e.client === "never-retry" ? "" : e.client;
    const group = [e.code, e.close ?? "", client].join(" ").trimEnd();
    if (/[|=`$\\\n]/.test(e.message)) throw new TypeError(`${e.name}: the text has a separator`);
    const before = groups.get(group) ?? group;
    groups.set(group, `${before}|${e.name}${isPlain(e) ? "" : `=${e.message}`}`);
  }
  return [...groups.values()].sort((a, b) => parseInt(a) - parseInt(b));
}

/** The text of `proto/gen/errors.ts`. It is not formatted, since `deno fmt` excludes its folder. */
export function renderErrorsTypescript({ errors, closes }: Registry): string {
  const entry = (e: ErrorEntry) =>
    `  ${JSON.stringify(e.name)}: ${
      JSON.stringify({
        number: e.number,
        code: e.code,
        outcome: e.outcome,
        client: e.client,
        close: e.close ?? 0,
        counted: e.counted ?? false,
        message: e.message,
      })
    },`;
  return [
    `// ${NOTICE}`,
    "",
    '/** Every refusal by its stable reason. `close` is 0 unless `outcome` is "close". */',
    "export const ERRORS = {",
    ...errors.map(entry),
    "} as const;",
    "",
    "/** The same for clients, which do without the rest of it: see `reasons.ts`. */",
    `export const REASON_GROUPS: string = \`${groupsOf(errors).join("\n")}\`;`,
    "",
    "/** The closed union of refusal reasons. */",
    "export type Reason = keyof typeof ERRORS;",
    "",
    "/** Every close code, and whether a client reconnects after it. */",
    "export const CLOSES = {",
    ...closes.map((c) =>
      `  ${c.code}: ${JSON.stringify({ name: c.name, reconnect: c.reconnect, client: c.client })},`
    ),
    "} as const;",
    "",
    "/** The same for clients: the name, and what one does, unless that is `never-retry`. */",
    "export const CLOSE_GROUPS: Readonly<Record<number, string>> = {",
    ...closes.map(({ code, name, client }) => {
      const text = client === "never-retry" ? name : `${name} ${client}`;
      return `  ${code}: ${JSON.stringify(text)},`;
    }),
    "};",
    "",
    "export type CloseCode = keyof typeof CLOSES;",
    "",
  ].join("\n");
}

/** `too-many-rooms` → `TooManyRooms`. */
const className = (name: string) =>
  name.split("-").map((part) => part.charAt(0).toUpperCase() + part.slice(1)).join("");

/** The words in lines of at most this many characters. */
function wrapped(words: readonly string[], most: number): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > most) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/**
 * The text of `errors_gen.py` in the Python SDK: one exception per reason, one line each, and the close codes. The
 * nearest reason of a code is first.
 */
export function renderErrorsPython({ errors, closes }: Registry): string {
  const quoted = (value: unknown) => JSON.stringify(value);
  const ordered = [...errors.filter((e) => e.nearest), ...errors.filter((e) => !e.nearest)];
  return [
    `"""One exception per reason. ${NOTICE}"""`,
    "",
    "from typing import Final",
    "",
    "from arqon.errors import ERRORS as ERRORS",
    "from arqon.errors import ArqonError, CloseEntry",
    "",
    "__all__ = [",
    ...wrapped(errors.map((e) => `"${className(e.name)}",`).sort(), 96).map((line) =>
      `    ${line}`
    ),
    "]",
    "",
    ...ordered.map((e) => {
      const parts = [e.number, e.code, e.outcome, e.client, e.close ?? 0, e.message];
      const options = `reason=${quoted(e.name)}, entry=(${parts.map(quoted).join(", ")})`;
      const text = `${e.code}: ${e.message.replaceAll("{detail}", "…")}`;
      return `class ${className(e.name)}(ArqonError, ${options}): """${text}."""`;
    }),
    "",
    "CLOSES: Final[dict[int, CloseEntry]] = {",
    ...closes.map((c) => {
      const parts = [quoted(c.name), c.reconnect ? "True" : "False", quoted(c.client)];
      return `    ${c.code}: CloseEntry(${parts.join(", ")}),`;
    }),
    "}",
    "",
  ].join("\n");
}

/** The tables of `docs/errors.md`: reasons, and close codes. */
export function errorsParts({ errors, closes }: Registry): Record<"reasons" | "closes", string> {
  const outcome = (e: ErrorEntry) =>
    e.outcome === "close" ? `close ${e.close}` : e.outcome === "http" ? "HTTP status" : "reply";
  const reasons = errors.map((e) =>
    tableRow(
      e.number,
      e.code,
      `\`${e.name}\`${e.planned ? " (planned)" : ""}`,
      outcome(e),
      e.client.replaceAll("-", " "),
      e.message,
      e.help + (e.counted ? " Counts towards `limits.protocol_errors`." : ""),
    )
  );
  const codes = closes.map((c) =>
    tableRow(c.code, c.name, c.reconnect ? "yes" : "no", c.client.replaceAll("-", " "), c.help)
  );
  const head = ["no.", "code", "reason", "outcome", "the client", "message", "help"];
  return {
    reasons: table(head, reasons),
    closes: table(["code", "name", "reconnect", "the client", "help"], codes),
  };
}
